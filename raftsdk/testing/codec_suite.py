"""What every codec must do, whatever its format: the contract of `raftsdk.ports.Codec`, sentence by sentence.

The suite knows no format. Hostile bytes are made by damaging what the codec itself wrote, and chance comes from fixed
seeds, so a failure repeats. A codec's own tests are ten lines:

    @pytest.mark.parametrize("case", codec_suite.SUITE.cases, ids=str)
    async def test_my_codec(case):
        await case.run(MyCodec())
"""

import asyncio
import re
import time
import tracemalloc
from collections.abc import Iterator
from random import Random
from typing import Final

import msgspec

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MAX_ENTRIES,
    MESSAGE_KINDS,
    MESSAGE_TYPES,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ChangeMembershipRequest,
    ErrorResponse,
    Message,
    MessageKind,
    ProposeRequest,
    QueryResponse,
    TimeoutNowResponse,
)
from raftsdk.ports.codec import Codec
from raftsdk.testing.codec_chance import random_message as random_message
from raftsdk.testing.codec_samples import ALL_BYTES, messages_of_zeros, peer_status, snapshot_piece, status_response
from raftsdk.testing.codec_samples import dishonest_messages as dishonest_messages
from raftsdk.testing.codec_samples import large_message as large_message
from raftsdk.testing.codec_samples import largest_messages as largest_messages
from raftsdk.testing.codec_samples import sample_messages as sample_messages
from raftsdk.testing.suite import Suite
from raftsdk.types import MAX_INTEGER, Entry, Member

SUITE: Suite[Codec] = Suite("codec")

_LONGEST_DAMAGED_BYTES: Final = 600  # each position of a text this long is damaged, of a longer one a sample
_RANDOM_INPUTS: Final = 300
_RANDOM_MESSAGES_TRIED: Final = 2_000
_MAX_ERROR_CHARS: Final = 1_024  # what may end up in one line of a log
_DAMAGED_PLACES: Final = 12  # of each of the largest messages
_REPEATED_PIECES: Final = 12
_MAX_DECODE_S: Final = 0.5  # of a mebibyte: ten times what is wanted, so that only what hangs or is quadratic fails
_MIB: Final = 1024 * 1024


# -- looking at what comes back


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


def _expect_return(codec: Codec, message: Message) -> None:
    """`message` comes back as it went. `repr` too, because `1 == True` and `bytearray(b"x") == b"x"`."""
    back = codec.decode(MESSAGE_KINDS[type(message)], codec.encode(message))
    _expect(back == message and repr(back) == repr(message), f"{_brief(message)} came back as {_brief(back)}")


def _expect_honest(codec: Codec, kind: MessageKind, data: bytes) -> Message | None:
    """Decoding `data` gives a message of that kind that an honest node could have sent, or None: a `DecodeError`."""
    try:
        message = codec.decode(kind, data)
    except DecodeError as error:
        _expect(0 < len(str(error)) <= _MAX_ERROR_CHARS, f"a DecodeError with a text of {len(str(error))} characters")
        return None
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} instead of DecodeError for {kind.name} {_brief(data)}") from error
    _expect(type(message) is MESSAGE_TYPES[kind], f"asked for {kind.name}, got {_brief(message)}")
    _expect_well_typed(message)
    check(message)
    return message


def _expect_well_typed(message: Message) -> None:
    """Every field has the type it is declared with: found out by asking msgspec, which looks at each."""
    try:
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message))
    except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError, TypeError) as error:
        raise AssertionError(f"a field has not its type: {_brief(message)}") from error
    _expect(repr(again) == repr(message), f"a field has not its type: {_brief(message)}")


def _expect_refused(codec: Codec, kind: MessageKind, data: bytes, what: str) -> None:
    message = _expect_honest(codec, kind, data)
    _expect(message is None, f"{what} was read as {_brief(message)}")


def _encodings(codec: Codec) -> Iterator[tuple[MessageKind, bytes]]:
    for message in sample_messages():
        yield MESSAGE_KINDS[type(message)], codec.encode(message)


def _positions(data: bytes, chance: Random) -> Iterator[int]:
    """Every place in `data`, or as many as are affordable, chosen by chance."""
    count = len(data)
    yield from range(count) if count <= _LONGEST_DAMAGED_BYTES else chance.sample(range(count), _LONGEST_DAMAGED_BYTES)


def _with_byte(data: bytes, position: int, value: int) -> bytes:
    return data[:position] + bytes((value,)) + data[position + 1 :]


# -- what it is


