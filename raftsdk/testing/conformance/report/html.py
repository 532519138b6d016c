"""A run as one HTML file that needs nothing beside it."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct

from raftsdk.testing.conformance.clauses import TITLES, order, section
from raftsdk.testing.conformance.evidence import dump
from raftsdk.testing.conformance.report import Report
from raftsdk.testing.conformance.report.matrix import (
    Cell,
    Matrix,
    Row,
    about_codecs,
    about_links,
    about_pairs,
    calls,
    cell,
    column_of_codec,
    column_of_link,
    matrix,
    pairs,
    paragraph,
)
from raftsdk.testing.conformance.trial import Outcome, Result

_TEMPLATE: Final = "report.html.jinja"
_MARKS: Final = {"passed": "✓", "failed": "✗", "skipped": "–", "known": "~", "none": ""}

_PAIRS_EXPLAINED: Final = (
    "What the codec on the left wrote is read, written by the codec above, and read again: a node with a link in each."
)
_CALLS_EXPLAINED: Final = "Requests and responses in the codec on the left, over the transport above."


class Section(Struct, frozen=True):
    """Everything about codecs, or about links."""

    name: str
    matrix: Matrix
    chapters: list[tuple[str, str, list[Row]]]  #: Number, title, and the rows of its clauses.
    cases: dict[str, list["Case"]]  #: By the clauses of the rows.


class Case(Struct, frozen=True):
    """One sentence, with what came of it in each column."""

    clause: str
    sentence: str
    cells: list[Cell]
    messages: list[str]  #: Why it was skipped or failed, for each column.


def html(report: Report) -> str:
    """The whole page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups = _groups([*report.failures, *(r for r in report.results if r.outcome is Outcome.KNOWN)])
    sections = [
        _section(name, found, column)
        for name, found, column in (
            ("Codecs", about_codecs(report.results), column_of_codec),
            ("Links", about_links(report.results), column_of_link),
        )
        if found
    ]
    return environment.get_template(_TEMPLATE).render(
        report=report,
        sections=sections,
        grids=[
            ("Pair by pair", "written by", _PAIRS_EXPLAINED, pairs(report.results)),
            ("Calls, codec by codec", "codec", _CALLS_EXPLAINED, calls(report.results)),
        ],
        groups=groups,
        anchors={(paragraph(r.clause), _column(r)): group.anchor for group in reversed(groups) for r in group.results},
        pair_cases=about_pairs(report.results),
        skipped=[result for result in report.results if result.outcome is Outcome.SKIPPED],
        dump=dump,
        parted=_parted,
        marks=_MARKS,
        total=len(report.results),
    )


def _column(result: Result) -> str:
    return column_of_link(result) or column_of_codec(result)


def _section(name: str, results: list[Result], column: Callable[[Result], str]) -> Section:
    found = matrix(results, column)
    chapters = [
        (number, TITLES.get(number, ""), list(rows))
        for number, rows in groupby(found.rows, key=lambda row: section(row.clause))
    ]
    return Section(name, found, chapters, _cases(results, found, column))


def _cases(results: list[Result], found: Matrix, column: Callable[[Result], str]) -> dict[str, list[Case]]:
    """By the clause of their row: every sentence, once."""
    by_case: dict[tuple[str, str], dict[str, list[Result]]] = {}
    for result in results:
        by_case.setdefault((result.clause, result.sentence), {}).setdefault(column(result), []).append(result)
    cases: dict[str, list[Case]] = {row.clause: [] for row in found.rows}
    for (clause, sentence), by_column in sorted(by_case.items(), key=lambda item: order(item[0][0])):
        in_order = [by_column.get(name, []) for name in found.columns]
        messages = ["; ".join(dict.fromkeys(r.message for r in of_column if r.message)) for of_column in in_order]
        cases[paragraph(clause)].append(Case(clause, sentence, [cell(found) for found in in_order], messages))
    return cases


class Group(Struct, frozen=True):
    """Results of one subject that fail for the same reason: the first is shown, of the others only the sentences."""

    anchor: str
    results: list[Result]


def _groups(failed: list[Result]) -> list[Group]:
    by_reason: dict[tuple[str, str, str], list[Result]] = {}
    for result in failed:
        by_reason.setdefault((result.subject, result.outcome, result.message), []).append(result)
    return [Group(f"failure-{place}", results) for place, results in enumerate(by_reason.values(), 1)]


def _parted(text: str, other: str) -> tuple[str, str, str]:
    """`text` in three: as `other` begins, where the two differ, as `other` ends."""
    begin = _in_common(text, other)
    end = _in_common(text[begin:][::-1], other[begin:][::-1])
    return text[:begin], text[begin : len(text) - end], text[len(text) - end :]


def _in_common(text: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(text, other, strict=False))
    return next((place for place, (one, two) in pairs if one != two), min(len(text), len(other)))
