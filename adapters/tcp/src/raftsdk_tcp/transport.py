"""What a node is given: connections to addresses, and at them."""

import errno
from typing import ClassVar

from raftsdk.errors import Unreachable
from raftsdk.ports import Credentials
from raftsdk.ports.transport import OnConnection
from raftsdk_tcp.address import TLS_SCHEME, TcpAddress, UnixAddress, parse_address
from raftsdk_tcp.connection import StreamConnection
from raftsdk_tcp.framing import FrameSplitter, Framing
from raftsdk_tcp.listener import SocketListener
from raftsdk_tcp.streams import accept_streams, open_stream
from raftsdk_tcp.tls import TlsFraming


class TcpTransport:
    """A `raftsdk.ports.Transport` over TCP (`tcp://127.0.0.1:7001`, `tcp://[::1]:7001`), TCP with TLS
    (`tcp+tls://127.0.0.1:7001`), and Unix sockets (`unix:///run/raft.sock`), on asyncio's event loop or uvloop's.

    Without `credentials` it has no TLS, and an address that asks for that makes no sense.
    """

    schemes: ClassVar[tuple[str, ...]] = ("tcp", TLS_SCHEME, "unix")

    def __init__(self, *, credentials: Credentials | None = None) -> None:
        self._credentials = credentials

    async def connect(self, address: str) -> StreamConnection:
        """A new connection. Raises `Unreachable` when there is none to be had, `WireError` when TLS fails, `ValueError`
        for a nonsense address.
        """
        where = parse_address(address)
        credentials = self._needed_credentials(where)
        framing: Framing = FrameSplitter()
        if credentials is not None:
            framing = TlsFraming(framing, credentials.client_context(), server_side=False)
        try:
            return await open_stream(where, framing)
        except OSError as error:
            raise Unreachable(f"{address}: {error.strerror or error}") from error

    async def listen(self, address: str, on_connection: OnConnection) -> SocketListener:
        """Accept at `address`. Raises `OSError` when it cannot be had, `ValueError` when it makes no sense.

        What `on_connection` raises ends its connection: a `RaftError` (a stranger broke the wire's rules) silently,
        anything else, being a bug, is told to the event loop's exception handler.
        """
        where = parse_address(address)
        credentials = self._needed_credentials(where)

        def framing() -> Framing:
            if credentials is None:
                return FrameSplitter()
            return TlsFraming(FrameSplitter(), credentials.server_context(), server_side=True)

        try:
            return await accept_streams(where, framing, on_connection)
        except OSError as error:
            raise OSError(
                error.errno or errno.EINVAL, f"cannot listen at {address}: {error.strerror or error}"
            ) from error

    def _needed_credentials(self, where: TcpAddress | UnixAddress) -> Credentials | None:
        if isinstance(where, UnixAddress) or where.scheme != TLS_SCHEME:
            return None
        if self._credentials is None:
            raise ValueError(f"{where} asks for TLS, and this transport has no credentials: give it some")
        return self._credentials
