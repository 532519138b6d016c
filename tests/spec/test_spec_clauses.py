"""The numbers of `spec/wire.md`: what cites a clause finds it."""

import json
import re
from collections import Counter
from itertools import groupby

from spec_text import FOLDER, spec

from raftsdk.testing.conformance import clauses

_QUOTED = re.compile(r"`[^`]*`|§[\d.]+")
_CITED = re.compile(r"(?<![\w.])\d{1,2}\.\d{1,2}(?:\.\d{1,2})?(?![\w.]*\w)")


def _numbers(clause: str) -> tuple[int, ...]:
    return tuple(int(part) for part in clause.split("."))


def test_clauses_are_numbered_without_a_gap() -> None:
    chapters = [clause for clause in spec().headings if "." not in clause]
    assert chapters == [str(number) for number in range(1, len(chapters) + 1)]
    found = [clause for clause in spec().headings if "." in clause]
    counts = Counter(clause.partition(".")[0] for clause in found)
    assert found == [f"{chapter}.{number}" for chapter in chapters for number in range(1, counts[chapter] + 1)]


def test_paragraphs_are_numbered_without_a_gap_below_their_clause() -> None:
    for clause, group in groupby(spec().paragraphs, lambda paragraph: paragraph.rpartition(".")[0]):
        assert clause in spec().headings
        found = [_numbers(paragraph)[-1] for paragraph in group]
        assert found == list(range(1, len(found) + 1)), f"paragraphs of {clause}"
    assert len(set(spec().paragraphs)) == len(spec().paragraphs)


def test_every_clause_that_is_cited_exists() -> None:
    known = {*spec().headings, *spec().paragraphs}
    cited = {clause for line in spec().prose for clause in _CITED.findall(_QUOTED.sub("", line))}
    assert cited - known == set()


def test_every_clause_that_a_vector_cites_exists() -> None:
    known = {*spec().headings, *spec().paragraphs}
    files = sorted((FOLDER / "vectors").rglob("*.json"))
    cited = {(file.name, vector["clause"]) for file in files for vector in json.loads(file.read_bytes())["vectors"]}
    assert cited
    assert {(name, clause) for name, clause in cited if clause not in known} == set()


def test_the_kit_knows_the_clauses_by_the_titles_they_have_here() -> None:
    assert {clause: spec().headings.get(clause) for clause in clauses.TITLES} == clauses.TITLES


def test_the_specification_is_of_no_language() -> None:
    told = "\n".join(spec().prose).lower()
    assert [word for word in ("python", "msgspec", "asyncio", "docstring", "traceback") if word in told] == []
