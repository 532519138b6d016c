"""Listeners that are wrong about calls, in one way each: clause 7 of `spec/wire.md`."""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from raftsdk.messages import MessageKind
from raftsdk.ports import Transport
from raftsdk.testing.broken.link import KEEP_ALIVE, BrokenLink, End, seen
from raftsdk.wire.frame import WireKind

_REQUESTS = frozenset(kind for kind in MessageKind if kind % 2 == 0)


class AnswersTwice(BrokenLink):
    """Repeats its responses."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Say it again."""
        return [data, data] if seen(data).is_response else [data]


class GrantsEveryVote(BrokenLink):
    """Makes a vote of a refusal."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Turn it round."""
        part = seen(data)
        if part.kind != MessageKind.REQUEST_VOTE_RESPONSE:
            return [data]
        return [part.made(body=part.body.replace(b'"vote_granted":false', b'"vote_granted":true'))]


class LosesLongRequests(BrokenLink):
    """Does not answer a request of more than 10,000 bytes."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop it."""
        part = seen(data)
        return [] if part.kind == MessageKind.APPEND_ENTRIES_REQUEST and len(data) > 10_000 else [data]


class SharesCallIds(BrokenLink):
    """Takes a call id that was used on another connection for a repetition."""

    def __init__(self, good: Transport) -> None:
        super().__init__(good)
        self._users: dict[int, End] = {}

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop it."""
        part = seen(data)
        if part.is_request and part.call_id and self._users.setdefault(part.call_id, end) is not end:
            return []
        return super().hears(end, data)


class TakesEveryCallId(BrokenLink):
    """Serves two calls of one id at a time."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Give each an id of its own."""
        part = seen(data)
        if not part.is_request or not part.sound:
            return super().hears(end, data)
        end.memory.append(part.call_id)
        return [part.made(call_id=len(end.memory) - 1)]

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Give it back its own."""
        part = seen(data)
        return [part.made(call_id=end.memory[part.call_id]) if part.is_response else data]


class RemembersEveryCall(BrokenLink):
    """Closes when the id of a call that was answered is used again."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Damage the frame."""
        part = seen(data)
        if part.is_request and part.call_id in end.memory:
            return [part.made(sound=False)]
        end.memory += [part.call_id] if part.is_request else []
        return super().hears(end, data)


class DeliversBackToFront(BrokenLink):
    """Takes what came last first."""

    async def received(self, end: End) -> list[bytes]:
        """Turn each read round."""
        return (await end.inner.read())[::-1]


class AnswersInOrder(BrokenLink):
    """Takes its answers for those of the requests in their order."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Remember their order."""
        part = seen(data)
        end.memory += [part.call_id] if part.is_request else []
        return super().hears(end, data)

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Answer the oldest."""
        part = seen(data)
        return [part.made(call_id=end.memory.pop(0))] if part.is_response and end.memory else [data]


class NeverTiresOfSilence(BrokenLink):
    """Keeps connections that bring nothing."""

    settings: ClassVar[Mapping[str, Any]] = {"idle_timeout_ms": 60_000}


class AnswersKeepAlives(BrokenLink):
    """Sends keep-alives back."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Answer it."""
        if seen(data).kind == WireKind.KEEP_ALIVE:
            end.inner.write([KEEP_ALIVE])
        return super().hears(end, data)


class IgnoresKeepAlives(BrokenLink):
    """Does not take a keep-alive for the end of a silence."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop it."""
        return [] if end.heard and seen(data).kind == WireKind.KEEP_ALIVE else super().hears(end, data)


class TakesEveryCall(BrokenLink):
    """Has no bound for the requests of one connection."""

    settings: ClassVar[Mapping[str, Any]] = {"max_calls_per_connection": 10_000}


class KeepsEveryResponse(BrokenLink):
    """Has no bound for the responses that are not read."""

    settings: ClassVar[Mapping[str, Any]] = {"max_unsent_bytes": 2**30}


class ClosesOnUnknownKinds(BrokenLink):
    """Closes where a later version asks something new."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Damage it."""
        part = seen(data)
        return [part.made(sound=False)] if part.is_request and part.kind not in _REQUESTS else super().hears(end, data)


class IgnoresSecondHellos(BrokenLink):
    """Passes over a hello after the hello."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop it."""
        link_own = (WireKind.HELLO, WireKind.HELLO_ANSWER)
        return [] if end.heard and seen(data).kind in link_own else super().hears(end, data)


class IgnoresResponses(BrokenLink):
    """Passes over responses that nobody asked for."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop them."""
        part = seen(data)
        return [] if end.heard and part.sound and part.flags in (1, 3) else super().hears(end, data)


class ClosesOnBadRequests(BrokenLink):
    """Closes on a request that it cannot decode."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Hang up."""
        if seen(data).is_response and b'"bad_request"' in data:
            end.abort()
        return super().says(end, data)


class JudgesItsLoadFirst(BrokenLink):
    """Says that it has too much to do before it looks at the kind."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make a request of it that it knows."""
        part = seen(data)
        if not part.is_request or not part.sound:
            return super().hears(end, data)
        unanswered, end.memory = bool(end.memory), [*end.memory, part.call_id]
        return [part.made(kind=MessageKind.STATUS_REQUEST) if unanswered and part.kind == 0x7E else data]

    def says(self, end: End, data: bytes) -> list[bytes]:
        """One less."""
        part = seen(data)
        if part.is_response and part.call_id in end.memory:
            end.memory.remove(part.call_id)
        return super().says(end, data)


class TakesTurns(BrokenLink):
    """Reads one connection after the other: one that says nothing delays all."""

    def __init__(self, good: Transport) -> None:
        super().__init__(good)
        self._turn = asyncio.Lock()

    async def received(self, end: End) -> list[bytes]:
        """Wait for its turn, once it has said hello."""
        if not end.heard:
            return await end.inner.read()
        async with self._turn:
            return await end.inner.read()
