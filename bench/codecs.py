"""What our codecs take for an AppendEntries, beside the bare libraries, pickle, and a plain join of the payloads.

    python -m bench.codecs [--json] [--rounds N]

Our codecs check all that arrives and refuse what no honest node sends; the programs beside them (bench/bare.py) check
nothing. Every program has its turn in every round, so that what else the machine does hits all alike. Times are of the
processor, in medians. They mean something on this machine only, but ratios carry over: each is the median of what it
was in the rounds.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from random import Random
from statistics import median
from typing import NamedTuple

import msgspec

from bench.bare import BESIDE, OTHERS, Program
from bench.progress import progress
from raftsdk.messages import AppendEntriesRequest, MessageKind
from raftsdk.ports import Codec
from raftsdk.types import Entry

ROUNDS = 15
TURN_S = 0.01  # of each program in each round, each way and size
KIND = MessageKind.APPEND_ENTRIES_REQUEST

SIZES = {
    "empty": (0, 0),
    "1 × 256 B": (1, 256),
    "64 × 256 B": (64, 256),
    "512 × 256 B": (512, 256),
    "64 × 4 KiB": (64, 4096),
}
GOAL_SIZE = "64 × 256 B"
GOALS = {"msgpack": 1.5, "json": 1.3, "protobuf": 1.1, "capnp": 1.17, "flatbuffers": 1.19}
"""How many times what its library takes alone a codec may take for a batch of `GOAL_SIZE`, there and back."""


class Figures(msgspec.Struct, frozen=True):
    """One program and one size."""

    encode_us: float
    decode_us: float | None  #: None for a program with no way back.
    bytes: int
    ratio: float | None  #: There and back, to the library alone; None for all but our codecs.


class Row(msgspec.Struct, frozen=True):
    """One program."""

    program: str
    beside: str | None  #: The program that the ratio is to.
    goal: float | None  #: That ratio for `GOAL_SIZE` at the most.
    sizes: dict[str, Figures]


class Report(msgspec.Struct, frozen=True):
    """All of a run; what `--json` prints."""

    python: str
    rounds: int
    rows: list[Row]


class Turn(NamedTuple):
    """What one round gave for one program and one size, in µs."""

    encode_us: float
    decode_us: float


def message(entries: int, entry_bytes: int) -> AppendEntriesRequest:
    """What is encoded: payloads are random, so that nothing about them can be guessed."""
    chance = Random(entries)
    return AppendEntriesRequest(
        term=300,
        leader_id="n1",
        prev_log_index=100_000,
        prev_log_term=300,
        leader_commit=99_990,
        entries=[Entry(300, 1, chance.randbytes(entry_bytes)) for _ in range(entries)],
    )


def codecs() -> dict[str, Program]:
    """Our installed codecs by name."""
    found = {point.name: point.load()() for point in entry_points(group="raftsdk.codecs") if point.name in BESIDE}
    return {name: _program(found[name]) for name in BESIDE if name in found}


def _program(codec: Codec) -> Program:
    def decode(data: bytes) -> AppendEntriesRequest:
        decoded = codec.decode(KIND, data)
        assert isinstance(decoded, AppendEntriesRequest)
        return decoded

    return Program(f"raftsdk-{codec.name}", codec.encode, decode)


# -- measuring


class Calls:
    """A call to be measured, as many times in a row as take about `TURN_S`."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._times = 1
        while (elapsed_s := self._elapsed_s()) < TURN_S / 4:
            self._times *= 4
        self._times = max(1, round(self._times * TURN_S / elapsed_s))

    def _elapsed_s(self) -> float:
        call = self._call
        started = time.process_time()
        for _ in range(self._times):
            call()
        return time.process_time() - started

    def microseconds(self) -> float:
        """One call's share of a turn."""
        return self._elapsed_s() / self._times * 1e6


