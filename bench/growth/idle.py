"""What a cluster costs while nobody asks anything of it."""

import asyncio
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from bench.cluster import running
from bench.growth.processes import cpu_percent, rss_mib
from bench.growth.turns import chosen, said
from bench.load import Order
from bench.processes import BenchError
from bench.rows import Outcome
from bench.systems import ETCD, HASHICORP_BOLT, OPENRAFT_FILE, PYSYNCOBJ, RAFTSDK, RAFTSDK_SQLITE, System
from bench.turns import Step

SETTLE_S = 2.0
START_AND_STOP_S = 3.0

SYSTEMS = (RAFTSDK, RAFTSDK_SQLITE, HASHICORP_BOLT, OPENRAFT_FILE, ETCD, PYSYNCOBJ)


class Idle(Struct, frozen=True):
    """Three idle nodes. Percentages are of one core."""

    system: str
    leader_cpu_percent: float
    follower_cpu_percent: float  #: Of the busier one.
    leader_rss_mib: float
    follower_rss_mib: float  #: Of the larger one.


async def run(options: Namespace, directory: Path, step: Step) -> Outcome:
    """One contestant after another."""
    rows, failed = [], []
    for system in chosen(SYSTEMS, options):
        try:
            with TemporaryDirectory(dir=directory) as home:
                rows.append(await _idle(system, options.idle_seconds, Path(home)))
            step(f"{system.name}, idle: leader {rows[-1].leader_cpu_percent:.2f} % of a core")
        except BenchError as error:
            failed.append(f"{system.name}: {said(error)}")
    notes = [f"Defaults, one write before, then {options.idle_seconds:g} s in which nobody asked anything."]
    return Outcome("Idle nodes", rows, notes, failed=failed)


def steps(options: Namespace) -> tuple[int, float]:
    """One for each contestant."""
    count = len(chosen(SYSTEMS, options))
    return count, count * (options.idle_seconds + SETTLE_S + START_AND_STOP_S)


async def _idle(system: System, seconds: float, directory: Path) -> Idle:
    async with running(system, directory) as cluster:
        await (await cluster.writer()).load(Order(writers=1, once=True))
        leader = await cluster.leader()
        await asyncio.sleep(SETTLE_S)
        pids = [leader.pid, *(node.pid for node in cluster.nodes if node is not leader)]
        percents = await cpu_percent(pids, seconds)
        sizes_mib = [rss_mib(pid) for pid in pids]
        return Idle(system.name, percents[0], max(percents[1:]), sizes_mib[0], max(sizes_mib[1:]))
