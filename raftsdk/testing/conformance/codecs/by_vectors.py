"""Cases from `spec/vectors`: golden bytes, and bytes that must be refused."""

from collections.abc import Awaitable, Callable
from typing import Any

from raftsdk.messages import MessageKind
from raftsdk.testing.conformance import vectors
from raftsdk.testing.conformance.clauses import clause_of
from raftsdk.testing.conformance.codecs.costs import expect_cheap
from raftsdk.testing.conformance.codecs.exact import expect_passed_on, expect_read, expect_return
from raftsdk.testing.conformance.codecs.subject import Observed, Pair
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.vectors import HostileVector, MessageVector
from raftsdk.testing.suite import Case

Check = Callable[[Any], Awaitable[None]]


def vector_cases() -> list[Case[Observed]]:
    """A case for every message vector."""
    return [
        Case(
            f"{vector.title} is read from its golden bytes, and from what is written of it",
            _reads(vector),
            vector.clause,
        )
        for vector in vectors.messages()
    ]


def _reads(vector: MessageVector) -> Check:
    async def check(codec: Observed) -> None:
        golden = vector.data.get(codec.name)
        own = codec.encode(vector.message)
        if golden is not None:
            expect_read(codec, vector.message, golden, "the golden bytes", own)
        expect_return(codec, vector.message, golden)

    return check


def hostile_cases(codec: str) -> list[Case[Observed]]:
    """A case for every vector of bytes that are hostile in that codec's format."""
    return [
        Case(f"{vector.kind.name.lower()}, {vector.name}, is refused", _refuses(vector), vector.clause)
        for vector in vectors.hostile(codec)
    ]


def _refuses(vector: HostileVector) -> Check:
    async def check(codec: Observed) -> None:
        message = expect_cheap(codec, vector.kind, vector.data)
        if message is not None:
            problem = f"read as {message!r:.200}, and must be refused: {vector.why}"
            raise Mismatch(problem, data=vector.data, expected="DecodeError", found=repr(message))

    return check


def pair_cases() -> list[Case[Pair]]:
    """A case for every kind of message: all its vectors, through both codecs."""
    return [
        Case(
            f"every vector of {kind.name.lower()} is read, written by the other and read again",
            _passes_on(kind),
            clause_of(kind),
        )
        for kind in MessageKind
    ]


def _passes_on(kind: MessageKind) -> Check:
    async def check(pair: Pair) -> None:
        for vector in vectors.messages():
            if vector.kind is kind:
                golden = vector.data.get(pair.writer.name)
                data = pair.writer.encode(vector.message) if golden is None else golden
                expect_passed_on(pair, vector.message, data)

    return check
