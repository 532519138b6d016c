"""The Cap'n Proto codec: pycapnp does the work, and what it lets pass is caught around it."""

from typing import Any, ClassVar, Final

import capnp

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import MESSAGE_TYPES, AppendEntriesRequest, Message, MessageKind
from raftsdk_capnp.fields import Field, fields_of, write
from raftsdk_capnp.framing import WORD_BYTES, segments
from raftsdk_capnp.schema import STRUCTS, STRUCTS_TO_READ
from raftsdk_capnp.texts import Texts

NESTING_LIMIT: Final = 8
"""How deep structs and lists may stand in each other. A snapshot's members' addresses, the deepest, stand at 5."""

MAX_ERROR_CHARS: Final = 300

_ONE_SEGMENT: Final = bytes(4)  # how the encoding of a message in one segment begins
_USUAL_WORDS: Final = 256  # for all that is in a message beside payloads
_WORDS_PER_PAYLOAD: Final = 4  # the pointer to it, its padding, and an entry's term and kind


class CapnpCodec:
    """`raftsdk.ports.Codec` in Cap'n Proto; see the package's docstring for the format.

    >>> from raftsdk.messages import RequestVoteResponse
    >>> CapnpCodec().encode(RequestVoteResponse(term=7, vote_granted=True)).hex(" ", 8)
    '0000000003000000 0000000002000000 0700000000000000 0100000000000000'
    """

    name: ClassVar[str] = "capnp"

    def encode(self, message: Message) -> bytes:
        """The segment table and one segment. The same message gives the same bytes, always."""
        root = STRUCTS[type(message)].new_message(num_first_segment_words=_first_segment_words(message))
        write(message, root)
        data: bytes = root.to_bytes()
        if not data.startswith(_ONE_SEGMENT):
            # Texts and lists outgrew the first segment. How what is left is spread over others may change with the
            # library's version, so all of it is copied into one that is large enough.
            data = root.copy(root.total_size.word_count + 1).to_bytes()
        return data

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """The message of that kind in `data`. Raises `DecodeError`, whose text names the field, and nothing else."""
        message_type = MESSAGE_TYPES[kind]
        field: Field | None = None
        try:
            root = _root(message_type, bytes(data))
            texts, values = Texts(), {}
            for field in fields_of(message_type):
                values[field.name] = field.read(root, texts)
        except capnp.KjException as error:
            problem = _told(error.description)
        except ValueError as error:  # ours; an unknown name of an enumeration; a text that is not UTF-8
            problem = str(error)
        else:
            message: Message = message_type(**values)
            check(message)
            return message
        place = f"{message_type.__name__}.{field.name}" if field else message_type.__name__
        raise DecodeError(f"{place}: {problem[:MAX_ERROR_CHARS]}")


def _root(message_type: type[Message], data: bytes) -> Any:
    """Where reading starts. As much may be read as there is: pointing to the same bytes many times gains nothing."""
    # The library counts the pointer to the root twice, and the segment table, of at least a word, not at all.
    words = len(data) // WORD_BYTES
    return STRUCTS_TO_READ[message_type].from_segments(segments(data), words, NESTING_LIMIT)


def _first_segment_words(message: Message) -> int:
    """Enough for `message`, unless its texts and lists are unusually long."""
    if isinstance(message, AppendEntriesRequest):
        payloads = [entry.data for entry in message.entries]
    else:
        values = [getattr(message, name) for name in message.__struct_fields__]
        payloads = [value for value in values if isinstance(value, bytes)]
    return _USUAL_WORDS + _WORDS_PER_PAYLOAD * len(payloads) + sum(map(len, payloads)) // WORD_BYTES


def _told(description: str) -> str:
    """The sentence about the message in `expected THIS IN C++; Message contains … . This usually indicates …`."""
    if "traversal limit" in description:  # what the library says of it helps nobody
        return "more to read than there are bytes: pointers overlap, or a list is long and its items are void"
    return description.partition("; ")[2].partition(". ")[0] or description
