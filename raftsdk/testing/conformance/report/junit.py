"""A run as JUnit XML, which every CI server reads: a suite for each subject, a test case for each trial."""

import re
from itertools import groupby
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from raftsdk.testing.conformance.evidence import exhibit_text
from raftsdk.testing.conformance.report import Report
from raftsdk.testing.conformance.trial import Outcome, Result

_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> bytes:
    """The XML of `report`. A known failure is a skipped test."""
    suites = Element("testsuites", {"name": "raftsdk conformance", **_counts(report.results)})
    for subject, of_subject in groupby(sorted(report.results, key=_subject), key=_subject):
        results = list(of_subject)
        suite = SubElement(suites, "testsuite", {"name": subject, "timestamp": report.started_at, **_counts(results)})
        for result in results:
            _add(suite, result)
    indent(suites)
    xml: bytes = tostring(suites, encoding="utf-8", xml_declaration=True)
    return xml


def _subject(result: Result) -> str:
    return result.subject


def _counts(results: list[Result]) -> dict[str, str]:
    def count(*outcomes: Outcome) -> str:
        return str(sum(result.outcome in outcomes for result in results))

    return {
        "tests": str(len(results)),
        "failures": count(Outcome.FAILED, Outcome.MENDED),
        "errors": "0",
        "skipped": count(Outcome.SKIPPED, Outcome.KNOWN),
        "time": _seconds(sum(result.elapsed_ms for result in results)),
    }


def _seconds(elapsed_ms: float) -> str:
    return f"{elapsed_ms / 1_000:.4f}"


def _add(suite: Element, result: Result) -> None:
    case = SubElement(
        suite,
        "testcase",
        classname=_text(f"conformance.{result.subject}.{result.clause}"),
        name=_text(f"{result.clause} {result.sentence}"),
        time=_seconds(result.elapsed_ms),
    )
    if result.outcome in (Outcome.FAILED, Outcome.MENDED):
        failure = SubElement(case, "failure", message=_text(result.message), type=result.outcome.value)
        failure.text = _text(exhibit_text(result.exhibit))
    elif result.outcome is not Outcome.PASSED:
        SubElement(case, "skipped", message=_text(result.message))


def _text(text: str) -> str:
    """Without the characters that XML has no way to write."""
    return _NOT_IN_XML.sub("\ufffd", text)
