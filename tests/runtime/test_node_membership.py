"""Members come and go while a cluster runs, and leadership is handed on."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from node_cluster import (
    NEVER_CAMPAIGNS,
    NODE_IDS,
    FailingDisk,
    Switch,
    Team,
    alone,
    new_node,
    outcome,
    team,
    until,
)

from raftsdk.config import RaftConfig
from raftsdk.core.raft import LOST
from raftsdk.errors import MembershipRefused, NodeStopped, NotLeader, OutcomeUnknown, StorageFailed, TransferFailed
from raftsdk.messages import (
    MAX_ADDRESSES,
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    ErrorCode,
    ErrorResponse,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
)
from raftsdk.runtime.joining import Join
from raftsdk.runtime.node import RaftNode
from raftsdk.storage.memory import MemorySink, MemoryStorage
from raftsdk.types import (
    Entry,
    EntryKind,
    HardState,
    LogIndex,
    Member,
    Membership,
    NodeId,
    Suffrage,
    Term,
    Write,
    encode_membership,
)

LEARNER = Suffrage.LEARNER
ENTRY_BY_ENTRY = RaftConfig(
    tick_interval_ms=10, election_timeout_ticks=20, max_batch_entries=1, max_outstanding_calls=1
)
PATIENT = RaftConfig(tick_interval_ms=10, election_timeout_ticks=20, proposal_timeout_ms=300)


def members_of(node: RaftNode) -> dict[NodeId, str]:
    status = node.status()
    return {status.node_id: status.suffrage, **{peer.node_id: peer.suffrage for peer in status.peers}}


async def start_as_learner(nodes: Team, node_id: NodeId) -> RaftNode:
    """A node that was not there from the start, added by the leader and not by itself."""
    return await nodes.start(node_id, join=Join(Member(node_id, suffrage=LEARNER), nodes.ask))


# -- who the members are


async def test_a_learner_is_added_promoted_and_removed() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        await leader.propose(b"before")
        fourth = await start_as_learner(nodes, "n4")
        await until(lambda: nodes.machines["n4"].lines == [b"before"])
        assert members_of(fourth) == dict.fromkeys(NODE_IDS, "voter") | {"n4": "learner"}
        incarnation = fourth._raft.incarnation
        promoted = await leader.change_membership([Member("n4", incarnation=incarnation)])
        assert promoted.membership.voters() == {*NODE_IDS, "n4"}
        await leader.propose(b"with four")
        await until(lambda: nodes.machines["n4"].lines[-1] == b"with four")
        removed = await leader.change_membership(remove=["n4"])
        assert removed.membership.voters() == {*NODE_IDS}
        await leader.propose(b"without")
        await nodes.crash("n4")
        await nodes.all_applied()
        assert b"without" not in nodes.machines["n4"].lines


async def test_a_change_of_several_voters_goes_through_two_majorities_and_returns_when_it_is_over() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        gone = (await nodes.followers())[0].identity.node_id
        for node_id in ("n4", "n5"):
            await start_as_learner(nodes, node_id)
        new = [Member("n4"), Member("n5")]
        changed = await leader.change_membership(new, remove=[gone])
        assert changed.membership.voters() == {*NODE_IDS, "n4", "n5"} - {gone}
        assert changed.membership.outgoing == ()
        assert leader.status().membership_index == changed.index
        await nodes.crash(gone)
        await leader.propose(b"x")
        await until(lambda: nodes.machines["n5"].lines == [b"x"])


async def test_a_change_that_is_refused_says_why_and_changes_nothing() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        before = members_of(leader)
        for members, remove, why in [
            ([], NODE_IDS, "no voter would be left"),
            ([], ["n9"], "n9 is no member"),
            ([Member("n4")], ["n4"], "named twice"),
            ([Member("../etc")], [], "an id occurs twice, or is none"),
            ([Member("n4", ("tcp://h:1",) * (MAX_ADDRESSES + 1))], [], "more than 16 addresses"),
        ]:
            with pytest.raises(MembershipRefused, match=why):
                await leader.change_membership(members, remove)
        assert members_of(leader) == before


async def test_a_follower_changes_nobody_and_names_the_leader() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        follower = (await nodes.followers())[0]
        with pytest.raises(NotLeader) as refused:
            await follower.change_membership(remove=["n1"])
        assert refused.value.leader == leader.identity.node_id


async def test_a_change_that_no_quorum_confirms_in_time_may_still_happen() -> None:
    async with team(PATIENT) as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        nodes.switch.cut = {leader.identity.node_id}
        ended = await outcome(leader.change_membership([Member("n4", suffrage=LEARNER)]))
        assert isinstance(ended, OutcomeUnknown)


async def test_a_client_changes_the_members() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        response = await leader.handle(ChangeMembershipRequest(members=[Member("n4", suffrage=LEARNER)]))
        assert isinstance(response, ChangeMembershipResponse)
        assert response.membership.member("n4") == Member("n4", suffrage=LEARNER)
        refused = await leader.handle(ChangeMembershipRequest(remove=["n9"]))
        assert isinstance(refused, ErrorResponse)
        assert (refused.code, refused.message) == (ErrorCode.MEMBERSHIP_REFUSED, "n9 is no member")


async def test_the_network_learns_where_members_are_and_who_is_none_any_more() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        networks = [node._network for node in nodes.nodes.values()]
        located = [network.located for network in networks]  # type: ignore[attr-defined]
        at = ("tcp://127.0.0.1:7004",)
        await leader.change_membership([Member("n4", at, LEARNER)])
        await until(lambda: all(where.get("n4") == at for where in located))
        moved = ("tcp://127.0.0.1:7005",)
        await leader.change_membership([Member("n4", moved, LEARNER)])
        await until(lambda: all(where["n4"] == moved for where in located))
        await leader.change_membership(remove=["n4"])
        await until(lambda: all(where["n4"] == () for where in located))


async def test_a_removed_leader_steps_down_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "raftsdk.node")
    async with team() as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        gone = leader.identity.node_id
        await leader.change_membership(remove=[gone])
        rest = [node_id for node_id in NODE_IDS if node_id != gone]
        new = await nodes.leader(rest)
        await new.propose(b"y")
        assert members_of(new) == dict.fromkeys(rest, "voter")
        assert f"{gone} was removed from its cluster" in caplog.text
        assert not leader.is_leader


async def test_a_members_own_word_on_who_belongs_to_the_cluster_survives_restarts() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        await leader.change_membership([Member("n4", ("tcp://h:1",), LEARNER)])
        await nodes.all_applied()
        for node_id in NODE_IDS:
            await nodes.crash(node_id)
        for node_id in NODE_IDS:
            node = await nodes.start(node_id)
            assert members_of(node)["n4"] == "learner"
            assert node._network.located["n4"] == ("tcp://h:1",)  # type: ignore[attr-defined]


# -- joining


async def test_a_node_joins_as_a_learner_catches_up_and_becomes_a_voter() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        for number in range(50):
            await leader.propose(b"%d" % number)
        fourth = await nodes.start("n4", join=Join(Member("n4", ("tcp://h:4",)), nodes.ask))
        await until(lambda: members_of(fourth).get("n4") == "voter")
        assert nodes.machines["n4"].lines == nodes.machines[leader.identity.node_id].lines
        joined = leader._raft.membership.member("n4")
        assert joined == Member("n4", ("tcp://h:4",), Suffrage.VOTER, fourth._raft.incarnation)
        assert joined.incarnation > 0


async def test_a_node_that_joins_after_the_log_was_cut_gets_a_snapshot() -> None:
    config = RaftConfig(tick_interval_ms=10, election_timeout_ticks=20, snapshot_trailing_entries=0)
    async with team(config) as nodes:
        leader = await nodes.leader()
        for number in range(50):
            await leader.propose(b"%d" % number)
        await leader.take_snapshot()
        fourth = await nodes.start("n4", join=Join(Member("n4"), nodes.ask))
        await until(lambda: members_of(fourth).get("n4") == "voter")
        assert nodes.machines["n4"].lines == nodes.machines[leader.identity.node_id].lines
        assert fourth.status().snapshot_index > 0


async def test_a_node_asks_again_until_there_is_a_leader_to_ask() -> None:
    async with team() as nodes:
        await nodes.leader()
        asked = 0

        async def unwilling(request: ChangeMembershipRequest) -> None:
            nonlocal asked
            asked += 1
            if asked < 4:
                raise NotLeader
            await nodes.ask(request)

        fourth = await nodes.start("n4", join=Join(Member("n4", suffrage=LEARNER), unwilling))
        await until(lambda: members_of(fourth).get("n4") == "learner")
        assert asked == 4


async def test_a_node_that_is_not_taken_in_ends_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raftsdk.runtime.joining.PAUSE_MAX_S", 0.001)
    monkeypatch.setattr("raftsdk.runtime.joining.PAUSE_MIN_S", 0.001)

    async def never(request: ChangeMembershipRequest) -> None:
        raise MembershipRefused("not you")

    async with team() as nodes:
        with pytest.raises(MembershipRefused, match="not you"):
            async with new_node("n4", nodes.switch.network("n4"), voters=[], join=Join(Member("n4"), never)):
                await asyncio.sleep(20)


async def test_a_node_that_crashed_while_it_joined_goes_on_as_the_same_one() -> None:
    async with team() as nodes:
        await (await nodes.leader()).propose(b"x")
        asked: list[Member] = []

        async def lost(request: ChangeMembershipRequest) -> None:
            asked.extend(request.members)
            await asyncio.sleep(20)

        await nodes.start("n4", join=Join(Member("n4"), lost))
        await until(lambda: asked)
        await nodes.crash("n4")

        async def heard(request: ChangeMembershipRequest) -> None:
            asked.extend(request.members)
            await nodes.ask(request)

        fourth = await nodes.start("n4", join=Join(Member("n4"), heard))
        await until(lambda: members_of(fourth).get("n4") == "voter")
        assert [member.suffrage for member in asked] == ["learner", "learner", "voter"]
        assert len({member.incarnation for member in asked}) == 1


async def test_a_member_that_starts_again_does_not_ask_to_join() -> None:
    async with team() as nodes:
        await (await nodes.leader()).propose(b"x")
        fourth = await nodes.start("n4", join=Join(Member("n4"), nodes.ask))
        await until(lambda: members_of(fourth).get("n4") == "voter")
        await nodes.crash("n4")

        async def nobody(request: ChangeMembershipRequest) -> None:
            raise AssertionError("it is a member")

        fourth = await nodes.start("n4", join=Join(Member("n4"), nobody))
        await (await nodes.leader()).propose(b"y")
        await until(lambda: nodes.machines["n4"].lines == [b"x", b"y"])


async def test_a_node_that_was_removed_does_not_ask_to_join_again() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        fourth = await nodes.start("n4", join=Join(Member("n4"), nodes.ask))
        await until(lambda: members_of(fourth).get("n4") == "voter")
        await leader.change_membership(remove=["n4"])
        await until(lambda: "n4" not in {member.id for member in fourth._raft.membership.members})
        await nodes.crash("n4")
        asked: list[ChangeMembershipRequest] = []

        async def counted(request: ChangeMembershipRequest) -> None:
            asked.append(request)

        await nodes.start("n4", join=Join(Member("n4"), counted))
        await asyncio.sleep(0.3)
        assert asked == []


async def test_a_node_under_an_old_id_with_an_empty_disk_is_not_let_in() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        fourth = await nodes.start("n4", join=Join(Member("n4"), nodes.ask))
        await until(lambda: members_of(fourth).get("n4") == "voter")
        await nodes.crash("n4")
        del nodes.disks["n4"]
        said: list[str] = []

        async def listened(request: ChangeMembershipRequest) -> None:
            try:
                await nodes.ask(request)
            except MembershipRefused as refused:
                said.append(str(refused))
                raise

        await nodes.start("n4", join=Join(Member("n4"), listened))
        await until(lambda: any("n4 is a member with other data" in why for why in said))


async def test_a_node_that_lost_its_disk_joins_anew_once_the_old_one_is_removed() -> None:
    """It replays a log in which its id was a voter, with the data that is gone: that was somebody else."""
    async with team(ENTRY_BY_ENTRY) as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        fourth = await nodes.start("n4", join=Join(Member("n4"), nodes.ask))
        await until(lambda: members_of(fourth).get("n4") == "voter")
        first = fourth._raft.incarnation
        await nodes.crash("n4")
        del nodes.disks["n4"]
        again = await nodes.start("n4", join=Join(Member("n4"), nodes.ask))
        nodes.switch.cut = {"n4"}  # it asks by another way, and is taken in before it hears of it
        await leader.change_membership(remove=["n4"])
        await until(lambda: leader._raft.membership.member("n4") is not None)
        await asyncio.sleep(0.1)
        nodes.switch.cut = set()
        await until(lambda: leader._raft.membership.member("n4") == Member("n4", incarnation=again._raft.incarnation))
        assert again._raft.incarnation != first
        await nodes.all_applied()


async def test_who_is_listed_under_a_nodes_id_with_other_data_is_not_that_node() -> None:
    async with team() as nodes:
        disk = nodes.disks["n4"] = MemoryStorage()
        listed = Membership((*map(Member, NODE_IDS), Member("n4", incarnation=5)))
        entry = Entry(1, EntryKind.MEMBERSHIP, encode_membership(listed))
        await disk.persist(Write(1, HardState(term=1, incarnation=9), None, 1, [entry]))
        asked: list[Member] = []

        async def busy(request: ChangeMembershipRequest) -> None:
            asked.extend(request.members)
            raise NotLeader

        await nodes.start("n4", join=Join(Member("n4"), busy))
        await until(lambda: len(asked) == 2)
        assert asked[0] == Member("n4", suffrage=LEARNER, incarnation=9)


async def test_a_node_that_knows_that_it_lost_data_does_not_ask_to_join() -> None:
    """The core has said what is to be done: it is removed, and joins anew with an empty directory."""
    async with team() as nodes:
        disk = nodes.disks["n4"] = MemoryStorage()
        await disk.persist(Write(1, HardState(term=1, incarnation=LOST), None, 1, []))
        asked: list[ChangeMembershipRequest] = []

        async def counted(request: ChangeMembershipRequest) -> None:
            asked.append(request)

        await nodes.start("n4", join=Join(Member("n4"), counted))
        await asyncio.sleep(0.3)
        assert asked == []


class Witness(MemoryStorage):
    """Remembers of what memberships snapshots were taken."""

    def __init__(self) -> None:
        super().__init__()
        self.memberships: list[Membership] = []

    async def create_snapshot(self, index: LogIndex, term: Term, membership: Membership) -> MemorySink:
        self.memberships.append(membership)
        return await super().create_snapshot(index, term, membership)


async def test_a_node_yet_to_hear_who_the_members_are_takes_no_snapshot() -> None:
    """Who founded the cluster is in nobody's log: a node that joins knows of nobody until the first change."""
    async with team(ENTRY_BY_ENTRY) as nodes:
        leader = await nodes.leader()
        for number in range(50):
            await leader.propose(b"%d" % number)
        disk = nodes.disks["n4"] = Witness()
        nodes.config = RaftConfig(tick_interval_ms=10, snapshot_after_entries=5)
        fourth = await nodes.start("n4", join=Join(Member("n4", suffrage=LEARNER), nodes.ask))
        await leader.propose(b"x")
        await until(lambda: fourth.status().snapshot_index > 50)
        assert disk.memberships
        assert all(membership.member("n4") for membership in disk.memberships)


