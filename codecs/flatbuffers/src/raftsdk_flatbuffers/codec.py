"""The FlatBuffers codec: messages through their tables, and every complaint as a `DecodeError`."""

from typing import ClassVar

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import MESSAGE_TYPES, Message, MessageKind
from raftsdk_flatbuffers.reader import Malformed, Reader
from raftsdk_flatbuffers.schema import TABLES
from raftsdk_flatbuffers.writer import Writer


class FlatbuffersCodec:
    """`raftsdk.ports.Codec` in FlatBuffers; see the package's docstring for the format.

    >>> from raftsdk.messages import TimeoutNowResponse
    >>> FlatbuffersCodec().encode(TimeoutNowResponse(term=7)).hex(" ", 4)
    '1c000000 0c000000 06001000 08000000 08000000 00000000 07000000 00000000'
    """

    name: ClassVar[str] = "flatbuffers"

    def encode(self, message: Message) -> bytes:
        """A size-prefixed buffer with every field of `message`. FlatBuffers end at 2 GiB."""
        writer = Writer()
        return writer.finish(TABLES[type(message)].write(writer, message))

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """The message of that kind in `data`. Raises `DecodeError`, whose text names the field, and nothing else."""
        message_type = MESSAGE_TYPES[kind]
        try:
            reader = Reader(data)
            message: Message = TABLES[message_type].read(reader, reader.root())
        except Malformed as error:
            problem = f"{message_type.__name__}{error.path}: {error.problem}"
        else:
            check(message)
            return message
        raise DecodeError(problem)
