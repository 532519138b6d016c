"""A group of which nobody wants anything quiesces: its leader beats slowly, its followers wait longer for it.

What tells a dead leader from a quiet one is then no longer the group's business but that of the two nodes, which hear
each other for all their groups at once (`ports.WatchfulNetwork.watch`); `Silent` is how the core learns of it. The slow
heartbeats remain, for whatever that may miss: followers of a leader that is none any more, on a node that lives, wait
for two of them and not for ever.

All who are there must agree. A heartbeat with `quiesce` asks, `quiesced` in its answer agrees; who knows of neither
answers without, and the leader goes on as ever. A follower that waits and a leader that does not is no harm, nor the
reverse: the ordinary heartbeat, and any other request, ends it. (CockroachDB's quiescent ranges, TiKV's hibernating
regions.)
"""

from typing import TYPE_CHECKING

from raftsdk.core.progress import Progress
from raftsdk.core.quorum import has_quorum
from raftsdk.messages import AppendEntriesRequest, AppendEntriesResponse, RequestVoteRequest
from raftsdk.types import NodeId

if TYPE_CHECKING:
    from raftsdk.core.events import Silent
    from raftsdk.core.raft import Raft
    from raftsdk.core.ready import Call

_PATIENCE_HEARTBEATS = 2
"""So many slow heartbeats a follower waits for: one may be lost with its connection."""


class Quiescence:
    """Whether one node keeps the slow pace, and, of a leader, who else does."""

    __slots__ = ("active_at", "agreed", "asked_at", "holds")

    def __init__(self) -> None:
        self.holds = False  #: This node keeps the slow pace.
        self.active_at = 0  #: In the ticks that it saw: when a leader was last asked for anything.
        self.asked_at = -1  #: On the leader's clock: when it first asked since it was active; -1: it has not.
        self.agreed: set[NodeId] = set()  #: Who has agreed since.


def patience_ticks(raft: "Raft") -> int:
    """How much longer than an election timeout this node waits for heartbeats, or for answers to its own."""
    return _PATIENCE_HEARTBEATS * raft.config.quiesce_interval_ticks if raft.quiescence.holds else 0


def heartbeat_interval_ticks(raft: "Raft") -> int:
    """The leader's pace."""
    config = raft.config
    return config.quiesce_interval_ticks if raft.quiescence.holds else config.heartbeat_interval_ticks


def watched(raft: "Raft") -> frozenset[NodeId]:
    """On whose life this node relies: a follower on its leader's, a leader on those who agreed."""
    if not raft.quiescence.holds:
        return frozenset()
    if raft.leads:
        return frozenset(raft.progress.keys() & raft.quiescence.agreed)
    assert raft.leader_id is not None, "a follower quiesces for its leader"
    return frozenset({raft.leader_id})


# -- the leader


def is_due(raft: "Raft") -> bool:
    """Whether a leader's heartbeat should ask: nothing is under way, and nothing was since the heartbeat before.

    So early, because it costs nothing to be wrong, and an awake group costs a lot: a thousand that begin at once would
    keep each other from ever coming to rest. Not where leases are taken: they rest on heartbeats, and a lease that has
    run out makes the next read a slow one.
    """
    config, log = raft.config, raft.log
    return (
        config.quiesce_interval_ticks > 0
        and not config.lease_reads
        and raft.ticks - raft.quiescence.active_at >= config.heartbeat_interval_ticks
        and raft.transfer is None
        and log.commit_index == log.last_index == log.durable_index
        and not raft.membership.outgoing
        and all(
            (progress.match_index == log.last_index and not progress.waiting) or _is_missing(raft, progress)
            for progress in raft.progress.values()
        )
    )


def _is_missing(raft: "Raft", progress: Progress) -> bool:
    """Whether a peer has answered no heartbeat for an election timeout. A group need not be awake for it, as long as
    there is a quorum: when it is back it will ask who leads. Or all groups of a node that dies would be awake at once.
    """
    return progress.missed_since >= 0 and raft.ticks - progress.missed_since >= raft.config.election_timeout_ticks


def ask(raft: "Raft") -> None:
    """A heartbeat with `quiesce` goes to everybody.

    Who has agreed once need not do so again: where answers take longer than a heartbeat interval, nobody ever would
    have agreed to the last heartbeat.
    """
    quiescence = raft.quiescence
    if quiescence.asked_at < 0:
        quiescence.asked_at = raft.now
        quiescence.agreed.clear()
    _settle(raft)  # a leader alone needs no answer


def handle_answer(raft: "Raft", call: "Call", response: AppendEntriesResponse) -> None:
    """A peer agrees, or does not."""
    quiescence = raft.quiescence
    if not response.quiesced:
        wake(raft)
    elif 0 <= quiescence.asked_at <= call.started_at:
        quiescence.agreed.add(call.target)
        _settle(raft)


def _settle(raft: "Raft") -> None:
    """Quiesce, if a quorum has agreed, and everybody who is there."""
    quiescence = raft.quiescence
    there = {peer for peer, progress in raft.progress.items() if not _is_missing(raft, progress)}
    quiescence.holds |= quiescence.agreed >= there and has_quorum(raft.log.halves, quiescence.agreed | {raft.id})


def handle_failure(raft: "Raft", progress: Progress, request: AppendEntriesRequest) -> None:
    """A heartbeat is not answered."""
    if progress.missed_since < 0:
        progress.missed_since = raft.ticks
    if request.quiesce and not _is_missing(raft, progress):
        wake(raft)


def note_activity(raft: "Raft") -> None:
    """A leader is asked for something: it will not ask others to quiesce for a while, and does not itself."""
    raft.quiescence.active_at = raft.ticks
    wake(raft)


def wake(raft: "Raft") -> None:
    """Beat as ever. What a leader knows of who lives is old by now: a quorum must answer within an election timeout."""
    quiescence = raft.quiescence
    quiescence.asked_at = -1
    if quiescence.holds:
        quiescence.holds = False
        raft.beat_soon()
        for progress in raft.progress.values():
            progress.recently_active = False


# -- the follower


def follow(raft: "Raft", request: AppendEntriesRequest) -> bool:
    """Wait longer for the next heartbeat, as the one just taken asks, if this node has all there is; whether it does.

    Entries may have overtaken that heartbeat: who has heard of one does not quiesce for less.
    """
    log = raft.log
    raft.quiescence.holds = (
        raft.config.quiesce_interval_ticks > 0
        and not request.entries
        and request.prev_log_index == log.commit_index == log.last_index
    )
    return raft.quiescence.holds


# -- either


def handle_campaign(raft: "Raft", request: RequestVoteRequest) -> None:
    """Somebody misses a leader. A leader shows that it lives; a quiet follower, on whose refusal that leader counts,
    goes on waiting, unless it is the leader itself who campaigns: it has given up, though its node may live on.
    """
    if raft.leads:
        wake(raft)
    elif raft.quiescence.holds and request.candidate_id == raft.leader_id and request.term > raft.term:
        raft.quiescence.holds = False
        raft.restart_election_timer()


def handle_silence(raft: "Raft", event: "Silent") -> None:
    """A node that this one relies on was not heard for an election timeout, by any group."""
    if event.node_id not in watched(raft):
        return
    if raft.leads:
        wake(raft)
    else:
        raft.quiescence.holds = False
        raft.election_elapsed = raft.config.election_timeout_ticks