# -- who leads


async def test_leadership_is_handed_to_whom_it_is_meant_for() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        target = (await nodes.followers())[1].identity.node_id
        assert await leader.transfer_leadership(target) == target
        new = await nodes.leader()
        assert new.identity.node_id == target
        await new.propose(b"y")
        await nodes.all_applied()
        assert {tuple(machine.lines) for machine in nodes.machines.values()} == {(b"x", b"y")}


async def test_leadership_is_handed_to_anybody_when_it_does_not_matter_to_whom() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        response = await leader.handle(TransferLeadershipRequest())
        assert isinstance(response, TransferLeadershipResponse)
        assert response.leader_id == (await nodes.leader()).identity.node_id != leader.identity.node_id


async def test_a_transfer_to_who_does_not_answer_fails_and_the_leader_goes_on() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        target = (await nodes.followers())[0].identity.node_id
        nodes.switch.cut = {target}
        await leader.propose(b"x")
        with pytest.raises(TransferFailed, match="did not take over"):
            await leader.transfer_leadership(target)
        assert await leader.propose(b"y")


@pytest.mark.parametrize(("target", "why"), [("n9", "n9 is no voter"), ("self", "leads already")])
async def test_a_transfer_to_nobody_is_refused(target: NodeId, why: str) -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        with pytest.raises(TransferFailed, match=why):
            await leader.transfer_leadership(leader.identity.node_id if target == "self" else target)


