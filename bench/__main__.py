"""raftsdk and what others would pick instead: the same work side by side, in turns, in one run."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import msgspec

from bench.chart import chart
from bench.goals import judge
from bench.growth import suites as growth
from bench.machine import this_machine
from bench.progress import progress
from bench.report import Report, filled_in, text
from bench.rows import Outcome
from bench.setup import prepare
from bench.suites import GROWTH, SIDE_BY_SIDE, SUITES
from bench.systems import PEERS
from bench.tables import side_by_side

MAX_COUNT = 10_000
STORAGE = ("memory", "durable")
ALL = "all"


def _names(*allowed: str) -> Callable[[str], list[str]]:
    """An argument's type: some of `allowed`, separated by commas."""

    def parse(argument: str) -> list[str]:
        names = argument.split(",")
        if unknown := sorted(set(names) - set(allowed)):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(allowed)}")
        return names

    return parse


def _count(argument: str) -> int:
    count = int(argument) if argument.isdecimal() else 0
    if not 1 <= count <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{argument!r}: give whole numbers from 1 to {MAX_COUNT:,}")
    return count


def _counts(argument: str) -> list[int]:
    return [_count(part) for part in argument.split(",")]


def _seconds(argument: str) -> float:
    seconds = float(argument)
    if not 0 < seconds <= 600:
        raise argparse.ArgumentTypeError(f"{argument}: give more than 0 and at most 600 seconds")
    return seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    named = f"{', '.join(SIDE_BY_SIDE)} (default: these); {', '.join(GROWTH)}; {ALL}"
    add("suites", nargs="*", metavar="SUITE", help=named)
    add("--json", metavar="FILE", help="write one JSON object there; - prints it instead of the tables")
    add("--seconds", type=_seconds, default=2.0, help="length of each measurement (default: %(default)s)")
    add("--rounds", type=_count, default=3, help="turns of every contestant (default: %(default)s)")
    add("--writers", type=_counts, default=[], help="e.g. 1,64 (default: each suite's own)")
    add("--storage", type=_names(*STORAGE), default=[*STORAGE], help=f"default: {','.join(STORAGE)}")
    add("--peers", type=_names(*PEERS), default=[*PEERS], help=f"default: {','.join(PEERS)}")
    add("--chart", type=Path, metavar="DIRECTORY", help="also write SVG charts there, one for each suite")
    add("--document", type=Path, metavar="FILE", help="also put the tables into this Markdown file, between its marks")
    add("--directory", type=Path, help="where to keep the data, which is removed afterwards (default: the system's)")
    growth.add_arguments(parser)
    options = parser.parse_args()
    if unknown := sorted(set(options.suites) - {*SUITES, ALL}):
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(SUITES)}, {ALL}")
    if options.document and not options.document.is_file():
        parser.error(f"there is no {options.document}")
    return options


def main() -> int:
    """Exit status 0 when everything was measured, 1 when a contestant failed."""
    options = _options()
    report = asyncio.run(_measure(options))
    encoded = msgspec.json.encode(report).decode()
    if options.json and options.json != "-":
        Path(options.json).write_text(encoded, encoding="utf-8")
    print(encoded if options.json == "-" else text(report))
    if options.chart:
        _draw(options.chart, report.suites)
    if options.document:
        document = options.document.read_text(encoding="utf-8")
        options.document.write_text(filled_in(document, report), encoding="utf-8")
    return 1 if any(outcome.failed for outcome in report.suites.values()) else 0


async def _measure(options: argparse.Namespace) -> Report:
    began = perf_counter()
    with TemporaryDirectory(prefix="raftsdk-bench-", dir=options.directory) as directory:
        machine = this_machine(Path(directory))
        left_out = prepare(options.peers)
        options.peers = [peer for peer in options.peers if peer not in left_out]
        suites = await _run_suites(options, Path(directory))
    return Report(
        machine=machine,
        seconds=options.seconds,
        rounds=options.rounds,
        elapsed_s=round(perf_counter() - began, 1),
        left_out=[*left_out.values()],
        suites=suites,
        goals=judge({name: outcome.rows for name, outcome in suites.items()}),
    )


async def _run_suites(options: argparse.Namespace, directory: Path) -> dict[str, Outcome]:
    names = SUITES if ALL in options.suites else options.suites or SIDE_BY_SIDE
    chosen = {name: SUITES[name] for name in names}
    steps = {name: suite.steps(options) for name, suite in chosen.items()}
    for name, (count, takes_s) in steps.items():
        print(f"{name}: {count} steps, about {takes_s / 60:.1f} minutes", file=sys.stderr)
    with progress(sum(count for count, _ in steps.values())) as step:
        return {name: await suite.run(options, directory, step) for name, suite in chosen.items()}


def _draw(directory: Path, suites: Mapping[str, Outcome]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, outcome in suites.items():
        if rows := side_by_side(outcome):
            (directory / f"{name}.svg").write_text(chart(outcome.title, rows), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
