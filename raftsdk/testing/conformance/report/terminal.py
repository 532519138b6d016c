"""A run on the terminal: a bar while it runs; then the tables, what failed, and one line that says it all."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from raftsdk.testing.conformance.evidence import Excerpt, Exhibit, dump
from raftsdk.testing.conformance.report import Report
from raftsdk.testing.conformance.report.matrix import (
    Cell,
    Grid,
    Matrix,
    about_codecs,
    about_links,
    calls,
    column_of_codec,
    column_of_link,
    matrix,
    pairs,
)
from raftsdk.testing.conformance.trial import Outcome, Result

MAX_FAILURES_SHOWN: Final = 25
MAX_ROWS_SHOWN: Final = 6
_PIPE_COLUMNS: Final = 160
"""What a log or a file is wide enough for."""

_STYLES: Final = {"passed": "green", "failed": "bold red", "known": "yellow", "skipped": "dim", "none": ""}
_COLUMNS: Final = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))


class Bar:
    """How far the run is, what is being tried, and how much has failed."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._failed = 0

    def show(self, result: Result) -> None:
        """One more is done."""
        self._failed += result.outcome in (Outcome.FAILED, Outcome.MENDED)
        failed = f"[bold red]{self._failed} failed[/] " if self._failed else ""
        self._progress.update(self._task, advance=1, description=f"{failed}{escape(result.line)}"[:110])


@contextmanager
def progress(total: int, console: Console) -> Iterator[Bar]:
    """A bar on `console`, which is gone at the end."""
    with Progress(*_COLUMNS, console=console, transient=True) as shown:
        yield Bar(shown, shown.add_task("", total=total))


def print_report(report: Report, console: Console) -> None:
    """All of it."""
    if not console.is_terminal:
        console.width = _PIPE_COLUMNS
    for part in _parts(report):
        console.print(part)
    console.print(_verdict(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    results = report.results
    for found, column in ((about_codecs(results), column_of_codec), (about_links(results), column_of_link)):
        if found:
            yield _clauses(matrix(found, column))
    for name, grid in (("written by ↓ read by →", pairs(results)), ("calls in ↓ over →", calls(results))):
        if grid.rows:
            yield _grid(name, grid)
    yield from (_failure(result) for result in report.failures[:MAX_FAILURES_SHOWN])
    if (more := len(report.failures) - MAX_FAILURES_SHOWN) > 0:
        yield Text(f"and {more} more: --html FILE or --json shows them all", style="red")


def _clauses(found: Matrix) -> Table:
    table = _table("clause", "", *found.columns)
    for row in found.rows:
        table.add_row(row.clause, Text(row.title), *map(_cell, row.cells))
    return table


def _grid(name: str, grid: Grid) -> Table:
    table = _table(name, *grid.columns)
    for row, cells in zip(grid.rows, grid.cells, strict=True):
        table.add_row(Text(row), *map(_cell, cells))
    return table


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(names):
        table.add_column(Text(name), justify="right" if place and name else "left", no_wrap=not place)
    return table


def _cell(cell: Cell) -> Text:
    return Text(cell.text or "·", style=_STYLES[cell.verdict])


def _failure(result: Result) -> Group:
    shown = result.exhibit or Exhibit()
    lines: list[RenderableType] = [
        Text.assemble(("✗ ", "bold red"), (result.line, "bold")),
        Padding(Text(result.message), (0, 2)),
    ]
    if shown.expected:
        lines.append(Padding(Text(f"expected {shown.expected[:300]}", style="green"), (0, 2)))
    if shown.found:
        lines.append(Padding(Text(f"found    {shown.found[:300]}", style="red"), (0, 2)))
    lines.extend(_dump("bytes", shown.data, shown.differs_at))
    lines.extend(_dump("beside", shown.reference, shown.differs_at))
    return Group(*lines, "")


def _dump(name: str, excerpt: Excerpt | None, mark: int | None) -> Iterable[Text]:
    """Some rows of a hex dump: those around the mark, or the first ones."""
    if excerpt is None:
        return
    rows = dump(excerpt, mark)
    marked = next((place for place, row in enumerate(rows) if row.marked), 0)
    start = max(marked - MAX_ROWS_SHOWN // 2, 0)
    yield Text(f"  {name}, {excerpt.total_bytes} in all", style="dim")
    for row in rows[start : start + MAX_ROWS_SHOWN]:
        parts = filter(None, (row.before, row.marked, row.after))
        line = Text(f"  {row.offset:08x}  {' '.join(parts):<47}  {row.text}", style="dim")
        if row.marked:
            begin = 12 + len(row.before) + bool(row.before)
            line.stylize("bold not dim reverse red", begin, begin + 2)
        yield line


def _verdict(report: Report) -> Text:
    counts = [f"{count} {outcome}" for outcome, count in report.counts.items() if count]
    verdict = ("conforms", "bold green") if report.passed else ("does not conform", "bold red")
    return Text.assemble(verdict, f": {', '.join(counts)} in {report.elapsed_s:.1f} s")
