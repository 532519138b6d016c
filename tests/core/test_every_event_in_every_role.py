"""Whatever arrives, and whatever a node is at that time: it ends in a legal state, and promises nothing it must not."""

from collections.abc import Callable
from itertools import product

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.raft import MAX_TERM_JUMP
from raftsdk.core.ready import Call
from raftsdk.messages import AppendEntriesResponse, PeerRequest, PeerResponse, RequestVoteRequest, RequestVoteResponse
from raftsdk.testing.solo import Solo, append, commands, granted, succeeded, vote
from raftsdk.types import MAX_INTEGER, Term

TERM = 3  # of every node below, whatever its role; its log is 1@1 2@2, the first of it committed
CONFIG = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3)


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


NODES: dict[str, Callable[..., Solo]] = {
    "follower": _follower,
    "leaderless": _alone,
    "learner": _learner,
    "pre-candidate": _pre_candidate,
    "candidate": _candidate,
    "leader": _leader,
}


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
    }


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
    }


TERMS = (1, TERM - 1, TERM, TERM + 1, TERM + MAX_TERM_JUMP, TERM + MAX_TERM_JUMP + 1, MAX_INTEGER)
REQUESTS = {f"{kind} of term {term}": request for term in TERMS for kind, request in _requests(term).items()}
RESPONSES = {f"{kind} of term {term}": response for term in TERMS for kind, response in _responses(term).items()}

SITUATIONS = pytest.mark.parametrize(("name", "held"), list(product(NODES, (False, True))))


def _state(node: Solo) -> tuple[int, int, list[object]]:
    return node.raft.term, node.raft.log.commit_index, [*node.raft.log.between(1, node.raft.log.commit_index)]


def _must_be_legal(node: Solo, before: tuple[int, int, list[object]]) -> None:
    raft, log = node.raft, node.raft.log
    term, commit_index, committed = before
    assert raft.term >= term
    assert log.commit_index >= commit_index
    assert log.between(1, commit_index) == committed
    assert 0 <= log.handed_index <= log.commit_index <= log.last_index
    assert log.durable_index <= log.submitted_index <= log.last_index
    assert log.last_id.term <= raft.term
    assert bool(raft.progress) == (raft.role is Role.LEADER)
    assert (raft.leader_id == "n1") == (raft.role is Role.LEADER)
    if raft.role in (Role.CANDIDATE, Role.LEADER):
        assert raft.voted_for == "n1"
    for progress in raft.progress.values():
        assert 0 <= progress.match_index < progress.next_index <= log.last_index + 1
        assert progress.outstanding >= 0


@SITUATIONS
@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_request_is_answered_once_and_honestly(name: str, request_name: str, *, held: bool) -> None:
    node, request = NODES[name](held=held), REQUESTS[request_name]
    before = _state(node)
    answer = node.receive(request)
    _must_be_legal(node, before)
    while node.writing is not None:
        node.persist()
    (final,) = node.answers.values()
    assert answer in (None, final)
    if granted(final) and isinstance(request, RequestVoteRequest) and not request.pre_vote:
        assert node.disk.hard_state.voted_for == request.candidate_id
    if succeeded(final):
        assert node.disk.hard_state.term == request.term == final.term
    if request.term < before[0] or request.term - before[0] > MAX_TERM_JUMP:
        assert not granted(final)
        assert not succeeded(final)
        assert node.raft.term == before[0]


@SITUATIONS
@pytest.mark.parametrize("response_name", RESPONSES)
def test_an_answer_of_any_kind_leaves_a_legal_state(name: str, response_name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    calls = node.take_calls() or [Call("n2", append(1)), Call("n2", vote(1))]
    before = _state(node)
    for call in calls:
        node.answer(call, RESPONSES[response_name])
        _must_be_legal(node, before)


@SITUATIONS
def test_a_failed_call_leaves_a_legal_state(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    before = _state(node)
    for call in node.take_calls() or [Call("n2", append(1)), Call("n2", vote(1))]:
        node.fail(call)
        _must_be_legal(node, before)


@SITUATIONS
def test_only_a_leader_accepts_proposals(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    before = _state(node)
    node.propose(b"a", b"b")
    _must_be_legal(node, before)
    assert bool(node.accepted) == (name == "leader")
    assert [refused.overloaded for refused in node.refused] == ([] if name == "leader" else [False])


@SITUATIONS
def test_time_alone_leaves_a_legal_state(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    before = _state(node)
    for _ in range(100):
        node.tick()
        _must_be_legal(node, before)
    assert node.raft.role is (Role.FOLLOWER if name == "learner" else Role.PRE_CANDIDATE)


@SITUATIONS
def test_a_restart_forgets_nothing_that_was_durable(name: str, *, held: bool) -> None:
    node = NODES[name](held=held)
    disk = node.disk.hard_state, list(node.disk.entries)
    node.restart()
    assert (node.raft.term, node.raft.voted_for) == (disk[0].term, disk[0].voted_for)
    assert node.raft.log.between(1, node.raft.log.last_index) == disk[1]
    assert node.raft.role is Role.FOLLOWER
