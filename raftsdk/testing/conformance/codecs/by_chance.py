"""Cases with messages made by hypothesis: the same ones in every run, and the smallest one that fails."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from raftsdk.messages import Message
from raftsdk.testing.conformance import strategies
from raftsdk.testing.conformance.clauses import clause_of
from raftsdk.testing.conformance.codecs.contract import COMMON_RULES
from raftsdk.testing.conformance.codecs.exact import expect_passed_on, expect_return
from raftsdk.testing.conformance.codecs.subject import Observed, Pair
from raftsdk.testing.suite import Case

MAX_SHRINKING_S: Final = 5.0
"""How long hypothesis may look for a smaller message that fails."""


def chance_cases(examples: int) -> list[Case[Observed]]:
    """A case for every kind of message."""
    return [
        Case(
            f"{kind.name.lower()} made by chance comes back exactly",
            _with_examples(of_kind, examples, expect_return),
            clause_of(kind),
        )
        for kind, of_kind in strategies.MESSAGES.items()
    ]


def chance_pair_cases(examples: int) -> list[Case[Pair]]:
    """One case, with messages of all kinds."""
    return [
        Case(
            "messages made by chance are read, written by the other and read again",
            _with_examples(strategies.messages(), examples, _passes_on),
            COMMON_RULES,
        )
    ]


def _passes_on(pair: Pair, message: Message) -> None:
    expect_passed_on(pair, message, pair.writer.encode(message))


def _with_examples(
    messages: SearchStrategy[Any], examples: int, expect: Callable[[Any, Message], None]
) -> Callable[[Any], Awaitable[None]]:
    async def check(target: Any) -> None:
        failing: list[Message] = []
        give_up_at = time.monotonic() + MAX_SHRINKING_S

        @settings(
            max_examples=examples,
            derandomize=True,  # a run is repeated by running it again
            database=None,
            deadline=None,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(messages)
        def holds(message: Message) -> None:
            if failing and time.monotonic() > give_up_at and message not in failing:
                return  # as if it passed: then there is nothing smaller to be found
            try:
                expect(target, message)
            except Exception:
                failing.append(message)
                raise

        holds()

    return check
