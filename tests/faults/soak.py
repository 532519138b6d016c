"""`make soak`: every row of the fault model again and again, on five nodes, until it reached its long count.

    python tests/faults/soak.py --minutes 60 --nodes 5 --rows "kill -9,partition" --scale 0.1

Rows take turns, each with a cluster and a seed of its own, which the line that tells of it ends with. The first failure
ends the soak, with exit code 1; what the nodes said and the history of their clients is left where that line says.
"""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from fault_rows import ROWS, Row

from raftsdk.testing.history import HistoryReport

LONGEST_PAUSE_S = 30.0


@dataclass
class Tally:
    """What became of one row so far."""

    row: Row
    wanted: int
    done: int = 0
    trials: int = 0
    operations: int = 0
    unknown: int = 0
    overlapping: int = 0
    keys: int = 0
    skipped: str = ""

    @property
    def is_open(self) -> bool:
        return self.done < self.wanted and not self.skipped

    def add(self, report: HistoryReport) -> None:
        self.done += self.row.in_tests
        self.trials += 1
        self.operations += report.operations
        self.unknown += report.unknown
        self.overlapping += report.overlapping
        self.keys += report.keys


async def soak(tallies: Mapping[str, Tally], *, nodes: int, minutes: float, first_seed: int) -> bool:
    """Whether all held."""
    began = time.monotonic()
    for seed, name in enumerate(turns(tallies), first_seed):
        if time.monotonic() - began > 60 * minutes:
            break
        directory, tally = Path(tempfile.mkdtemp(prefix="raftsdk-soak-")), tallies[name]
        try:
            tally.add(await tally.row.run(directory, seed=seed, nodes=nodes, longest_pause_s=LONGEST_PAUSE_S))
        except pytest.skip.Exception as skipped:
            tally.skipped = str(skipped)
        except Exception as failed:
            print(f"{name}: FAILED (seed {seed}, {nodes} nodes, {directory})", failed, sep="\n")
            return False
        shutil.rmtree(directory)
        said = tally.skipped or f"{tally.done}/{tally.wanted} faults, {tally.operations} operations"
        print(f"{(time.monotonic() - began) / 60:6.1f} min  {name}: {said} (seed {seed})", flush=True)
    return True


def turns(tallies: Mapping[str, Tally]) -> Iterator[str]:
    """The names of the rows, round after round, without those that have enough."""
    while names := [name for name, tally in tallies.items() if tally.is_open]:
        yield from names


def summary(tallies: Mapping[str, Tally]) -> str:
    """A table, and a line for all of it."""
    columns = f"{'':16}{'faults':>12}{'trials':>8}{'operations':>12}{'under fault':>13}{'unknown':>9}{'keys':>8}"
    lines = [columns]
    for name, tally in tallies.items():
        under_fault = f"{100 * tally.overlapping / max(tally.operations, 1):.0f}%"
        lines.append(
            f"{name:16}{f'{tally.done}/{tally.wanted}':>12}{tally.trials:8}{tally.operations:12}{under_fault:>13}"
            f"{tally.unknown:9}{tally.keys:8}  {tally.skipped}".rstrip()
        )
    return "\n".join([*lines, f"{sum(tally.operations for tally in tallies.values())} operations, all linearizable"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="at most so long, and what is under way then")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"default: all of {', '.join(ROWS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="this part of every row's long count")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial")
    told = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)  # that a link is silent is no news here
    names = [name.strip() for name in told.rows.split(",")]
    if unknown := set(names) - ROWS.keys():
        parser.error(f"no row is called {', '.join(sorted(unknown))}; there is {', '.join(ROWS)}")
    tallies = {name: Tally(ROWS[name], max(1, round(ROWS[name].in_soak * told.scale))) for name in names}
    held = asyncio.run(soak(tallies, nodes=told.nodes, minutes=told.minutes, first_seed=told.seed))
    print(summary(tallies) if held else "the soak ended with its first failure")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
