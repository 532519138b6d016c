"""The MessagePack codec: msgspec does the work, and what it lets pass is caught around it."""

from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import MESSAGE_TYPES, AppendEntriesRequest, Message, MessageKind, sparse
from raftsdk_msgpack.columns import AppendEntriesColumns, from_columns, to_columns
from raftsdk_msgpack.names import Names
from raftsdk_msgpack.texts import refuse_long_texts

MAX_ERROR_CHARS: Final = 300

MAX_COMPARED_BYTES: Final = 65_536
"""Above that, most of a message is one payload, which is not worth a copy."""

_encode = msgspec.msgpack.Encoder().encode


class MsgpackCodec:
    r"""`raftsdk.ports.Codec` in MessagePack; see the package's docstring for the format.

    >>> from raftsdk.messages import RequestVoteResponse
    >>> MsgpackCodec().encode(RequestVoteResponse(term=7, vote_granted=True))
    b'\x82\xa4term\x07\xacvote_granted\xc3'
    """

    name: ClassVar[str] = "msgpack"

    def encode(self, message: Message) -> bytes:
        """The map of `message`, every number in its shortest form, fields in the order of `raftsdk.messages`."""
        return _encode(to_columns(message) if isinstance(message, AppendEntriesRequest) else message)

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """The message of that kind in `data`. Raises `DecodeError`, whose text names the field, and nothing else."""
        try:
            refuse_long_texts(data)
            message = _READERS[kind].read(data)
            check(message)
        # Ours are ValueErrors too, like invalid UTF-8 in a text; nesting is a RecursionError.
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            problem = str(error)[:MAX_ERROR_CHARS]
        else:
            return message
        raise DecodeError(f"{MESSAGE_TYPES[kind].__name__}: {problem}")


class _Reader:
    """Reads the maps of one type of message."""

    def __init__(self, message_type: type[Message]) -> None:
        self._record: type[Struct] = AppendEntriesColumns if message_type is AppendEntriesRequest else message_type
        self._names = Names(self._record)
        self._decode = msgspec.msgpack.Decoder(self._record).decode
        self._decode_sparse = msgspec.msgpack.Decoder(sparse(self._record)).decode

    def read(self, data: bytes | memoryview) -> Message:
        """The message in `data`, types checked; a field that is absent is zero. Raises `ValueError` if one repeats."""
        found: Any
        try:
            found = self._decode(data)
            once = self._names.are_each_there_once(data) or _is_in_our_words(found, data)
        except msgspec.ValidationError:  # perhaps for want of a field that is zero
            found = msgspec.convert(self._decode_sparse(data), self._record, from_attributes=True)
            once = False
        if not once:
            self._names.refuse_repeated(data)
        return from_columns(found) if self._record is AppendEntriesColumns else found


def _is_in_our_words(found: Struct, data: bytes | memoryview) -> bool:
    """Whether `data` is what we write of `found`: each name once. To write it again is quicker than to look at them."""
    return len(data) <= MAX_COMPARED_BYTES and bytes(data) == _encode(found)


_READERS: Final = {kind: _Reader(message_type) for kind, message_type in MESSAGE_TYPES.items()}
