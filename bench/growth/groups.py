"""What idle groups cost: three processes with a node of every group in each."""

import asyncio
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from msgspec import Struct

from bench.cluster import Cluster, running
from bench.growth.processes import cpu_percent, machine_cpu, rss_mib
from bench.growth.turns import said, wait_until
from bench.processes import BenchError
from bench.rows import Outcome
from bench.systems import System, module
from bench.turns import Step

ELECTED_S = 60.0
SETTLE_S = 2.0
POLL_S = 0.1


class Groups(Struct, frozen=True):
    """So many groups, idle. Percentages are of one core, for each process, and so is memory."""

    groups: int
    cpu_percent: float  #: Of the busiest process.
    mean_cpu_percent: float
    cpu_us_per_group_s: float  #: Of the busiest process, for a group and a second.
    rss_mib: float  #: Of the largest process.
    elected_s: float  #: From the start of the processes until all groups had a leader.
    machine_idle_percent: float  #: Of all CPUs meanwhile. Near 0 the processes got less time than they wanted.


async def run(options: Namespace, directory: Path, step: Step) -> Outcome:
    """One count after another."""
    rows, failed = [], []
    for count in options.groups:
        try:
            with TemporaryDirectory(dir=directory) as home:
                rows.append(await _idle(count, options.idle_seconds, Path(home)))
            step(f"{count:,} idle groups: {rows[-1].cpu_percent:.1f} % of a core")
        except BenchError as error:
            failed.append(said(error))
    notes = [f"In memory, the defaults of `RaftConfig`; {options.idle_seconds:g} s in which nobody asked anything."]
    return Outcome("Idle groups in one process", rows, notes, failed=failed)


def steps(options: Namespace) -> tuple[int, float]:
    """One for each count."""
    return len(options.groups), len(options.groups) * (options.idle_seconds + SETTLE_S + 5)


async def _idle(count: int, seconds: float, directory: Path) -> Groups:
    system = System(f"{count} groups", "raftsdk", False, "nothing", module("bench.growth.host"), str(count))
    began = perf_counter()
    async with running(system, directory) as cluster:
        await _all_led(cluster, count)
        elected_s = perf_counter() - began
        await asyncio.sleep(SETTLE_S)
        pids, term = [node.pid for node in cluster.nodes], await _term(cluster)
        idle, there = machine_cpu()
        percents = await cpu_percent(pids, seconds)
        idle, there = machine_cpu()[0] - idle, machine_cpu()[1] - there
        if elections := await _term(cluster) - term:
            raise BenchError(
                f"{count:,} groups do not come to rest: {elections:,} elections in {seconds:g} s, at "
                f"{max(percents):.0f} % of a core with the machine {100 * idle / there:.0f} % idle: that is not idle"
            )
        return Groups(
            groups=count,
            cpu_percent=max(percents),
            mean_cpu_percent=sum(percents) / len(percents),
            cpu_us_per_group_s=max(percents) * 10_000 / count,
            rss_mib=max(rss_mib(pid) for pid in pids),
            elected_s=elected_s,
            machine_idle_percent=100 * idle / there,
        )


async def _all_led(cluster: Cluster, count: int) -> None:
    async def led() -> bool:
        return min([(await node.status()).applied for node in cluster.nodes]) == count

    await wait_until(led, ELECTED_S, poll_s=POLL_S, failure=f"{cluster.system.name}: some had no leader")


async def _term(cluster: Cluster) -> int:
    return max([(await node.status()).term for node in cluster.nodes])
