"""One log everywhere: the leader sends and hears back, the follower accepts or refuses (paper §5.3, §5.4.2)."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from raftsdk.core import membership, quiescence, snapshots, transfer
from raftsdk.core.events import Answered, Received
from raftsdk.core.progress import Progress, ProgressState
from raftsdk.core.quorum import committed_index
from raftsdk.core.ready import Call
from raftsdk.messages import AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, TimeoutNowRequest
from raftsdk.types import EntryId, LogIndex, NodeId, Term

if TYPE_CHECKING:
    from raftsdk.core.raft import Raft


# -- the leader sends


def send_entries(raft: "Raft") -> None:
    """Start every call that the windows allow. Peers at the same place get the same request: it is encoded once."""
    shared: dict[LogIndex, AppendEntriesRequest] = {}
    last_index = raft.log.last_index
    first_index = raft.log.first_index
    for peer, progress in raft.progress.items():
        if progress.next_index < first_index:
            if progress.may_send(last_index, 1):
                snapshots.send(raft, peer, progress)
            continue
        while progress.may_send(last_index, raft.config.max_outstanding_calls):
            request = shared.get(progress.next_index) or _append_request(raft, progress.next_index)
            shared[progress.next_index] = request
            raft.call(raft.new_call(peer, request, progress.epoch))
            progress.sent(len(request.entries))


def send_heartbeats(raft: "Raft", *, quiesce: bool = False) -> None:
    """Tell every peer that this leader lives, whatever its window and its log look like, and ask whether to `quiesce`.

    A heartbeat builds on `match_index`, so it succeeds whatever is under way, and proves nothing that is not known.
    Where that entry was compacted away its term is forgotten, and the heartbeat builds on nothing.
    """
    if quiesce:
        quiescence.ask(raft)
    for peer, progress in raft.progress.items():
        match_index = progress.match_index if progress.match_index >= raft.log.first_index - 1 else 0
        heartbeat = AppendEntriesRequest(
            term=raft.term,
            leader_id=raft.id,
            prev_log_index=match_index,
            prev_log_term=raft.log.term_at(match_index) if match_index else 0,
            leader_commit=min(raft.log.commit_index, match_index),
            entries=[],
            quiesce=quiesce,
        )
        raft.call(raft.new_call(peer, heartbeat, progress.epoch))


def _append_request(raft: "Raft", first: LogIndex) -> AppendEntriesRequest:
    entries = raft.log.batch(first, raft.config.max_batch_bytes, raft.config.max_batch_entries)
    return AppendEntriesRequest(
        term=raft.term,
        leader_id=raft.id,
        prev_log_index=first - 1,
        prev_log_term=raft.log.term_at(first - 1),
        # Clamped to what this request proves: some libraries commit up to min(leader_commit, their own last index), and
        # their tail may be another leader's. From us, no index ever exceeds what is certain.
        leader_commit=min(raft.log.commit_index, first - 1 + len(entries)),
        entries=entries,
    )


# -- the leader hears back


def handle_answer(
    raft: "Raft", event: Answered, request: AppendEntriesRequest, response: AppendEntriesResponse
) -> None:
    """Learn from an answer to a call of this term what its peer has, or where to look for agreement."""
    progress = raft.leading(event.call)
    if progress is None:
        return
    note_sign_of_life(raft, event.call, progress, response.term)
    if request.entries:
        progress.ended(event.call.epoch)
    elif request.quiesce:
        quiescence.handle_answer(raft, event.call, response)
    if not response.success:
        _handle_refusal(raft, event.call, progress, request, response)
        return
    if progress.maybe_match(request.prev_log_index + len(request.entries)):
        maybe_commit(raft)
        transfer.proceed(raft)
    if request.entries and progress.state is not ProgressState.SNAPSHOT:
        progress.become_replicate()


def note_sign_of_life(raft: "Raft", call: Call, progress: Progress, term: Term) -> None:
    """The peer answered a call of this term; in the same term, so it followed this leader after the call began."""
    progress.recently_active = True
    progress.waiting = False
    progress.missed_since = -1
    if term == raft.term:
        progress.confirmed_round = max(progress.confirmed_round, call.round)
        progress.confirmed_at = max(progress.confirmed_at, call.started_at)
        raft.reads.confirm(raft)


def handle_failure(raft: "Raft", call: Call, request: AppendEntriesRequest) -> None:
    """A call will not be answered: assume nothing, and wait for a sign of life before sending entries again.

    Heartbeats go on at their pace, so an unreachable peer costs one small call an interval, however much it lacks.
    """
    progress = raft.leading(call)
    if progress and not request.entries:
        quiescence.handle_failure(raft, progress, request)
    if progress and request.entries and call.epoch == progress.epoch:
        # A probe is repeated where it was: that a peer is down says nothing about its log, and falling back to its
        # match_index, which is 0 while a leader is new, would send it the whole log again.
        probing = progress.state is ProgressState.PROBE
        progress.become_probe(progress.next_index if probing else progress.match_index + 1)
        progress.waiting = True


def _handle_refusal(
    raft: "Raft", call: Call, progress: Progress, request: AppendEntriesRequest, response: AppendEntriesResponse
) -> None:
    if not request.entries:
        # A heartbeat builds on what this very peer acknowledged in this term. Honest disks do not forget.
        raft.alarm(
            "peer_lost_log", f"{call.target} refused a heartbeat on entry {request.prev_log_index}, which it had"
        )
        return
    if call.epoch == progress.epoch:
        # What the follower could still agree on, this leader may not: it looks in its own log below that, in turn.
        agreeable = raft.log.last_agreeable(response.conflict_index, response.conflict_term)
        progress.step_back(request.prev_log_index, agreeable.index)


def maybe_commit(raft: "Raft") -> None:
    """Commit what a quorum has, if the newest of it is of this term; older entries follow from that (paper §5.4.2)."""
    index = committed_index(raft.log.halves, lambda voter: match_index(raft, voter))
    if index > raft.log.commit_index and raft.log.term_at(index) == raft.term:
        raft.commit(index)
        membership.after_commit(raft)


def match_index(raft: "Raft", voter: NodeId) -> LogIndex:
    """What a voter surely has on disk; the leader's own log counts like any other, when it is durable."""
    if voter == raft.id:
        return raft.log.durable_index
    progress = raft.progress.get(voter)
    return progress.match_index if progress else 0


