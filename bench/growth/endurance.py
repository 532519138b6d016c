"""A full load that does not end: the log grows by millions of entries, or minutes go by."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from msgspec import Struct

from bench.cluster import Cluster, running
from bench.growth.load import LongOrder
from bench.growth.node import Settings, system
from bench.growth.processes import rss_mib
from bench.growth.turns import chosen, said
from bench.load import Order, Sample
from bench.processes import BenchError
from bench.rows import Outcome
from bench.systems import System
from bench.turns import Step

WRITERS = 256
MAX_WINDOW_S = 1.0
MAX_FAILURES = 5
MILLION = 1_000_000
START_AND_STOP_S = 5.0
EXPECTED_WRITES_PER_S = 50_000

SYSTEMS = (system("raftsdk, memory", Settings("memory")), system("raftsdk, SQLite", Settings("sqlite")))
NOTE = (
    f"{WRITERS} writers in the leader, the defaults of `RaftConfig`: a snapshot after 100,000 entries cuts the log. "
    "Resident memory: the most that was seen, once a second, of the leader and the larger follower. A leader's entries "
    "share the values that its writers repeat; those of followers are their own."
)


class Stretch(Struct, frozen=True):
    """A stretch of a load, and all of it up to there."""

    system: str
    stretch: int  #: Its number, from 1 on.
    entries: int  #: In the log since the start, cut off or not.
    minutes: float  #: Since the start.
    writes_per_s: float  #: In this stretch.
    p99_ms: float  #: Of its slowest window of a second.
    leader_rss_mib: float
    follower_rss_mib: float
    rate_to_first: float  #: To the first stretch.
    leader_rss_to_first: float
    follower_rss_to_first: float
    elections: int  #: Terms begun since the start.


async def run_log(options: Namespace, directory: Path, step: Step) -> Outcome:
    """As many entries as are asked for; a row for each million, or a tenth of them."""
    stretch = _stretch_entries(options)
    outcome = Outcome("Length of the log", [], [f"Values of {options.value_bytes} B. {NOTE}"])
    for contestant in chosen(SYSTEMS, options):
        ends = [lambda _, entries, end=end: entries >= end for end in range(stretch, options.entries + 1, stretch)]
        await _endure(contestant, options, ends, directory, outcome, step)
    return outcome


async def run_steady(options: Namespace, directory: Path, step: Step) -> Outcome:
    """As many minutes as are asked for; a row for each, or a tenth of them."""
    stretch_s = _stretch_s(options)
    outcome = Outcome("Full load", [], [f"Values of {options.value_bytes} B. {NOTE}"])
    for contestant in chosen(SYSTEMS, options):
        count = round(options.minutes * 60 / stretch_s)
        ends = [lambda elapsed_s, _, end=end: elapsed_s >= end * stretch_s for end in range(1, count + 1)]
        await _endure(contestant, options, ends, directory, outcome, step)
    return outcome


def steps_log(options: Namespace) -> tuple[int, float]:
    """One for each row."""
    systems = len(chosen(SYSTEMS, options))
    rows = options.entries // _stretch_entries(options)
    return systems * rows, systems * (options.entries / EXPECTED_WRITES_PER_S + START_AND_STOP_S)


def steps_steady(options: Namespace) -> tuple[int, float]:
    """One for each row."""
    systems = len(chosen(SYSTEMS, options))
    rows = round(options.minutes * 60 / _stretch_s(options))
    return systems * rows, systems * (options.minutes * 60 + START_AND_STOP_S)


def _stretch_entries(options: Namespace) -> int:
    entries: int = options.entries
    return min(MILLION, max(entries // 10, 1))


def _stretch_s(options: Namespace) -> float:
    minutes: float = options.minutes
    return min(60.0, minutes * 6)


IsOver = Callable[[float, int], bool]
"""Whether a stretch ends: told the seconds and the entries since the start."""


async def _endure(
    contestant: System, options: Namespace, ends: Sequence[IsOver], directory: Path, outcome: Outcome, step: Step
) -> None:
    rows: list[Stretch] = []
    try:
        with TemporaryDirectory(dir=directory) as home:
            async with running(contestant, Path(home)) as cluster:
                watch = await Watch.begin(cluster, options)
                for is_over in ends:
                    rows.append(await watch.stretch(is_over, rows))
                    step(_line(rows[-1]))
                await watch.end()
    except BenchError as error:
        outcome.failed.append(f"{contestant.name}: {said(error)}")
    else:
        outcome.failed += [f"{contestant.name}: {failure}" for failure in watch.failures]
    outcome.rows = [*outcome.rows, *rows]


def _line(row: Stretch) -> str:
    rss = f"{row.leader_rss_mib:,.0f} and {row.follower_rss_mib:,.0f} MiB"
    return f"{row.system}, {row.entries:,} entries: {row.writes_per_s:,.0f}/s, {rss}, {row.elections} elections"


class Watch:
    """A cluster under load, seen once a window."""

    def __init__(self, cluster: Cluster, options: Namespace, term: int) -> None:
        self.failures: list[str] = []  #: Loads that broke off, as they do when another node is elected.
        self._cluster = cluster
        self._order = LongOrder(WRITERS, min(options.seconds, MAX_WINDOW_S), options.value_bytes)
        self._first_term = self._term = term
        self._began = perf_counter()
        self._entries = 0

    @classmethod
    async def begin(cls, cluster: Cluster, options: Namespace) -> "Watch":
        """Once there is a leader."""
        return cls(cluster, options, (await (await cluster.leader()).status()).term)

    async def stretch(self, is_over: IsOver, before: Sequence[Stretch]) -> Stretch:
        """Load until `is_over`, and for one window at least."""
        first = before[0] if before else None
        began, entries_before = perf_counter(), self._entries
        seen: list[Sample] = []
        leader_rss, follower_rss = 0.0, 0.0
        while not (seen and is_over(perf_counter() - self._began, self._entries)):
            leader = await self._cluster.writer()
            try:
                seen.append(await leader.load(self._order))
            except BenchError as error:
                self._note_failure(error)
            status = await leader.status()
            self._entries, self._term = status.applied, max(status.term, self._term)
            leader_rss = max(leader_rss, rss_mib(leader.pid))
            followers = [node for node in self._cluster.nodes if node is not leader]
            follower_rss = max(follower_rss, *(rss_mib(node.pid) for node in followers))
        ended = perf_counter()
        rate = (self._entries - entries_before) / (ended - began)
        return Stretch(
            system=self._cluster.system.name,
            stretch=len(before) + 1,
            entries=self._entries,
            minutes=(ended - self._began) / 60,
            writes_per_s=rate,
            p99_ms=max((sample.p99_ms for sample in seen), default=0.0),
            leader_rss_mib=leader_rss,
            follower_rss_mib=follower_rss,
            rate_to_first=rate / first.writes_per_s if first else 1.0,
            leader_rss_to_first=leader_rss / first.leader_rss_mib if first else 1.0,
            follower_rss_to_first=follower_rss / first.follower_rss_mib if first else 1.0,
            elections=self._term - self._first_term,
        )

    async def end(self) -> None:
        """End the writers; all nodes have to have applied the same."""
        await (await self._cluster.writer()).load(Order(writers=1, once=True))
        await self._cluster.check_all_applied()

    def _note_failure(self, error: BenchError) -> None:
        at_min = (perf_counter() - self._began) / 60
        self.failures.append(f"after {at_min:.1f} minutes: {said(error)}")
        if len(self.failures) == MAX_FAILURES:
            raise BenchError("; ".join(self.failures))
