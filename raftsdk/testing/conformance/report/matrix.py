"""Results as tables: clauses by codecs, clauses by transports, and the codecs that write by those that read."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from raftsdk.testing.conformance.clauses import order, title
from raftsdk.testing.conformance.trial import Outcome, Result


class Cell(Struct, frozen=True):
    """What came of some trials."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    known: int = 0
    mended: int = 0
    parts: dict[str, "Cell"] = {}  #: The same for each codec, where it is about links with one codec each.

    @property
    def verdict(self) -> str:
        """The worst of them: failed (or mended), known, passed, skipped; "none" without any."""
        if self.failed or self.mended:
            return "failed"
        return "known" if self.known else "passed" if self.passed else "skipped" if self.skipped else "none"

    @property
    def text(self) -> str:
        """`31`, or `29/31` where not all of them passed; without those that were skipped."""
        tried = self.passed + self.failed + self.known + self.mended
        if not tried:
            return "–" if self.skipped else ""
        return str(tried) if self.passed == tried else f"{self.passed}/{tried}"


def cell(results: Sequence[Result], parts: dict[str, Cell] | None = None) -> Cell:
    """The cell of these results."""
    found = Counter(result.outcome for result in results)
    return Cell(**{outcome.value: found[outcome] for outcome in Outcome}, parts=parts or {})


class Row(Struct, frozen=True):
    """One clause, with those below it: a cell for each column, in their order."""

    clause: str
    title: str
    cells: list[Cell]


class Matrix(Struct, frozen=True):
    """Clauses by columns."""

    columns: list[str]
    rows: list[Row]


def about_codecs(results: Iterable[Result]) -> list[Result]:
    """Those about one codec."""
    return [result for result in results if not result.reader and not column_of_link(result)]


def about_links(results: Iterable[Result]) -> list[Result]:
    """Those about a transport or a live node."""
    return [result for result in results if column_of_link(result)]


def about_pairs(results: Iterable[Result]) -> list[Result]:
    """Those about a pair of codecs."""
    return [result for result in results if result.reader]


def column_of_codec(result: Result) -> str:
    """The column of a result about a codec."""
    return result.subject


def column_of_link(result: Result) -> str:
    """The column of a result about a link: the node's address or the transport, whatever codec it spoke."""
    return result.address or result.transport


def paragraph(clause: str) -> str:
    """The clause that has a row: "9.2" for "9.2" and for "9.2.1"."""
    return ".".join(clause.split(".")[:2])


def matrix(results: Sequence[Result], column: Callable[[Result], str]) -> Matrix:
    """The table of these results, with a column for each text that `column` gives."""
    columns = list(dict.fromkeys(map(column, results)))
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((paragraph(result.clause), column(result)), []).append(result)
    rows = [
        Row(clause, title(clause), [_with_parts(found.get((clause, name), [])) for name in columns])
        for clause in sorted({clause for clause, _ in found}, key=order)
    ]
    return Matrix(columns, rows)


def _with_parts(results: list[Result]) -> Cell:
    by_codec: dict[str, list[Result]] = {}
    for result in about_links(results):
        by_codec.setdefault(result.codec, []).append(result)
    return cell(results, {codec: cell(of_codec) for codec, of_codec in by_codec.items() if codec})


class Grid(Struct, frozen=True):
    """Two sorts of names, and a cell for each of both: `cells[row][column]`."""

    rows: list[str]
    columns: list[str]
    cells: list[list[Cell]]


def pairs(results: Iterable[Result]) -> Grid:
    """Codecs that write by codecs that read. A codec and itself have an empty cell."""
    of_pairs = about_pairs(results)
    codecs = list(dict.fromkeys(name for result in of_pairs for name in (result.codec, result.reader)))
    return _grid(of_pairs, codecs, codecs, lambda result: (result.codec, result.reader))


def calls(results: Iterable[Result]) -> Grid:
    """Codecs by transports or live nodes: what was tried over links with one codec each."""
    of_calls = [result for result in about_links(results) if result.codec]
    codecs = list(dict.fromkeys(result.codec for result in of_calls))
    columns = list(dict.fromkeys(map(column_of_link, of_calls)))
    return _grid(of_calls, codecs, columns, lambda result: (result.codec, column_of_link(result)))


def _grid(
    results: list[Result], rows: list[str], columns: list[str], place: Callable[[Result], tuple[str, str]]
) -> Grid:
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault(place(result), []).append(result)
    return Grid(rows, columns, [[cell(found.get((row, column), [])) for column in columns] for row in rows])
