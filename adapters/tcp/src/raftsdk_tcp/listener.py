"""One address being listened on: having it, accepting at it, and giving it back."""

import asyncio
import errno
import logging
import os
import socket
import stat
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from raftsdk_tcp.address import TcpAddress, UnixAddress

ACCEPT_RETRY_S: Final = 0.5
"""How long accepting rests when the process or the machine is out of file descriptors."""

_ACCEPTS_PER_TURN: Final = 32
"""Connections taken before the event loop turns to others: a storm of strangers must not keep peers waiting."""

_BACKLOG: Final = 1024
_ADDRESS_NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

Accepted: TypeAlias = Callable[[socket.socket, Any], None]
"""Takes a new socket and the address of its other side, as `socket.accept` returns them."""

_log = logging.getLogger("raftsdk_tcp")


class SocketListener:
    """Accepts at sockets that are bound already.

    The event loops' own servers are not used because of what they do when file descriptors run out: asyncio's (3.11)
    reports a traceback for every free place of the backlog, each second, and uvloop's closes strangers unheard. Here
    they wait in the backlog, one line is logged, and accepting goes on when it can.
    """

    def __init__(self, address: str, sockets: list[socket.socket], accepted: Accepted) -> None:
        self.address = address
        self._sockets = sockets
        self._accepted = accepted
        self._retries: dict[socket.socket, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        for listening in sockets:
            self._watch(listening)

    async def aclose(self) -> None:
        """Stop accepting and release the address."""
        for retry in self._retries.values():
            retry.cancel()
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        self._sockets = []

    def _watch(self, listening: socket.socket) -> None:
        self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, remote = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(listening, error)
                return
            self._retries.pop(listening, None)
            self._accepted(sock, remote)

    def _rest(self, listening: socket.socket, error: OSError) -> None:
        # The socket stays readable while a stranger waits in the backlog: without the rest, the loop would spin on it.
        if listening not in self._retries:
            _log.warning(
                "cannot accept at %s: %s; those connected are served on, and accepting is tried every %s s "
                "(raise the limit on open files, or lower the number of clients)",
                self.address, error.strerror, ACCEPT_RETRY_S,
            )  # fmt: skip
        self._loop.remove_reader(listening)
        self._retries[listening] = self._loop.call_later(ACCEPT_RETRY_S, self._watch, listening)


class UnixSocketListener(SocketListener):
    """The same, and removes the socket's file at the end, unless another process has put its own there since."""

    def __init__(self, address: UnixAddress, listening: socket.socket, accepted: Accepted) -> None:
        super().__init__(str(address), [listening], accepted)
        self._path = address.path
        self._file = _file_identity(address.path)

    async def aclose(self) -> None:
        """Stop accepting and release the address."""
        if self._sockets and self._file is not None and _file_identity(self._path) == self._file:
            os.unlink(self._path)
        await super().aclose()


async def bind_tcp(address: TcpAddress) -> list[socket.socket]:
    """A listening socket for every address the host stands for, all on one port. Raises `OSError`."""
    infos = await asyncio.get_running_loop().getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, _type, _protocol, _name, where in dict.fromkeys(infos):
        port = sockets[0].getsockname()[1] if sockets else address.port
        try:
            sockets.append(socket.create_server((where[0], port, *where[2:]), family=family, backlog=_BACKLOG))
        except OSError as error:
            # In a container without IPv6, `localhost` still resolves to ::1 as well.
            if error.errno not in _ADDRESS_NOT_HERE:
                _close_all(sockets)
                raise
            missing = error
    if missing is not None and not sockets:
        raise missing
    return _non_blocking(sockets)


def bind_unix(address: UnixAddress) -> socket.socket:
    """A listening socket at the path; a file left by a process that died is replaced. Raises `OSError`."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_stale(address.path):
            os.unlink(address.path)
        listening.bind(address.path)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return _non_blocking([listening])[0]


def _is_stale(path: str) -> bool:
    """Whether a socket file is there that nobody listens at."""
    try:
        # Connecting to an ordinary file is refused too, and that one must stay.
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # A listener with a full backlog is alive: that must not be waited for.
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _file_identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _non_blocking(sockets: list[socket.socket]) -> list[socket.socket]:
    for each in sockets:
        each.setblocking(False)
    return sockets


def _close_all(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
