"""The protobuf codec: the library does the work, and what it lets pass is caught around it."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
from google.protobuf.message import DecodeError as ParseError

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MESSAGE_TYPES,
    AppendEntriesRequest,
    Message,
    MessageKind,
    TimeoutNowResponse,
)
from raftsdk_protobuf import raft_pb2
from raftsdk_protobuf.batches import encode_batch, read_batch
from raftsdk_protobuf.bounds import check_batch, check_records, layout_of
from raftsdk_protobuf.records import reader_of

MAX_ERROR_CHARS: Final = 300


class _Steps(NamedTuple):
    """How a message of one kind is decoded: these three, in this order."""

    check_bounds: Callable[[bytes], None]
    parse: Callable[[bytes], Any]
    read: Callable[[Any], Message]


def _steps(message_type: type[Message]) -> _Steps:
    # In a message without fields the library takes a field numbered 0 for an unknown one: 64 zero bytes would ask for a
    # status. In any other it refuses that, and of the one that stands in here nothing is read.
    generated = _GENERATED[message_type if message_type.__struct_fields__ else TimeoutNowResponse]
    if message_type is AppendEntriesRequest:
        return _Steps(check_batch, generated.FromString, read_batch)
    check_bounds = partial(check_records, message_type.__name__, layout_of(generated.DESCRIPTOR))
    return _Steps(check_bounds, generated.FromString, reader_of(message_type))


_GENERATED: dict[type[Message], Any] = {
    message_type: getattr(raft_pb2, message_type.__name__) for message_type in MESSAGE_TYPES.values()
}
_STEPS = {kind: _steps(message_type) for kind, message_type in MESSAGE_TYPES.items()}


class ProtobufCodec:
    r"""`raftsdk.ports.Codec` in protobuf; see the package's docstring for the format.

    >>> from raftsdk.messages import RequestVoteResponse
    >>> ProtobufCodec().encode(RequestVoteResponse(term=7, vote_granted=True))
    b'\x08\x07\x10\x01'
    """

    name: ClassVar[str] = "protobuf"

    def encode(self, message: Message) -> bytes:
        """The fields of `message` that are not zero, in the order of `raftsdk.messages`."""
        if isinstance(message, AppendEntriesRequest):
            return encode_batch(message)
        fields = msgspec.to_builtins(message, builtin_types=(bytes,))
        encoded: bytes = _GENERATED[type(message)](**fields).SerializeToString()
        return encoded

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """The message of that kind in `data`. Raises `DecodeError`, whose text names the message, and nothing else."""
        encoded = data if isinstance(data, bytes) else bytes(data)
        steps = _STEPS[kind]
        try:
            steps.check_bounds(encoded)
            parsed = steps.parse(encoded)
        except ParseError as error:
            # "Error parsing message with type 'raftsdk.v1.Entry': Wire format was corrupt"
            problem = str(error).rpartition("': ")[2][:MAX_ERROR_CHARS]
        else:
            message = steps.read(parsed)
            check(message)
            return message
        raise DecodeError(f"{MESSAGE_TYPES[kind].__name__}: {problem}")
