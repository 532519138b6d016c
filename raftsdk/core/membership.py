"""Who counts: which changes of members are legal, and what follows once one is in the log (paper §6, thesis §4).

A membership takes effect as soon as it is appended, committed or not, and is rolled back when its entry is truncated.
A change of one voter at a time goes directly: any two majorities of the old and the new members overlap (thesis §4.1).
Every other change goes through a joint membership, under which both majorities must agree; once that is committed, the
leader appends the new one of itself.
"""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from msgspec.structs import replace

from raftsdk.checks import check
from raftsdk.core import quiescence, replication, transfer
from raftsdk.core.events import ChangeMembership
from raftsdk.core.progress import Progress
from raftsdk.core.ready import Accepted, ProposalRefused
from raftsdk.errors import DecodeError
from raftsdk.messages import ChangeMembershipResponse
from raftsdk.types import Entry, EntryKind, Member, Membership, NodeId, encode_membership

if TYPE_CHECKING:
    from raftsdk.core.raft import Raft


class IllegalChange(Exception):
    """Why a change of members is not begun."""


# -- which changes are legal


def changed(membership: Membership, members: Sequence[Member], remove: Sequence[NodeId]) -> Membership:
    """`membership` with `members` added or put in the place of those with their ids, and without those in `remove`. Who
    is given no addresses keeps what it has.

    Joint, when the majorities of the old and the new one need not overlap. Raises `IllegalChange`.

    >>> three = Membership(tuple(Member(i) for i in ("n1", "n2", "n3")))
    >>> changed(three, [], ["n3"]).outgoing
    ()
    >>> changed(three, [Member("n4")], ["n3"]).outgoing
    ('n1', 'n2', 'n3')
    """
    given = {member.id: member for member in members}
    named = [*given, *remove]
    if len(named) < len(members) + len(remove) or len(set(named)) < len(named):
        raise IllegalChange("an id is named twice")
    for node_id in remove:
        if membership.member(node_id) is None:
            raise IllegalChange(f"{node_id} is no member")
    kept = [_updated(member, given.pop(member.id, member)) for member in membership.members if member.id not in remove]
    new = Membership((*kept, *given.values()))
    voters, new_voters = membership.voters(), new.voters()
    if not new_voters:
        raise IllegalChange("no voter would be left")
    return replace(new, outgoing=tuple(sorted(voters))) if len(voters ^ new_voters) > 1 else new


def _updated(member: Member, given: Member) -> Member:
    """An id stands for one data directory for ever: a node that lost its data must not pass for the one that had it."""
    if given.incarnation not in (0, member.incarnation):
        raise IllegalChange(f"{member.id} is a member with other data: remove it first, if that data is lost")
    return replace(given, addresses=given.addresses or member.addresses, incarnation=member.incarnation)


# -- the leader changes it


def handle_proposal(raft: "Raft", event: ChangeMembership) -> None:
    """Put a change into the log, or say what stands against it."""
    if not raft.leads:
        raft.refuse(ProposalRefused(event.token))
        return
    try:
        membership = changed(raft.membership, event.members, event.remove)
        _must_travel(membership)
        _must_be_timely(raft, membership)
        _must_know_of_themselves(raft, membership)
    except IllegalChange as error:
        raft.refuse(ProposalRefused(event.token, why=str(error)))
        return
    quiescence.note_activity(raft)
    raft.accept(Accepted(event.token, raft.log.last_index + 1, raft.term))
    _append(raft, membership)


def _must_travel(membership: Membership) -> None:
    """No follower takes an entry that is beyond the bounds of messages, and the leader would offer it for ever."""
    try:
        check(ChangeMembershipResponse(index=0, membership=membership))
    except DecodeError as error:
        raise IllegalChange(f"the members would be too many, or their addresses too long: {error}") from None


def _must_be_timely(raft: "Raft", membership: Membership) -> None:
    if raft.transfer is not None:
        raise IllegalChange("leadership is being handed over: ask again")
    if raft.log.membership_is_open():
        raise IllegalChange("another change is not finished: ask again")
    if not raft.has_committed_in_term():
        # Two leaders, each with a change that the other does not know, could each find a majority of its own: the bug
        # in the thesis's first text on single-server changes. An entry of one's own term shuts out the other.
        raise IllegalChange("this leader has not committed anything in its term: ask again")
    if membership.outgoing and not raft.profile.joint_consensus:
        raise IllegalChange("more than one voter would change, and here only one may at a time")


def _must_know_of_themselves(raft: "Raft", membership: Membership) -> None:
    """Who joined with data of its own votes only once it has read that it is admitted: as a learner, from the log.

    Made a voter before that, it might be needed to elect whoever could bring it that very entry.
    """
    for member in membership.members:
        if member.incarnation and member.id in membership.voters() - raft.membership.voters():
            progress = raft.progress.get(member.id)
            if progress is None or progress.match_index < raft.log.membership_index:
                raise IllegalChange(f"{member.id} has not caught up: let it join as a learner, and ask again")


def _append(raft: "Raft", membership: Membership) -> None:
    entry = Entry(raft.term, EntryKind.MEMBERSHIP, encode_membership(membership))
    raft.log.append([entry])
    raft.uncommitted_bytes += len(entry.data)
    follow_membership(raft)


def follow_membership(raft: "Raft") -> None:
    """Let the leader know its new peers and forget those who left."""
    peers = peers_of(raft)
    for peer in raft.progress.keys() - set(peers):
        raft.next_epoch = max(raft.next_epoch, raft.progress.pop(peer).epoch + 1)
    for peer in peers:
        if peer not in raft.progress:
            # Not behind the last entry: there would be nothing to send, and so no answer from which to learn.
            raft.progress[peer] = Progress(raft.log.last_index, raft.next_epoch)


def peers_of(raft: "Raft") -> list[NodeId]:
    """Everybody else who is to have the log: members, those who count in an outgoing half, and those whose going is not
    committed. A node should hear of its removal, and may be needed if that is rolled back.
    """
    ids = chain.from_iterable(
        chain((member.id for member in membership.members), membership.outgoing)
        for membership in raft.log.open_memberships()
    )
    return sorted(set(ids) - {raft.id})


def after_commit(raft: "Raft") -> None:
    """The leader has committed something: finish a joint membership, or go if this node is not in the new one."""
    if raft.settled is raft.membership or raft.log.membership_is_open():
        return
    if raft.membership.outgoing:
        _append(raft, replace(raft.membership, outgoing=()))
        return
    raft.settled = raft.membership
    leader_goes = raft.id not in raft.membership.voters()
    if leader_goes or set(peers_of(raft)) < raft.progress.keys():
        replication.send_heartbeats(raft)  # whoever goes, and whoever stays without this leader, should know
        follow_membership(raft)
    if leader_goes:  # it led until here, so that somebody did (paper §6)
        transfer.hand_over(raft)
        raft.become_follower(raft.term, leader_id=None)
