"""Does the harness bite? Each mutant in turn: a copy of raftsdk with one bug in it, and seeds until it is found.

    python tests/simulation/mutants/mutant_run.py [--seeds 400] [--events 10000] [--only 3,17] [--least 28]

Prints a table in Markdown, the one in docs/simulation.md. Exit code 0 when at least so many are found.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import msgspec
from mutant_hunt import Found

HERE = Path(__file__).parent
PACKAGE = HERE.parents[2] / "raftsdk"


class Edit(msgspec.Struct, frozen=True):
    """Put `new` in the place of `old`, which stands exactly once in the file."""

    file: str
    old: str
    new: str


class Mutant(msgspec.Struct, frozen=True):
    """One bug."""

    number: int
    bug: str
    edits: list[Edit]

    def misfits(self, package: Path) -> list[str]:
        """What of it cannot be put into the package, because the code is not what it was."""
        counts = [(edit, (package / edit.file).read_text(encoding="utf-8").count(edit.old)) for edit in self.edits]
        return [
            f"mutant {self.number}: {edit.old!r} stands {count} times in {edit.file}"
            for edit, count in counts
            if count != 1
        ]

    def apply(self, package: Path) -> None:
        """Put it into a copy of the package, which it fits."""
        for edit in self.edits:
            path = package / edit.file
            path.write_text(path.read_text(encoding="utf-8").replace(edit.old, edit.new), encoding="utf-8")


SOUND = Mutant(0, "none: raftsdk as it is", [])
SOUND_SEEDS = 20
"""So many must be clean without a mutant, or what is found with one means nothing."""


def mutants() -> list[Mutant]:
    """All of them."""
    data = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))
    return msgspec.convert(data["mutant"], list[Mutant])


def hunt(mutant: Mutant, seeds: int, events: int) -> Found:
    """Play a mutant in a process of its own, and say on stderr what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "raftsdk"
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        mutant.apply(package)
        done = subprocess.run(
            [sys.executable, str(HERE / "mutant_hunt.py"), str(seeds), str(events)],
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            check=True,
            text=True,
        )
        found = msgspec.json.decode(done.stdout, type=Found)
    if Path(found.home).parent != package:
        raise RuntimeError(f"mutant {mutant.number}: played {found.home}, and not the copy")
    sys.stderr.write(f"{mutant.number:>3} {mutant.bug}: {found.failure[:80] or 'nothing'} ({found.seeds} seeds)\n")
    return found


def table(hunted: Sequence[tuple[Mutant, Found]]) -> Iterator[str]:
    """What found which, in Markdown."""
    yield "| # | bug | found by | seeds | events |"
    yield "| ---: | --- | --- | ---: | ---: |"
    for mutant, found in hunted:
        by = found.failure.replace("|", "\\|").splitlines()[0][:110] if found.failure else "**not found**"
        yield f"| {mutant.number} | {mutant.bug} | {by} | {found.seeds} | {found.events:,} |"


def main(arguments: Sequence[str]) -> int:
    """Hunt them all."""
    parser = argparse.ArgumentParser(description="Whether the simulator finds known bugs.")
    parser.add_argument("--seeds", type=int, default=400)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--only", type=lambda text: [int(number) for number in text.split(",")], default=[])
    parser.add_argument("--least", type=int, default=28)
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in mutants() if not options.only or mutant.number in options.only]
    if misfits := [misfit for mutant in chosen for misfit in mutant.misfits(PACKAGE)]:
        parser.error("\n".join(misfits))
    if (sound := hunt(SOUND, SOUND_SEEDS, options.events)).failure:
        parser.error(f"raftsdk fails without any mutant, so that nothing can be told: {sound.failure}")
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = list(pool.map(partial(hunt, seeds=options.seeds, events=options.events), chosen))
    hunted = list(zip(chosen, found, strict=True))
    caught = [each for each in found if each.failure]
    sys.stdout.write("\n".join(table(hunted)))
    seeds = median([each.seeds for each in caught]) if caught else 0
    sys.stdout.write(f"\n\n{len(caught)} of {len(hunted)} found; seeds needed: median {seeds:g}\n")
    return 0 if len(caught) >= min(options.least, len(hunted)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
