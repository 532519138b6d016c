"""What a store, a state machine and a network may be able to do besides: snapshots, in constant memory."""

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from raftsdk.types import LogIndex, Membership, SnapshotMeta, Term


class SnapshotSink(Protocol):
    """A snapshot that is being written. Nobody sees it before `finish` has returned."""

    @property
    def offset(self) -> int:
        """How many bytes of it are there already; where the next `write` goes on."""
        ...

    async def write(self, data: bytes) -> None:
        """Append `data`. Never blocks the event loop. Raises `StorageFailed`, after which only `abort` is left."""
        ...

    async def finish(self) -> SnapshotMeta:
        """Make all of it durable under its final name and say what it is. The store does not use it yet: a `Write` with
        this `snapshot` makes it the store's, and one it does not name is removed with the next `load`. Raises
        `SnapshotDamaged`, and keeps nothing, when it was received and is not what it was said to be.
        """
        ...

    async def abort(self) -> None:
        """Remove it. May be called at any time, also after `finish`, when it does nothing."""
        ...


class SnapshotSource(Protocol):
    """A durable snapshot, open for reading; it can be read for as long as it is open, whatever replaces it."""

    @property
    def meta(self) -> SnapshotMeta:
        """What it is."""
        ...

    async def read(self, offset: int, max_bytes: int) -> bytes:
        """The bytes from `offset` on, `max_bytes` of them or all that are left; empty only at the end. Raises
        `StorageFailed` when they are not what was written.
        """
        ...

    async def aclose(self) -> None:
        """Let it go. May be called twice."""
        ...


@runtime_checkable
class SnapshotStore(Protocol):
    """A `Storage` that can keep snapshots beside the log. Without these methods a node keeps its whole log.

    At any time one snapshot is the store's own, the one of the last `Write` that carried one; `load` hands out its
    meta in `Recovered.snapshot`. One is being created and one received at the most.
    """

    async def create_snapshot(self, index: LogIndex, term: Term, membership: Membership) -> SnapshotSink:
        """Begin a snapshot of this node's own state. Length and digest come from what is written."""
        ...

    async def receive_snapshot(self, meta: SnapshotMeta) -> SnapshotSink:
        """Begin to receive a snapshot, or go on: `offset` says how much of this very one (the same `meta`) is there
        from before. Pieces of any other are removed. Raises `StorageFailed` when there is no room for it.
        """
        ...

    async def open_snapshot(self, meta: SnapshotMeta) -> SnapshotSource:
        """Open a snapshot that is finished. Raises `StorageFailed` when it is not there or damaged."""
        ...


@runtime_checkable
class SnapshotStateMachine(Protocol):
    """A `StateMachine` whose state can be written down and read again. Without these, its node keeps the whole log."""

    def snapshot(self) -> AsyncIterator[bytes]:
        """The state as it is now, in pieces of any size (some 64 KiB are well).

        Called between two commands, like `apply`. What it returns is read while further commands are applied, so the
        state must be held fast in this call (a shallow copy, a copy-on-write view), and written down later, piece by
        piece, each in a few milliseconds. It is closed (`aclose`) when it is read no further.
        """
        ...

    async def restore(self, pieces: AsyncIterator[bytes]) -> None:
        """Replace the whole state by the one in `pieces`, which may be cut differently than they were written.

        No command is applied and no query asked before this has returned; the node goes on beside it. Raising stops the
        node: nobody knows what state it is in.
        """
        ...
