"""Linearizable reads without the log: a leader makes sure that it still leads, then names the index to have applied.

ReadIndex (thesis §6.4): what is committed when a read begins is what it must see; a quorum that answers a call begun
after that proves that nobody else led at that moment. Reads that come together share one *round* of calls, and any
call of this leader's, heartbeat or entries, confirms the round before which it began. A lease (thesis §6.4.1) spares
the round: as long as a quorum answered a call that began less than an election timeout ago, and every member sticks to
its leader for that long, nobody else can have been elected.
"""

from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from raftsdk.core import quiescence, replication
from raftsdk.core.events import Answered, ReadIndex, Received
from raftsdk.core.quorum import committed_index
from raftsdk.core.ready import LEASE_LAG_TICKS, Call, ReadReady, ReadRefused
from raftsdk.messages import ReadIndexRequest, ReadIndexResponse
from raftsdk.types import LogIndex, NodeId

if TYPE_CHECKING:
    from raftsdk.core.raft import Raft


class _Read(Struct, frozen=True, gc=False):
    """Somebody who waits: a caller of this node's, or a follower."""

    token: int
    remote: bool


class _Round(Struct, frozen=True):
    """Reads that wait for the same confirmation."""

    number: int
    index: LogIndex  #: What was committed when it began.
    reads: list[_Read]


class Reads:
    """The reads of one node that have not ended."""

    def __init__(self) -> None:
        self.round = 0  #: The last one begun. Never begins anew: an answer to an earlier term's call confirms nothing.
        self._waiting: list[_Read] = []  # for the next round
        self._leased: list[_Read] = []  # for a look at the lease, once there are no more facts: one may be a `Tick`
        self._rounds: deque[_Round] = deque()
        self._asked: dict[int, int] = {}  # token by the number of the call to the leader
        self._next_call = 1

    # -- somebody wants to read

    def begin(self, raft: "Raft", event: ReadIndex) -> None:
        """A caller of this node's."""
        if not raft.leads:
            self._ask_leader(raft, event.token)
        elif event.lease:
            self._leased.append(_Read(event.token, remote=False))
        else:
            self._waiting.append(_Read(event.token, remote=False))

    def handle_request(self, raft: "Raft", event: Received, request: ReadIndexRequest) -> None:
        """A follower; it is answered 0 when this node does not lead."""
        if raft.leads and request.term <= raft.term:
            self._waiting.append(_Read(event.token, remote=True))
        else:
            raft.respond(event.token, ReadIndexResponse(term=raft.term, read_index=0))

    def _ask_leader(self, raft: "Raft", token: int) -> None:
        if raft.leader_id is None:
            raft.end_read(ReadRefused(token))
            return
        call = Call(raft.leader_id, ReadIndexRequest(term=raft.term, node_id=raft.id), round=self._next_call)
        self._asked[self._next_call] = token
        self._next_call += 1
        raft.call(call)

    # -- a follower hears back

    def end_call(self, raft: "Raft", call: Call, read_index: LogIndex) -> None:
        """The leader has answered, or (0) it did not, or does not lead. True whoever leads by now: the state at
        `read_index` was fresh when it was asked for.
        """
        token = self._asked.pop(call.round, None)
        if token is not None:
            raft.end_read(ReadReady(token, read_index) if read_index else ReadRefused(token))

    # -- a leader makes sure

    def proceed(self, raft: "Raft") -> None:
        """There are no more facts for now: read by lease, if it holds still, and begin a round for everybody else."""
        if self._leased:
            self._look_at_lease(raft)
        self._begin_round(raft)

    def _begin_round(self, raft: "Raft") -> None:
        """For those who wait, unless one is under way: what comes meanwhile shares the next.

        A new leader may not know yet what is committed (thesis §6.4, step 1): it waits for an entry of its own term.
        """
        if self._waiting and not self._rounds and raft.has_committed_in_term():
            quiescence.note_activity(raft)
            self.round += 1
            reads, self._waiting = self._waiting, []
            self._rounds.append(_Round(self.round, raft.log.commit_index, reads))
            replication.send_heartbeats(raft)
            self.confirm(raft)  # a leader alone needs nobody

    def _look_at_lease(self, raft: "Raft") -> None:
        leased, self._leased = self._leased, []
        if has_lease(raft):
            for read in leased:
                raft.end_read(ReadReady(read.token, raft.log.commit_index, lease=True))
        else:
            self._waiting += leased

    def confirm(self, raft: "Raft") -> None:
        """Serve every round that a quorum has confirmed."""
        if not self._rounds:
            return
        confirmed = committed_index(raft.log.halves, lambda voter: _confirmed_round(raft, voter))
        while self._rounds and self._rounds[0].number <= confirmed:
            served = self._rounds.popleft()
            for read in served.reads:
                _serve(raft, read, served.index)
        self._begin_round(raft)

    def drop(self, raft: "Raft") -> None:
        """Nobody will confirm what was begun: this node leads no more."""
        waiting = [read for begun in self._rounds for read in begun.reads] + self._waiting + self._leased
        self._rounds.clear()
        self._waiting, self._leased = [], []
        for read in waiting:
            if read.remote:
                raft.respond(read.token, ReadIndexResponse(term=raft.term, read_index=0))
            else:
                raft.end_read(ReadRefused(read.token))


def handle_answer(raft: "Raft", event: Answered, _request: ReadIndexRequest, response: ReadIndexResponse) -> None:
    """A follower hears back from its leader."""
    raft.reads.end_call(raft, event.call, response.read_index)


def handle_failure(raft: "Raft", call: Call) -> None:
    """A follower will not hear back."""
    raft.reads.end_call(raft, call, 0)


def _confirmed_round(raft: "Raft", voter: NodeId) -> int:
    if voter == raft.id:
        return raft.reads.round
    progress = raft.progress.get(voter)
    return progress.confirmed_round if progress else 0


def _serve(raft: "Raft", read: _Read, index: LogIndex) -> None:
    if read.remote:
        raft.respond(read.token, ReadIndexResponse(term=raft.term, read_index=index))
    else:
        raft.end_read(ReadReady(read.token, index))


def has_lease(raft: "Raft") -> bool:
    """Whether nobody else can lead at this tick, if clocks run apart by no more than is configured.

    Measured from when the confirming calls *began*: a follower sticks from when it heard them, which is later.
    """
    config = raft.config
    if not (config.lease_reads and config.check_quorum) or raft.lease_is_void or not raft.has_committed_in_term():
        return False
    since = committed_index(raft.log.halves, lambda voter: _confirmed_at(raft, voter) + 1) - 1
    lasts_ticks = config.election_timeout_ticks * (100 - config.max_clock_drift_percent) // 100 - LEASE_LAG_TICKS
    return since >= 0 and raft.now - since < lasts_ticks


def _confirmed_at(raft: "Raft", voter: NodeId) -> int:
    if voter == raft.id:
        return raft.now
    progress = raft.progress.get(voter)
    return progress.confirmed_at if progress else -1
