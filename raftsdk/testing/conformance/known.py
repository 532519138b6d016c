"""Cases that are known to fail: listed in a file, counted apart, and a failure of the run once they pass.

A list has one line a case, `subject clause sentence`, as the report of a run shows it; `#` begins a comment.

    # negotiates from memory of the last connection; see issue 12
    mycodec 8.8 bytes after the end of a message are refused
"""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from raftsdk.errors import ConfigError
from raftsdk.testing.conformance.trial import Outcome, Result, Trial


class KnownFailing:
    """A list of known failures. Empty without a file."""

    def __init__(self, lines: Iterable[str] = (), name: str = "the list") -> None:
        self._name = name
        self._numbers: dict[str, int] = {}
        for number, line in enumerate(lines, 1):
            case = " ".join(line.split())
            if case and not case.startswith("#"):
                self._numbers[case] = number

    @classmethod
    def read(cls, path: Path) -> "KnownFailing":
        """The list in a file. Raises `ConfigError` when there is none to be read."""
        try:
            return cls(path.read_text(encoding="utf-8").splitlines(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"the list of known failures {str(path)!a} cannot be read: {error}"]) from None

    def __contains__(self, line: str) -> bool:
        return line in self._numbers

    def check(self, trials: Collection[Trial[Any]]) -> None:
        """Raise `ConfigError` for every line about a subject of this run that none of its cases has.

        Lines about other subjects are left alone: one list serves several runs.
        """
        lines = {str(trial) for trial in trials}
        subjects = {trial.subject.name for trial in trials}
        strays = [
            f"{self._name}, line {number}: {case!a} is no case of this run: correct the line, or take it out"
            for case, number in self._numbers.items()
            if case not in lines and case.partition(" ")[0] in subjects
        ]
        if strays:
            raise ConfigError(strays)

    def judge(self, result: Result) -> Result:
        """`result`, as the list would have it: a listed failure is known, a listed case that passes is mended."""
        if result.line not in self:
            return result
        if result.outcome is Outcome.FAILED:
            return replace(result, outcome=Outcome.KNOWN)
        if result.outcome is Outcome.PASSED:
            message = f"listed as failing in {self._name}, and it passes: take line {self._numbers[result.line]} out"
            return replace(result, outcome=Outcome.MENDED, message=message)
        return result
