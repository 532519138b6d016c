"""The JSON codec: msgspec does the work, and what it lets pass is caught around it."""

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import msgspec
from msgspec.inspect import IntType, ListType, StructType, Type, type_info

from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MAX_ADDRESSES,
    MESSAGE_TYPES,
    AppendEntriesRequest,
    Message,
    MessageKind,
    ProposeRequest,
    ProposeResponse,
    QueryResponse,
    StatusResponse,
    check,
)

MAX_EXACT_INTEGER: Final = 2**53 - 1
"""Integers above this leave as text: JavaScript, `jq` and every reader of doubles would round them."""

MAX_UNKNOWN_SEPARATORS: Final = 8_192
"""How many commas and colons a message may hold beyond those of its entries or peers when it is not in our own words.
It bounds what unknown fields may cost; a newer peer adds a handful."""

MAX_ERROR_CHARS: Final = 300

_BLANK: Final = 0x20

_encode = msgspec.json.Encoder().encode


def _integer_names(info: Type) -> Iterator[str]:
    """The names of the integer fields in a message type and in what it lists."""
    match info:
        case ListType():
            yield from _integer_names(info.item_type)
        case StructType():
            for field in info.fields:
                if isinstance(field.type, IntType):
                    yield field.encode_name
                yield from _integer_names(field.type)


def _quoted_integer(message_type: type[Message]) -> re.Pattern[bytes]:
    """Matches an integer field of that message whose value is decimal text; group 1 is the value with its quotes.

    Inside a JSON string a quote is always escaped, so no text can look like a field to it.
    """
    names = "|".join(sorted(set(_integer_names(type_info(message_type)))))
    return re.compile(rb'"(?:%s)"\s*:\s*("(?:0|[1-9][0-9]{0,18})")' % names.encode())


_QUOTED_INTEGER = {kind: _quoted_integer(message_type) for kind, message_type in MESSAGE_TYPES.items()}

_INTEGER_FIELDS: dict[type[Message], tuple[str, ...]] = {
    message_type: tuple(
        field.name for field in msgspec.structs.fields(message_type) if isinstance(type_info(field.type), IntType)
    )
    for message_type in MESSAGE_TYPES.values()
}

# Colons in a message of these types that names each field once: none has a default, and no checked value holds a colon.
# An AppendEntriesRequest has three more for each entry.
_COLONS: dict[type[Message], int] = {
    AppendEntriesRequest: 6,
    ProposeRequest: 1,
    ProposeResponse: 2,
    QueryResponse: 2,
}
_COLONS_PER_ENTRY: Final = 3

# A list with more texts than any message may carry. msgspec counts only after it has built them all: a megabyte of
# `"aa",` would be twelve megabytes by then.
_TOO_MANY_TEXTS = re.compile(rb'\[(?:\s*"(?:[^"\\]|\\.)*+"\s*,){%d}' % MAX_ADDRESSES, re.DOTALL)
_KINDS_WITH_TEXTS = frozenset({MessageKind.ERROR, MessageKind.STATUS_RESPONSE})


