"""Requests, answers, writes and roles, each in one line, as transcripts show them."""

from collections.abc import Sequence

from raftsdk.core.election import Role
from raftsdk.core.raft import Raft
from raftsdk.core.ready import Committed
from raftsdk.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PeerRequest,
    PeerResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raftsdk.types import Entry, EntryKind, LogIndex, Membership, Suffrage, Term, Write, decode_membership


def request_text(request: PeerRequest) -> str:
    """One line of a request: `AppendEntries term=2 prev=1@1 [2..3@2] commit=1`."""
    match request:
        case RequestVoteRequest():
            return _vote_text(request)
        case InstallSnapshotRequest():
            last = f"{request.last_included_index}@{request.last_included_term}"
            return f"InstallSnapshot term={request.term} last={last} members={membership_text(request.membership)}"
        case TimeoutNowRequest():
            return f"TimeoutNow term={request.term}"
        case ReadIndexRequest():
            return f"ReadIndex term={request.term}"
    entries = entries_text(request.prev_log_index + 1, request.entries)
    prev = f"{request.prev_log_index}@{request.prev_log_term}"
    quiesce = " quiesce" if request.quiesce else ""
    return f"AppendEntries term={request.term} prev={prev} [{entries}] commit={request.leader_commit}{quiesce}"


def _vote_text(request: RequestVoteRequest) -> str:
    kind = "RequestVote pre-vote" if request.pre_vote else "RequestVote"
    transfer = " leadership-transfer" if request.leadership_transfer else ""
    return f"{kind} term={request.term} last={request.last_log_index}@{request.last_log_term}{transfer}"


def membership_text(membership: Membership) -> str:
    """Who the members are: `n1 n2 (n3)`, learners in brackets; of a joint one, the outgoing half behind a bar."""
    names = [f"({m.id})" if m.suffrage is Suffrage.LEARNER else m.id for m in membership.members]
    return " ".join([*names, *(["|", *membership.outgoing] if membership.outgoing else [])])


def response_text(request: PeerRequest, response: PeerResponse) -> str:
    """One line of an answer. What it proves is told although only the request says so."""
    if isinstance(response, RequestVoteResponse):
        kind = "pre-vote" if isinstance(request, RequestVoteRequest) and request.pre_vote else "vote"
        return f"{kind} {'granted' if response.vote_granted else 'refused'} term={response.term}"
    if isinstance(response, InstallSnapshotResponse):
        return f"{'installed' if response.installed else f'has {response.next_offset} bytes'} term={response.term}"
    if isinstance(response, TimeoutNowResponse):
        return f"heard term={response.term}"
    if isinstance(response, ReadIndexResponse):
        return f"read at {response.read_index} term={response.term}" if response.read_index else "does not lead"
    if response.success and isinstance(request, AppendEntriesRequest):
        quiesced = " quiesced" if response.quiesced else ""
        return f"ok up to {request.prev_log_index + len(request.entries)} term={response.term}{quiesced}"
    return f"refused term={response.term} hint={response.conflict_index}@{response.conflict_term}"


def entries_text(first: LogIndex, entries: Sequence[Entry]) -> str:
    """Which entries these are, in runs of one term: `2..3@2 4@4`."""
    runs: list[tuple[LogIndex, LogIndex, Term]] = []
    for index, entry in enumerate(entries, first):
        if runs and runs[-1][2] == entry.term:
            runs[-1] = (runs[-1][0], index, entry.term)
        else:
            runs.append((index, index, entry.term))
    return " ".join(f"{low}..{high}@{term}" if high > low else f"{low}@{term}" for low, high, term in runs)


def write_text(write: Write) -> str:
    """One line of a write: `#3 drop 4.. store 4..5@2 term=2 vote=n1 commit=1`."""
    parts = [f"#{write.number}"]
    if write.truncate_from is not None:
        parts.append(f"drop {write.truncate_from}..")
    if write.snapshot is not None:
        parts.append(f"snapshot {write.snapshot.index}@{write.snapshot.term}")
    if write.compacted is not None:
        parts.append(f"cut ..{write.compacted.index}")
    if write.entries:
        parts.append(f"store {entries_text(write.first_index, write.entries)}")
    if write.hard_state is not None:
        state = write.hard_state
        parts.append(f"term={state.term} vote={state.voted_for or '-'} commit={state.commit_index}")
    return " ".join(parts)


def committed_text(committed: Committed) -> str:
    """What was handed to the state machine: `1..3: noop a b`."""
    last = committed.first_index + len(committed.entries) - 1
    span = f"{committed.first_index}..{last}" if last > committed.first_index else f"{last}"
    return f"{span}: {' '.join(map(_entry_text, committed.entries))}"


def _entry_text(entry: Entry) -> str:
    if entry.kind == EntryKind.NOOP:
        return "noop"
    if entry.kind == EntryKind.MEMBERSHIP:
        return f"[{membership_text(decode_membership(entry.data))}]"
    text = entry.data.decode(errors="replace")
    return f"{text[0]}*{len(text)}" if len(text) > 9 and len(set(text)) == 1 else text


def role_text(raft: Raft) -> str:
    """What a node has become: `becomes leader of term 2`, `follows n1 in term 2`."""
    if raft.role is Role.FOLLOWER and raft.leader_id is not None:
        return f"follows {raft.leader_id} in term {raft.term}"
    return f"becomes {raft.role.value} {'of' if raft.role is Role.LEADER else 'in'} term {raft.term}"


def last_text(raft: Raft) -> str:
    """Index and term of the last entry: `3@2`."""
    return f"{raft.log.last_index}@{raft.log.last_id.term}"
