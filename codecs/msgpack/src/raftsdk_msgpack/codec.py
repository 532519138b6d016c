"""The MessagePack codec: msgspec does the work, and what it lets pass is caught around it."""

from typing import ClassVar, Final

import msgspec
from msgspec import Raw
from msgspec.inspect import ListType, StructType, type_info

from raftsdk.errors import DecodeError
from raftsdk.messages import MESSAGE_TYPES, Message, MessageKind, check

MAX_FIELDS: Final = 64
"""How many fields a message, entry or peer may have, known or not: a newer peer adds a handful."""

MAX_ERROR_CHARS: Final = 300

_encoder = msgspec.msgpack.Encoder()
_decode_fields = msgspec.msgpack.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.msgpack.Decoder(list[Raw]).decode


def _lists_of_maps(message_type: type[Message]) -> dict[str, int]:
    """That message's fields that list maps (`entries`, `peers`), and how many fields such a map needs at least."""
    types = {field.name: type_info(field.type) for field in msgspec.structs.fields(message_type)}
    return {
        name: sum(field.required for field in info.item_type.fields)
        for name, info in types.items()
        if isinstance(info, ListType) and isinstance(info.item_type, StructType)
    }


_LISTS_OF_MAPS = {message_type: _lists_of_maps(message_type) for message_type in MESSAGE_TYPES.values()}


class MsgpackCodec:
    r"""`raftsdk.ports.Codec` in MessagePack; see the package's docstring for the format.

    >>> from raftsdk.messages import RequestVoteResponse
    >>> MsgpackCodec().encode(RequestVoteResponse(term=7, vote_granted=True))
    b'\x82\xa4term\x07\xacvote_granted\xc3'
    """

    name: ClassVar[str] = "msgpack"

    def __init__(self) -> None:
        self._decoders = {kind: msgspec.msgpack.Decoder(message_type) for kind, message_type in MESSAGE_TYPES.items()}

    def encode(self, message: Message) -> bytes:
        """The map of `message`, every number in its shortest form, fields in the order of `raftsdk.messages`."""
        return _encoder.encode(message)

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """The message of that kind in `data`. Raises `DecodeError`, whose text names the field, and nothing else."""
        try:
            message: Message = self._decoders[kind].decode(data)
            check(message)
            if not _is_our_own_encoding(message, data):
                _refuse_repeated_names(message, data)
        # Invalid UTF-8 in a text is a ValueError; nesting is a RecursionError.
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            problem = str(error)[:MAX_ERROR_CHARS]
        else:
            return message
        raise DecodeError(f"{MESSAGE_TYPES[kind].__name__}: {problem}")


def _is_our_own_encoding(message: Message, data: bytes | memoryview) -> bool:
    """A quick proof that `data`, from which `message` came, repeats no name. Without proof, False.

    The typed decoder takes the last of several values in silence. Names cannot be counted in the bytes, as payloads may
    hold anything; but what our own encoder would have written repeats none. Writing it into a buffer of the right size
    is the cheapest proof found, a fifth of the codec's time: adding up the lengths of the payloads takes as long.
    """
    own = bytearray(len(data))
    _encoder.encode_into(message, own)
    return len(own) == len(data) and own.startswith(data)


def _refuse_repeated_names(message: Message, data: bytes | memoryview) -> None:
    """Raise `DecodeError` when a field, known or not, occurs twice. Inside unknown fields nobody looks."""
    fields = _fields(data)
    for name, required in _LISTS_OF_MAPS[type(message)].items():
        for item in _decode_items(fields[name]):
            # The typed decoder found all that are required, so a map of just as many has each of them once.
            if _declared_fields(memoryview(item)) != required:
                _fields(item)


def _fields(data: bytes | memoryview | Raw) -> dict[str, Raw]:
    """The fields of the map in `data`, undecoded: as many as its header declares, or one was there twice."""
    declared = _declared_fields(memoryview(data))
    if declared > MAX_FIELDS:
        raise DecodeError(f"a map of {declared} fields, and {MAX_FIELDS} are allowed")
    fields = _decode_fields(data)
    if len(fields) != declared:
        raise DecodeError("a field occurs twice")
    return fields


def _declared_fields(data: memoryview) -> int:
    """How many pairs a map says it has: fixmap in half of its first byte, map 16 and map 32 in the bytes after it."""
    match data[0]:
        case 0xDE:
            return int.from_bytes(data[1:3])
        case 0xDF:
            return int.from_bytes(data[1:5])
        case fixmap:
            return fixmap & 0x0F
