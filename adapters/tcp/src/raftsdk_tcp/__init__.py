"""The TCP and Unix-socket transport of raftsdk, on asyncio protocols.

`framing` splits a byte stream into frames and touches no socket; `connection` is one stream, `listener` one address
being listened on, `address` the two kinds of URL, `transport` what a node is given.
"""

from raftsdk_tcp.framing import FrameSplitter
from raftsdk_tcp.transport import TcpTransport

__all__ = ["FrameSplitter", "TcpTransport"]
