"""Messages out: msgspec writes them, once integers that a reader of doubles would round have become text."""

from typing import Any, Final

import msgspec
from msgspec.inspect import IntType, type_info

from raftsdk.messages import (
    MESSAGE_TYPES,
    AppendEntriesRequest,
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    InstallSnapshotRequest,
    Message,
    StatusResponse,
)

MAX_EXACT_INTEGER: Final = 2**53 - 1
"""Integers above this leave as text: JavaScript, `jq` and every reader of doubles would round them."""

_encode = msgspec.json.Encoder().encode

_INTEGER_FIELDS: dict[type[Message], tuple[str, ...]] = {
    message_type: tuple(
        field.name for field in msgspec.structs.fields(message_type) if isinstance(type_info(field.type), IntType)
    )
    for message_type in MESSAGE_TYPES.values()
}


_IN_NO_HURRY: frozenset[type[Message]] = frozenset((StatusResponse, ChangeMembershipRequest, ChangeMembershipResponse))
"""Peers and members have integers too. These are asked for by people, so theirs are not looked at."""


def encode(message: Message) -> bytes:
    """The JSON of `message`, without blanks, fields in the order of `raftsdk.messages`."""
    if _numbers_suffice(message):
        return _encode(message)
    return _encode(_large_integers_as_text(msgspec.to_builtins(message)))


def _numbers_suffice(message: Message) -> bool:
    """Whether every integer of `message` is at most 2^53-1."""
    if any(getattr(message, name) > MAX_EXACT_INTEGER for name in _INTEGER_FIELDS[type(message)]):
        return False
    if isinstance(message, AppendEntriesRequest):
        for entry in message.entries:  # a loop takes half the time of `max` or `all`
            if entry.kind > MAX_EXACT_INTEGER:  # only the kinds: no entry's term exceeds the message's
                return False
    elif isinstance(message, InstallSnapshotRequest):
        return all(member.incarnation <= MAX_EXACT_INTEGER for member in message.membership.members)
    return type(message) not in _IN_NO_HURRY


def _large_integers_as_text(value: Any) -> Any:
    match value:
        case dict():
            return {name: _large_integers_as_text(item) for name, item in value.items()}
        case list() | tuple():
            return [_large_integers_as_text(item) for item in value]
        case int() if value > MAX_EXACT_INTEGER:
            return str(value)
    return value
