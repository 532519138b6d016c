"""The WebSocket transport of raftsdk, with and without TLS.

`upgrade` is the HTTP that opens a connection, `reader` and `writer` are its messages, `framing` all of that in one for
the streams of `raftsdk_tcp`; `violations` says which close code is for what; `address` the two kinds of URL,
`transport` what a node is given.
"""

from raftsdk_websocket.framing import WebSocketFraming
from raftsdk_websocket.transport import WebSocketTransport
from raftsdk_websocket.upgrade import SUBPROTOCOL

__all__ = ["SUBPROTOCOL", "WebSocketFraming", "WebSocketTransport"]
