"""Codecs with one thing wrong each, to show that `codec_suite` sees it. Each is made around a codec that is right."""

import struct
from typing import Any, ClassVar, Final

import msgspec
from msgspec.structs import replace

from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MESSAGE_KINDS,
    MESSAGE_TYPES,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    Message,
    MessageKind,
    ProposeRequest,
    RequestVoteRequest,
    StatusRequest,
)
from raftsdk.ports.codec import Codec


class BrokenCodec:
    """The base of the others: passes everything on to the right codec, and breaks nothing itself."""

    name: ClassVar[str] = "broken"

    def __init__(self, right: Codec) -> None:
        self.right = right

    def encode(self, message: Message) -> bytes:
        """As the right codec does."""
        return self.right.encode(message)

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """As the right codec does."""
        return self.right.decode(kind, data)


class ShoutsItsName(BrokenCodec):
    """Its name is not lower case, so a configuration file and a hello would spell it differently."""

    name: ClassVar[str] = "Broken"


class RoundsTerms(BrokenCodec):
    """Keeps terms as doubles, like every reader of JSON numbers that knows only those: 2^53+1 becomes 2^53."""

    def encode(self, message: Message) -> bytes:
        """Round the term of a follower's answer; all other messages are left alone."""
        if isinstance(message, AppendEntriesResponse):
            return self.right.encode(replace(message, term=int(float(message.term))))
        return self.right.encode(message)


class DropsTheLastEntry(BrokenCodec):
    """Loses the last entry of a batch: off by one."""

    def encode(self, message: Message) -> bytes:
        """Write one entry less."""
        if isinstance(message, AppendEntriesRequest):
            return self.right.encode(replace(message, entries=message.entries[:-1]))
        return self.right.encode(message)


class SwapsIndexAndTerm(BrokenCodec):
    """Reads a candidate's last log index as its last log term and the other way round."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Swap two fields of the same type."""
        message = self.right.decode(kind, data)
        if isinstance(message, RequestVoteRequest):
            return replace(message, last_log_index=message.last_log_term, last_log_term=message.last_log_index)
        return message


class LosesPreVote(BrokenCodec):
    """Never writes `pre_vote`, so a question becomes a campaign."""

    def encode(self, message: Message) -> bytes:
        """Write a pre-vote as a vote."""
        if isinstance(message, RequestVoteRequest):
            return self.right.encode(replace(message, pre_vote=False))
        return self.right.encode(message)


class TurnsNothingIntoNone(BrokenCodec):
    """Reads an empty command as None: the truth of bytes taken for their presence."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Give None for what is empty."""
        message: Any = self.right.decode(kind, data)
        if isinstance(message, ProposeRequest):
            return replace(message, command=message.command or None)
        return message  # type: ignore[no-any-return]  # being wrong about types is what this class is for


class WritesAByteArray(BrokenCodec):
    """Returns the buffer it wrote into, which whoever gets it may change."""

    def encode(self, message: Message) -> Any:
        """A bytearray where bytes are due."""
        return bytearray(self.right.encode(message))


class ReadsOnlyBytes(BrokenCodec):
    """Compares the type of its input, and so never reads a slice of a receive buffer."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Refuse a memoryview."""
        if not isinstance(data, bytes):
            raise DecodeError("bytes wanted")
        return self.right.decode(kind, data)


