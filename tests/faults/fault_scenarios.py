"""What befalls clusters: each scenario does `count` faults of its kind, one after another, and says what must hold.

A test does as many as a few seconds allow, `soak.py` as many as there is time for. What must hold always is in
`fault_trial`.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import pytest
from fault_trial import ELECTION_TIMEOUT_S, Trial

from raftsdk.cli.output import Exit
from raftsdk.testing.processes import NodeDied, NodeProcess
from raftsdk.testing.proxy import Way
from raftsdk.testing.wiring import Pairs, alone, bridge, chain, groups, ring

SOON_S: Final = 5 * ELECTION_TIMEOUT_S
"""Within which a quorum that is up and hears each other has a leader, and serves."""

SLOW_SYNC_MS: Final = 5_000
HOUR_MS: Final = 3_600_000
CLOCK_RATES: Final = (0.8, 1.0, 1.2)
DRIFT_PERCENT: Final = 40
"""More than the slowest of these clocks counts too little while the fastest counts an election timeout: a third."""


# -- processes


async def kill_processes(trial: Trial, count: int) -> None:
    """SIGKILL: of the leader, of a follower, of a leader that has just come to lead, and of all at once."""
    killed = 0
    while killed < count:
        await kill_leader(trial)
        await trial.kill(await trial.follower())
        await kill_leader(trial)
        await trial.kill(*trial.nodes)
        await trial.serves(within_s=SOON_S)
        killed += 3 + len(trial.nodes)


async def kill_leader(trial: Trial) -> None:
    """The others are a quorum, so one of them leads soon."""
    leader = await trial.leader()
    with trial.fault(f"kill {leader.node_id}"):
        await leader.kill()
        await trial.leader(within_s=SOON_S)
        await leader.start()


async def pause_processes(trial: Trial, count: int) -> None:
    """SIGSTOP: of the leader, of a follower, of both."""
    for number in range(count):
        leader, follower = await trial.leader(), await trial.follower()
        paused = [[leader], [follower], [leader, follower]][number % 3]
        async with trial.paused(*paused):
            await asyncio.sleep(trial.rng.uniform(0.1, trial.longest_pause_s))
        await trial.serves(within_s=SOON_S)


# -- the network


async def part_the_network(trial: Trial, count: int) -> None:
    """Whatever the parts, one of them has a majority that hears each other, or a node that hears one: it serves."""
    shapes = SHAPES if len(trial.nodes) > 3 else SHAPES_OF_THREE
    for shape in islice(cycle(shapes), count):
        leader = await trial.leader()
        async with terms_grow_at_most(trial, 1 if shape in (around_a_follower, around_the_leader) else None):
            with trial.fault(shape.__name__):
                trial.cuts.connect(shape(trial, leader))
                await trial.serves(within_s=SOON_S)
                await asyncio.sleep(trial.rng.uniform(0, ELECTION_TIMEOUT_S))
                trial.cuts.heal()
        await trial.serves(within_s=SOON_S)


def leader_alone(trial: Trial, leader: NodeProcess) -> Pairs:
    """Its part cannot commit; a client that asks there waits in vain."""
    return alone(leader.node_id, trial.cuts.nodes)


def follower_alone(trial: Trial, leader: NodeProcess) -> Pairs:
    """It campaigns in vain, and does not disturb when it is back (pre-vote)."""
    return alone(trial.rng.choice(others(trial, leader)), trial.cuts.nodes)


def leader_in_the_smaller_half(trial: Trial, leader: NodeProcess) -> Pairs:
    """As alone, but that somebody follows it."""
    following = others(trial, leader)
    trial.rng.shuffle(following)
    smaller = len(following) // 2
    return groups([leader.node_id, *following[: smaller - 1]], following[smaller - 1 :])


def around_a_follower(trial: Trial, leader: NodeProcess) -> Pairs:
    """Two halves that hear each other through one node only, which is not the leader."""
    return bridge(trial.rng.choice(others(trial, leader)), [leader.node_id, *others(trial, leader)])


def around_the_leader(trial: Trial, leader: NodeProcess) -> Pairs:
    """Two halves that do not hear each other, and hear the leader."""
    return bridge(leader.node_id, trial.cuts.nodes)


def in_a_chain(trial: Trial, leader: NodeProcess) -> Pairs:
    """The leader at its end; with three nodes a bridge."""
    return chain([leader.node_id, *others(trial, leader)])


def in_a_ring(trial: Trial, leader: NodeProcess) -> Pairs:
    """Of five everybody hears a majority, and no two the same one. Three nodes in a ring all hear each other."""
    return ring([leader.node_id, *others(trial, leader)])


SHAPES: Final = (
    leader_alone,
    around_a_follower,
    leader_in_the_smaller_half,
    around_the_leader,
    follower_alone,
    in_a_chain,
    in_a_ring,
)


SHAPES_OF_THREE: Final = tuple(shape for shape in SHAPES if shape is not in_a_ring)


def others(trial: Trial, node: NodeProcess) -> list[str]:
    """The ids of all but that one."""
    return [other.node_id for other in trial.nodes if other is not node]


@asynccontextmanager
async def terms_grow_at_most(trial: Trial, most: int | None) -> AsyncIterator[None]:
    """See that there is no election too many; None: there may be any number."""
    before = await trial.term()
    yield
    if most is not None:
        assert await trial.term() - before <= most


async def cut_one_way(trial: Trial, count: int) -> None:
    """Of the leader nothing is heard; it hears nothing; one follower does not hear it."""
    for number in range(count):
        leader = await trial.leader()
        async with terms_grow_at_most(trial, 2):
            with trial.fault(f"one way, {number % 3}"):
                await ONE_WAY[number % 3](trial, leader)
                await trial.serves(within_s=SOON_S)
                trial.cuts.heal()
        await trial.serves(within_s=SOON_S)


async def nobody_hears(trial: Trial, leader: NodeProcess) -> None:
    """The others elect one of their own."""
    for other in others(trial, leader):
        trial.cuts.cut(leader.node_id, other)
    await trial.leader(other_than=leader, within_s=SOON_S)


async def hears_nobody(trial: Trial, leader: NodeProcess) -> None:
    """A leader that hears no quorum must not keep the others from electing one: it steps down (check-quorum)."""
    for other in others(trial, leader):
        trial.cuts.cut(other, leader.node_id)

    async def stepped_down() -> bool:
        status = await trial.status(leader)
        return status is not None and status.role != "leader"

    await trial.until(stepped_down, f"{leader.node_id} no leader any more", within_s=2 * ELECTION_TIMEOUT_S)


async def one_does_not_hear(trial: Trial, leader: NodeProcess) -> None:
    """That one campaigns in vain: the others hear their leader (leader stickiness)."""
    trial.cuts.cut(leader.node_id, trial.rng.choice(others(trial, leader)))
    await asyncio.sleep(ELECTION_TIMEOUT_S)
    assert await trial.leader() is leader


ONE_WAY: Final = (nobody_hears, hears_nobody, one_does_not_hear)

SLICED: Final = Way(delay_ms=5, jitter_ms=10, loss_share=0.01, slice_bytes=1)
NARROW: Final = Way(bytes_per_second=100_000, slice_bytes=1_000, delay_ms=10)
LEAKY: Final = Way(gap_share=0.02)
BLACK_HOLE: Final = Way(black_hole_after_bytes=100_000)
BAD_LINKS: Final = (SLICED, LEAKY, NARROW, BLACK_HOLE)


async def spoil_links(trial: Trial, count: int) -> None:
    """Links that are slow, that lose what they carry, that hand on every byte alone; then they are good again.

    Where bytes are missing, a frame is not taken for another: it is refused, and its connection is closed. Afterwards a
    good part of what succeeded before does so again.
    """
    for way in islice(cycle(BAD_LINKS), count):
        goal = await successes_per_s(trial) / 4
        with trial.fault(str(way)):
            trial.wiring.set_all(way)
            await asyncio.sleep(3 * ELECTION_TIMEOUT_S)
            trial.wiring.heal()
            trial.wiring.reset(trial.wiring.nodes)  # A connection that lost bytes would wait for its time limit.

        async def recovered(goal: float = goal) -> bool:
            return await successes_per_s(trial) >= goal

        await trial.until(recovered, f"{goal:.0f} successes a second, a quarter of those before {way}")


async def successes_per_s(trial: Trial, seconds: float = 0.5) -> float:
    """How many there are now."""
    before = trial.workload.successes
    await asyncio.sleep(seconds)
    return (trial.workload.successes - before) / seconds


# -- disks and clocks


async def slow_the_disk(trial: Trial, count: int) -> None:
    """A leader whose every sync takes seconds is no leader: heartbeats alone do not keep it one."""
    for _ in range(count):
        leader = await trial.leader()
        with trial.fault(f"slow disk of {leader.node_id}"):
            trial.machines[leader].set(sync_delay_ms=SLOW_SYNC_MS)
            await trial.leader(other_than=leader, within_s=SOON_S)
            await trial.serves(within_s=SOON_S)
            trial.machines[leader].set()
        await trial.serves(within_s=SOON_S)


async def fail_the_disk(trial: Trial, count: int) -> None:
    """The node stops and says why, and the others go on; when its disk is sound again, it comes back."""
    for number in range(count):
        node = await trial.leader() if number % 3 != 1 else await trial.follower()
        with trial.fault(f"failing disk of {node.node_id}"):
            if number % 3 == 2:
                trial.machines[node].set(write_errno=errno.EIO)
            else:
                trial.machines[node].set(sync_errno=errno.EIO)
            await stops_for_its_storage(trial, node)
            trial.machines[node].set()
            await node.start()
        await trial.serves(within_s=SOON_S)


async def fill_the_disk(trial: Trial, count: int) -> None:
    """A leader whose disk is full stops, promises nothing while it cannot keep a promise, and recovers with space."""
    for _ in range(count):
        leader = await trial.leader()
        ballast = leader.directory / "data" / "ballast"
        with trial.fault(f"full disk of {leader.node_id}"):
            fill(ballast)
            await stops_for_its_storage(trial, leader)
            with pytest.raises(NodeDied, match=r"disk is full|No space left"):
                await leader.start()
            ballast.unlink()
            await leader.start()
        await trial.serves(within_s=SOON_S)


def fill(ballast: Path) -> None:
    """Leave no room for anything."""
    with ballast.open("wb") as file:
        disk = os.statvfs(file.fileno())
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize)


async def stops_for_its_storage(trial: Trial, node: NodeProcess) -> None:
    """With its next write; the others serve."""
    async with asyncio.timeout(SOON_S):
        await node.wait()
    assert node.exit_code == Exit.STORAGE_FAILED
    assert "failed to make a write durable" in node.said().splitlines()[-1]
    await trial.serves(within_s=SOON_S)


async def jump_the_wall_clock(trial: Trial, count: int) -> None:
    """An hour ahead or back, on one node after another: nothing that matters looks at it."""
    async with terms_grow_at_most(trial, 0):
        for number, node in enumerate(islice(cycle(trial.nodes), count)):
            with trial.fault(f"clock of {node.node_id}"):
                trial.machines[node].set(wall_offset_ms=HOUR_MS if number % 2 else -HOUR_MS)
                await asyncio.sleep(ELECTION_TIMEOUT_S)
                await trial.serves(within_s=SOON_S)


async def live_with_drifting_clocks(trial: Trial, count: int) -> None:
    """Monotonic clocks that are a fifth fast and slow (`CLOCK_RATES`) cost no election, and an election goes on."""
    with trial.fault("drifting clocks"):
        for _ in range(count):
            async with terms_grow_at_most(trial, 0):
                await asyncio.sleep(2 * ELECTION_TIMEOUT_S)
            await kill_leader(trial)
            await trial.serves(within_s=SOON_S)
