"""Frames between addresses. Knows connections; knows no Raft and no message."""

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final, Protocol, TypeAlias, runtime_checkable

FRAME_HEADER_BYTES: Final = 20
"""A frame is a header of this many bytes and a body. The first four bytes of the header are the body's length, an
unsigned big-endian integer; the rest of the frame is opaque to a transport. A transport over a stream splits the stream
by that length; one over messages (WebSocket) carries one frame in each and need not look."""


@runtime_checkable
class Connection(Protocol):
    """One open, ordered, reliable, two-way stream of frames.

    *Order.* Frames arrive in the order they were written, whole, once, or the connection ends.
    *End.* After an end (theirs, ours, or the network's) `read` returns `[]` for ever, and `write` drops silently: a
    writer learns of the end from its reader, in one place.
    *Thread.* Used from one event loop only. `read` is awaited by one task at a time; cancelling it loses no frame.
    *Identity.* A connection whose transport can tell who is there (TLS) has one attribute more, `certified_names`, a
    `frozenset[str] | None`: the names its other side has proven, none of them as long as it has proven nothing. None,
    and a connection without the attribute, stand for a transport that authenticates nobody. Settled by the time the
    first `read` returns.
    """

    remote: str
    """Where the other side is, for people: `"tcp://127.0.0.1:52100"`."""

    max_frame_bytes: int
    """The longest body that will be buffered. A header that declares more ends the connection before any of the body is
    kept, and `read` raises. May be changed at any time; starts small, because a stranger speaks first."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes written and not yet taken by the operating system. The caller bounds what it adds to this."""
        ...

    def write(self, frames: Sequence[bytes]) -> None:
        """Queue whole frames. Never blocks, never raises on a lost connection, never reorders."""
        ...

    async def drain(self) -> None:
        """Return once little is left unsent, or the connection has ended. Raises nothing."""
        ...

    async def read(self) -> list[bytes]:
        """Every whole frame that has arrived, at least one; `[]` at the end. An incomplete frame at the end is dropped.

        Raises `WireError` once, with reason `"oversize"`, when the other side declared a body over `max_frame_bytes`;
        the connection is closed by then, and whole frames that came before were handed out first. A reader that stops
        reading makes the transport stop receiving: unread bytes are bounded by about one frame plus one receive buffer.

        Where a transport shakes hands before the first frame (TLS, WebSocket), an accepted connection waits for that
        here, and raises `WireError`, with a reason of the transport's, when nothing comes of it. So whoever reads the
        first frame within a time limit has bounded the handshake, too.
        """
        ...

    async def aclose(self) -> None:
        """Send what was written, for at most a second, then end the connection. May be called twice. Raises nothing."""
        ...

    def abort(self) -> None:
        """End the connection now; unsent bytes are lost. May be called at any time, also twice."""
        ...


@runtime_checkable
class Listener(Protocol):
    """An address being listened on."""

    address: str
    """The address in use, with the real port where 0 was asked for."""

    async def aclose(self) -> None:
        """Stop accepting and release the address. Connections that were accepted live on. May be called twice."""
        ...


OnConnection: TypeAlias = Callable[[Connection], Awaitable[None]]


@runtime_checkable
class Transport(Protocol):
    """Opens connections to addresses and accepts them at addresses.

    An address is a URL whose scheme is one of `schemes`. A transport holds no state that ties connections together: a
    fault of one never touches another.
    """

    schemes: ClassVar[tuple[str, ...]]
    """The URL schemes it understands: `("tcp", "unix")`."""

    async def connect(self, address: str) -> Connection:
        """A new connection, its handshake done. Raises `Unreachable` when there is none to be had, and `WireError`
        when somebody answers who breaks the rules before any frame could pass (a certificate that is refused). The
        caller brings the deadline and may cancel. Raises `ValueError` for an address it does not understand.
        """
        ...

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        """Accept at `address` until the listener is closed.

        `on_connection` runs as a task for each connection, from the moment that it is accepted, and the connection is
        closed when it returns or raises. Raises `OSError` when the address cannot be had, `ValueError` when it makes no
        sense.
        """
        ...
