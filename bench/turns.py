"""The same loads for several contestants, in turns: one cluster of each in every round."""

from argparse import Namespace
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
from msgspec import Struct

from bench.cluster import Cluster, running
from bench.load import WARM_UP_S, Order, Sample
from bench.processes import BenchError
from bench.rows import Load, Outcome, Rounds, row
from bench.systems import System

START_AND_STOP_S = 2.5  # of a cluster, about
CHECK_S = 0.2  # that everybody has applied a load, about
ATTEMPTS = 2

Step = Callable[[str], None]


class Suite(NamedTuple):
    """What the harness runs."""

    run: Callable[[Namespace, Path, Step], Awaitable[Outcome]]
    steps: Callable[[Namespace], tuple[int, float]]
    """How often `run` will call its step, and about how many seconds it takes."""


class Lineup(Struct, frozen=True):
    """Who is measured under which loads, and beside whom."""

    title: str
    compared: str  #: Heading of the column of ratios.
    beside: dict[System, System]  #: By contestant, in the order of the turns: the one its ratio is to.
    loads: tuple[Load, ...]

    def chosen(self, options: Namespace) -> list[System]:
        """The contestants that take part."""
        durable = {storage == "durable" for storage in options.storage}
        return [system for system in self.beside if system.peer in options.peers and system.durable in durable]

    def chosen_loads(self, options: Namespace) -> list[Load]:
        """The loads, with other numbers of writers where these are asked for."""
        if not options.writers:
            return [*self.loads]
        changed = [msgspec.structs.replace(load, writers=count) for load in self.loads for count in options.writers]
        return [*dict.fromkeys(changed)]

    def steps(self, options: Namespace) -> tuple[int, float]:
        """How many turns there are, and about how many seconds they take."""
        turns = options.rounds * len(self.chosen(options))
        load_s = WARM_UP_S + options.seconds + CHECK_S
        return turns, turns * (START_AND_STOP_S + len(self.chosen_loads(options)) * load_s)

    async def run(self, options: Namespace, directory: Path, step: Step) -> Outcome:
        """Take turns, round by round."""
        systems, loads = self.chosen(options), self.chosen_loads(options)
        taken: dict[tuple[System, Load], Rounds] = {(system, load): [] for system in systems for load in loads}
        failed: list[str] = []
        for number in range(1, options.rounds + 1):
            for system in systems:
                samples, failures = await _turn(system, loads, options.seconds, directory)
                for load in loads:
                    taken[system, load].append(samples.get(load))
                failed += [f"round {number}: {failure}" for failure in failures]
                speeds = (f"{samples[load].operations_per_s:,.0f}" if load in samples else "failed" for load in loads)
                step(f"round {number}, {system.name}: {' · '.join(speeds)}/s")
        rows = [
            row(system, load, rounds, self.beside[system].name, taken.get((self.beside[system], load), []))
            for (system, load), rounds in taken.items()
        ]
        return Outcome(self.title, [found for found in rows if found], compared=self.compared, failed=failed)


async def _turn(
    system: System, loads: Sequence[Load], seconds: float, directory: Path
) -> tuple[dict[Load, Sample], list[str]]:
    """A cluster under every load. What fails is tried once more on a new one: a busy machine may cost it its leader."""
    samples: dict[Load, Sample] = {}
    attempts: Counter[Load] = Counter()
    failures: list[str] = []
    while rest := [load for load in loads if load not in samples and attempts[load] < ATTEMPTS]:
        attempted = rest[0]
        try:
            with TemporaryDirectory(dir=directory) as home:
                async with running(system, Path(home)) as cluster:
                    for attempted in rest:
                        samples[attempted] = await _load(cluster, attempted, seconds)
        except BenchError as error:
            attempts[attempted] += 1
            if attempts[attempted] == ATTEMPTS:
                said = " ".join(str(error).split())
                failures.append(f"{attempted.writers} at once, {attempted.value_bytes} B: {said}")
    return samples, failures


async def _load(cluster: Cluster, load: Load, seconds: float) -> Sample:
    writer = await cluster.writer()
    sample = await writer.load(Order(load.writers, seconds, load.value_bytes, load.reads))
    if not sample.operations:
        raise BenchError(f"{cluster.system.name} acknowledged nothing within {seconds:g} s")
    await cluster.check_all_applied()
    return sample
