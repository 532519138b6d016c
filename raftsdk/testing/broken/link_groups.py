"""Links that are wrong about groups, in one way each: clause 3.7 of `spec/wire.md`."""

from typing import Any

from raftsdk.messages import MessageKind
from raftsdk.testing.broken.dialer import BrokenDialer
from raftsdk.testing.broken.link import BrokenLink, End, seen
from raftsdk.wire.frame import WireKind


class AnswersFromGroup1(BrokenLink):
    """Has its first group under the number 1."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Count from 1."""
        part = seen(data)
        return [part.made(group=part.group or 1) if part.is_response else data]


class WantsNoGroupInKeepAlives(BrokenLink):
    """Closes on a keep-alive with a group."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Damage it."""
        part = seen(data)
        return [part.made(sound=False) if part.kind == WireKind.KEEP_ALIVE and part.group else data]


class AnswersFromGroup0(BrokenLink):
    """Answers every group in the name of the first."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Make the group 0."""
        return [seen(data).made(group=0)]


class ServesEveryGroup(BrokenLink):
    """Takes what is for a group that it does not serve for its own, once groups are agreed on."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Remember the group, and make it 0."""
        part = seen(data)
        end.memory = [*end.memory, part.group]
        return [part.made(group=0)]

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Answer in the name of the last group that asked."""
        part = seen(data)
        return [part.made(group=end.memory[-1]) if part.is_response else data]


class JudgesTheBodyFirst(BrokenLink):
    """Decodes what is for a group that it does not serve, and finds fault with it."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Have proposals decoded as if they were for group 0."""
        part = seen(data)
        end.memory = [*end.memory, part.group]
        return [part.made(group=0) if part.kind == MessageKind.PROPOSE_REQUEST else data]

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Answer in the name of the last group that asked."""
        part = seen(data)
        return [part.made(group=end.memory[-1]) if part.is_response else data]


class TakesEveryGroupsAnswers(BrokenDialer):
    """Takes a response from any group for the one that is due."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make the group 0."""
        return super().hears(end, seen(data).made(group=0))


class AssumesGroups(BrokenDialer):
    """Takes it that every listener has groups, whatever was agreed on."""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Agree on them by itself."""
        if answer.get("answer") == "accepted":
            answer["features"] = ["groups"]
