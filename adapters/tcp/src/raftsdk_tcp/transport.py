"""What a node is given: connections to addresses, and at them."""

import asyncio
import errno
import logging
import socket
from typing import ClassVar

from raftsdk.errors import RaftError, Unreachable
from raftsdk.ports.transport import OnConnection
from raftsdk_tcp.address import TcpAddress, UnixAddress, parse_address
from raftsdk_tcp.connection import TcpConnection
from raftsdk_tcp.listener import SocketListener, UnixSocketListener, bind_tcp, bind_unix

_log = logging.getLogger("raftsdk_tcp")


class TcpTransport:
    """A `raftsdk.ports.Transport` over TCP (`tcp://127.0.0.1:7001`, `tcp://[::1]:7001`) and Unix sockets
    (`unix:///run/raft.sock`), on asyncio's event loop or uvloop's.
    """

    schemes: ClassVar[tuple[str, ...]] = ("tcp", "unix")

    def __init__(self) -> None:
        # The event loop holds a task by a weak reference only; whoever starts one must keep it.
        self._serving: set[asyncio.Task[None]] = set()

    async def connect(self, address: str) -> TcpConnection:
        """A new connection. Raises `Unreachable` when there is none to be had, `ValueError` for a nonsense address."""
        where = parse_address(address)
        try:
            return await _open(where)
        except OSError as error:
            raise Unreachable(f"{address}: {error.strerror or error}") from error

    async def listen(self, address: str, on_connection: OnConnection) -> SocketListener:
        """Accept at `address`. Raises `OSError` when it cannot be had, `ValueError` when it makes no sense.

        What `on_connection` raises ends its connection: a `RaftError` (a stranger broke the wire's rules) silently,
        anything else, being a bug, is told to the event loop's exception handler.
        """
        where = parse_address(address)
        try:
            return await self._listen(where, on_connection)
        except OSError as error:
            raise OSError(
                error.errno or errno.EINVAL, f"cannot listen at {address}: {error.strerror or error}"
            ) from error

    async def _listen(self, where: TcpAddress | UnixAddress, on_connection: OnConnection) -> SocketListener:
        def accepted(sock: socket.socket, remote: tuple[str, int] | str) -> None:
            connection = TcpConnection(str(TcpAddress(*remote[:2])) if isinstance(remote, tuple) else str(where))
            task = asyncio.create_task(_serve(sock, connection, on_connection))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

        if isinstance(where, UnixAddress):
            return UnixSocketListener(where, bind_unix(where), accepted)
        sockets = await bind_tcp(where)
        return SocketListener(str(where._replace(port=sockets[0].getsockname()[1])), sockets, accepted)


async def _open(where: TcpAddress | UnixAddress) -> TcpConnection:
    loop = asyncio.get_running_loop()
    connection = TcpConnection(str(where))
    if isinstance(where, UnixAddress):
        await loop.create_unix_connection(lambda: connection, where.path)
        return connection
    transport, _ = await loop.create_connection(lambda: connection, where.host, where.port)
    sock: socket.socket = transport.get_extra_info("socket")
    try:
        if meets_itself(sock):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there")
        _tune(sock)
    except OSError:  # Also when the other side has reset the connection already: it has no other side then.
        connection.abort()
        raise
    return connection


async def _serve(sock: socket.socket, connection: TcpConnection, on_connection: OnConnection) -> None:
    loop = asyncio.get_running_loop()
    try:
        if sock.family != socket.AF_UNIX:
            _tune(sock)
        await loop.connect_accepted_socket(lambda: connection, sock)
    except BaseException:
        sock.close()
        raise
    try:
        await on_connection(connection)
    except RaftError as error:
        _log.debug("%s: %s", connection.remote, error)
    except Exception as error:
        message = f"the handler of the connection from {connection.remote} failed; that connection is closed"
        loop.call_exception_handler({"message": message, "exception": error})
    finally:
        await connection.aclose()


def meets_itself(sock: socket.socket) -> bool:
    """Whether both ends of a connection are this one socket.

    Linux does that to whoever connects to a port of its own machine that nobody listens at, when the port lies in the
    range for outgoing connections and the system happens to give it the same one. A node that tries again and again to
    reach a stopped peer on its own machine gets there within an hour, and then holds the port that the peer needs.
    """
    return bool(sock.getsockname() == sock.getpeername())


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # A small frame waits for nothing.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # A client whose machine died is noticed, in hours.
