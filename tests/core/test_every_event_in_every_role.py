"""Whatever arrives, and whatever a node is at that time: it ends in a legal state, and promises nothing it must not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import TypeAlias

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.raft import MAX_TERM_JUMP
from raftsdk.core.ready import Call
from raftsdk.messages import (
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PeerRequest,
    PeerResponse,
    ReadIndexResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowResponse,
)
from raftsdk.testing.solo import (
    SNAPSHOT_BYTES,
    Solo,
    append,
    commands,
    granted,
    installed,
    membership,
    read_index,
    snapshot_meta,
    snapshot_piece,
    succeeded,
    timeout_now,
    vote,
)
from raftsdk.types import MAX_INTEGER, Entry, LogIndex, SnapshotMeta, Term

TERM = 3  # of every node below, whatever its role; its log begins with 1@1 2@2, the first of it committed
CONFIG = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, snapshot_trailing_entries=0)


def _follower(*, held: bool) -> Solo:
    node = Solo(1, 2, term=TERM, commit=1, config=CONFIG)
    node.receive(append(TERM, prev=(2, 2), commit=1))
    node.answers.clear()
    node.held = held
    return node


def _alone(*, held: bool) -> Solo:
    node = Solo(1, 2, term=TERM, vote="n3", commit=1, config=CONFIG)
    node.held = held
    return node


def _learner(*, held: bool) -> Solo:
    node = Solo(1, 2, term=TERM, commit=1, learner=True, config=CONFIG)
    node.held = held
    return node


def _pre_candidate(*, held: bool) -> Solo:
    node = Solo(1, 2, term=TERM, commit=1, config=CONFIG)
    node.held = held
    node.calls = node.campaign()
    return node


def _candidate(*, held: bool) -> Solo:
    node = Solo(1, 2, term=TERM - 1, commit=1, config=CONFIG)
    node.held = held
    node.succeed(node.campaign()[0])
    return node


def _leader(*, held: bool) -> Solo:
    node = Solo(1, 2, term=TERM - 1, commit=1, config=CONFIG).lead()
    node.held = held
    return node


def _reader(*, held: bool) -> Solo:
    """A follower that has asked its leader where to read."""
    node = _follower(held=held)
    node.read()
    return node


def _joiner(*, held: bool) -> Solo:
    """A node whose data is not admitted yet."""
    node = Solo(1, 2, term=TERM, commit=1, members=membership(), incarnation=7, config=CONFIG)
    node.held = held
    return node


def _compacted(*, held: bool) -> Solo:
    """A node whose log begins behind entry 1."""
    node = Solo(1, 2, term=TERM, commit=1, config=CONFIG)
    node.take_snapshot()
    node.held = held
    return node


def _joint_leader(*, held: bool) -> Solo:
    node = Solo(1, 2, term=TERM - 1, commit=1, config=CONFIG).lead_and_commit()
    node.held = held
    node.change("n4", "n5", remove=["n2"])
    return node


def _outgoing_leader(*, held: bool) -> Solo:
    """A leader that hands over, and has asked its target to campaign."""
    node = Solo(1, 2, term=TERM - 1, commit=1, config=CONFIG).lead_and_commit()
    node.held = held
    node.hand_over("n2")
    return node


def _sending_leader(*, held: bool) -> Solo:
    """A leader with a snapshot under way to n2."""
    node = Solo(1, 2, term=TERM - 1, commit=1, config=CONFIG)
    node.take_snapshot()
    node.lead()
    node.held = held
    node.refuse(node.take_calls_to("n2")[0])
    return node


NODES: dict[str, Callable[..., Solo]] = {
    "follower": _follower,
    "follower that reads": _reader,
    "leaderless": _alone,
    "learner": _learner,
    "joiner": _joiner,
    "compacted": _compacted,
    "pre-candidate": _pre_candidate,
    "candidate": _candidate,
    "leader": _leader,
    "joint leader": _joint_leader,
    "leader that hands over": _outgoing_leader,
    "leader that sends a snapshot": _sending_leader,
}
LEADERS = [name for name in NODES if "leader" in name.split()]


def _requests(term: Term) -> dict[str, PeerRequest]:
    return {
        "heartbeat on nothing": append(term, commit=2),
        "heartbeat": append(term, prev=(2, 2), commit=9),
        "heartbeat on an unknown entry": append(term, prev=(9, 1)),
        "append": append(term, prev=(2, 2), entries=commands(max(term, 2), first=3), commit=2),
        "append that contradicts": append(term, prev=(1, 1), entries=commands(term, first=2)),
        "append that contradicts what is committed": append(term, entries=commands(term, term)),
        "append of a third node": append(term, prev=(2, 2), leader="n3"),
        "vote": vote(term, last=(2, 2)),
        "vote for a short log": vote(term, last=(1, 1)),
        "vote for a third node": vote(term, last=(9, 2), candidate="n3"),
        "pre-vote": vote(term, last=(2, 2), pre_vote=True),
        "pre-vote for a short log": vote(term, pre_vote=True),
        "vote that the leader asked for": vote(term, last=(9, 2), transfer=True),
        "snapshot of what is committed": snapshot_piece(term, _meta(1, 1)),
        "snapshot of what may be there": snapshot_piece(term, _meta(2, min(term, 2))),
        "snapshot of what is to come": snapshot_piece(term, _meta(9, min(term, TERM))),
        "snapshot in part": snapshot_piece(term, _meta(9, min(term, TERM)), size=1),
        "snapshot of a third node": snapshot_piece(term, _meta(9, 1), leader="n3"),
        "timeout now": timeout_now(term),
        "timeout now of a third node": timeout_now(term, leader="n3"),
        "read index": read_index(term),
    }


def _meta(index: LogIndex, term: Term) -> SnapshotMeta:
    return snapshot_meta(index, term, membership("n1", "n2", "n3", "n4"))


def _responses(term: Term) -> dict[str, PeerResponse]:
    return {
        "agreement": AppendEntriesResponse(term=term, success=True),
        "refusal": AppendEntriesResponse(term=term, success=False),
        "refusal with a hint": AppendEntriesResponse(term=term, success=False, conflict_index=2, conflict_term=2),
        "refusal with a hint beyond all": AppendEntriesResponse(
            term=term, success=False, conflict_index=MAX_INTEGER, conflict_term=MAX_INTEGER
        ),
        "vote": RequestVoteResponse(term=term, vote_granted=True),
        "no vote": RequestVoteResponse(term=term, vote_granted=False),
        "snapshot installed": InstallSnapshotResponse(term=term, next_offset=SNAPSHOT_BYTES, installed=True),
        "snapshot in part": InstallSnapshotResponse(term=term, next_offset=1, installed=False),
        "timeout": TimeoutNowResponse(term=term),
        "read index": ReadIndexResponse(term=term, read_index=2),
        "no read index": ReadIndexResponse(term=term, read_index=0),
    }


TERMS = (1, TERM - 1, TERM, TERM + 1, TERM + MAX_TERM_JUMP, TERM + MAX_TERM_JUMP + 1, MAX_INTEGER)
REQUESTS = tuple(_requests(TERM))
RESPONSES = tuple(_responses(TERM))

CALLS_OF_THE_PAST = [
    Call("n2", request) for request in (append(1), vote(1), snapshot_piece(1, _meta(9, 1), size=0), timeout_now(1))
]

ROLES = pytest.mark.parametrize("name", NODES)
SITUATIONS = pytest.mark.parametrize(("name", "held"), list(product(NODES, (False, True))))


@contextmanager
def _noted(situation: str) -> Iterator[None]:
    """Many cases are one test, which is ten times faster; the one that fails is named."""
    try:
        yield
    except AssertionError as error:
        error.add_note(situation)
        raise


Before: TypeAlias = tuple[Term, dict[LogIndex, Entry]]


def _state(node: Solo) -> Before:
    """The term, and what is committed."""
    return node.raft.term, _committed(node)


def _committed(node: Solo) -> dict[LogIndex, Entry]:
    log = node.raft.log
    return dict(enumerate(log.between(log.first_index, log.commit_index), log.first_index))


def _must_be_legal(node: Solo, before: Before) -> None:
    raft, log = node.raft, node.raft.log
    term, committed = before
    assert raft.term >= term
    assert log.commit_index >= max(committed, default=0)
    kept = {index: entry for index, entry in committed.items() if index >= log.first_index}
    assert kept.items() <= _committed(node).items()
    assert log.first_index - 1 <= log.handed_index <= log.commit_index <= log.last_index
    assert log.durable_index <= log.submitted_index <= log.last_index
    assert log.last_id.term <= raft.term
    assert bool(raft.progress) == (raft.role is Role.LEADER)
    assert (raft.leader_id == "n1") == (raft.role is Role.LEADER)
    if raft.role in (Role.CANDIDATE, Role.LEADER):
        assert raft.voted_for == "n1"
    for progress in raft.progress.values():
        assert 0 <= progress.match_index < progress.next_index <= log.last_index + 1
        assert progress.outstanding >= 0
    if raft.transfer is not None:
        assert raft.role is Role.LEADER


def _see_through(node: Solo) -> None:
    """Everything that an answer may wait for happens: a snapshot's bytes are kept, disks write, peers agree."""
    for piece in list(node.pieces):
        sent = piece.request.offset + len(piece.request.data)
        if sent == piece.request.total_bytes:
            node.complete()
        else:
            node.keep(sent)
    if not node.answers:
        while node.writing is not None:
            node.persist()
    if not node.answers:
        node.agree()
    while node.writing is not None:
        node.persist()


