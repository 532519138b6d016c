"""Streams of TCP and of Unix sockets, opened and accepted, for any framing."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from raftsdk.errors import RaftError
from raftsdk.ports.transport import OnConnection
from raftsdk_tcp.address import TcpAddress, UnixAddress
from raftsdk_tcp.connection import StreamConnection
from raftsdk_tcp.framing import Framing
from raftsdk_tcp.listener import SocketListener, UnixSocketListener, bind_tcp, bind_unix

_log = logging.getLogger("raftsdk_tcp")


async def open_stream(where: TcpAddress | UnixAddress, framing: Framing) -> StreamConnection:
    """A connection to `where`, with the handshake of `framing` behind it.

    Raises `OSError` when nobody answers, `WireError` when somebody does and breaks the rules before any frame could
    pass. The caller brings the deadline and may cancel.
    """
    loop = asyncio.get_running_loop()
    connection = StreamConnection(str(where), framing)
    if isinstance(where, UnixAddress):
        await loop.create_unix_connection(lambda: connection, where.path)
    else:
        transport, _ = await loop.create_connection(lambda: connection, where.host, where.port)
    try:
        if isinstance(where, TcpAddress):
            sock: socket.socket = transport.get_extra_info("socket")
            if meets_itself(sock):
                raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there")
            _tune(sock)
        await connection.wait_opened()
    except BaseException:  # Also when the other side has reset the connection already: it has no other side then.
        connection.abort()
        raise
    return connection


async def accept_streams(
    where: TcpAddress | UnixAddress, framing: Callable[[], Framing], on_connection: OnConnection
) -> SocketListener:
    """Accept at `where`; `framing` makes one for each connection. Raises `OSError` when the address cannot be had.

    `on_connection` runs as a task for each connection, at once: the handshake, if there is one, goes on under its
    first `read`. What it raises ends its connection: a `RaftError` (a stranger broke the wire's rules) silently,
    anything else, being a bug, is told to the event loop's exception handler.
    """
    # The event loop holds a task by a weak reference only; whoever starts one must keep it.
    serving: set[asyncio.Task[None]] = set()

    def accepted(sock: socket.socket, remote: tuple[str, int] | str) -> None:
        task = asyncio.create_task(_serve(sock, _name(where, remote), framing, on_connection))
        serving.add(task)
        task.add_done_callback(serving.discard)

    if isinstance(where, UnixAddress):
        return UnixSocketListener(where, bind_unix(where), accepted)
    sockets = await bind_tcp(where)
    return SocketListener(str(where._replace(port=sockets[0].getsockname()[1])), sockets, accepted)


def _name(where: TcpAddress | UnixAddress, remote: tuple[str, int] | str) -> str:
    """What to call whoever came from `remote`. A client's Unix socket has no name."""
    if isinstance(where, TcpAddress) and isinstance(remote, tuple):
        return str(where._replace(host=remote[0], port=remote[1]))
    return str(where)


async def _serve(sock: socket.socket, remote: str, framing: Callable[[], Framing], on_connection: OnConnection) -> None:
    loop = asyncio.get_running_loop()
    try:
        connection = StreamConnection(remote, framing())
        if sock.family != socket.AF_UNIX:
            _tune(sock)
        await loop.connect_accepted_socket(lambda: connection, sock)
    except BaseException:
        sock.close()
        raise
    try:
        await on_connection(connection)
    except RaftError as error:
        _log.debug("%s: %s", remote, error)
    except Exception as error:
        message = f"the handler of the connection from {remote} failed; that connection is closed"
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