@SUITE.case("its name is lower case and it has both methods")
async def _name(codec: Codec) -> None:
    _expect(isinstance(codec, Codec), "not a Codec: name, encode and decode are needed")
    _expect(re.fullmatch(r"[a-z][a-z0-9._-]*", codec.name) is not None, f"the name is {codec.name!r}")


@SUITE.case("there are samples of every kind of message")
async def _every_kind(codec: Codec) -> None:
    sampled = {MESSAGE_KINDS[type(message)] for message in sample_messages()}
    missing = [kind.name for kind in MessageKind if kind not in sampled]
    _expect(not missing, f"no sample_messages() of {', '.join(missing)}: this suite would say nothing about them")


# -- exact


@SUITE.case("every message comes back exactly as it went")
async def _round_trip(codec: Codec) -> None:
    for message in sample_messages():
        _expect_return(codec, message)


@SUITE.case("messages made by chance come back exactly as they went")
async def _random_round_trip(codec: Codec) -> None:
    chance = Random(6)
    for _ in range(_RANDOM_MESSAGES_TRIED):
        _expect_return(codec, random_message(chance))


@SUITE.case("encode returns bytes")
async def _returns_bytes(codec: Codec) -> None:
    for message in sample_messages():
        data = codec.encode(message)
        _expect(type(data) is bytes, f"encode returned {type(data).__name__}")


@SUITE.case("integers keep every one of 63 bits")
async def _integers(codec: Codec) -> None:
    for bit in range(63):
        for number in (2**bit, MAX_INTEGER - 2**bit):
            _expect_return(
                codec,
                AppendEntriesResponse(term=number, success=False, conflict_index=number, conflict_term=number),
            )
            _expect_return(
                codec,
                AppendEntriesRequest(
                    term=max(number, 1),
                    leader_id="n1",
                    prev_log_index=0,
                    prev_log_term=0,
                    leader_commit=number,
                    entries=[Entry(max(number, 1), number, b"")],
                ),
            )


@SUITE.case("bytes keep every byte, from none to a megabyte")
async def _bytes(codec: Codec) -> None:
    megabyte = Random(20).randbytes(_MIB)
    for data in (b"", b"\x00", b"\x00" * 1_000, b"\xff" * 1_000, ALL_BYTES, megabyte):
        _expect_return(codec, ProposeRequest(command=data))
        _expect_return(codec, QueryResponse(applied_index=1, result=data))


@SUITE.case("a batch of 512 entries of 256 bytes comes back exactly")
async def _large(codec: Codec) -> None:
    _expect_return(codec, large_message())


@SUITE.case("as many empty entries as a message may carry come back exactly")
async def _many_entries(codec: Codec) -> None:
    entries = [Entry(term, 0, b"") for term in range(1, MAX_ENTRIES + 1)]
    _expect_return(
        codec,
        msgspec.structs.replace(large_message(), term=MAX_ENTRIES, prev_log_index=0, prev_log_term=0, entries=entries),
    )


@SUITE.case("decode reads bytes and memoryview alike")
async def _memoryview(codec: Codec) -> None:
    for kind, data in _encodings(codec):
        inside = memoryview(b"before" + data + b"after")[len(b"before") :][: len(data)]
        from_bytes, from_view = codec.decode(kind, data), codec.decode(kind, inside)
        _expect(
            repr(from_view) == repr(from_bytes), f"{_brief(from_view)} from a memoryview, else {_brief(from_bytes)}"
        )


@SUITE.case("what was decoded stays as it is when the buffer is used again")
async def _keeps_no_reference(codec: Codec) -> None:
    for message in [*sample_messages(), large_message()]:
        buffer = bytearray(codec.encode(message))
        back = codec.decode(MESSAGE_KINDS[type(message)], memoryview(buffer))
        buffer[:] = b"\xaa" * len(buffer)
        _expect(repr(back) == repr(message), f"{_brief(message)} became {_brief(back)}")


@SUITE.case("the same buffer with other contents gives another message")
async def _reads_anew(codec: Codec) -> None:
    first, second = (codec.encode(ProposeRequest(command=command)) for command in (b"first!", b"second"))
    _expect(len(first) == len(second), "two commands of one length have encodings of two lengths")
    buffer = bytearray(first)
    view = memoryview(buffer)
    codec.decode(MessageKind.PROPOSE_REQUEST, view)
    buffer[:] = second
    back = codec.decode(MessageKind.PROPOSE_REQUEST, view)
    _expect(back == ProposeRequest(command=b"second"), f"the second message was read as {_brief(back)}")