class Subject:
    """A program at one size."""

    def __init__(self, program: Program, size: str) -> None:
        subject = message(*SIZES[size])
        encode, decode = program.encode, program.decode
        data = encode(subject)
        self.bytes = len(data)
        self.turns: list[Turn] = []
        self._encode = Calls(lambda: encode(subject))
        self._decode = None
        if decode is not None:
            assert decode(data) == subject, f"{program.name} does not give back what it was given"
            self._decode = Calls(lambda: decode(data))

    def take_turn(self) -> None:
        """Measure both ways once."""
        decode_us = self._decode.microseconds() if self._decode else 0.0
        self.turns.append(Turn(self._encode.microseconds(), decode_us))


def measure(ours: dict[str, Program], rounds: int) -> Report:
    """Every program at every size, round by round."""
    programs = [*ours.values(), *BESIDE.values(), *OTHERS]
    subjects = {(program.name, size): Subject(program, size) for size in SIZES for program in programs}
    with progress(rounds) as step:
        for number in range(1, rounds + 1):
            for subject in subjects.values():
                subject.take_turn()
            step(f"round {number}")
    beside = {program.name: name for name, program in ours.items()}
    return Report(
        python=platform.python_version(),
        rounds=rounds,
        rows=[_row(program, beside.get(program.name), subjects) for program in programs],
    )


def _row(program: Program, codec: str | None, subjects: dict[tuple[str, str], Subject]) -> Row:
    bare = BESIDE[codec].name if codec else None
    sizes = {}
    for size in SIZES:
        subject = subjects[program.name, size]
        sizes[size] = Figures(
            encode_us=median(turn.encode_us for turn in subject.turns),
            decode_us=median(turn.decode_us for turn in subject.turns) if program.decode else None,
            bytes=subject.bytes,
            ratio=_ratio(subject, subjects[bare, size]) if bare else None,
        )
    return Row(program=program.name, beside=bare, goal=GOALS[codec] if codec else None, sizes=sizes)


def _ratio(subject: Subject, bare: Subject) -> float:
    # Round by round: what disturbs a whole round disturbs both sides of its ratio.
    return median(sum(own) / sum(other) for own, other in zip(subject.turns, bare.turns, strict=True))


# -- tables


def tables(report: Report) -> str:
    """For people, and for Markdown: times, then ratios."""
    columns = " | ".join(SIZES)
    return "\n".join(
        [
            f"µs to encode / decode; medians of {report.rounds} rounds, Python {report.python}.",
            "",
            f"| | {columns} | bytes of {GOAL_SIZE} |",
            f"| --- |{' ---: |' * (len(SIZES) + 1)}",
            *(f"| {row.program} | {_times(row)} | {row.sizes[GOAL_SIZE].bytes:,} |" for row in report.rows),
            "",
            "There and back, as a multiple of what the library takes alone.",
            "",
            f"| | beside | {columns} | goal for {GOAL_SIZE} |",
            f"| --- | --- |{' ---: |' * (len(SIZES) + 1)}",
            *(f"| {row.program} | {row.beside} | {_ratios(row)} | {row.goal} |" for row in report.rows if row.beside),
        ]
    )


def _times(row: Row) -> str:
    return " | ".join(f"{_time(figures.encode_us)} / {_time(figures.decode_us)}" for figures in row.sizes.values())


def _time(microseconds: float | None) -> str:
    if microseconds is None:
        return "–"
    return f"{microseconds:.1f}" if microseconds < 9.95 else f"{microseconds:,.0f}"


def _ratios(row: Row) -> str:
    return " | ".join(f"{figures.ratio:.2f}" for figures in row.sizes.values())


def _rounds(text: str) -> int:
    rounds = int(text) if text.isdecimal() else 0
    if not 1 <= rounds <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 to 1,000")
    return rounds


def main() -> None:
    """Print two tables, or with `--json` one object."""
    parser = argparse.ArgumentParser(prog="python -m bench.codecs", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--rounds", type=_rounds, default=ROUNDS, help="turns of every program (default: %(default)s)")
    arguments = parser.parse_args()
    ours = codecs()
    if missing := BESIDE.keys() - ours.keys():
        print(f"left out, being not installed: {', '.join(sorted(missing))}", file=sys.stderr)
    report = measure(ours, arguments.rounds)
    print(msgspec.json.encode(report).decode() if arguments.json else tables(report))


if __name__ == "__main__":
    main()
