"""The JSON codec: msgspec does the work, and what it lets pass is caught around it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import ClassVar, Final

import msgspec
from msgspec.inspect import IntType, ListType, Metadata, StrType, StructType, Type, VarTupleType, type_info

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MAX_ENTRIES,
    MAX_MEMBERS,
    MESSAGE_TYPES,
    AppendEntriesRequest,
    Message,
    MessageKind,
    sparse,
)
from raftsdk_json import bounds, names, writing

MAX_ERROR_CHARS: Final = 300

_BLANK: Final = 0x20


class JsonCodec:
    """`raftsdk.ports.Codec` in JSON; see the package's docstring for the format.

    >>> from raftsdk.messages import RequestVoteResponse
    >>> JsonCodec().encode(RequestVoteResponse(term=2**60, vote_granted=True))
    b'{"term":"1152921504606846976","vote_granted":true}'
    """

    name: ClassVar[str] = "json"

    def encode(self, message: Message) -> bytes:
        """The JSON of `message`, without blanks, fields in the order of `raftsdk.messages`."""
        return writing.encode(message)

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """The message of that kind in `data`. Raises `DecodeError`, whose text names the field, and nothing else."""
        text = data if isinstance(data, bytes) else bytes(data)
        try:
            return _READERS[kind].read(text)
        # Ours are ValueErrors too, like invalid UTF-8 and surrogates that stand alone; nesting is a RecursionError.
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            problem = str(error)[:MAX_ERROR_CHARS]
        raise DecodeError(f"{MESSAGE_TYPES[kind].__name__}: {problem}")


class _Reader:
    """Reads the objects of one type of message."""

    def __init__(self, message_type: type[Message]) -> None:
        self._type = message_type
        self._decode = msgspec.json.Decoder(message_type).decode
        self._decode_sparse = msgspec.json.Decoder(sparse(message_type)).decode
        self._quoted_integer = _quoted_integer(message_type)
        self._lists_texts = _lists_texts(message_type)
        self._max_items = MAX_ENTRIES if message_type is AppendEntriesRequest else MAX_MEMBERS

    def read(self, text: bytes) -> Message:
        """The checked message in `text`; a field that is absent is zero. Raises `ValueError` if one repeats."""
        bounds.refuse_wide_texts(text)
        if self._lists_texts:
            bounds.refuse_too_many_texts(text)
        message, whole = self._message(text)
        check(message)
        if not (whole and names.are_each_there_once(message, text)):
            names.refuse_repeated(message, text)
        return message

    def _message(self, text: bytes) -> tuple[Message, bool]:
        """The message in `text`, types checked, and whether it is whole: no required field is absent."""
        try:
            return self._decode(text), True
        except msgspec.ValidationError:  # perhaps for an integer in quotes, or for want of a field that is zero
            bounds.refuse_too_many_objects(text, self._max_items)
        unquoted = bytearray(text)
        # Blanks in place: pieces put together would be a score of times what they came from.
        for quoted in self._quoted_integer.finditer(text):
            unquoted[quoted.start(1)] = unquoted[quoted.end(1) - 1] = _BLANK
        with suppress(msgspec.ValidationError):
            return self._decode(unquoted), True
        return msgspec.convert(self._decode_sparse(unquoted), self._type, from_attributes=True), False


def _fields(info: Type) -> Iterator[tuple[str, Type]]:
    """The name and type of every field of a type and of the records it holds."""
    match info:
        case Metadata():
            yield from _fields(info.type)
        case ListType() | VarTupleType():
            yield from _fields(info.item_type)
        case StructType():
            for field in info.fields:
                yield field.encode_name, field.type.type if isinstance(field.type, Metadata) else field.type
                yield from _fields(field.type)


def _quoted_integer(message_type: type[Message]) -> re.Pattern[bytes]:
    """Matches an integer field of that message whose value is decimal text; group 1 is the value with its quotes.

    Inside a JSON string a quote is always escaped, so no text can look like a field to it.
    """
    integers = {name for name, info in _fields(type_info(message_type)) if isinstance(info, IntType)}
    return re.compile(rb'"(?:%s)"\s*:\s*("(?:0|[1-9][0-9]{0,18})")' % "|".join(sorted(integers)).encode())


def _lists_texts(message_type: type[Message]) -> bool:
    return any(
        isinstance(info, ListType | VarTupleType) and isinstance(info.item_type, StrType)
        for _, info in _fields(type_info(message_type))
    )


_READERS: Final = {kind: _Reader(message_type) for kind, message_type in MESSAGE_TYPES.items()}
