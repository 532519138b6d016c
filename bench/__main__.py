"""raftsdk beside PySyncObj: the same work, in turns, in one run."""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter

import msgspec

from bench.cluster import NODES, BenchError, running
from bench.load import VALUE_BYTES, WARM_UP_S, Sample
from bench.progress import progress
from bench.report import Machine, Report, Samples, chart, rows, table
from bench.systems import MODULES, System, chosen

START_AND_STOP_S = 2.5  # of a cluster, about
ATTEMPTS = 2
MAX_COUNT = 10_000
SYNCS = 50

Step = Callable[[str], None]


def _names(*allowed: str) -> Callable[[str], list[str]]:
    """An argument's type: some of `allowed`, separated by commas."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := sorted(set(names) - set(allowed)):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(allowed)}")
        return names

    return parse


def _count(text: str) -> int:
    count = int(text) if text.isdecimal() else 0
    if not 1 <= count <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{text!r}: give whole numbers from 1 to {MAX_COUNT:,}")
    return count


def _counts(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 600:
        raise argparse.ArgumentTypeError(f"{text}: give more than 0 and at most 600 seconds")
    return seconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--json", action="store_true", help="print one JSON object instead of a table")
    add("--seconds", type=_seconds, default=2.0, help="length of each measurement (default: %(default)s)")
    add("--rounds", type=_count, default=3, help="turns of every contestant (default: %(default)s)")
    add("--writers", type=_counts, default=[1, 64, 256, 1024], help="default: 1,64,256,1024")
    add("--storage", type=_names("memory", "sqlite"), default=["memory", "sqlite"], help="default: memory,sqlite")
    add("--peers", type=_names(*MODULES), default=list(MODULES), help=f"default: {','.join(MODULES)}")
    add("--codec", choices=("msgpack", "json"), default="msgpack", help="of raftsdk (default: %(default)s)")
    add("--chart", type=Path, metavar="FILE", help="also write an SVG chart there")
    add("--directory", type=Path, help="where to keep the data, which is removed afterwards (default: the system's)")
    arguments = parser.parse_args()
    missing = [peer for peer in arguments.peers if find_spec(peer) is None]
    if missing:
        parser.error(f"{missing[0]} is not installed: install the dependency group 'bench', or leave it out of --peers")
    return arguments


def main() -> int:
    """Exit status 0 when everything was measured, 1 when a contestant failed."""
    arguments = _arguments()
    try:
        report = asyncio.run(_measure(arguments))
    except BenchError as error:
        print(f"python -m bench: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(report).decode() if arguments.json else table(report))
    if arguments.chart:
        arguments.chart.write_text(chart(report), encoding="utf-8")
    return 0


async def _measure(arguments: argparse.Namespace) -> Report:
    systems = chosen(arguments.peers, arguments.storage)
    began = perf_counter()
    with tempfile.TemporaryDirectory(prefix="raftsdk-bench-", dir=arguments.directory) as directory:
        machine = _machine(Path(directory))
        samples = await _take_turns(systems, arguments, Path(directory))
    return Report(
        machine=machine,
        nodes=NODES,
        value_bytes=VALUE_BYTES,
        codec=arguments.codec,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        elapsed_s=round(perf_counter() - began, 1),
        rows=rows(systems, arguments.writers, samples),
    )


async def _take_turns(systems: Sequence[System], arguments: argparse.Namespace, directory: Path) -> Samples:
    writers: list[int] = arguments.writers
    samples: Samples = {(system.name, count): [] for system in systems for count in writers}
    turns = [(turn, system) for turn in range(1, arguments.rounds + 1) for system in systems]
    turn_s = START_AND_STOP_S + len(writers) * (arguments.seconds + WARM_UP_S)
    with progress(len(turns)) as step:
        print(f"{len(turns)} turns of about {turn_s:.0f} s: {len(turns) * turn_s / 60:.1f} minutes", file=sys.stderr)
        for turn, system in turns:
            taken = await _turn(system, writers, arguments, directory / f"{turn}-{systems.index(system)}", step)
            for count, sample in zip(writers, taken, strict=True):
                samples[system.name, count].append(sample)
            speeds = " · ".join(f"{sample.writes_per_s:,.0f}" for sample in taken)
            step(f"round {turn}, {system.name}: {speeds} writes/s")
    return samples


async def _turn(
    system: System, writers: Sequence[int], arguments: argparse.Namespace, directory: Path, step: Step
) -> list[Sample]:
    """One cluster under every load. Once more with a new one when it fails: a busy machine may cost it its leader."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await _load_cluster(system, writers, arguments, directory / str(attempt))
        except BenchError as error:
            step(f"{error}\ntrying again")
    return await _load_cluster(system, writers, arguments, directory / str(ATTEMPTS))


async def _load_cluster(
    system: System, writers: Sequence[int], arguments: argparse.Namespace, directory: Path
) -> list[Sample]:
    async with running(system, directory, arguments.codec) as cluster:
        leader = await cluster.leader()
        samples = [await leader.load(count, arguments.seconds) for count in writers]
        await cluster.check_all_applied()
    return samples


# -- the machine


def _machine(directory: Path) -> Machine:
    return Machine(
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load_average=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        event_loop="uvloop" if find_spec("uvloop") else "asyncio",
        fdatasync_ms=round(_sync_ms(directory / "probe"), 3),
    )


def _sync_ms(path: Path) -> float:
    """What the disk takes to append 4 KiB and sync them: the median of some tries."""
    took_ms = []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            began = perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took_ms.append((perf_counter() - began) * 1000)
    return median(took_ms)


if __name__ == "__main__":
    sys.exit(main())
