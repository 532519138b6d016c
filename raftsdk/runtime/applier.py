"""What is committed into the state, in order, in slices, beside the loop and never inside its turn."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from time import monotonic
from typing import Final, TypeAlias

from raftsdk.core.ready import Committed
from raftsdk.errors import StorageFailed
from raftsdk.ports import SnapshotStore, Storage
from raftsdk.runtime.applied import AppliedState
from raftsdk.runtime.outcomes import Outcome
from raftsdk.types import Entry, LogIndex, SnapshotMeta

SLICE_S: Final = 0.005
"""After so long in one go, everything else in the event loop gets a turn: a long replay must not delay heartbeats."""

SLICE_ENTRIES: Final = 128
"""After so many, too. Whoever proposed them proposes the next, which are on their way to the others while the rest is
applied; all in one go, a leader and its followers would wait for each other in turn.
"""

PIECE_BYTES: Final = 256 * 1024
"""How much of a snapshot is read at once."""

OnApplied: TypeAlias = Callable[[LogIndex, Sequence[Entry], Sequence[Outcome]], None]
OnRestored: TypeAlias = Callable[[SnapshotMeta], None]


class Applier:
    """Feeds one state. What a command raises is that command's outcome; the next one follows.

    While a snapshot is being restored, the state is none: `restoring` says so from when that was asked for.
    """

    def __init__(self, state: AppliedState, storage: Storage, on_applied: OnApplied, on_restored: OnRestored) -> None:
        self._state = state
        self._storage = storage
        self._on_applied = on_applied
        self._on_restored = on_restored
        self._queue: deque[Committed | SnapshotMeta] = deque()
        self._wake = asyncio.Event()
        self.restoring = False

    def feed(self, committed: Committed) -> None:
        """Apply these next."""
        self._queue.append(committed)
        self._wake.set()

    def restore(self, meta: SnapshotMeta) -> None:
        """Become the state of this snapshot next. Whatever was to be done before is in it: it is not done any more."""
        self.restoring = True
        self._queue.clear()
        self._queue.append(meta)
        self._wake.set()

    async def run(self) -> None:
        """Do whatever is fed, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            until = monotonic() + SLICE_S
            while self._queue:
                work = self._queue.popleft()
                if isinstance(work, SnapshotMeta):
                    await self._restore(work)
                else:
                    until = await self._apply(work, until)

    async def _apply(self, committed: Committed, until: float) -> float:
        """Apply these, and return until when the slice lasts that was begun."""
        entries, first_index, done = committed.entries, committed.first_index, 0
        while True:
            part = entries[done : done + SLICE_ENTRIES]
            outcomes = self._state.apply(part, first_index + done, clock=monotonic, until=until)
            self._on_applied(first_index + done, part[: len(outcomes)], outcomes)
            done += len(outcomes)
            if done < len(entries) or monotonic() > until:
                await asyncio.sleep(0)
                until = monotonic() + SLICE_S
            if done == len(entries) or self.restoring:
                return until

    async def _restore(self, meta: SnapshotMeta) -> None:
        assert isinstance(self._storage, SnapshotStore), "a snapshot was received without a store for it"
        try:
            async with aclosing(_pieces(self._storage, meta)) as pieces:
                await self._state.restore(meta, pieces)
        except StorageFailed:
            if not self._has_later():
                raise
        if not self._has_later():
            self.restoring = False
            self._on_restored(meta)

    def _has_later(self) -> bool:
        """Whether another snapshot is to be restored next. Then this one need not even be in the store any more."""
        return any(isinstance(work, SnapshotMeta) for work in self._queue)


async def _pieces(store: SnapshotStore, meta: SnapshotMeta) -> AsyncGenerator[bytes, None]:
    source = await store.open_snapshot(meta)
    try:
        offset = 0
        while piece := await source.read(offset, PIECE_BYTES):
            offset += len(piece)
            yield piece
            await asyncio.sleep(0)  # A store in memory suspends nobody, and heartbeats are due.
    finally:
        await source.aclose()
