"""Broken dialers: each is a good one but for one clause of `spec/wire.md`. The conformance kit must catch them all.

As with broken listeners (`link`), somebody stands between a good link and its transport, on the other side.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from raftsdk.errors import WireError
from raftsdk.messages import MessageKind
from raftsdk.ports import Connection, Listener
from raftsdk.ports.transport import OnConnection
from raftsdk.testing.broken.link import KEEP_ALIVE, BrokenLink, End, last_of_two, seen
from raftsdk.testing.conformance.links.own import OWN
from raftsdk.testing.conformance.links.stranger import frame
from raftsdk.wire.frame import Flags, WireKind


class BrokenDialer(BrokenLink):
    """Spoils the connections that a good transport opens. Spoils nothing itself: the others change a step each."""

    async def connect(self, address: str) -> Connection:
        """As the good transport, with a spoilt connection."""
        return self.end(await self.good.connect(address))

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        """As the good transport: the other side has to be a good one."""
        return await self.good.listen(address, on_connection)

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """What the link reads in place of a frame: a changed answer."""
        return super().says(end, data)

    def says(self, end: End, data: bytes) -> list[bytes]:
        """What the other side gets in place of a frame: a changed hello."""
        return super().hears(end, data)


# -- the hello


class DoesNotWait(BrokenDialer):
    """Goes on before its hello was answered."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Say more behind it."""
        return [data, KEEP_ALIVE] if seen(data).kind == WireKind.HELLO else [data]


class GivesClientsAName(BrokenDialer):
    """Gives a client the name of somebody."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Fill it in."""
        hello["node_id"] = hello["node_id"] or "me"


class TakesEverythingForAnAnswer(BrokenDialer):
    """Does not look at the kind of the first frame, nor at its flags."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make an answer of it."""
        return [data if end.heard else seen(data).made(kind=WireKind.HELLO_ANSWER, flags=Flags.RESPONSE)]


class TakesWhatItDidNotOffer(BrokenDialer):
    """Goes along with whatever the listener chose."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Remember the offer."""
        end.hello = hello.copy()

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Find nothing wrong."""
        if answer.get("answer") == "accepted" and "codec" in answer:
            answer.update(version=1, compression="", features=[], cluster_id=OWN.cluster_id, node_id=OWN.node_id)
            answer["codec"] = end.hello["codecs"][0]
            answer["max_frame_bytes"] = end.hello["max_frame_bytes"]


class FillsAnswersIn(BrokenDialer):
    """Takes an answer without an idle time, and fills in what it likes."""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Fill it in."""
        answer.setdefault("idle_timeout_ms", 60_000)


class TakesTheLastOfTwo(BrokenDialer):
    """Does not see that a name occurs twice in an answer."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Read it as most readers of JSON do."""
        return [last_of_two(data, WireKind.HELLO_ANSWER)]


class WantsNoUnknownFields(BrokenDialer):
    """Closes on an answer of a later version."""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Hang up."""
        if "later" in answer and answer["answer"] == "accepted":
            end.abort()


class TakesShortAnswersOnly(BrokenDialer):
    """Takes less than every dialer must."""

    settings: ClassVar[Mapping[str, Any]] = {"max_hello_bytes": 16_383}


class TakesAnAnswerOfAnyLength(BrokenDialer):
    """Reads whatever a listener answers."""

    def limit(self, end: End, value: int) -> int:
        """Raise it before the answer."""
        return 2**20 if end.limits == 1 else value


class TakesRefusalsAmiss(BrokenDialer):
    """Takes a refusal with a code it does not know for a violation."""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Complain."""
        if answer.get("code") == "zz-later":
            raise WireError("bad_answer", "that is no code")


class WaitsForEver(BrokenDialer):
    """Has patience with a listener that does not answer."""

    settings: ClassVar[Mapping[str, Any]] = {"handshake_timeout_ms": 60_000}


# -- frames


class IgnoresTheChecksum(BrokenDialer):
    """Takes damaged frames."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make the checksum right."""
        part = seen(data)
        return [data if part.version != 1 else part.made(sound=True)]


class ForgetsTheAgreedLimit(BrokenDialer):
    """Goes on by its own limit, whatever was agreed."""

    def limit(self, end: End, value: int) -> int:
        """Raise it, once the answer is there."""
        return value if end.limits == 1 else 2**23


class SendsMoreThanWasAgreed(BrokenDialer):
    """Sends by its own limit, whatever was agreed."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Remember it."""
        end.hello = hello.copy()

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Hide the other side's."""
        if answer.get("max_frame_bytes") == 1_000:
            answer["max_frame_bytes"] = end.hello["max_frame_bytes"]


# -- calls


