"""How long nobody can write after the leader was killed: the same way of measuring for everybody.

SIGKILL to the leader; the others are asked every 5 ms whether they lead; who says so is given one write. The clock runs
from the signal to the acknowledgement. Then the killed node is started again, and has to catch up before the next kill.
"""

import asyncio
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from msgspec import Struct

from bench.cluster import Cluster, running
from bench.growth.turns import chosen, said, wait_until
from bench.load import Order, percentile
from bench.processes import BenchError, Program, Server
from bench.rows import Outcome
from bench.systems import ETCD, HASHICORP_BOLT, OPENRAFT_FILE, PYSYNCOBJ, RAFTSDK_SQLITE, System
from bench.turns import Step

POLL_S = 0.005
FAILOVER_S = 30.0
CATCH_UP_S = 30.0
SETTLE_S = 1.0  # between a node that has caught up and the next kill
TURN_S = 4.0  # of one kill, about

ELECTION_TIMEOUT_MS = {
    RAFTSDK_SQLITE: 400,  # election_timeout_ticks of tick_interval_ms
    HASHICORP_BOLT: 1000,  # HeartbeatTimeout
    OPENRAFT_FILE: 150,  # election_timeout_min
    ETCD: 1000,  # --election-timeout
    PYSYNCOBJ: 400,  # raftMinTimeout
}
"""By its defaults, the shortest silence after which each holds an election."""

ONE_WRITE = Order(writers=1, once=True)


class Failover(Struct, frozen=True):
    """First writes after the leader was killed."""

    system: str
    kills: int
    election_timeout_ms: int
    median_s: float
    p99_s: float
    max_s: float
    min_s: float
    median_in_election_timeouts: float
    p99_in_election_timeouts: float
    all_s: list[float]


async def run(options: Namespace, directory: Path, step: Step) -> Outcome:
    """One contestant after another: a kill leaves nothing to interleave with."""
    rows, failed = [], []
    for system in chosen(ELECTION_TIMEOUT_MS, options):
        times_s: list[float] = []
        try:
            with TemporaryDirectory(dir=directory) as home:
                async with running(system, Path(home)) as cluster:
                    for number in range(1, _kills(system, options) + 1):
                        times_s.append(await _kill(cluster))
                        step(f"{system.name}, kill {number}: {times_s[-1]:.2f} s")
        except BenchError as error:
            failed.append(f"{system.name}, kill {len(times_s) + 1}: {said(error)}")
        if times_s:
            rows.append(_row(system, times_s))
    return Outcome("First write after the leader was killed", rows, failed=failed)


def steps(options: Namespace) -> tuple[int, float]:
    """One for each kill."""
    kills = sum(_kills(system, options) for system in chosen(ELECTION_TIMEOUT_MS, options))
    return kills, kills * TURN_S


def _kills(system: System, options: Namespace) -> int:
    kills: int = options.kills if system.peer == "raftsdk" else options.peer_kills
    return kills


async def _kill(cluster: Cluster) -> float:
    """How long it took from the kill to the next acknowledged write, in seconds."""
    await (await cluster.writer()).load(ONE_WRITE)
    victim = await cluster.leader()
    killed_at = perf_counter()
    await victim.kill()
    await _write_again(cluster, [node for node in cluster.nodes if node is not victim])
    took_s = perf_counter() - killed_at
    await cluster.restart(cluster.nodes.index(victim))
    await _catch_up(cluster)
    await asyncio.sleep(SETTLE_S)
    return took_s


async def _write_again(cluster: Cluster, survivors: list[Server]) -> None:
    """Return when a write was acknowledged. One that is refused, because the node leads no more, is repeated."""
    why = "nobody led"
    with suppress(TimeoutError):
        async with asyncio.timeout(FAILOVER_S):
            while True:
                for node in survivors:
                    if not (await node.status()).leading:
                        continue
                    writer = cluster.client or node
                    assert isinstance(writer, Program)
                    try:
                        await writer.load(ONE_WRITE)
                    except BenchError as error:
                        why = str(error)
                    else:
                        return
                await asyncio.sleep(POLL_S)
    raise BenchError(f"no write within {FAILOVER_S:.0f} s of the kill: {why}")


async def _catch_up(cluster: Cluster) -> None:
    async def caught_up() -> bool:
        applied = {(await node.status()).applied for node in cluster.nodes}
        return len(applied) == 1 and min(applied) > 0

    await wait_until(caught_up, CATCH_UP_S, poll_s=10 * POLL_S, failure="the node that was killed has not caught up")


def _row(system: System, times_s: list[float]) -> Failover:
    ordered, timeout_ms = sorted(times_s), ELECTION_TIMEOUT_MS[system]
    median_s, p99_s = percentile(ordered, 50), percentile(ordered, 99)
    return Failover(
        system=system.name,
        kills=len(ordered),
        election_timeout_ms=timeout_ms,
        median_s=median_s,
        p99_s=p99_s,
        max_s=ordered[-1],
        min_s=ordered[0],
        median_in_election_timeouts=median_s * 1000 / timeout_ms,
        p99_in_election_timeouts=p99_s * 1000 / timeout_ms,
        all_s=times_s,
    )
