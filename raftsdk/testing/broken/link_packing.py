"""Links that are wrong about packed frames, in one way each: clause 3.11 of `spec/wire.md`."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from raftsdk.testing.broken.dialer import BrokenDialer
from raftsdk.testing.broken.link import BrokenLink, End, Seen, seen
from raftsdk.testing.conformance.links.stranger import frame, packed
from raftsdk.wire.frame import MAX_CALL_ID, Flags, WireKind

_LENGTH_BYTES: Final = 4
_MAX_MESSAGES: Final = 1_024
_NOBODYS_KIND: Final = 0x7E


def _bodies(part: Seen) -> list[bytes]:
    """Those of its messages that are whole."""
    bodies, rest = [], part.body
    while len(rest) >= _LENGTH_BYTES:
        end = _LENGTH_BYTES + int.from_bytes(rest[:_LENGTH_BYTES], "big")
        bodies += [rest[_LENGTH_BYTES:end]] if end <= len(rest) else []
        rest = rest[end:]
    return bodies


def _pack_of(part: Seen, bodies: list[bytes], **changes: int) -> bytes:
    """The same packed frame with these messages, and with changes."""
    others = {"flags": part.flags, "call_id": part.call_id, "group": part.group, **changes}
    return packed(part.kind, *bodies, **others)


def _alone(part: Seen) -> list[bytes]:
    """Its messages, each in a frame of its own."""
    flags = part.flags & ~Flags.PACKED
    return [
        frame(part.kind, body, flags=flags, call_id=call_id, group=part.group)
        for call_id, body in enumerate(_bodies(part), start=part.call_id)
    ]


def _is_pack(part: Seen) -> bool:
    """Whether it is called one, whatever is in it."""
    return bool(part.flags & Flags.PACKED) and part.sound


def _is_whole(part: Seen) -> bool:
    """Whether it is one, but for its length and its call ids."""
    return _is_pack(part) and bool(part.body) and part.made() == _pack_of(part, _bodies(part))


# -- listeners


class LosesTheLast(BrokenLink):
    """Drops the last message of each pack."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop it."""
        part = seen(data)
        return [_pack_of(part, _bodies(part)[:-1])] if _is_whole(part) else super().hears(end, data)


class AnswersAllUnderTheFirstId(BrokenLink):
    """Takes the call id of a packed frame for that of all its messages."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Remember it."""
        part = seen(data)
        end.memory += [part.call_id] if _is_pack(part) else []
        return super().hears(end, data)

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Answer that one, again and again."""
        part = seen(data)
        if not part.is_response or not end.memory:
            return [data]
        return [seen(each).made(call_id=end.memory[-1]) for each in (_alone(part) if _is_pack(part) else [data])]


class TakesPacksBackToFront(BrokenLink):
    """Takes the last body of a pack for its first."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Turn it round."""
        part = seen(data)
        return [_pack_of(part, _bodies(part)[::-1])] if _is_whole(part) else super().hears(end, data)


class PacksForGroup0(BrokenLink):
    """Takes what comes packed for its first group's."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make the group 0."""
        part = seen(data)
        return [_pack_of(part, _bodies(part), group=0)] if _is_whole(part) else super().hears(end, data)


class HasRoomForAThousandAndTwentyThree(BrokenLink):
    """Closes on a pack of 1,024 messages."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Damage it."""
        part = seen(data)
        if _is_whole(part) and len(_bodies(part)) == _MAX_MESSAGES:
            return [part.made(sound=False)]
        return super().hears(end, data)


class TakesPacksOfAnyLength(BrokenLink):
    """Takes more than 1,024 messages."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Take them one by one."""
        part = seen(data)
        return _alone(part) if _is_whole(part) and len(_bodies(part)) > _MAX_MESSAGES else super().hears(end, data)


class EndsOneIdTooSoon(BrokenLink):
    """Closes on a pack that ends with the last call id of all."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Damage it."""
        part = seen(data)
        if _is_whole(part) and part.call_id + len(_bodies(part)) - 1 == MAX_CALL_ID:
            return [part.made(sound=False)]
        return super().hears(end, data)


class CountsOnFromZero(BrokenLink):
    """Goes on with 0 behind the last call id of all."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Take apart what goes beyond it."""
        part = seen(data)
        room = MAX_CALL_ID + 1 - part.call_id
        bodies = _bodies(part) if _is_whole(part) else []
        if len(bodies) <= room:
            return super().hears(end, data)
        return [_pack_of(part, bodies[:room]), _pack_of(part, bodies[room:], call_id=0)]


class IgnoresEmptyPacks(BrokenLink):
    """Passes over a pack without a message."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop it."""
        part = seen(data)
        return [] if _is_pack(part) and not part.body else super().hears(end, data)


class TakesWhatIsWhole(BrokenLink):
    """Takes the whole messages of a pack that breaks off."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Leave the rest."""
        part = seen(data)
        return [_pack_of(part, _bodies(part))] if _is_pack(part) and part.body else super().hears(end, data)


