"""A run as people and programs read it.

here       what a report says: the JSON of `raftsdk conformance … --json`
matrix     the same as a table of clauses and subjects, and of pairs
terminal   with rich; html: one file, with jinja2; junit: for a CI server
"""

import platform
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version

from msgspec import Struct

from raftsdk import plugins
from raftsdk.config.rules import CODECS, TRANSPORTS
from raftsdk.testing.conformance.trial import Outcome, Result


class Report(Struct, frozen=True, kw_only=True):
    """A whole run. `raftsdk conformance … --json` prints exactly this."""

    tiers: list[str]  #: What was run: "codecs", "links", or both.
    passed: bool  #: Nothing failed, and nothing on the list of known failures passed.
    counts: dict[str, int]  #: Of results, by outcome; every outcome is there.
    started_at: str  #: ISO 8601, UTC.
    elapsed_s: float
    versions: dict[str, str]  #: Of raftsdk, of Python, of the installed codecs and transports, of the system.
    results: list[Result]

    @property
    def failures(self) -> list[Result]:
        """What makes the run fail."""
        return [result for result in self.results if result.outcome in (Outcome.FAILED, Outcome.MENDED)]


def summarize(tiers: Iterable[str], results: list[Result], started: datetime) -> Report:
    """The report of a run that has just ended."""
    found = Counter(result.outcome for result in results)
    return Report(
        tiers=list(tiers),
        passed=not (found[Outcome.FAILED] or found[Outcome.MENDED]),
        counts={outcome.value: found[outcome] for outcome in Outcome},
        started_at=started.astimezone(UTC).isoformat(timespec="seconds"),
        elapsed_s=round((datetime.now(UTC) - started).total_seconds(), 1),
        versions=_versions(),
        results=results,
    )


def _versions() -> dict[str, str]:
    installed = [plugin for group in (CODECS, TRANSPORTS) for plugin in plugins.installed(group)]
    return {
        "raftsdk": version("raftsdk"),
        "python": platform.python_version(),
        **{plugin.distribution: plugin.version for plugin in installed},
        "system": f"{platform.system()} {platform.machine()}",
    }
