"""Who may lead: pre-vote, vote and tally (paper §5.2, §5.4.1; thesis §9.6 on pre-vote, §4.2.3 on leader stickiness)."""

from enum import StrEnum
from typing import TYPE_CHECKING

from raftsdk.core import quiescence
from raftsdk.core.events import Answered, Received
from raftsdk.core.quorum import VoteResult, vote_result
from raftsdk.messages import RequestVoteRequest, RequestVoteResponse
from raftsdk.types import EntryId, NodeId

if TYPE_CHECKING:
    from raftsdk.core.raft import Raft


class Role(StrEnum):
    """Paper Figure 4, and the stage before candidacy in which nobody is disturbed (thesis §9.6)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


# -- asking for votes


def campaign(raft: "Raft") -> None:
    """An election timeout has passed without a leader: ask the others, first without disturbing anybody."""
    raft.quiescence.holds = False
    if not may_campaign(raft):
        # It has no leader either, or it would stick to one that is gone: somebody may need this very node's vote, who
        # knows of a promotion that it has yet to hear of.
        raft.become_follower(raft.term, leader_id=None)
        raft.restart_election_timer()
        return
    if raft.config.pre_vote:
        raft.become_pre_candidate()
        _request_votes(raft, pre_vote=True)
        # A pre-vote promises nothing, so one's own needs no disk.
        count_vote(raft, raft.id, granted=True)
    else:
        stand(raft)


def may_campaign(raft: "Raft") -> bool:
    """Whether this node counts, with the data it has, and its disk would let it lead.

    It counts as long as its going is not committed (thesis §4.2.2). Say n1 and n2 are voters and n1, leading, appends
    that n2 alone is: n2 needs n1's vote and does not get it, for want of that entry. Only n1 can win, and bring it.
    """
    counts = any(raft.id in half for membership in raft.log.open_memberships() for half in membership.halves())
    return counts and raft.is_admitted and not raft.disk_is_late


def stand(raft: "Raft", *, leadership_transfer: bool = False) -> None:
    """Become a candidate in a new term. The candidate's own vote is counted only once it is durable."""
    raft.become_candidate()
    _request_votes(raft, leadership_transfer=leadership_transfer)


def _request_votes(raft: "Raft", *, pre_vote: bool = False, leadership_transfer: bool = False) -> None:
    last = raft.log.last_id
    request = RequestVoteRequest(
        term=raft.term + 1 if pre_vote else raft.term,
        candidate_id=raft.id,
        last_log_index=last.index,
        last_log_term=last.term,
        pre_vote=pre_vote,
        leadership_transfer=leadership_transfer,
    )
    for voter in sorted(frozenset().union(*raft.log.halves) - {raft.id}):
        raft.call(raft.new_call(voter, request))


def handle_answer(raft: "Raft", event: Answered, request: RequestVoteRequest, response: RequestVoteResponse) -> None:
    """Count a vote, if it is one for the election that is under way."""
    asked_as = (Role.PRE_CANDIDATE, raft.term + 1) if request.pre_vote else (Role.CANDIDATE, raft.term)
    if (raft.role, request.term) == asked_as:
        count_vote(raft, event.call.target, granted=response.vote_granted)


def count_vote(raft: "Raft", voter: NodeId, *, granted: bool) -> None:
    """Record one vote and act on the result: the first answer of a voter stands.

    A candidate wins only once its own vote, and with it the term, is durable, even if the others alone are a majority.
    Or it could lead term 5, replicate an entry, crash, forget term 5, be given the same votes again, and replicate
    another entry of term 5 at the same index: two logs that agree on (term, index) and differ.
    """
    raft.votes.setdefault(voter, granted)
    match vote_result(raft.log.halves, raft.votes):
        case VoteResult.WON if raft.role is Role.PRE_CANDIDATE:
            stand(raft)
        case VoteResult.WON if raft.id in raft.votes:
            raft.become_leader()
        case VoteResult.LOST:
            raft.become_follower(raft.term, leader_id=None)


# -- being asked


def handle_request(raft: "Raft", event: Received, request: RequestVoteRequest) -> None:
    """Grant or refuse, and remember a vote before anybody learns of it."""
    quiescence.handle_campaign(raft, request)
    if sticks_to_leader(raft) and not request.leadership_transfer:
        # Neither grant nor take the term: a node that was removed, or cut off, must not unseat a leader that works.
        raft.respond(event.token, RequestVoteResponse(term=raft.term, vote_granted=False))
        return
    if request.term > raft.term and not request.pre_vote:
        raft.become_follower(request.term, leader_id=None)
    granted = _may_vote_for(raft, request)
    if granted and not request.pre_vote:
        raft.vote_for(request.candidate_id)
    # A granted pre-vote answers in the candidate's future term: in ours, it would look like an answer of the past.
    term = request.term if granted else raft.term
    raft.respond(event.token, RequestVoteResponse(term=term, vote_granted=granted))


def sticks_to_leader(raft: "Raft") -> bool:
    """A leader was heard from within the shortest election timeout (paper §6, thesis §4.2.3).

    Or its node was, for a group that has quiesced. Only with check-quorum on: without it, a leader that nobody can
    answer would keep its followers for ever. Where leases are taken, a node that has just started may have heard a
    leader and forgotten it, and a lease may rest on it.
    """
    config = raft.config
    heard_lately = raft.quiescence.holds or raft.election_elapsed < config.election_timeout_ticks
    may_have_heard = raft.leader_id is not None or (config.lease_reads and raft.has_just_started)
    return config.check_quorum and heard_lately and may_have_heard


def _may_vote_for(raft: "Raft", request: RequestVoteRequest) -> bool:
    """First come, first served within a term, and only for a log at least as complete as this one (paper §5.4.1).

    Membership is not asked: a voter that has not heard of its promotion must vote, or a quorum may never form. But a
    node whose data is not its member's (lost, or not yet admitted) does not know what that member promised.
    """
    free = (
        request.term > raft.term
        if request.pre_vote
        else (
            request.term == raft.term
            and (raft.voted_for == request.candidate_id or (raft.voted_for is None and raft.leader_id is None))
        )
    )
    return free and raft.is_admitted and EntryId(request.last_log_term, request.last_log_index) >= raft.log.last_id
