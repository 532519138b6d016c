"""The transport of raftsdk over TCP, TCP with TLS, and Unix sockets, on asyncio protocols.

`framing` splits a byte stream into frames, `tls` encrypts it, and neither touches a socket; `connection` is one stream,
`streams` opens and accepts them, `listener` is one address being listened on, `address` the kinds of URL, `transport`
what a node is given.

A transport that carries frames in another way over the same sockets (WebSocket does) writes a `Framing`, and takes the
rest from here: `open_stream`, `accept_streams`, `TlsFraming`.
"""

from raftsdk_tcp.connection import StreamConnection
from raftsdk_tcp.framing import FrameSplitter, Framing
from raftsdk_tcp.streams import accept_streams, open_stream
from raftsdk_tcp.tls import TlsFraming
from raftsdk_tcp.transport import TcpTransport

__all__ = [
    "FrameSplitter",
    "Framing",
    "StreamConnection",
    "TcpTransport",
    "TlsFraming",
    "accept_streams",
    "open_stream",
]