# -- the follower accepts or refuses


def handle_request(raft: "Raft", event: Received, request: AppendEntriesRequest) -> None:
    """Make this log agree with the leader's, or say why it cannot yet."""
    if request.term < raft.term:
        raft.respond(event.token, AppendEntriesResponse(term=raft.term, success=False))
        return
    if is_second_leader(raft, request):
        raft.respond(event.token, AppendEntriesResponse(term=raft.term, success=False))
        return
    raft.become_follower(request.term, leader_id=request.leader_id)
    if not request.entries and request.prev_log_index > raft.log.last_index and raft.is_admitted:
        # A heartbeat builds on what this node acknowledged to this very leader in this very term. (Of one that is not
        # admitted, it may have been acknowledged with the data that it had before it joined anew.)
        raft.admit_loss(f"{request.leader_id} knows this node to have had entry {request.prev_log_index}")
    if not raft.log.matches(request.prev_log_index, request.prev_log_term):
        _refuse(raft, event.token, raft.log.last_agreeable(request.prev_log_index, request.prev_log_term))
        return
    request = _uncompacted(raft, request)
    conflict = raft.log.first_conflict(request.prev_log_index + 1, request.entries)
    if conflict is not None and conflict <= raft.log.commit_index:
        # No true leader lacks a committed entry (paper Figure 3, Leader Completeness). Keep it, whoever asks.
        raft.alarm(
            "committed_entry_contradicted", f"{request.leader_id} sent another entry {conflict} than is committed"
        )
        _refuse(raft, event.token, EntryId(0, 0))
        return
    _accept(raft, event.token, request, conflict)


def is_second_leader(raft: "Raft", request: AppendEntriesRequest | InstallSnapshotRequest | TimeoutNowRequest) -> bool:
    """Two leaders in one term cannot be (paper §5.2, Election Safety): whoever comes second is not to be followed."""
    if request.term != raft.term or raft.leader_id in (None, request.leader_id):
        return False
    raft.alarm("two_leaders", f"{request.leader_id} claims to lead term {request.term}, which {raft.leader_id} leads")
    return True


def _uncompacted(raft: "Raft", request: AppendEntriesRequest) -> AppendEntriesRequest:
    """The request without what was compacted away here: it is committed, hence the same in every leader's log."""
    before = raft.log.first_index - 1
    known = before - request.prev_log_index
    if known <= 0:
        return request
    proved = request.prev_log_index + len(request.entries)
    return replace(
        request,
        prev_log_index=min(before, proved),
        prev_log_term=raft.log.term_at(before) if proved >= before else 0,
        entries=request.entries[known:],
    )


def _refuse(raft: "Raft", token: int, hint: EntryId) -> None:
    response = AppendEntriesResponse(term=raft.term, success=False, conflict_index=hint.index, conflict_term=hint.term)
    raft.respond(token, response)


def _accept(raft: "Raft", token: int, request: AppendEntriesRequest, conflict: LogIndex | None) -> None:
    log, first = raft.log, request.prev_log_index + 1
    if conflict is not None:
        log.truncate(conflict)
    # Only what is missing is appended: a delayed, shorter request must not cut off what a later one brought (§5.3).
    log.append(request.entries[max(log.last_index + 1 - first, 0) :])
    proved = request.prev_log_index + len(request.entries)
    if min(request.leader_commit, proved) > log.commit_index:
        raft.commit(min(request.leader_commit, proved))
    quiesced = request.quiesce and quiescence.follow(raft, request)
    raft.respond(token, AppendEntriesResponse(term=raft.term, success=True, quiesced=quiesced), match_index=proved)