class LendsOutTheBuffer(BrokenCodec):
    """Hands out a command as a view of the receive buffer: no copy, until the next frame is received into it."""

    def encode(self, message: Message) -> bytes:
        """A command as itself, behind a byte that says so."""
        if isinstance(message, ProposeRequest):
            return b"\x01" + message.command
        return b"\x00" + self.right.encode(message)

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """A command as it lies there, if it lies in a buffer."""
        if kind is not MessageKind.PROPOSE_REQUEST or data[:1] != b"\x01":
            return self._decode_other(kind, data)
        command: Any = data[1:]
        return ProposeRequest(command=command)

    def _decode_other(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        if data[:1] != b"\x00":
            raise DecodeError("neither a command nor another message")
        return self.right.decode(kind, data[1:])


class RemembersTheBuffer(BrokenCodec):
    """Takes the same buffer for the same message: a cache by identity."""

    def __init__(self, right: Codec) -> None:
        super().__init__(right)
        self._last: tuple[memoryview, MessageKind, Message] | None = None

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """The answer of last time, if the memoryview is that of last time."""
        if self._last is not None and data is self._last[0] and kind is self._last[1]:
            return self._last[2]
        message = self.right.decode(kind, data)
        if isinstance(data, memoryview):
            self._last = (data, kind, message)
        return message


class LeaksItsLibrarysErrors(BrokenCodec):
    """Lets another exception out where `DecodeError` is promised, and with it kills the task that reads."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Raise `ValueError` for what cannot be read."""
        try:
            return self.right.decode(kind, data)
        except DecodeError as error:
            raise ValueError("malformed") from error


class QuotesTheWholeInput(BrokenCodec):
    """Puts what it could not read into the error, and so into the log: a megabyte a line."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Raise `DecodeError` with all of `data` in its text, many times over."""
        try:
            return self.right.decode(kind, data)
        except DecodeError:
            raise DecodeError(f"cannot read {bytes(data)!r}" * 100) from None


class IgnoresTheKind(BrokenCodec):
    """Writes the kind in front and reads by that, whatever kind it is asked for."""

    def encode(self, message: Message) -> bytes:
        """The kind, then the message."""
        return bytes((MESSAGE_KINDS[type(message)],)) + self.right.encode(message)

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Whatever kind the bytes say."""
        try:
            found = MessageKind(data[0])
        except (IndexError, ValueError):
            raise DecodeError("no kind in front") from None
        return self.right.decode(found, data[1:])


_LENGTH: Final = struct.Struct(">I")


class AcceptsTrailingBytes(BrokenCodec):
    """Reads as many bytes as a length in front says, and does not ask what the others are."""

    def encode(self, message: Message) -> bytes:
        """The length, then the message."""
        data = self.right.encode(message)
        return _LENGTH.pack(len(data)) + data

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """The message at the beginning."""
        if len(data) < _LENGTH.size:
            raise DecodeError("no length in front")
        (length,) = _LENGTH.unpack(data[: _LENGTH.size])
        return self.right.decode(kind, data[_LENGTH.size :][:length])


class ReservesWhatIsClaimed(AcceptsTrailingBytes):
    """Makes room for as many bytes as the length in front says, before it looks how many there are."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Copy into a buffer of the claimed size (here 64 MiB at most, for the sake of the machine)."""
        if len(data) < _LENGTH.size:
            raise DecodeError("no length in front")
        (length,) = _LENGTH.unpack(data[: _LENGTH.size])
        body = bytearray(min(length, 64 * 1024 * 1024))
        body[: len(data)] = data[_LENGTH.size :]
        return self.right.decode(kind, bytes(body))


class TakesNothingForAMessage(BrokenCodec):
    """Reads no bytes as an error without a reason, as a format does in which every field is optional."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """An `ErrorResponse` from nothing."""
        if kind is MessageKind.ERROR and not len(data):
            return ErrorResponse(code="")
        return self.right.decode(kind, data)


class TakesZerosForAHeartbeat(BrokenCodec):
    """Reads zero bytes as an AppendEntries of nothing, as a format does whose default is zero."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """A heartbeat from zeros."""
        if kind is MessageKind.APPEND_ENTRIES_REQUEST and len(data) and not any(bytes(data)):
            return AppendEntriesRequest(
                term=1, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=[]
            )
        return self.right.decode(kind, data)


class NeverChecks(BrokenCodec):
    """Believes what is well-formed: types are right, and nobody called `checks.check`."""

    def encode(self, message: Message) -> bytes:
        """MessagePack, unchecked."""
        return msgspec.msgpack.encode(message)

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """MessagePack, unchecked."""
        try:
            message: Message = msgspec.msgpack.decode(data, type=MESSAGE_TYPES[kind])
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise DecodeError(str(error)[:200]) from None
        return message


class StumblesAfterARefusal(BrokenCodec):
    """Keeps what it was reading when it gave up, and trips over it the next time."""

    def __init__(self, right: Codec) -> None:
        super().__init__(right)
        self._stumbled = False

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Refuse the first message after a refused one."""
        stumbled, self._stumbled = self._stumbled, False
        if stumbled:
            raise DecodeError("leftovers")
        try:
            return self.right.decode(kind, data)
        except DecodeError:
            self._stumbled = True
            raise


class ForgetsAKind(BrokenCodec):
    """Was written before `StatusRequest` and never heard of it."""

    def encode(self, message: Message) -> bytes:
        """Raise for a status request."""
        if isinstance(message, StatusRequest):
            raise TypeError("StatusRequest is not supported")
        return self.right.encode(message)


class KeepsBothForms(BrokenCodec):
    """Builds a message out of plain dictionaries, and lets go of those when the message is there."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """By way of a dictionary for each entry."""
        message = self.right.decode(kind, data)
        plain = msgspec.to_builtins(message, builtin_types=(bytes,))
        again: Message = msgspec.convert(plain, type(message), builtin_types=(bytes,))
        return again


class DumpsWhatItRefuses(BrokenCodec):
    """Writes all of a bad message out in hexadecimal, to put the beginning of that into the error."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Raise `DecodeError` with a dump, cut after it was made."""
        try:
            return self.right.decode(kind, data)
        except DecodeError as error:
            dump = " ".join([f"{byte:02x}" for byte in data])
            raise DecodeError(f"{error}: {dump}"[:300]) from None


class TakesTheBytesApart(BrokenCodec):
    """Makes a list of its input, a reference for each byte: eight times as large before anything is read."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Copy by way of a list."""
        return self.right.decode(kind, bytes(list(data)))


class ShiftsItsBuffer(BrokenCodec):
    """Takes what it has read off the front of its input, a few bytes at a time: the square of the length."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Copy what is left, again and again."""
        rest = bytes(data)
        while rest:
            rest = rest[16:]
        return self.right.decode(kind, data)


BROKEN_CODECS: Final[tuple[type[BrokenCodec], ...]] = (*BrokenCodec.__subclasses__(), ReservesWhatIsClaimed)
"""All of them, to try a suite on."""
