"""Snapshots of this node's state, by policy and on demand, and those that a leader sends (paper §7).

Both run beside the loop, piece by piece: heartbeats are answered and commands applied meanwhile, and no more than a
few pieces are in memory at any time.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from raftsdk.config import RaftConfig
from raftsdk.core.events import PieceKept, SnapshotReceived, SnapshotTaken
from raftsdk.core.ready import Piece
from raftsdk.errors import NodeStopped, SnapshotDamaged, SnapshotFailed, StorageFailed
from raftsdk.messages import InstallSnapshotRequest
from raftsdk.ports import SnapshotSink, SnapshotStore, Storage
from raftsdk.runtime.applied import AppliedState
from raftsdk.types import LogIndex, Membership, SnapshotMeta, Term

log = logging.getLogger("raftsdk.snapshots")

MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Of pieces that were received and wait for the disk; one alone may be larger."""

PIECE_OVERHEAD_BYTES: Final = 1024
"""What a piece counts for besides its data: those without any take memory, too."""


def meta_of(request: InstallSnapshotRequest) -> SnapshotMeta:
    """Which snapshot a piece, or a call that stands for all of them, belongs to."""
    return SnapshotMeta(
        index=request.last_included_index,
        term=request.last_included_term,
        membership=request.membership,
        total_bytes=request.total_bytes,
        digest=request.digest,
    )


