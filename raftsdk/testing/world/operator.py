"""The operator: adds, promotes, removes and replaces members, hands over leadership, re-admits who lost its disk."""

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from raftsdk.messages import (
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    Response,
    TransferLeadershipRequest,
)
from raftsdk.testing.world.faults import Fault
from raftsdk.testing.world.network import Endpoint
from raftsdk.types import MAX_INTEGER, Member, Membership, NodeId, Suffrage

if TYPE_CHECKING:
    from raftsdk.testing.world.world import World

MAX_VOTERS: Final = 7
MAX_MEMBERS: Final = 9
MAX_NODES: Final = 16
"""Over the whole run: one that was removed does not come back."""

ATTEMPTS: Final = 6
"""How often a change is asked for before the operator lets it be, unless it must be made."""


class Operator(Endpoint):
    """Whoever runs the cluster. Knows what is committed, and who leads if anybody does."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.network, "operator")
        self._world = world
        self._chance = Random(f"{world.scenario.seed}:operator")
        self.to_readmit: NodeId | None = (
            None  #: A node that lost its disk, and does not count until it has joined anew.
        )

    # -- members

    def change(self, fault: Fault) -> None:
        """Begin a change of members, as chance will have it."""
        if self.to_readmit is None:
            members, remove = self._chosen(fault, self._world.membership)
            if members or remove:
                self._ask(members, remove, ATTEMPTS)

    def _chosen(self, fault: Fault, membership: Membership) -> tuple[list[Member], list[NodeId]]:
        """Whom to add or change, and whom to remove. A newcomer is a learner first (see `core.membership`)."""
        voters = sorted(membership.voters())
        learners = [member.id for member in membership.members if member.suffrage is Suffrage.LEARNER]
        goes = self._one_of(voters, fault)
        promoted = [self._as(membership, node_id, Suffrage.VOTER) for node_id in learners]
        if fault.how < 0.3 or (not promoted and len(voters) == 1):
            return self._newcomers(membership, 2 - len(learners)), [learners[-1]] if len(learners) > 1 else []
        if fault.how < 0.45 and promoted and len(voters) < MAX_VOTERS:
            return promoted[:1], []
        if fault.how < 0.6 and len(voters) > 1:
            return [], [goes]
        if fault.how < 0.7 and len(voters) > 2:
            return [self._as(membership, goes, Suffrage.LEARNER)], [voter for voter in voters if voter != goes][:1]
        if fault.how < 0.8:
            return [self._as(membership, goes, Suffrage.LEARNER), *promoted[:1]], []
        return promoted[:2], [goes]  # replaced, and where two came for one, grown

    def _one_of(self, voters: list[NodeId], fault: Fault) -> NodeId:
        leader = self._world.leader()
        if fault.leader and leader is not None and leader.id in voters:
            return leader.id
        return voters[int(fault.who * len(voters))]

    def _newcomers(self, membership: Membership, count: int) -> list[Member]:
        if len(membership.members) + count > MAX_MEMBERS or len(self._world.nodes) + count > MAX_NODES:
            return []
        incarnations = [self._chance.randrange(1, MAX_INTEGER) for _ in range(count)]
        return [
            Member(self._world.add_node(incarnation).id, (), Suffrage.LEARNER, incarnation)
            for incarnation in incarnations
        ]

    def _as(self, membership: Membership, node_id: NodeId, suffrage: Suffrage) -> Member:
        member = membership.member(node_id)
        return Member(node_id, (), suffrage, member.incarnation if member else 0)

    def _ask(self, members: list[Member], remove: list[NodeId], attempts: int) -> None:
        world, leader = self._world, self._world.leader()
        world.happens(self.name, b"asks")
        if leader is None:
            self._again(members, remove, attempts, None)
            return
        deadline = world.now + world.scenario.config.proposal_timeout_ms * 1000
        ended = partial(self._again, members, remove, attempts)
        call_id = self.call(leader.id, ChangeMembershipRequest(members=members, remove=remove), deadline, ended)
        world.after(deadline - world.now, self.give_up, call_id)

    def _again(self, members: list[Member], remove: list[NodeId], attempts: int, response: Response | None) -> None:
        if isinstance(response, ChangeMembershipResponse) or attempts <= 1 or self._world.has_ended:
            return
        if self._is_made(members, remove):
            return
        pause_us = int(self._world.scenario.election_us * (0.3 + self._chance.random()))
        self._world.after(pause_us, self._ask, members, remove, attempts - 1)

    def _is_made(self, members: list[Member], remove: list[NodeId]) -> bool:
        membership = self._world.membership
        there = all(membership.member(member.id) == member for member in members)
        return there and all(membership.member(node_id) is None for node_id in remove)

    # -- a node that lost its disk

    def has_revoked(self, request: ChangeMembershipRequest) -> bool:
        """Whether this is another change than the one that a lost disk makes necessary, and on its way since before
        that, or since before the world began to heal.
        """
        named = {*request.remove, *(member.id for member in request.members)}
        return (self.to_readmit is not None or self._world.is_healing) and named != {self.to_readmit}

    def readmit(self, node_id: NodeId, incarnation: int) -> None:
        """Remove it, since the members count on data that is gone; add what it is now, and have it vote again."""
        self.to_readmit = node_id
        self._proceed(node_id, incarnation)

    def _proceed(self, node_id: NodeId, incarnation: int) -> None:
        world = self._world
        member = world.membership.member(node_id)
        if member is None:
            self._ask([Member(node_id, (), Suffrage.LEARNER, incarnation)], [], 1)
        elif member.incarnation != incarnation:
            self._ask([], [node_id], 1)
        elif member.suffrage is Suffrage.LEARNER:
            self._ask([Member(node_id, (), Suffrage.VOTER, incarnation)], [], 1)
        else:
            self.to_readmit = None
            return
        world.after(world.scenario.election_us, self._proceed, node_id, incarnation)

    # -- leadership

    def transfer(self, fault: Fault) -> None:
        """Have somebody lead, or anybody else than now."""
        world, leader = self._world, self._world.leader()
        if leader is None:
            return
        others = sorted(world.membership.voters() - {leader.id})
        target = others[int(fault.who * len(others))] if others and fault.how < 0.6 else ""
        deadline = world.now + world.scenario.config.proposal_timeout_ms * 1000
        call_id = self.call(leader.id, TransferLeadershipRequest(target=target), deadline, self._transferred)
        world.after(deadline - world.now, self.give_up, call_id)

    def _transferred(self, _response: Response | None) -> None:
        """Whether it succeeded is counted where it happens: the answer may be lost."""
