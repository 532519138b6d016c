"""Everything that can happen to a node, as facts. The core learns of the world through these alone."""

from typing import TypeAlias

from msgspec import Struct

from raftsdk.core.ready import Call
from raftsdk.messages import PeerRequest, PeerResponse


class Tick(Struct, frozen=True, gc=False):
    """One unit of time has passed: `RaftConfig.tick_interval_ms`. There is no other clock."""


class Propose(Struct, frozen=True, gc=False):
    """Somebody wants these commands in the log, next to each other and in this order.

    All of them are accepted or none. `token` comes back in `Ready.accepted` or `Ready.refused`; it means nothing here.
    """

    token: int
    commands: list[bytes]


class Received(Struct, frozen=True, gc=False):
    """A peer's request has arrived. Its answer will be a `Respond` with the same token."""

    token: int
    request: PeerRequest


class Answered(Struct, frozen=True, gc=False):
    """One of our calls came back with an answer."""

    call: Call
    response: PeerResponse


class CallFailed(Struct, frozen=True, gc=False):
    """One of our calls will never be answered. The target may or may not have acted on it."""

    call: Call


class Persisted(Struct, frozen=True, gc=False):
    """The write of that number is durable."""

    number: int


Event: TypeAlias = Tick | Propose | Received | Answered | CallFailed | Persisted