class OwnSnapshots:
    """Takes snapshots of the state, one at a time; whoever wants one while it is being taken shares it.

    A node whose store or state machine cannot do it takes none and keeps its whole log.
    """

    def __init__(
        self, state: AppliedState, storage: Storage, config: RaftConfig, post: Callable[[SnapshotTaken], None]
    ) -> None:
        self._state = state
        self._storage = storage
        self._config = config
        self._post = post
        self._is_store = isinstance(storage, SnapshotStore)  # which takes a while to find out
        self._task: asyncio.Task[SnapshotMeta] | None = None
        self._base_index: LogIndex = 0  # of the last snapshot, or of the last attempt at one
        self._base_bytes = 0  # how much was applied by then
        self._current: SnapshotMeta | None = None  # the store's own
        self._current_changed = asyncio.Event()

    @property
    def possible(self) -> bool:
        """Whether the store and the state machine have what snapshots take, one's own and another's."""
        return self._is_store and self._state.can_snapshot

    # -- what the loop reports

    def progressed(self) -> None:
        """More was applied; begin a snapshot when the policy says so."""
        config = self._config
        by_entries = 0 < config.snapshot_after_entries <= self._state.index - self._base_index
        by_bytes = 0 < config.snapshot_after_bytes <= self._state.applied_bytes - self._base_bytes
        if (by_entries or by_bytes) and self._task is None and self._obstacle() is None:
            try:
                self._begin()
            except SnapshotFailed as error:
                log.error("%s; the log is kept, and the next attempt comes after as much again", error)

    def stored(self, meta: SnapshotMeta) -> None:
        """The store has made this snapshot its own, whoever it came from."""
        self._current = meta
        if meta.index > self._base_index:
            self._base_index, self._base_bytes = meta.index, self._state.applied_bytes
        self._current_changed.set()

    # -- taking one

    async def take(self) -> SnapshotMeta:
        """The store's snapshot, once it is at least as new as the state is now. Raises `SnapshotFailed`."""
        obstacle = self._obstacle()
        if obstacle:
            raise SnapshotFailed(obstacle)
        if self._task is None and self._current is not None and self._current.index >= self._state.index:
            return self._current
        task = self._task or self._begin()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise NodeStopped("the node stopped before the snapshot was finished") from None
            raise

    def _obstacle(self) -> str | None:
        if not self._is_store:
            return f"{type(self._storage).__name__} keeps no snapshots"
        if not self._state.can_snapshot:
            return f"{type(self._state.state_machine).__name__} has no snapshot and restore"
        if not self._state.membership.members:
            # Of a node that joined: who founded the cluster is in nobody's log. Whoever restored it would be nobody's.
            return "nobody is known to be a member as of what is applied"
        if self._state.membership.outgoing:
            # It would name those who are leaving and not say where they are, and their votes are needed until they do.
            return "a change of members is under way: ask again"
        return None if self._state.index else "nothing was applied yet"

    def _begin(self) -> asyncio.Task[SnapshotMeta]:
        state = self._state
        self._base_index, self._base_bytes = state.index, state.applied_bytes
        try:
            pieces = state.snapshot()
        except Exception as error:
            raise SnapshotFailed(f"a snapshot of entry {state.index} failed: {_words(error)}") from error
        write = self._write(pieces, state.index, state.term, state.membership)
        self._task = asyncio.create_task(write)
        self._task.add_done_callback(self._ended)
        return self._task

    def _ended(self, task: asyncio.Task[SnapshotMeta]) -> None:
        self._task = None
        if task.cancelled():
            return
        if error := task.exception():
            log.error("%s; the log is kept, and the next attempt comes after as much again", error)
        self.progressed()  # meanwhile, and perhaps nothing more comes

    async def _write(
        self, pieces: AsyncGenerator[bytes, None], index: LogIndex, term: Term, membership: Membership
    ) -> SnapshotMeta:
        assert isinstance(self._storage, SnapshotStore), "asked before"
        sink: SnapshotSink | None = None
        try:
            async with aclosing(pieces):
                sink = await self._storage.create_snapshot(index, term, membership)
                async for piece in pieces:
                    await sink.write(piece)
                    await asyncio.sleep(0)  # A store in memory suspends nobody, and heartbeats are due.
            meta = await sink.finish()
        except BaseException as error:
            if sink is not None:
                await sink.abort()
            if isinstance(error, Exception):
                raise SnapshotFailed(f"a snapshot of entry {index} failed: {_words(error)}") from error
            raise
        self._post(SnapshotTaken(meta))
        while self._current is None or self._current.index < index:
            self._current_changed.clear()
            await self._current_changed.wait()
        return self._current

    async def aclose(self) -> None:
        """Give up on what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


class ReceivedSnapshots:
    """Keeps the pieces that a leader sends, in order, one after another; answers the core, or refuses the peer."""

    def __init__(
        self,
        storage: Storage,
        post: Callable[[PieceKept | SnapshotReceived], None],
        refuse: Callable[[int, str], None],
    ) -> None:
        self._storage = storage
        self._post = post
        self._refuse = refuse  # answers the token with an error: the core keeps no account of pieces
        self._waiting: deque[Piece] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._meta: SnapshotMeta | None = None  # the one being received
        self._sink: SnapshotSink | None = None  # None when `_meta` is finished

    def keep(self, pieces: Sequence[Piece]) -> None:
        """Keep these next. What is beyond the bound is refused: the leader goes on from what is there."""
        for piece in pieces:
            size = len(piece.request.data)
            if self._waiting and self._waiting_bytes + size > MAX_WAITING_BYTES:
                self._refuse(piece.token, f"pieces of {self._waiting_bytes} bytes are waiting for the disk")
            else:
                self._waiting.append(piece)
                self._waiting_bytes += size + PIECE_OVERHEAD_BYTES
                self._wake.set()

    async def run(self) -> None:
        """Keep whatever is to be kept, until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    piece = self._waiting.popleft()
                    self._waiting_bytes -= len(piece.request.data) + PIECE_OVERHEAD_BYTES
                    await self._keep_or_refuse(piece)
        finally:
            if self._sink is not None:
                await self._sink.abort()

    async def _keep_or_refuse(self, piece: Piece) -> None:
        try:
            await self._keep(piece)
        except SnapshotDamaged as error:
            log.error("%s: it will be asked for again", error)
            self._meta = self._sink = None
            self._post(PieceKept(piece.token, 0))
        except StorageFailed as error:
            # No room, most likely. What was promised is on the disk all the same, so the node lives on without it.
            log.error("a snapshot that a leader sent cannot be kept: %s", error)
            if self._sink is not None:
                await self._sink.abort()
            self._meta = self._sink = None
            self._refuse(piece.token, f"the snapshot cannot be kept: {error}")

    async def _keep(self, piece: Piece) -> None:
        request, meta = piece.request, meta_of(piece.request)
        if meta != self._meta:
            assert isinstance(self._storage, SnapshotStore), "the node takes no pieces without a store for them"
            self._meta = self._sink = None
            self._sink = await self._storage.receive_snapshot(meta)
            self._meta = meta
        if self._sink is not None:
            known_bytes = self._sink.offset - request.offset
            if 0 <= known_bytes < len(request.data):
                await self._sink.write(request.data[known_bytes:])
            if self._sink.offset < meta.total_bytes:
                self._post(PieceKept(piece.token, self._sink.offset))
                return
            await self._sink.finish()
            self._sink = None
        self._post(SnapshotReceived(piece.token, meta))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