class DeliversBeforeItJudges(BrokenLink):
    """Has taken the messages of a pack before it finds that the pack breaks off."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Put the whole messages before it."""
        part = seen(data)
        bodies = _bodies(part)
        breaks_off = _is_pack(part) and bodies and not _is_whole(part)
        return [_pack_of(part, bodies), data] if breaks_off else super().hears(end, data)


class JudgesTheKindFirst(BrokenLink):
    """Looks at the kind of a packed frame before it looks at what is packed."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """See to it that nothing else is wrong."""
        part = seen(data)
        no_request = part.kind == WireKind.HELLO or part.flags & Flags.RESPONSE
        return [_pack_of(part, _bodies(part))] if _is_pack(part) and no_request else super().hears(end, data)


class TakesPacksThatNobodyAgreedOn(BrokenLink):
    """Takes packed frames from whoever sends them."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Take them apart."""
        part = seen(data)
        return (
            _alone(part) if end.heard and _is_whole(part) and part.flags == Flags.PACKED else super().hears(end, data)
        )


class TakesEveryFlagOfAPack(BrokenLink):
    """Looks at no other flag beside PACKED."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Leave it that one."""
        part = seen(data)
        return [part.made(flags=Flags.PACKED)] if _is_pack(part) else super().hears(end, data)


class AnswersPacksInOrder(BrokenLink):
    """Takes its answers for those of a pack's messages in their order."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Remember their order."""
        part = seen(data)
        end.memory += [seen(each).call_id for each in _alone(part)] if _is_pack(part) else []
        return super().hears(end, data)

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Answer the oldest."""
        part = seen(data)
        alone = part.is_response and not _is_pack(part) and end.memory
        return [part.made(call_id=end.memory.pop(0))] if alone else [data]


class AnswersUnknownPacksOnce(BrokenLink):
    """Answers a pack of a kind that it does not know as if that were one request."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Take its body for one message."""
        part = seen(data)
        later = _is_pack(part) and part.kind == _NOBODYS_KIND
        return [part.made(flags=part.flags & ~Flags.PACKED)] if later else super().hears(end, data)


class CountsPacksAsOne(BrokenLink):
    """Counts a pack as one call: there is room for a thousand times as many."""

    settings: ClassVar[Mapping[str, Any]] = {"max_calls_per_connection": 4 * 1_024}


class ForgetsIdsOfPacks(BrokenLink):
    """Does not see that an id of a pack is that of another call."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop the second."""
        part = seen(data)
        if not _is_whole(part):
            return super().hears(end, data)
        fresh = [each for each in _alone(part) if seen(each).call_id not in end.memory]
        end.memory += [seen(each).call_id for each in fresh]
        return fresh


class StopsAtABadBody(BrokenLink):
    """Passes over the messages of a pack behind one that it cannot decode."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop them."""
        part = seen(data)
        bodies = _bodies(part) if _is_whole(part) else []
        bad = [place for place, body in enumerate(bodies) if body.startswith(b"\xc1")]
        return [_pack_of(part, bodies[: bad[0] + 1])] if bad else super().hears(end, data)


class ClosesOnPackedKeepAlives(BrokenLink):
    """Wants keep-alives to come alone."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Damage it."""
        part = seen(data)
        unwanted = _is_pack(part) and part.kind == WireKind.KEEP_ALIVE
        return [part.made(sound=False)] if unwanted else super().hears(end, data)


class IgnoresPackedResponses(BrokenLink):
    """Passes over packed responses, where it closes on one that comes alone."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop them."""
        part = seen(data)
        return [] if _is_pack(part) and part.flags & Flags.RESPONSE else super().hears(end, data)


# -- dialers


class AssumesPacking(BrokenDialer):
    """Takes it that every listener takes packed frames, whatever was agreed on."""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Agree on them by itself."""
        if answer.get("answer") == "accepted":
            answer["features"] = ["packing"]


class UnpacksWhateverComes(BrokenDialer):
    """Takes packed responses from whoever sends them."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Take them apart."""
        part = seen(data)
        return _alone(part) if _is_whole(part) else super().hears(end, data)


class AsksBackToFront(BrokenDialer):
    """Packs its requests in another order than that of their numbers."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Turn each pack round."""
        part = seen(data)
        return [_pack_of(part, _bodies(part)[::-1])] if _is_whole(part) else super().says(end, data)


class HearsTheFirstAlone(BrokenDialer):
    """Takes a packed response for one: the first."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop the others."""
        part = seen(data)
        return _alone(part)[:1] if _is_whole(part) else super().hears(end, data)


class WantsAnswersAsItAsked(BrokenDialer):
    """Waits for packed responses to what it asked in a pack."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Remember the calls."""
        part = seen(data)
        end.memory += [seen(each).call_id for each in _alone(part)] if _is_pack(part) else []
        return super().says(end, data)

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop what comes alone."""
        part = seen(data)
        return [] if not _is_pack(part) and part.call_id in end.memory else super().hears(end, data)


class TakesAnswersThatAreWhole(BrokenDialer):
    """Takes the whole messages of packed responses that break off."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Leave the rest."""
        part = seen(data)
        return [_pack_of(part, _bodies(part))] if _is_pack(part) else super().hears(end, data)
