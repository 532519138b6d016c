"""How the suites of this package are made and run; without pytest, because users import them.

A suite is a list of named cases; each case is a sentence that must hold and a coroutine that raises when it does not.
Under pytest: `@pytest.mark.parametrize("case", codec_suite.SUITE.cases, ids=str)` and `await case.run(make)`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Subject = TypeVar("Subject")

CASE_TIMEOUT_S = 30.0
"""No case may take longer: a hang is a failure with a name, not a hung run."""


@dataclass(frozen=True)
class Case(Generic[Subject]):
    """One sentence that must hold of every subject."""

    sentence: str
    check: Callable[[Subject], Awaitable[None]]
    clause: str = ""  #: Of `spec/wire.md`, when it is one of its clauses that demands it: "9.2".

    def __str__(self) -> str:
        return f"{self.clause} {self.sentence}".lstrip()

    async def run(self, subject: Subject) -> None:
        """Return if the sentence holds, raise whatever shows that it does not."""
        async with asyncio.timeout(CASE_TIMEOUT_S):
            await self.check(subject)


class Suite(Generic[Subject]):
    """Cases about one port, in the order they are written."""

    def __init__(self, port: str) -> None:
        self.port = port
        self.cases: list[Case[Subject]] = []

    def case(
        self, sentence: str, clause: str = ""
    ) -> Callable[[Callable[[Subject], Awaitable[None]]], Callable[[Subject], Awaitable[None]]]:
        """Decorate a coroutine function that checks `sentence` of the subject it is given."""

        def register(check: Callable[[Subject], Awaitable[None]]) -> Callable[[Subject], Awaitable[None]]:
            self.cases.append(Case(sentence, check, clause))
            return check

        return register

    async def failures(self, subject: Subject) -> dict[str, Exception]:
        """Run every case and return what failed, by sentence. Empty means the subject keeps the contract."""
        found: dict[str, Exception] = {}
        for case in self.cases:
            try:
                await case.run(subject)
            except Exception as error:
                found[case.sentence] = error
        return found
