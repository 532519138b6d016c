"""Reads of the state machine, as fresh as whoever asks wants them (thesis §6.4).

A read that must not be stale waits for an index that was committed after it was asked for (`core.reads`), and then for
the state to include it. Reads are cheap because they share: all that come in one turn of the loop wait for one index.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import Final

from msgspec import Struct

from raftsdk.config import RaftConfig
from raftsdk.core.events import ReadIndex
from raftsdk.core.ready import LEASE_LAG_TICKS, ReadReady
from raftsdk.errors import CommandFailed, NodeStopped, NotLeader, Overloaded, RaftError
from raftsdk.messages import Consistency
from raftsdk.runtime.applied import AppliedState
from raftsdk.runtime.outcomes import Settle
from raftsdk.types import LogIndex

SLICE_S: Final = 0.005
"""After so long of answering, everything else in the event loop gets a turn."""


class _Read(Struct, eq=False):
    """Somebody who waits."""

    query: bytes | None  # None wants to know that the index was reached, and no more
    settle: Settle


class _Group(Struct, eq=False):
    """Reads that wait for one index."""

    reads: deque[_Read]
    deadline: float
    asked_at: float = 0.0
    lease: bool = False  # good only for as long as the lease is
    index: LogIndex = 0  # to be applied; meaningless while it is being asked for


class Reads:
    """All reads of one node that have not ended; each ends exactly once. Times are those of `time.monotonic`."""

    def __init__(self, state: AppliedState, config: RaftConfig) -> None:
        self._state = state
        self._config = config
        self._new: dict[bool, deque[_Read]] = {False: deque(), True: deque()}  # by whether a lease will do
        self._asked: dict[int, _Group] = {}  # by token: the core is finding out the index
        self._waiting: list[_Group] = []  # for the state to include their index
        self._ready: deque[_Group] = deque()  # to be answered
        self._answering = False
        self._pending_count = 0
        self._pending_bytes = 0
        self._next_token = 0
        self._fresh_at = -1.0  # when the freshest index that is known was asked for
        self._fresh_index: LogIndex = 0
        self._ticked_at = 0.0  # what time it was at the last tick that the core has seen
        self.paused = False  #: While there is no state to ask, because a snapshot is being restored.

    # -- somebody wants to read

    @property
    def pending(self) -> bool:
        """Whether anybody waits for anything."""
        return self._pending_count > 0

    @property
    def new(self) -> bool:
        """Whether there is anything for `offer`."""
        return bool(self._new[False] or self._new[True])

    def add(self, query: bytes | None, consistency: Consistency, max_staleness_ms: int, settle: Settle) -> None:
        """Take a read; of whom it may be asked was checked before. Raises `Overloaded` when it is not taken."""
        if self._pending_count >= self._config.max_pending_proposals:
            raise Overloaded(f"{self._pending_count} reads are pending, the most that max_pending_proposals allows")
        size = len(query or b"")
        if self._pending_bytes and self._pending_bytes + size > self._config.max_uncommitted_bytes:
            raise Overloaded(f"reads of {self._pending_bytes} bytes are pending; max_uncommitted_bytes allows no more")
        self._pending_count += 1
        self._pending_bytes += size
        read = _Read(query, settle)
        if consistency is Consistency.LOCAL or self._is_fresh(consistency, max_staleness_ms):
            self._await(_Group(deque([read]), self._deadline()))
        else:
            self._new[consistency is Consistency.LEASE].append(read)

    def _is_fresh(self, consistency: Consistency, max_staleness_ms: int) -> bool:
        """Whether the state as it is will do for a read that may be stale."""
        if consistency is not Consistency.BOUNDED_STALE or self._fresh_at < 0.0:
            return False
        return self._fresh_index <= self._state.index and monotonic() - self._fresh_at <= max_staleness_ms / 1000

    def offer(self) -> Iterator[ReadIndex]:
        """Everything that was added since the last turn, as one fact for the core, or two."""
        for lease, reads in self._new.items():
            if reads:
                self._new[lease] = deque()
                self._next_token += 1
                # From before it is asked: what was committed until now will be in the answer.
                self._asked[self._next_token] = _Group(reads, self._deadline(), asked_at=monotonic())
                yield ReadIndex(self._next_token, lease=lease)

    def _deadline(self) -> float:
        return monotonic() + self._config.proposal_timeout_ms / 1000

    # -- what the loop reports

    def confirmed(self, ready: ReadReady) -> None:
        """The core has found out an index."""
        group = self._asked.pop(ready.token, None)
        if group is None:
            return  # it has expired
        group.index, group.lease = ready.index, ready.lease
        if group.asked_at > self._fresh_at and not ready.lease:
            self._fresh_at, self._fresh_index = group.asked_at, ready.index
        self._await(group)

    def refused(self, token: int, not_leader: NotLeader) -> None:
        """The core could not find out an index."""
        if group := self._asked.pop(token, None):
            self._end(group, not_leader)

    def progressed(self) -> None:
        """The state includes more than before, or there is one again."""
        if self.paused:
            return
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for group in waiting:
                (self._ready if group.index <= self._state.index else self._waiting).append(group)
        if self._ready:
            self._answer()

    def ticked(self, at: float) -> None:
        """The core knows the time to be `at`."""
        self._ticked_at = at

    def expire(self, not_leader: NotLeader) -> None:
        """Stop waiting for what is past its deadline."""
        now = monotonic()
        for token in [token for token, group in self._asked.items() if group.deadline <= now]:
            self._end(self._asked.pop(token), not_leader)
        if self._waiting and self._waiting[0].deadline <= now:
            late = Overloaded("this node has not applied what was to be read within proposal_timeout_ms")
            for group in [group for group in self._waiting if group.deadline <= now]:
                self._waiting.remove(group)
                self._end(group, late)

    def stop(self) -> None:
        """The node stops: ask another."""
        groups = [*self._asked.values(), *self._waiting, *self._ready]
        groups += [_Group(reads, 0.0) for reads in self._new.values()]
        self._asked, self._waiting, self._ready = {}, [], deque()
        self._new = {False: deque(), True: deque()}
        for group in groups:
            self._end(group, NodeStopped("the node stopped before it answered"))

    # -- answers

    def _await(self, group: _Group) -> None:
        if self.paused or group.index > self._state.index:
            self._waiting.append(group)
        else:
            self._ready.append(group)
            self._answer()

    def _answer(self) -> None:
        """Answer what is ready, for one slice; the rest after everybody else had a turn."""
        if self._answering:
            return
        until = monotonic() + SLICE_S
        while self._ready and not self.paused:
            group = self._ready[0]
            while group.reads and (now := monotonic()) <= until:
                lapsed_s = now - self._ticked_at
                if group.lease and lapsed_s > LEASE_LAG_TICKS * self._config.tick_interval_ms / 1000:
                    self._new[False] += group.reads  # without a lease, then, in the turn of the tick that is overdue
                    group.reads = deque()
                    break
                self._answer_one(group.reads.popleft())
            if group.reads:
                self._answering = True
                asyncio.get_running_loop().call_soon(self._answer_rest)
                return
            self._ready.popleft()

    def _answer_rest(self) -> None:
        self._answering = False
        self._answer()

    def _answer_one(self, read: _Read) -> None:
        self._forget(read)
        try:
            result = b"" if read.query is None else self._state.query(read.query)
        except CommandFailed as error:
            read.settle(self._state.index, error)
        else:
            read.settle(self._state.index, result)

    def _end(self, group: _Group, error: RaftError) -> None:
        while group.reads:
            read = group.reads.popleft()
            self._forget(read)
            read.settle(0, error)

    def _forget(self, read: _Read) -> None:
        self._pending_count -= 1
        self._pending_bytes -= len(read.query or b"")
