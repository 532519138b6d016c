"""What a node is given: connections to addresses, and at them."""

import errno
from collections.abc import Collection
from typing import ClassVar

from raftsdk_tcp import Framing, StreamConnection, TlsFraming, accept_streams, open_stream

from raftsdk.errors import Unreachable
from raftsdk.ports import Credentials
from raftsdk.ports.transport import OnConnection
from raftsdk_websocket.address import WebSocketAddress, parse_address
from raftsdk_websocket.framing import WebSocketFraming
from raftsdk_websocket.listener import Farewell, WebSocketListener
from raftsdk_websocket.upgrade import ClientUpgrade, ServerUpgrade


class WebSocketTransport:
    """A `raftsdk.ports.Transport` over WebSocket (`ws://127.0.0.1:7001/raft`) and WebSocket with TLS (`wss://`), on
    asyncio's event loop or uvloop's.

    Without `credentials` it has no TLS, and an address that asks for that makes no sense. `origins` names the sites
    whose pages may connect, as a browser names them (`https://ops.example`); None lets any, since a page has no more
    rights here than any other program that reaches the port. Give them where reaching the port is a right in itself.
    """

    schemes: ClassVar[tuple[str, ...]] = ("ws", "wss")

    def __init__(self, *, credentials: Credentials | None = None, origins: Collection[str] | None = None) -> None:
        self._credentials = credentials
        self._origins = origins

    async def connect(self, address: str) -> StreamConnection:
        """A new connection. Raises `Unreachable` when there is none to be had, `WireError` when TLS fails or no raftsdk
        node answers, `ValueError` for a nonsense address.
        """
        where = parse_address(address)
        credentials = self._needed_credentials(where)
        framing: Framing = WebSocketFraming(ClientUpgrade(where.uri))
        if credentials is not None:
            framing = TlsFraming(framing, credentials.client_context(), server_side=False)
        try:
            return await open_stream(where.place, framing)
        except OSError as error:
            raise Unreachable(f"{address}: {error.strerror or error}") from error

    async def listen(self, address: str, on_connection: OnConnection) -> WebSocketListener:
        """Accept at `address`. Raises `OSError` when it cannot be had, `ValueError` when it makes no sense.

        What `on_connection` raises ends its connection: a `RaftError` (a stranger broke the wire's rules) silently,
        anything else, being a bug, is told to the event loop's exception handler.
        """
        where = parse_address(address)
        if where.query:
            raise ValueError(f"{address!r} is not an address to listen at: leave out ?{where.query}")
        credentials = self._needed_credentials(where)
        farewell = Farewell()

        def framing() -> Framing:
            plain = WebSocketFraming(ServerUpgrade(path=where.path, origins=self._origins), farewell.code)
            if credentials is None:
                return plain
            return TlsFraming(plain, credentials.server_context(), server_side=True)

        try:
            streams = await accept_streams(where.place, framing, on_connection)
        except OSError as error:
            raise OSError(
                error.errno or errno.EINVAL, f"cannot listen at {address}: {error.strerror or error}"
            ) from error
        return WebSocketListener(streams, where.path, farewell)

    def _needed_credentials(self, where: WebSocketAddress) -> Credentials | None:
        if not where.is_secure:
            return None
        if self._credentials is None:
            raise ValueError(f"{where.place} asks for TLS, and this transport has no credentials: give it some")
        return self._credentials
