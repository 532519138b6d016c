"""What befalls clusters whose members change, as in `fault_scenarios`: faults are changes, some of which go wrong."""

import asyncio
import shutil
from typing import Final

import pytest
from fault_scenarios import SOON_S, terms_grow_at_most
from fault_trial import ELECTION_TIMEOUT_S, Trial, members_by

from raftsdk.errors import MembershipRefused, NotLeader, OutcomeUnknown, ProposalDropped, Unreachable
from raftsdk.testing.processes import NodeProcess
from raftsdk.testing.wiring import alone
from raftsdk.types import NodeId, Suffrage

OPERATOR_TIMEOUT_MS: Final = 10_000


async def change_members(trial: Trial, count: int) -> None:
    """One joins, one leaves, the leader's machine is replaced, one comes back without its data; and that all over.

    Needs two nodes that are yet to join for every four.
    """
    joining = iter(trial.cluster.joining)
    newest = trial.cluster.joining[0]
    for number in range(count):
        leader = await trial.leader()
        with trial.fault(f"members, {number % 4}"):
            match number % 4:
                case 0:
                    newest = next(joining)
                    await join(trial, newest)
                case 1:
                    await leave(trial, trial.rng.choice([node for node in trial.nodes if node not in (leader, newest)]))
                case 2:
                    await leader.kill()
                    await trial.leader(other_than=leader, within_s=SOON_S)
                    newest = next(joining)
                    await join(trial, newest)
                    await leave(trial, leader)
                case _:
                    await lose_the_data(trial, newest)
        await trial.serves(within_s=SOON_S)


async def change_members_while_parted(trial: Trial, count: int) -> None:
    """One joins while the leader is cut off; a removal that only a leader cut off has heard of comes to nothing, and is
    done again while a follower is cut off; a leader that is cut off is replaced, and disturbs nobody when it hears of
    it; and that all over.

    Needs two nodes that are yet to join for every three.
    """
    joining = iter(trial.cluster.joining)
    newest = trial.cluster.joining[0]
    for number in range(count):
        leader = await trial.leader()
        with trial.fault(f"members, parted, {number % 3}"):
            match number % 3:
                case 0:
                    newest = next(joining)
                    await join_without(trial, newest, leader)
                case 1:
                    leaving = trial.rng.choice([node for node in trial.nodes if node not in (leader, newest)])
                    await ask_in_vain(trial, leader, leaving)
                    now_leads = await trial.leader()
                    following = [node for node in trial.nodes if node not in (now_leads, leaving)]
                    trial.cuts.connect(alone(trial.rng.choice(following).node_id, trial.cuts.nodes))
                    await leave(trial, leaving)
                    trial.cuts.heal()
                case _:
                    newest = next(joining)
                    await replace_from_afar(trial, leader, newest)
        await trial.serves(within_s=SOON_S)


async def join_without(trial: Trial, node: NodeProcess, leader: NodeProcess) -> None:
    """The leader that was asked is cut off at any moment of it."""
    async with asyncio.TaskGroup() as meanwhile:
        meanwhile.create_task(join(trial, node))
        await asyncio.sleep(trial.rng.uniform(0.5, 1.5))  # a process takes half of a second to start
        trial.cuts.connect(alone(leader.node_id, trial.cuts.nodes))
        await trial.leader(other_than=leader, within_s=SOON_S)
        await asyncio.sleep(trial.rng.uniform(0, ELECTION_TIMEOUT_S))
        trial.cuts.heal()


