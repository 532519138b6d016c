"""`spec/wire.md` as data: its clauses, its tables and its examples, each with the clause it stands under."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[2] / "spec"

_HEADING = re.compile(r"#{2,3} (\d+(?:\.\d+)?) (.+)")
_PARAGRAPH = re.compile(r"\*\*(\d+(?:\.\d+){1,2})\*\*")
_HEX = re.compile(r"([0-9a-f]{2}(?: [0-9a-f]{2})*)(?: {2,}.*)?")


class Table(NamedTuple):
    """A table, row by row, without the marks around names."""

    clause: str
    header: list[str]
    rows: list[list[str]]

    def column(self, name: str) -> list[str]:
        return [row[self.header.index(name)] for row in self.rows]

    def dicts(self) -> list[dict[str, str]]:
        return [dict(zip(self.header, row, strict=True)) for row in self.rows]


class Example(NamedTuple):
    """What stands between two fences, and what the first of them calls it."""

    clause: str
    title: str
    text: str

    def data(self) -> bytes:
        """The bytes of an annotated dump: pairs of digits, and after two blanks what they mean."""
        rows = [_HEX.fullmatch(line) for line in self.text.splitlines()]
        assert all(rows), f"{self.title}: a line is no bytes"
        return bytes.fromhex("".join(row[1] for row in rows if row))


class Spec(NamedTuple):
    headings: dict[str, str]
    """Title by number: chapters and clauses."""

    paragraphs: list[str]
    """The numbers in bold, in the order in which they come."""

    tables: list[Table]
    examples: list[Example]
    prose: list[str]
    """Every line outside examples, tables included."""


@cache
def spec() -> Spec:
    found = Spec({}, [], [], [], [])
    clause = ""
    lines = iter((FOLDER / "wire.md").read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith("```"):
            found.examples.append(Example(clause, line[3:], "\n".join(iter(lambda: next(lines), "```"))))
            continue
        found.prose.append(line)
        if heading := _HEADING.fullmatch(line):
            clause = heading[1]
            found.headings[clause] = heading[2]
        elif paragraph := _PARAGRAPH.match(line):
            clause = paragraph[1]
            found.paragraphs.append(clause)
        elif line.startswith("|"):
            _take_row(found.tables, clause, line, begins=not found.prose[-2].startswith("|"))
    return found


def _take_row(tables: list[Table], clause: str, line: str, *, begins: bool) -> None:
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if begins:
        tables.append(Table(clause, cells, []))
    elif set(line) - set("|- "):
        assert len(cells) == len(tables[-1].header), f"{clause}: {line}"
        tables[-1].rows.append(cells)


def table(clause: str, first_column: str = "") -> Table:
    """The one table under `clause`, or the one there whose first column is called that."""
    found = [
        table
        for table in spec().tables
        if f"{table.clause}.".startswith(f"{clause}.") and first_column in ("", table.header[0])
    ]
    assert len(found) == 1, f"{len(found)} tables of that kind under {clause}"
    return found[0]


def example(title: str) -> Example:
    [found] = [example for example in spec().examples if example.title == title]
    return found


def bare(cell: str) -> str:
    """A cell that holds one name, without the marks of code around it."""
    assert re.fullmatch(r"`[^`]+`", cell), f"{cell!r} is no name"
    return cell[1:-1]


def number(cell: str) -> int:
    """A number with commas between the thousands, hexadecimal, or a power of two less something."""
    text = cell.strip("`").replace(",", "")
    if power := re.fullmatch(r"2\^(\d+)-(\d+)", text):
        return int(2 ** int(power[1])) - int(power[2])
    return int(text, base=0)
