"""A large state is written down, and sent to a follower that is far behind, under load."""

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from msgspec import Struct
from msgspec.structs import replace

from bench.cluster import Cluster, running
from bench.growth.load import CAUGHT_UP, SNAPSHOT, LongOrder
from bench.growth.node import Settings, system
from bench.growth.processes import rss_mib
from bench.growth.turns import said, wait_until
from bench.load import VALUE_BYTES
from bench.processes import BenchError, Program
from bench.rows import Outcome
from bench.turns import Step

WRITERS = 256
CALM_WINDOWS = 5  # of `--seconds`
BEHIND_S = 2.0
PHASE_S = 300.0  # at the most
RESTORE_S = 60.0
POLL_S = 0.2
MIB = 1 << 20
EXPECTED_MIB_PER_S = 40

CALM, TAKEN, SENT, AFTER = "calm", "snapshot taken", "snapshot sent", "calm again"


class Phase(Struct, frozen=True):
    """The load while something happened."""

    phase: str
    state_mib: int
    seconds: float
    writes_per_s: float
    p50_ms: float
    p99_ms: float
    rate_to_calm: float  #: To the better of the phases in which nothing happened, so far as there were.
    p99_to_calm: float  #: Likewise.
    elections: int  #: Terms begun in it.
    leader_rss_mib: float  #: The most there was.
    follower_rss_mib: float


async def run(options: Namespace, directory: Path, step: Step) -> Outcome:
    """One cluster, phase by phase."""
    outcome = Outcome("A snapshot under load", [], [_note(options)])
    settings = Settings("sqlite", state_bytes=options.state_mib * MIB, compacts=False)
    try:
        with TemporaryDirectory(dir=directory) as home:
            async with running(system("raftsdk, SQLite", settings), Path(home)) as cluster:
                await _Run(cluster, options, outcome, step).phases()
    except BenchError as error:
        outcome.failed.append(said(error))
    return outcome


def steps(options: Namespace) -> tuple[int, float]:
    """One for each phase."""
    return 4, 2 * CALM_WINDOWS * options.seconds + BEHIND_S + 3 * options.state_mib / EXPECTED_MIB_PER_S


def _note(options: Namespace) -> str:
    return (
        f"SQLite, {WRITERS} writers of {VALUE_BYTES} B in the leader, a state of {options.state_mib:,} MiB on each "
        "node; defaults, but that snapshots are taken on demand alone. Sent: to a follower that was killed, missed "
        "what the log no longer has, and was started again."
    )


def _compared(phases: Sequence[Phase]) -> list[Phase]:
    """With ratios to the better calm: a cluster that has only just started is slower, and would flatter the others."""
    calm = [phase for phase in phases if phase.phase in (CALM, AFTER)]
    rate, p99_ms = max(phase.writes_per_s for phase in calm), min(phase.p99_ms for phase in calm)
    return [
        replace(phase, rate_to_calm=phase.writes_per_s / rate, p99_to_calm=phase.p99_ms / p99_ms) for phase in phases
    ]


class _Run:
    def __init__(self, cluster: Cluster, options: Namespace, outcome: Outcome, step: Step) -> None:
        self._cluster = cluster
        self._state_mib: int = options.state_mib
        self._calm_s = CALM_WINDOWS * options.seconds
        self._outcome = outcome
        self._step = step
        self._phases: list[Phase] = []

    async def phases(self) -> None:
        leader = await self._cluster.writer()
        await self._phase(CALM, leader, self._calm_s)
        await self._phase(TAKEN, leader, PHASE_S, SNAPSHOT)
        place = next(place for place, node in enumerate(self._cluster.nodes) if node is not leader)
        await self._cluster.nodes[place].kill()
        await leader.load(LongOrder(WRITERS, BEHIND_S))
        await leader.load(LongOrder(WRITERS, PHASE_S, until=SNAPSHOT))
        await self._cluster.restart(place)
        await self._phase(SENT, leader, PHASE_S, CAUGHT_UP)
        await self._applies(place, (await leader.status()).applied)
        await self._phase(AFTER, leader, self._calm_s)
        await leader.load(LongOrder(writers=1, once=True))
        await self._cluster.check_all_applied()

    async def _phase(self, name: str, leader: Program, seconds: float, until: str = "") -> None:
        term, began = (await leader.status()).term, perf_counter()
        peak = asyncio.create_task(self._peak(leader))
        try:
            sample = await leader.load(LongOrder(WRITERS, seconds, until=until))
        finally:
            peak.cancel()
            leader_rss, follower_rss = await peak
        elapsed_s = perf_counter() - began
        phase = Phase(
            phase=name,
            state_mib=self._state_mib,
            seconds=elapsed_s,
            writes_per_s=sample.operations_per_s,
            p50_ms=sample.p50_ms,
            p99_ms=sample.p99_ms,
            rate_to_calm=1.0,
            p99_to_calm=1.0,
            elections=(await leader.status()).term - term,
            leader_rss_mib=leader_rss,
            follower_rss_mib=follower_rss,
        )
        self._phases.append(phase)
        self._outcome.rows = _compared(self._phases)
        self._step(f"{name}: {elapsed_s:.1f} s, {phase.writes_per_s:,.0f}/s, p99 {phase.p99_ms:.1f} ms")

    async def _peak(self, leader: Program) -> tuple[float, float]:
        """Most memory of the leader, and of a follower, until cancelled."""
        leader_rss, follower_rss = 0.0, 0.0
        with suppress(asyncio.CancelledError):
            while True:
                leader_rss = max(leader_rss, rss_mib(leader.pid))
                followers = (node for node in self._cluster.nodes if node is not leader and node.running)
                follower_rss = max(follower_rss, *(rss_mib(node.pid) for node in followers))
                await asyncio.sleep(POLL_S)
        return leader_rss, follower_rss

    async def _applies(self, place: int, applied: int) -> None:
        """Return once that node has restored the snapshot, and applied as much."""

        async def restored() -> bool:
            return (await self._cluster.nodes[place].status()).applied >= applied

        failure = f"n{place + 1} has not restored the snapshot"
        await wait_until(restored, RESTORE_S, poll_s=POLL_S, failure=failure)
