"""Handing over leadership: let another voter catch up, then have it campaign at once (thesis §3.10)."""

from typing import TYPE_CHECKING

from msgspec import Struct

from raftsdk.core import election, quiescence, replication
from raftsdk.core.events import Answered, Received, TransferLeadership
from raftsdk.core.ready import Call, TransferEnded
from raftsdk.messages import TimeoutNowRequest, TimeoutNowResponse
from raftsdk.types import NodeId

if TYPE_CHECKING:
    from raftsdk.core.raft import Raft


class Transfer(Struct):
    """A leader on its way out. It takes no proposals meanwhile, or its target might never catch up."""

    token: int
    target: NodeId
    deadline: int  #: In the ticks that the leader saw: then it goes on leading.
    asked: bool = False


def handle_proposal(raft: "Raft", event: TransferLeadership) -> None:
    """Begin, or say why not."""
    target = event.target or _best_voter(raft)
    why = _obstacle(raft, target)
    if why or target is None:
        raft.end_transfer(TransferEnded(event.token, why))
        return
    quiescence.note_activity(raft)
    raft.transfer = Transfer(event.token, target, raft.ticks + raft.config.election_timeout_ticks)
    proceed(raft)


def _obstacle(raft: "Raft", target: NodeId | None) -> str:
    if not raft.leads:
        return "this node does not lead"
    if raft.transfer is not None:
        return f"leadership is being handed over to {raft.transfer.target} already"
    if target == raft.id:
        return f"{raft.id} leads already"
    if target is None or not all(target in half for half in raft.log.halves):
        return f"{target} is no voter" if target else "there is no other voter"
    return ""


def _best_voter(raft: "Raft") -> NodeId | None:
    """Of the other voters, the one with most of the log; those that are heard from go first."""
    voters = frozenset.intersection(*raft.log.halves)
    known = [(p.recently_active, p.match_index, peer) for peer, p in raft.progress.items() if peer in voters]
    return max(known)[2] if known else None


def proceed(raft: "Raft") -> None:
    """Ask the target to campaign once it has everything."""
    transfer = raft.transfer
    if transfer is None or transfer.asked or raft.progress[transfer.target].waiting:
        return
    if _has_all(raft, transfer.target):
        transfer.asked = True
        _ask(raft, transfer.target)


def _has_all(raft: "Raft", peer: NodeId) -> bool:
    return raft.progress[peer].match_index == raft.log.last_index


def _ask(raft: "Raft", target: NodeId) -> None:
    # From here on, a vote may unseat this leader whatever its followers heard of it: no lease holds any more.
    raft.lease_is_void = True
    request = TimeoutNowRequest(term=raft.term, leader_id=raft.id)
    raft.call(raft.new_call(target, request, raft.progress[target].epoch))


def handle_answer(raft: "Raft", event: Answered, _request: TimeoutNowRequest, _response: TimeoutNowResponse) -> None:
    """The target has heard; where this node still leads by now, it does not campaign."""
    handle_failure(raft, event.call)


def handle_failure(raft: "Raft", call: Call) -> None:
    """The target may not have heard, or could not campaign: ask again with its next sign of life."""
    progress = raft.leading(call)
    if raft.transfer is not None and raft.transfer.target == call.target and progress is not None:
        raft.transfer.asked = False
        progress.waiting = True


def hand_over(raft: "Raft") -> None:
    """On the way out, without waiting: an election less, where somebody has everything already."""
    target = _best_voter(raft)
    if target is not None and _has_all(raft, target):
        _ask(raft, target)


def tick(raft: "Raft") -> None:
    """Give up when an election would have been over."""
    if raft.transfer is not None and raft.ticks >= raft.transfer.deadline:
        give_up(raft, f"{raft.transfer.target} did not take over within an election timeout")


def give_up(raft: "Raft", why: str) -> None:
    """End it; `why` is empty when somebody else leads."""
    if raft.transfer is not None:
        raft.end_transfer(TransferEnded(raft.transfer.token, why))
        raft.transfer = None


def handle_request(raft: "Raft", event: Received, request: TimeoutNowRequest) -> None:
    """The leader asks this node to campaign: no pre-vote, and nobody need stick to that leader."""
    if request.term >= raft.term and not replication.is_second_leader(raft, request):
        raft.become_follower(request.term, leader_id=request.leader_id)
        if election.may_campaign(raft):
            election.stand(raft, leadership_transfer=True)
    raft.respond(event.token, TimeoutNowResponse(term=raft.term))