@ROLES
@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_is_answered_once_and_honestly(name: str, kind: str) -> None:
    for term, held in product(TERMS, (False, True)):
        with _noted(f"in term {term}, writes {'held' if held else 'durable at once'}"):
            _request_is_answered(name, NODES[name](held=held), _requests(term)[kind])


def _request_is_answered(name: str, node: Solo, request: PeerRequest) -> None:
    before = _state(node)
    answer = node.receive(request)
    _must_be_legal(node, before)
    impossible = request.term < before[0] or request.term - before[0] > MAX_TERM_JUMP
    assert not impossible or node.raft.term == before[0]
    _see_through(node)
    _must_be_legal(node, before)
    (final,) = node.answers.values()
    assert answer in (None, final)
    if granted(final) and isinstance(request, RequestVoteRequest) and not request.pre_vote:
        assert node.disk.hard_state.voted_for == request.candidate_id
    if succeeded(final) or installed(final):
        assert node.disk.hard_state.term == request.term == final.term
    if installed(final) and isinstance(request, InstallSnapshotRequest):
        assert node.disk.last_index >= request.last_included_index
    if isinstance(final, ReadIndexResponse) and final.read_index:
        assert name in LEADERS
        assert final.read_index >= max(before[1], default=0)
    if impossible:
        assert not granted(final)
        assert not succeeded(final)
        assert not installed(final)