async def test_only_a_leader_hands_over_leadership() -> None:
    async with new_node("n1", Switch().network("n1"), config=NEVER_CAMPAIGNS) as node:
        with pytest.raises(NotLeader):
            await node.transfer_leadership()
    with pytest.raises(NodeStopped):
        await node.transfer_leadership()


@asynccontextmanager
async def led_by_n1() -> AsyncIterator[Team]:
    """n1 leads, and nobody else would ever campaign unasked."""
    async with team(founders=[]) as nodes:
        await nodes.start("n1")
        nodes.config = NEVER_CAMPAIGNS
        for node_id in ("n2", "n3"):
            await nodes.start(node_id)
        assert (await nodes.leader()).identity.node_id == "n1"
        yield nodes


async def test_a_leader_that_is_stopped_in_peace_hands_over_first() -> None:
    async with led_by_n1() as nodes:
        await nodes.nodes["n1"].propose(b"x")
        await nodes.stop("n1")
        new = await nodes.leader()
        await new.propose(b"y")


async def test_a_leader_that_fails_hands_over_to_nobody() -> None:
    async with led_by_n1() as nodes:
        await nodes.crash("n1")
        await asyncio.sleep(0.5)
        assert not any(node.is_leader for node in nodes.nodes.values())


async def test_a_leader_that_nobody_answers_stops_all_the_same() -> None:
    async with led_by_n1() as nodes:
        nodes.switch.cut = {"n1"}
        await nodes.stop("n1")


class SlowlyFailingDisk(FailingDisk):
    async def persist(self, write: Write) -> None:
        if self.fails:
            await asyncio.sleep(0.05)
        await super().persist(write)


async def test_a_leader_whose_disk_fails_while_it_hands_over_ends_with_that() -> None:
    disk = SlowlyFailingDisk()
    async with team(founders=[]) as nodes:
        nodes.disks["n1"] = disk
        await nodes.start("n1")
        nodes.config = NEVER_CAMPAIGNS
        for node_id in ("n2", "n3"):
            await nodes.start(node_id)
        leader = await nodes.leader()
        nodes.switch.cut = {"n1"}
        disk.fails = True
        last = leader.status().last_log_index
        waiting = asyncio.create_task(outcome(leader.propose(b"x")))
        await until(lambda: leader.status().last_log_index > last)
        with pytest.raises(StorageFailed):
            await nodes.stop("n1")
        assert isinstance(await waiting, OutcomeUnknown)


async def test_a_leader_alone_stops_without_handing_over() -> None:
    async with alone() as node:
        await node.propose(b"x")