# -- closed


@SUITE.case("the kind asked for decides what is read")
async def _kinds(codec: Codec) -> None:
    for _, data in _encodings(codec):
        for kind in MESSAGE_TYPES:
            _expect_honest(codec, kind, data)


@SUITE.case("a message cut short is refused or still an honest one")
async def _truncation(codec: Codec) -> None:
    chance = Random(1)
    for kind, data in _encodings(codec):
        for length in _positions(data, chance):
            _expect_honest(codec, kind, data[:length])


@SUITE.case("a message with one bit flipped is refused or still an honest one")
async def _bit_flips(codec: Codec) -> None:
    chance = Random(2)
    for kind, data in _encodings(codec):
        for position in _positions(data, chance):
            _expect_honest(codec, kind, _with_byte(data, position, data[position] ^ 1 << chance.randrange(8)))


@SUITE.case("a message with one byte replaced is refused or still an honest one")
async def _byte_replacements(codec: Codec) -> None:
    chance = Random(3)
    for kind, data in _encodings(codec):
        for position in _positions(data, chance):
            for value in (0x00, 0xFF, chance.randrange(256)):
                _expect_honest(codec, kind, _with_byte(data, position, value))


@SUITE.case("every bit of a small message may be flipped")
async def _every_bit_flip(codec: Codec) -> None:
    for kind, data in _encodings(codec):
        if len(data) <= _LONGEST_DAMAGED_BYTES // 4:
            for place in range(8 * len(data)):
                _expect_honest(codec, kind, _with_byte(data, place // 8, data[place // 8] ^ 1 << place % 8))


@SUITE.case("a message with a piece repeated or removed is refused or still an honest one")
async def _pieces(codec: Codec) -> None:
    chance = Random(4)
    for kind, data in _encodings(codec):
        for _ in range(20):
            start, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
            _expect_honest(codec, kind, data[:end] + data[start:])
            _expect_honest(codec, kind, data[:start] + data[end:])


@SUITE.case("bytes after the end of a message are refused")
async def _trailing(codec: Codec) -> None:
    for kind, data in _encodings(codec):
        for extra in (b"\x00", b"\x00" * 64, b"\xff" * 16):
            _expect_refused(codec, kind, data + extra, f"{kind.name} with {len(extra)} bytes after its end")


@SUITE.case("random bytes are refused or an honest message")
async def _random(codec: Codec) -> None:
    chance = Random(5)
    for length in range(_RANDOM_INPUTS):
        data = chance.randbytes(length)
        for kind in MESSAGE_TYPES:
            _expect_honest(codec, kind, data)


@SUITE.case("no bytes at all are no message, unless that is how the codec writes one")
async def _empty(codec: Codec) -> None:
    zeros = messages_of_zeros() if any(not data for _, data in _encodings(codec)) else []
    for kind in MESSAGE_TYPES:
        message = _expect_honest(codec, kind, b"")
        _expect(message is None or message in zeros, f"nothing, as {kind.name}, was read as {_brief(message)}")


@SUITE.case("zero bytes are no AppendEntries, and otherwise refused or an honest message")
async def _zeros(codec: Codec) -> None:
    for length in (1, 8, 64, 4_096):
        zeros = bytes(length)
        _expect_refused(codec, MessageKind.APPEND_ENTRIES_REQUEST, zeros, f"{length} zero bytes")
        for kind in MESSAGE_TYPES:
            _expect_honest(codec, kind, zeros)


@SUITE.case("what no honest node sends is refused")
async def _dishonest(codec: Codec) -> None:
    for message in dishonest_messages():
        try:
            data = codec.encode(message)
        except Exception:  # noqa: S112 - it may be beyond the format, and `encode` promises nothing about it
            continue
        _expect_refused(codec, MESSAGE_KINDS[type(message)], data, f"{_brief(message)}, dishonest,")


@SUITE.case("a refusal leaves nothing behind")
async def _refusal_leaves_nothing(codec: Codec) -> None:
    for message in sample_messages():
        kind, data = MESSAGE_KINDS[type(message)], codec.encode(message)
        _expect_honest(codec, kind, data[: len(data) // 2])
        _expect_return(codec, message)


# -- bounded


@SUITE.case("damage in the first bytes of a large message costs no more memory than a few times its length")
async def _memory(codec: Codec) -> None:
    data = codec.encode(large_message())
    kind = MessageKind.APPEND_ENTRIES_REQUEST
    for position in range(min(len(data), 200)):
        _expect_little_memory(codec, kind, _with_byte(data, position, 0xFF), f"byte {position} being 0xff")


@SUITE.case("the most that a message may hold comes back exactly, for four times its bytes and a mebibyte")
async def _largest(codec: Codec) -> None:
    for message in largest_messages():
        _expect_return(codec, message)
        _expect_little_memory(codec, MESSAGE_KINDS[type(message)], codec.encode(message), _brief(message))


@SUITE.case("damage to the largest messages costs no more memory than reading them")
async def _largest_damaged(codec: Codec) -> None:
    chance = Random(7)
    for message in largest_messages():
        kind, data = MESSAGE_KINDS[type(message)], codec.encode(message)
        for _ in range(_DAMAGED_PLACES):
            # Most of the places at the beginning, where lengths and counts are.
            position = chance.randrange(chance.choice((100, len(data))))
            _expect_little_memory(codec, kind, data[:position], f"{type(message).__name__} cut at {position}")
            flipped = _with_byte(data, position, data[position] ^ 1 << chance.randrange(8))
            _expect_little_memory(codec, kind, flipped, f"{type(message).__name__} damaged at {position}")


@SUITE.case("a mebibyte made of one piece of a message costs no more memory than four times that and another")
async def _repeated_pieces_memory(codec: Codec) -> None:
    for kind, data, what in _repeated_pieces(codec):
        _expect_little_memory(codec, kind, data, what)


@SUITE.case("a mebibyte of anything is read or refused in half a second")
async def _repeated_pieces_time(codec: Codec) -> None:
    largest = [(MESSAGE_KINDS[type(message)], codec.encode(message), _brief(message)) for message in largest_messages()]
    for kind, data, what in (*largest, *_repeated_pieces(codec)):
        seconds = min(_decode_s(codec, kind, data), _decode_s(codec, kind, data))
        _expect(seconds <= _MAX_DECODE_S, f"{seconds:.1f} s for {len(data)} bytes, {what}")


def _repeated_pieces(codec: Codec) -> Iterator[tuple[MessageKind, bytes, str]]:
    """Messages with lists, a piece of each so often that a mebibyte is full: some are lists without end."""
    chance = Random(8)
    entries = [Entry(1, 0, b""), Entry(2, 300, b"ab")]
    for message in (
        msgspec.structs.replace(large_message(), prev_log_index=0, prev_log_term=0, entries=entries),
        status_response(1, [peer_status(300)] * 2),
        snapshot_piece(300, b"data"),
        ChangeMembershipRequest(members=[Member("n1", ("", "ab")), Member("n2")], remove=["n3", "n4"]),
        ErrorResponse(code="", leader_addresses=["", "ab"]),
        TimeoutNowResponse(term=300),
    ):
        data = codec.encode(message)
        for _ in range(_REPEATED_PIECES):
            start = chance.randrange(len(data))
            end = min(len(data), start + chance.choice((1, 2, 4, 8, chance.randint(1, 100))))
            middle = data[start:end] * ((_MIB - len(data)) // (end - start))
            yield MESSAGE_KINDS[type(message)], data[:end] + middle + data[end:], f"{_brief(data[start:end])} repeated"


def _expect_little_memory(codec: Codec, kind: MessageKind, data: bytes, what: str) -> None:
    peak = _peak_bytes(codec, kind, data)
    _expect(peak <= 4 * len(data) + _MIB, f"{peak} bytes of memory for {len(data)}: {kind.name}, {what}")


def _decode_s(codec: Codec, kind: MessageKind, data: bytes) -> float:
    started = time.process_time()
    _decode_or_refuse(codec, kind, data)
    return time.process_time() - started


def _peak_bytes(codec: Codec, kind: MessageKind, data: bytes) -> int:
    """The most memory that one decoding holds at a time. An error's traceback is no part of it."""
    already_tracing = tracemalloc.is_tracing()
    if not already_tracing:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        _decode_or_refuse(codec, kind, data)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not already_tracing:
            tracemalloc.stop()


def _decode_or_refuse(codec: Codec, kind: MessageKind, data: bytes) -> None:
    try:
        codec.decode(kind, data)
    except DecodeError:
        return


# -- independent


@SUITE.case("four threads at once do not disturb each other")
async def _threads(codec: Codec) -> None:
    messages = sample_messages()

    def work(seed: int) -> None:
        for message in Random(seed).sample(messages, len(messages)):
            _expect_return(codec, message)

    await asyncio.gather(*(asyncio.to_thread(work, seed) for seed in range(4)))
