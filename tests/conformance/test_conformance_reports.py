"""What came of a run, as people and programs read it."""

import io
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from rich.console import Console

from raftsdk.testing.conformance.evidence import Evidence, dump, exhibit
from raftsdk.testing.conformance.report import Report, summarize
from raftsdk.testing.conformance.report.html import html
from raftsdk.testing.conformance.report.junit import junit
from raftsdk.testing.conformance.report.matrix import (
    about_codecs,
    about_links,
    calls,
    column_of_codec,
    column_of_link,
    matrix,
    pairs,
)
from raftsdk.testing.conformance.report.terminal import print_report, progress
from raftsdk.testing.conformance.trial import Outcome, Result

SHOWN = exhibit(Evidence(data=bytes(40) + b"<b>", reference=bytes(40) + b"<i>", expected="<one>", found="two & three"))


def result(
    subject: str, clause: str, outcome: Outcome = Outcome.PASSED, sentence: str = "a sentence", **more: str
) -> Result:
    shown = SHOWN if outcome in (Outcome.FAILED, Outcome.KNOWN) else None
    message = "" if outcome is Outcome.PASSED else f"why it {outcome}"
    return Result(
        subject=subject,
        clause=clause,
        sentence=sentence,
        outcome=outcome,
        message=message,
        exhibit=shown,
        elapsed_ms=1.5,
        **({"codec": subject} | more),
    )


def report_of(*results: Result) -> Report:
    return summarize(["codecs"], list(results), datetime.now(UTC))


MIXED = report_of(
    result("json", "9.10"),
    result("json", "9.2", Outcome.FAILED, "a <sentence> & more"),
    result("json", "9.2", Outcome.KNOWN, "it is known"),
    result("json", "8.1", Outcome.SKIPPED),
    result("cbor", "9.2", Outcome.MENDED, "a <sentence> & more"),
    result("cbor", "9.2"),
    result("json->cbor", "11.1", Outcome.FAILED, codec="json", reader="cbor"),
    result("cbor->json", "11.1", codec="cbor", reader="json"),
)
GOOD = report_of(result("json", "9.2"), result("json", "8.1", Outcome.SKIPPED))
LINKS = report_of(
    result("tcp", "4.2", codec="", transport="tcp"),
    result("tcp+json", "4.2.1", codec="json", transport="tcp"),
    result("tcp+msgpack", "4.2", Outcome.FAILED, codec="msgpack", transport="tcp"),
    result("ws+json", "4.2", codec="json", transport="ws"),
    result("n1", "4.2", codec="", transport="ws", address="ws://10.0.0.1:80"),
)


# -- the report itself


def test_a_report_counts_every_outcome_and_passes_only_without_failed_and_mended() -> None:
    assert MIXED.counts == {"passed": 3, "failed": 2, "skipped": 1, "known": 1, "mended": 1}
    assert not MIXED.passed
    assert GOOD.passed
    assert not report_of(result("json", "9.2", Outcome.MENDED)).passed
    assert report_of(result("json", "9.2", Outcome.KNOWN)).passed


def test_a_report_names_versions_and_its_time() -> None:
    assert {"raftsdk", "raftsdk-json", "raftsdk-tcp", "python", "system"} <= MIXED.versions.keys()
    assert datetime.fromisoformat(MIXED.started_at).tzinfo is not None


def test_a_report_survives_its_json() -> None:
    text = msgspec.json.encode(MIXED)
    assert msgspec.json.decode(text, type=Report) == MIXED
    plain = msgspec.json.decode(text)
    assert plain["results"][0] == {
        "subject": "json",
        "clause": "9.10",
        "sentence": "a sentence",
        "outcome": "passed",
        "codec": "json",
        "elapsed_ms": 1.5,
    }
    assert plain["results"][1]["exhibit"]["differs_at"] == 41


def test_the_documented_shape_is_that_of_a_report() -> None:
    documentation = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```json\n(.*?)```", documentation, flags=re.DOTALL)
    report = msgspec.json.decode(shown, type=Report)
    plain = msgspec.json.decode(shown)
    assert msgspec.to_builtins(report) == plain
    assert plain.keys() == {field.name for field in msgspec.structs.fields(Report)}
    assert plain["counts"].keys() == {outcome.value for outcome in Outcome}