class NumbersByTwo(BrokenDialer):
    """Numbers its requests 2, 4, 6."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Double it."""
        part = seen(data)
        return [part.made(call_id=2 * part.call_id)]

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Halve it."""
        part = seen(data)
        return [part.made(call_id=part.call_id // 2) if part.sound and part.version == 1 else data]


class MatchesInOrder(BrokenDialer):
    """Takes the first response for that to its first request."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Remember the order."""
        part = seen(data)
        end.memory += [part.call_id] if part.is_request else []
        return [data]

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Go by it."""
        part = seen(data)
        return [part.made(call_id=end.memory.pop(0)) if part.is_response and end.memory else data]


class WantsEveryResponseToBeDue(BrokenDialer):
    """Closes on a response to a call that it does not know."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Remember the calls."""
        part = seen(data)
        end.memory += [part.call_id] if part.is_request else []
        return [data]

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Complain."""
        part = seen(data)
        if part.is_response and part.sound:
            if part.call_id not in end.memory:
                raise WireError("unexpected_kind", f"call {part.call_id} was never asked, or is answered")
            end.memory.remove(part.call_id)
        return [data]


class HangsUpOnErrors(BrokenDialer):
    """Closes on an error whose code it does not know."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Hang up."""
        if b'"zz-later"' in data and seen(data).kind == MessageKind.ERROR:
            end.abort()
            return []
        return [data]


class TakesEveryResponse(BrokenDialer):
    """Takes a response of whatever kind for the one that is due."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make it the one."""
        part = seen(data)
        if not part.is_response or b"applied_index" not in part.body:
            return [data]
        answer = part.body.replace(b"applied_index", b"index")
        return [part.made(kind=MessageKind.PROPOSE_RESPONSE, flags=Flags.RESPONSE, body=answer)]


class DropsBadResponses(BrokenDialer):
    """Passes over a response that it cannot decode."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop it."""
        return [] if seen(data).body.startswith(b"\xc1\xc1") else [data]


class PassesOverRequests(BrokenDialer):
    """Passes over frames without the flag RESPONSE."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop them."""
        return [] if end.heard and not seen(data).flags else [data]


class MakesAnswersUp(BrokenDialer):
    """Takes the end of the connection for a yes."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Remember the calls."""
        part = seen(data)
        end.memory += [part.call_id] if part.is_request else []
        return [data]

    async def received(self, end: End) -> list[bytes]:
        """Say yes."""
        frames = await end.inner.read()
        calls, end.memory = (end.memory, []) if not frames else ([], end.memory)
        yes = [
            frame(MessageKind.PROPOSE_RESPONSE, b'{"index":1}', flags=Flags.RESPONSE, call_id=each) for each in calls
        ]
        return frames or yes


# -- time


class SendsNoKeepAlives(BrokenDialer):
    """Says nothing when it has nothing to ask."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Drop it."""
        return [] if seen(data).kind == WireKind.KEEP_ALIVE else [data]


class WantsToBeSpokenTo(BrokenDialer):
    """Closes when a listener says nothing for 200 ms, which it does not have to."""

    async def received(self, end: End) -> list[bytes]:
        """Hang up."""
        if not end.heard:
            return await end.inner.read()
        try:
            async with asyncio.timeout(0.2):
                return await end.inner.read()
        except TimeoutError:
            return []


class NeverGivesUp(BrokenDialer):
    """Waits for an answer as long as TCP does."""

    settings: ClassVar[Mapping[str, Any]] = {"call_timeout_ms": 60_000}


class NeverPauses(BrokenDialer):
    """Dials again as fast as it can."""

    settings: ClassVar[Mapping[str, Any]] = {"reconnect_min_ms": 1, "reconnect_max_ms": 1}


class HasOneAddress(BrokenDialer):
    """Always dials the first address that it was given."""

    _first = ""

    async def connect(self, address: str) -> Connection:
        """Dial that."""
        self._first = self._first or address
        return await super().connect(self._first)


class BelievesTheAnswer(BrokenDialer):
    """Takes whoever has a certificate for whom it was looking for."""

    def names(self, names: frozenset[str] | None) -> frozenset[str] | None:
        """Forget the certificate."""
        return None


class HasNoNamesForFaults(BrokenDialer):
    """Counts everything that goes wrong at connecting under one name."""

    async def connect(self, address: str) -> Connection:
        """Give it that name."""
        try:
            return await super().connect(address)
        except WireError as error:
            raise WireError("broken", str(error)) from error

    async def received(self, end: End) -> list[bytes]:
        """Give it that name."""
        try:
            return await end.inner.read()
        except WireError as error:
            raise WireError("broken", str(error)) from error