async def ask_in_vain(trial: Trial, leader: NodeProcess, leaving: NodeProcess) -> None:
    """A leader that is cut off begins the change, and gives it up once it hears of the next one."""
    trial.cuts.connect(alone(leader.node_id, trial.cuts.nodes))
    async with trial.client(leader.address) as asking:
        with pytest.raises(OutcomeUnknown):
            await asking.change_membership(remove=[leaving.node_id])

    async def has_begun() -> bool:
        status = await trial.status(leader)
        if status is None or status.membership_index <= status.commit_index:
            return False
        return leaving.node_id not in members_by(status)

    async def has_given_up() -> bool:
        status = await trial.status(leader)
        return status is not None and leaving.node_id in members_by(status)

    await trial.until(has_begun, f"{leaving.node_id} no member, to {leader.node_id}", within_s=SOON_S)
    await trial.leader(other_than=leader, within_s=SOON_S)
    trial.cuts.heal()
    await trial.until(has_given_up, f"{leaving.node_id} a member again, to {leader.node_id}", within_s=SOON_S)


async def replace_from_afar(trial: Trial, leader: NodeProcess, newest: NodeProcess) -> None:
    """The leader is cut off; another joins and it is removed. When it is back, it may campaign as it likes."""
    trial.cuts.connect(alone(leader.node_id, trial.cuts.nodes))
    await trial.leader(other_than=leader, within_s=SOON_S)
    await join(trial, newest)
    trial.nodes.remove(leader)
    await remove_members(trial, leader.node_id)
    async with terms_grow_at_most(trial, 0):
        trial.cuts.heal()
        await asyncio.sleep(3 * ELECTION_TIMEOUT_S)
    await leader.stop()


async def join(trial: Trial, node: NodeProcess) -> None:
    """Started with nothing but addresses to ask, it becomes a voter; writes go on meanwhile."""
    await node.start()
    await becomes_a_voter(trial, node)
    trial.nodes.append(node)
    await trial.serves(within_s=SOON_S)


async def becomes_a_voter(trial: Trial, node: NodeProcess) -> None:
    async def votes() -> bool:
        status = await trial.status(node)
        return status is not None and status.suffrage == Suffrage.VOTER

    await trial.until(votes, f"{node.node_id} a voter")


async def leave(trial: Trial, node: NodeProcess) -> None:
    """Removed, whether it is up or not; the others serve without it."""
    trial.nodes.remove(node)
    await remove_members(trial, node.node_id)
    await node.stop()
    await trial.serves(within_s=SOON_S)


async def remove_members(trial: Trial, *ids: NodeId) -> None:
    """As an operator does: again, while the cluster is busy with another change or has no leader, and where nobody
    knows what became of the last attempt, once a look at the members says that it came to nothing.
    """
    running = [node.address for node in trial.nodes if node.running]

    async def gone() -> bool:
        leading = [status for status in (await trial.statuses()).values() if status.role == "leader"]
        latest = max(leading, key=lambda status: status.term, default=None)
        if latest is None or latest.joint or latest.membership_index > latest.commit_index:
            return False
        return not members_by(latest) & {*ids}

    async def done() -> bool:
        try:
            await admin.change_membership(remove=ids)
        except MembershipRefused as refused:
            if "ask again" not in str(refused) and not await gone():
                raise
            return "ask again" not in str(refused)
        except (NotLeader, OutcomeUnknown, ProposalDropped, Unreachable):
            return await gone()
        return True

    async with trial.client(*running, timeout_ms=OPERATOR_TIMEOUT_MS) as admin:
        await trial.until(done, f"without {', '.join(ids)}")


async def lose_the_data(trial: Trial, node: NodeProcess) -> None:
    """A member that has lost its disk is refused under its old id: it counted, and knows of nothing it has promised.

    Only once an operator has removed it, is it taken in again.
    """
    await node.kill()
    shutil.rmtree(node.directory / "data")
    await node.start()
    await trial.serves(within_s=SOON_S)
    leader = await trial.leader()
    sound = [other for other in trial.nodes if other not in (leader, node)]
    async with trial.paused(leader, *sound[: len(trial.nodes) // 2 - 1]):
        await asyncio.sleep(3 * ELECTION_TIMEOUT_S)
        roles = {status.role for other, status in (await trial.statuses()).items() if other is not leader}
    assert "leader" not in roles, "a member without its data has made somebody leader"
    await trial.serves(within_s=SOON_S)
    await remove_members(trial, node.node_id)
    await becomes_a_voter(trial, node)