@ROLES
@pytest.mark.parametrize("kind", RESPONSES)
def test_an_answer_of_any_kind_leaves_a_legal_state(name: str, kind: str) -> None:
    for term, held in product(TERMS, (False, True)):
        node = NODES[name](held=held)
        before = _state(node)
        with _noted(f"in term {term}, writes {'held' if held else 'durable at once'}"):
            for call in node.take_calls() or CALLS_OF_THE_PAST:
                node.answer(call, _responses(term)[kind])
                _must_be_legal(node, before)


@SITUATIONS
def test_a_failed_call_leaves_a_legal_state(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    before = _state(node)
    for call in node.take_calls() or CALLS_OF_THE_PAST:
        node.fail(call)
        _must_be_legal(node, before)


@SITUATIONS
def test_only_a_leader_accepts_proposals(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    before, accepted = _state(node), len(node.accepted)
    node.propose(b"a", b"b")
    _must_be_legal(node, before)
    takes_it = name in LEADERS and node.raft.transfer is None
    assert len(node.accepted) - accepted == takes_it
    assert [refused.overloaded for refused in node.refused] == ([] if takes_it else [name in LEADERS])


@SITUATIONS
def test_only_a_leader_says_why_members_cannot_change(name: str, *, held: bool) -> None:
    """None of these leaders may begin a change; who does not lead has nothing to say about it."""
    node = NODES[name](held=held)
    before, members = _state(node), node.raft.membership
    node.change("n9")
    _must_be_legal(node, before)
    assert node.raft.membership is members
    assert [bool(refused.why) for refused in node.refused] == [name in LEADERS]


@SITUATIONS
def test_every_read_ends_once(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    before = _state(node)
    token = node.read()
    _must_be_legal(node, before)
    for call in node.take_calls():
        node.fail(call)
    node.tick(2 * CONFIG.election_timeout_ticks)
    _must_be_legal(node, before)
    assert [read.token for read in node.reads].count(token) == 1


@SITUATIONS
def test_handing_over_ends_once(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    before = _state(node)
    node.hand_over("n3")
    _must_be_legal(node, before)
    for call in node.take_calls():
        node.fail(call)
    node.tick(2 * CONFIG.election_timeout_ticks)
    _must_be_legal(node, before)
    assert len(node.transfers) == (2 if name == "leader that hands over" else 1)
    assert len({end.token for end in node.transfers}) == len(node.transfers)


@SITUATIONS
def test_a_snapshot_of_ones_own_is_kept_and_restarted_from(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    before = _state(node)
    meta = node.take_snapshot()
    _must_be_legal(node, before)
    while node.writing is not None:
        node.persist()
    assert node.disk.snapshot == meta
    last_id = node.raft.log.last_id
    node.restart()
    _must_be_legal(node, before)
    assert node.restored == [meta]
    assert node.raft.log.last_id == last_id


@SITUATIONS
def test_time_alone_leaves_a_legal_state(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    before = _state(node)
    for _ in range(100):
        node.tick()
        _must_be_legal(node, before)
    assert node.raft.role is (Role.FOLLOWER if name in ("learner", "joiner") else Role.PRE_CANDIDATE)


@SITUATIONS
def test_a_restart_forgets_nothing_that_was_durable(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    disk = node.disk.hard_state, list(node.disk.entries)
    node.restart()
    assert (node.raft.term, node.raft.voted_for) == (disk[0].term, disk[0].voted_for)
    assert node.raft.log.between(node.raft.log.first_index, node.raft.log.last_index) == disk[1]
    assert node.raft.role is Role.FOLLOWER