class JsonCodec:
    """`raftsdk.ports.Codec` in JSON; see the package's docstring for the format.

    >>> from raftsdk.messages import RequestVoteResponse
    >>> JsonCodec().encode(RequestVoteResponse(term=2**60, vote_granted=True))
    b'{"term":"1152921504606846976","vote_granted":true}'
    """

    name: ClassVar[str] = "json"

    def __init__(self) -> None:
        self._decoders = {kind: msgspec.json.Decoder(message_type) for kind, message_type in MESSAGE_TYPES.items()}

    def encode(self, message: Message) -> bytes:
        """The JSON of `message`, without blanks, fields in the order of `raftsdk.messages`."""
        if _numbers_suffice(message):
            return _encode(message)
        return _encode(_large_integers_as_text(msgspec.to_builtins(message)))

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """The message of that kind in `data`. Raises `DecodeError`, whose text names the field, and nothing else."""
        text = data if isinstance(data, bytes) else bytes(data)
        try:
            message = self._typed(kind, text)
            check(message)
            if not _names_each_field_once(message, text):
                _refuse_repeated_names(message, text)
        # Invalid UTF-8 and the standard library's own complaints are ValueErrors; nesting is a RecursionError.
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            problem = str(error)[:MAX_ERROR_CHARS]
        else:
            return message
        raise DecodeError(f"{MESSAGE_TYPES[kind].__name__}: {problem}")

    def _typed(self, kind: MessageKind, text: bytes) -> Message:
        """Decode, with integers as numbers first, and only if that fails with those in quotes too."""
        if kind in _KINDS_WITH_TEXTS and _TOO_MANY_TEXTS.search(text):
            raise DecodeError(f"{MESSAGE_TYPES[kind].__name__}: a list of more than {MAX_ADDRESSES} texts")
        decode = self._decoders[kind].decode
        try:
            return decode(text)
        except msgspec.ValidationError:
            unquoted = bytearray(text)
            # Blanks in place: pieces put together would be a score of times what they came from.
            for quoted in _QUOTED_INTEGER[kind].finditer(text):
                unquoted[quoted.start(1)] = unquoted[quoted.end(1) - 1] = _BLANK
            if unquoted == text:
                raise
        return decode(unquoted)


def _numbers_suffice(message: Message) -> bool:
    """Whether every integer of `message` is at most 2^53-1."""
    if any(getattr(message, name) > MAX_EXACT_INTEGER for name in _INTEGER_FIELDS[type(message)]):
        return False
    if isinstance(message, AppendEntriesRequest):
        # Only the kinds: no entry's term exceeds the message's.
        return max([entry.kind for entry in message.entries], default=0) <= MAX_EXACT_INTEGER
    return not isinstance(message, StatusResponse)  # its peers have integers too; asked for by people, so in no hurry


def _large_integers_as_text(value: Any) -> Any:
    match value:
        case dict():
            return {name: _large_integers_as_text(item) for name, item in value.items()}
        case list():
            return [_large_integers_as_text(item) for item in value]
        case int() if value > MAX_EXACT_INTEGER:
            return str(value)
    return value


def _names_each_field_once(message: Message, text: bytes) -> bool:
    """A quick proof that `text`, from which `message` came, repeats no name. Without proof, False.

    The typed decoder takes the last of several values in silence, and asking the standard library costs more than
    decoding did. But it did find every field, so as many colons as fields means each of them once.
    """
    colons = _COLONS.get(type(message))
    if colons is None:
        return text == JsonCodec.encode(_PLAIN, message)
    if isinstance(message, AppendEntriesRequest):
        colons += _COLONS_PER_ENTRY * len(message.entries)
    # Not text.count(b":"): before Python 3.13 it looks at every byte by itself, four times slower on 16 KiB of base64.
    return len(text) - len(text.replace(b":", b"")) == colons


_PLAIN = JsonCodec()


def _refuse_repeated_names(message: Message, text: bytes) -> None:
    """Read all of `text` again with an eye on its names only. Raises `DecodeError` for one that occurs twice."""
    separators = text.count(b",") + text.count(b":")
    if separators > MAX_UNKNOWN_SEPARATORS + _separators_of_items(message):
        raise DecodeError(f"{type(message).__name__}: more unknown fields, or items in them, than are looked through")
    json.loads(text, object_pairs_hook=_refuse_repeated, parse_int=_nothing, parse_float=_nothing)


def _separators_of_items(message: Message) -> int:
    """A generous count for the message's own list: an entry has 6 commas and colons, a peer 18 and its addresses'."""
    if isinstance(message, AppendEntriesRequest):
        return 8 * len(message.entries)
    if isinstance(message, StatusResponse):
        return 32 * len(message.peers)
    return 0


def _refuse_repeated(pairs: list[tuple[str, None]]) -> None:
    """An object of no content, so that hostile ones cost no memory once they are closed."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise DecodeError(f"the name {repeated[:64]!a} occurs twice in one object")


def _nothing(_: str) -> None:
    """In place of a number: nobody looks at it, and one of 5,000 digits is refused by `int`."""