def test_the_matrix_has_clauses_in_the_order_of_the_specification_and_no_pairs() -> None:
    found = matrix(about_codecs(MIXED.results), column_of_codec)
    assert found.columns == ["json", "cbor"]
    assert [(row.clause, [cell.text for cell in row.cells]) for row in found.rows] == [
        ("8.1", ["–", ""]),
        ("9.2", ["0/2", "1/2"]),
        ("9.10", ["1", ""]),
    ]
    assert [cell.verdict for cell in found.rows[1].cells] == ["failed", "failed"]
    assert [cell.verdict for cell in found.rows[0].cells] == ["skipped", "none"]


def test_pairs_are_writers_by_readers() -> None:
    found = pairs(MIXED.results)
    assert (found.rows, found.columns) == (["json", "cbor"], ["json", "cbor"])
    assert [[cell.text for cell in row] for row in found.cells] == [["", "0/1"], ["1", ""]]


def test_links_have_a_column_for_each_transport_and_in_it_a_part_for_each_codec() -> None:
    found = matrix(about_links(LINKS.results), column_of_link)
    assert found.columns == ["tcp", "ws", "ws://10.0.0.1:80"]
    (row,) = found.rows
    assert (row.clause, [cell.text for cell in row.cells]) == ("4.2", ["2/3", "1", "1"])
    assert [{codec: part.verdict for codec, part in cell.parts.items()} for cell in row.cells] == [
        {"json": "passed", "msgpack": "failed"},
        {"json": "passed"},
        {},
    ]


def test_calls_are_codecs_by_transports() -> None:
    found = calls(LINKS.results)
    assert (found.rows, found.columns) == (["json", "msgpack"], ["tcp", "ws"])
    assert [[cell.text for cell in row] for row in found.cells] == [["1", "1"], ["0/1", ""]]


# -- bytes


def test_an_exhibit_is_cut_around_the_first_byte_that_differs() -> None:
    reference = bytes(10_000)
    shown = exhibit(Evidence(data=reference[:9_000] + b"\x01" + reference[9_001:], reference=reference))
    assert shown
    assert shown.data
    assert shown.differs_at == 9_000
    assert shown.data.total_bytes == 10_000
    (row,) = (row for row in dump(shown.data, shown.differs_at) if row.marked)
    assert (row.offset, row.marked) == (9_000 // 16 * 16, "01")


def test_long_texts_are_cut() -> None:
    shown = exhibit(Evidence(expected="x" * 1_000_000))
    assert shown
    assert len(shown.expected) < 2_100


# -- the terminal


def printed(report: Report, *, terminal: bool = False) -> str:
    text = io.StringIO()
    print_report(report, Console(file=text, width=200, force_terminal=terminal))
    return text.getvalue()


def test_the_terminal_shows_the_table_the_pairs_the_failures_and_a_verdict() -> None:
    text = printed(MIXED)
    assert re.search(r"9\.2 +AppendEntriesRequest +0/2 +1/2", text)
    assert re.search(r"json +· +0/1", text)
    assert "✗ json 9.2 a <sentence> & more" in text
    assert "expected <one>" in text
    assert "00000020  00 00 00 00 00 00 00 00 3c 62 3e" in text
    assert text.splitlines()[-1].startswith("does not conform: 3 passed, 2 failed, 1 skipped, 1 known, 1 mended in ")
    assert printed(GOOD).splitlines()[-1].startswith("conforms: 1 passed, 1 skipped in ")


def test_the_terminal_marks_the_byte_that_differs() -> None:
    assert "\x1b[1;7;31m62\x1b[0m" in printed(MIXED, terminal=True)


def test_the_terminal_shows_no_more_failures_than_anybody_reads() -> None:
    many = report_of(*(result("json", "9.2", Outcome.FAILED, f"sentence {number}") for number in range(40)))
    text = printed(many)
    assert text.count("✗") == 25
    assert "and 15 more: --html FILE or --json shows them all" in text


def test_progress_counts_and_says_what_failed() -> None:
    text = io.StringIO()
    with progress(2, Console(file=text, width=200, force_terminal=True)) as bar:
        bar.show(result("json", "9.2", Outcome.FAILED, "a [bold]sentence"))
        bar.show(result("json", "9.2"))
    assert "1 failed" in text.getvalue()
    assert "2/2" in text.getvalue()


# -- JUnit


def test_junit_has_a_suite_for_each_subject_with_right_counts() -> None:
    root = ElementTree.fromstring(junit(MIXED))
    assert root.tag == "testsuites"
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "8",
        "failures": "3",
        "errors": "0",
        "skipped": "2",
    }
    assert [suite.get("name") for suite in root] == ["cbor", "cbor->json", "json", "json->cbor"]
    for suite in root:
        assert suite.tag == "testsuite"
        assert len(suite) == int(suite.attrib["tests"])
        assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"])
        assert len(suite.findall("testcase/skipped")) == int(suite.attrib["skipped"])
        assert float(suite.attrib["time"]) >= 0
        datetime.fromisoformat(suite.attrib["timestamp"])
        for case in suite:
            assert case.tag == "testcase"
            assert case.attrib.keys() == {"classname", "name", "time"}


