"""Rows into Markdown."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bench.goals import Verdict
from bench.rows import Outcome, Row


def section(outcome: Outcome) -> str:
    """A suite: its table, and what there is to say about it."""
    rows = side_by_side(outcome)
    table = _side_by_side_table(rows, outcome.compared) if rows else _plain_table(outcome.rows)
    remarks = [*outcome.notes, *(f"Failed: {failure}" for failure in outcome.failed)]
    return "\n".join(table + ([""] if remarks else []) + [f"- {remark}" for remark in remarks])


def side_by_side(outcome: Outcome) -> list[Row]:
    """The rows, where they are those of contestants in turns."""
    return [row for row in outcome.rows if isinstance(row, Row)]


def _side_by_side_table(rows: list[Row], compared: str) -> list[str]:
    """A column for the values' size only where it differs."""
    sized = len({row.value_bytes for row in rows}) > 1
    who, what = ("readers", "reads/s") if rows[0].reads else ("writers", "writes/s")
    headings = ["system", who, *(["value"] if sized else []), what, "min – max", "p50 ms", "p99 ms", compared]
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)]]
    for row in rows:
        figures = [
            f"{row.operations_per_s:,.0f}",
            f"{row.min_operations_per_s:,.0f} – {row.max_operations_per_s:,.0f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            "–" if row.ratio is None else f"{row.ratio:.2f}",
        ]
        lines.append([row.system, f"{row.writers:,}", *([size_text(row.value_bytes)] if sized else []), *figures])
    return _markdown(lines)


def _plain_table(rows: Sequence[Struct]) -> list[str]:
    if not rows:
        return ["Nothing was measured."]
    names = [name for name in rows[0].__struct_fields__ if not isinstance(getattr(rows[0], name), list | dict)]
    rules = ["---" if isinstance(getattr(rows[0], name), str) else "---:" for name in names]
    lines = [[name.replace("_", " ") for name in names], rules]
    lines += [[_cell(getattr(row, name)) for name in names] for row in rows]
    return _markdown(lines)


def _markdown(lines: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def goals_table(goals: Sequence[Verdict]) -> str:
    """Whether each was met."""
    lines = [["suite", "goal", "wanted", "measured", ""], ["---", "---", "---:", "---:", "---"]]
    met = {True: "met", False: "**not met**", None: "not measured"}
    lines += [[goal.suite, goal.goal, goal.wanted, _cell(goal.measured), met[goal.met]] for goal in goals]
    return "\n".join(_markdown(lines))


def size_text(size_bytes: int) -> str:
    """As people say it: 16 B, 4 KiB."""
    return f"{size_bytes >> 10} KiB" if size_bytes >= 1024 else f"{size_bytes} B"
