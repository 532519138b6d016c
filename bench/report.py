"""Rounds into figures, figures into a table, an object, or a chart."""

from collections.abc import Sequence
from statistics import median
from xml.sax.saxutils import escape

from msgspec import Struct

from bench.load import Sample
from bench.systems import BASELINE, System


class Machine(Struct, frozen=True):
    """Where the figures are from."""

    cpus: int
    load_average: float  #: Over the minute before the run; well above 0, others were using the machine.
    python: str
    event_loop: str
    fdatasync_ms: float  #: To append 4 KiB and sync them, in the directory used. Near 0: this disk does not wait.


class Row(Struct, frozen=True):
    """One contestant under one load."""

    system: str
    synced: str
    writers: int
    writes_per_s: float  #: Median of the rounds, like every figure here but min and max.
    min_writes_per_s: float
    max_writes_per_s: float
    p50_ms: float
    p99_ms: float
    ratio: float | None  #: To the tuned PySyncObj in the same round; None where that did not take part.


class Report(Struct, frozen=True):
    """All of a run; what `--json` prints."""

    machine: Machine
    nodes: int
    value_bytes: int
    codec: str
    seconds: float
    rounds: int
    elapsed_s: float
    rows: list[Row]


Samples = dict[tuple[str, int], list[Sample]]
"""By name of the system and number of writers: what each round gave."""


def rows(systems: Sequence[System], writers: Sequence[int], samples: Samples) -> list[Row]:
    """A row for each contestant under each load."""
    return [
        _row(system, count, samples[system.name, count], samples.get((BASELINE, count), []))
        for system in systems
        for count in writers
    ]


def _row(system: System, writers: int, samples: list[Sample], baseline: list[Sample]) -> Row:
    speeds = [sample.writes_per_s for sample in samples]
    # Round by round: what disturbs a whole round disturbs both sides of its ratio.
    rounds = zip(samples, baseline, strict=True) if baseline else ()
    ratios = [own.writes_per_s / max(other.writes_per_s, 1.0) for own, other in rounds]
    return Row(
        system=system.name,
        synced=system.synced,
        writers=writers,
        writes_per_s=median(speeds),
        min_writes_per_s=min(speeds),
        max_writes_per_s=max(speeds),
        p50_ms=median(sample.p50_ms for sample in samples),
        p99_ms=median(sample.p99_ms for sample in samples),
        ratio=median(ratios) if ratios else None,
    )


# -- a table


def table(report: Report) -> str:
    """For people, and for Markdown."""
    machine = report.machine
    lines = [
        f"{report.nodes} processes on loopback, {report.value_bytes} B values, closed-loop writers in the leader's "
        f"process; medians of {report.rounds} interleaved rounds of {report.seconds:g} s.",
        f"{machine.cpus} CPUs, load {machine.load_average:.1f} before the run, Python {machine.python}, "
        f"{machine.event_loop}, codec {report.codec}; 4 KiB appended and synced here in {machine.fdatasync_ms:.2f} ms.",
        "",
        "| system | writers | writes/s | min – max | p50 ms | p99 ms | × PySyncObj tuned |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *map(_line, report.rows),
        "",
        "On the disk when a write is acknowledged:",
        *(f"- {system}: {synced}" for system, synced in {row.system: row.synced for row in report.rows}.items()),
    ]
    return "\n".join(lines)


def _line(row: Row) -> str:
    ratio = "–" if row.ratio is None else f"{row.ratio:.1f}"
    return (
        f"| {row.system} | {row.writers:,} | {row.writes_per_s:,.0f} | {row.min_writes_per_s:,.0f} – "
        f"{row.max_writes_per_s:,.0f} | {row.p50_ms:.2f} | {row.p99_ms:.2f} | {ratio} |"
    )


# -- a chart

_COLOURS = ("#1b6ca8", "#6fb1e0", "#d9a441", "#b5651d", "#7a4b2a")
_LABEL_PX = 210
_BAR_PX = 16
_WIDTH_PX = 900


def chart(report: Report) -> str:
    """An SVG: bars of writes a second, a group for each number of writers."""
    systems = list(dict.fromkeys(row.system for row in report.rows))
    widest = max(row.max_writes_per_s for row in report.rows) or 1.0
    parts: list[str] = []
    y = 10
    for writers in dict.fromkeys(row.writers for row in report.rows):
        y += 24
        parts.append(_text(10, y - 6, f"{writers:,} writers", "bold"))
        for row in (row for row in report.rows if row.writers == writers):
            parts.append(_bar(y, row, widest, _COLOURS[systems.index(row.system) % len(_COLOURS)]))
            y += _BAR_PX + 4
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH_PX}" height="{y + 10}" font-family="sans-serif"'
    return "\n".join([head + ' font-size="12">', *parts, "</svg>", ""])


def _bar(y: int, row: Row, widest: float, colour: str) -> str:
    length = (_WIDTH_PX - _LABEL_PX - 160) * row.writes_per_s / widest
    bar = f'<rect x="{_LABEL_PX}" y="{y}" width="{max(length, 1):.0f}" height="{_BAR_PX}" fill="{colour}"/>'
    figure = f"{row.writes_per_s:,.0f}/s · p50 {row.p50_ms:.2f} ms"
    return "\n".join(
        [_text(20, y + 12, row.system), bar, _text(_LABEL_PX + int(length) + 6, y + 12, figure)],
    )


def _text(x: int, y: int, text: str, weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" font-weight="{weight}">{escape(text)}</text>'