def test_junit_tells_what_was_wrong_and_shows_the_bytes() -> None:
    root = ElementTree.fromstring(junit(MIXED))
    failure = root.find("testsuite[@name='json']/testcase/failure")
    assert failure is not None
    assert failure.get("message") == "why it failed"
    assert failure.text
    assert "expected: <one>" in failure.text
    assert "3c [62] 3e" in failure.text


def test_junit_leaves_out_what_no_xml_can_hold() -> None:
    broken = msgspec.structs.replace(MIXED.results[1], message="a \x00 zero and half \ud800 a letter")
    root = ElementTree.fromstring(junit(report_of(broken)))
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == "a \ufffd zero and half \ufffd a letter"


# -- HTML


class Page(HTMLParser):
    """Tags that are open and what they hold; complains about those that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.external: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name == "href" and value:
                self.links.add(value)
            elif name == "src":
                self.external.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)


@pytest.mark.parametrize("report", [MIXED, GOOD, LINKS], ids=["mixed", "good", "links"])
def test_the_page_is_whole_and_needs_nothing_beside_it(report: Report) -> None:
    text = html(report)
    page = Page(text)
    assert page.external == []
    assert page.links <= {f"#{name}" for name in page.ids}
    assert "http" not in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_says_at_once_whether_it_conforms() -> None:
    assert "<h1>Does not conform</h1>" in html(MIXED)
    assert "<h1>Conforms</h1>" in html(GOOD)


def test_the_page_shows_every_failure_with_its_bytes_and_what_was_expected() -> None:
    text = html(MIXED)
    words = " ".join(Page(text).words)
    for word in ("a <sentence> & more", "why it failed", "<one>", "two & three", "why it mended", "it is known"):
        assert word in words
    assert "<mark>62</mark>" in text
    assert "<mark>69</mark>" in text
    assert "a <sentence>" not in text


def test_the_page_has_clauses_by_transports_and_a_dot_for_each_codec() -> None:
    text = html(LINKS)
    for column in ("tcp", "ws", "ws://10.0.0.1:80"):
        assert f'<th class="number">{column}</th>' in text
    assert '<i class="failed" title="msgpack: 0/1"></i>' in text


def test_failures_for_the_same_reason_are_shown_once_and_listed() -> None:
    text = html(report_of(*(result("json", "9.2", Outcome.FAILED, f"sentence {number}") for number in range(3))))
    assert text.count("<article") == 1
    assert "2 more for the same reason" in text
    assert "sentence 2" in text


def test_the_page_marks_where_what_was_found_parts_from_what_was_expected() -> None:
    shown = exhibit(Evidence(expected='{"term":12,"ok":true}', found='{"term":13,"ok":true}'))
    text = html(report_of(msgspec.structs.replace(MIXED.results[1], exhibit=shown)))
    assert '{&#34;term&#34;:1<b class="good">2</b>,' in text
    assert '{&#34;term&#34;:1<b class="bad">3</b>,' in text


def test_the_page_has_versions_and_totals() -> None:
    words = " ".join(Page(html(MIXED)).words)
    assert f"raftsdk {MIXED.versions['raftsdk']}" in words
    assert MIXED.started_at in words
    assert re.search(r"3\s+passed", words)
    assert "for 8 cases" in words
