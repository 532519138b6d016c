"""The reader alone: every split, every violation, and the `websockets` library beside it."""

import runpy
import sys
import tracemalloc
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raftsdk_websocket import masking
from raftsdk_websocket.masking import apply_mask
from raftsdk_websocket.reader import MAX_CRUMBS, MessageReader
from websocket_by_hand import in_fragments, piece, shortest_length
from websockets import utils
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Side
from websockets.protocol import Protocol as Library

from raftsdk.ports import FRAME_HEADER_BYTES
from raftsdk.testing.transport_suite import frame

LIMIT_BYTES = 1_000
MAX_MESSAGE_BYTES = LIMIT_BYTES + FRAME_HEADER_BYTES
MIB = 1024 * 1024

FRAME = frame(b"body")
BODIES = st.lists(st.binary(max_size=60), max_size=6)
CUTS = st.lists(st.integers(min_value=0), max_size=30)


def reader(*, masked: bool = True, max_frame_bytes: int = LIMIT_BYTES) -> MessageReader:
    return MessageReader(masked=masked, max_frame_bytes=max_frame_bytes)


def refusal(ours: MessageReader) -> tuple[int, str] | None:
    return (ours.error.close_code, ours.error.reason) if ours.error else None


def feed_in_pieces(ours: MessageReader, stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [message for start, stop in pairwise(edges) for message in ours.feed(stream[start:stop])]


# -- messages


@given(
    bodies=BODIES, cuts=CUTS, masked=st.booleans(), sizes=st.lists(st.integers(min_value=0, max_value=30), max_size=4)
)
def test_every_cut_of_a_stream_gives_the_same_messages_fragmented_or_not(
    bodies: list[bytes], cuts: list[int], masked: bool, sizes: list[int]
) -> None:
    frames = [frame(body) for body in bodies]
    stream = b"".join(
        in_fragments(each, sizes if place % 2 else [], masked=masked) for place, each in enumerate(frames)
    )
    assert feed_in_pieces(reader(masked=masked), stream, cuts) == frames


@pytest.mark.parametrize("size", [0, 105, 106, 107, 980, 65_515, 65_516, 65_517])
@pytest.mark.parametrize("masked", [True, False])
def test_each_form_of_a_length_is_read_byte_by_byte_too(size: int, masked: bool) -> None:
    message = frame(bytes(size))
    ours = reader(masked=masked, max_frame_bytes=100_000)
    stream = piece(message, masked=masked)
    assert [each for place in range(len(stream)) for each in ours.feed(stream[place : place + 1])] == [message]


def test_a_message_in_fragments_of_one_byte_is_put_together() -> None:
    stream = in_fragments(FRAME, [1] * (len(FRAME) - 1))
    assert reader().feed(stream) == [FRAME]


def test_a_ping_between_fragments_is_seen_and_the_message_whole() -> None:
    first, second = piece(FRAME[:10], final=False), piece(FRAME[10:], Opcode.CONT)
    ours = reader()
    assert ours.feed(first + piece(b"are you there", Opcode.PING) + second) == [FRAME]
    assert ours.ping == b"are you there"


def test_of_many_pings_the_latest_is_kept() -> None:
    ours = reader()
    ours.feed(b"".join(piece(b"%d" % number, Opcode.PING) for number in range(100)))
    assert ours.ping == b"99"


def test_a_pong_nobody_asked_for_is_dropped() -> None:
    ours = reader()
    assert ours.feed(piece(b"so there", Opcode.PONG) + piece(FRAME)) == [FRAME]
    assert (ours.ping, ours.error) == (None, None)


def test_whatever_follows_a_close_is_dropped() -> None:
    ours = reader()
    assert ours.feed(piece(FRAME) + piece(b"\x03\xe8bye", Opcode.CLOSE) + piece(FRAME)) == [FRAME]
    assert ours.close_received == b"\x03\xe8bye"
    assert ours.feed(piece(FRAME)) == []
    assert ours.error is None


def test_a_changed_limit_holds_from_the_next_header_on() -> None:
    ours = reader()
    begun = piece(frame(bytes(LIMIT_BYTES)))
    ours.feed(begun[:20])
    ours.max_frame_bytes = 10
    assert len(ours.feed(begun[20:])) == 1
    ours.feed(piece(frame(bytes(11))))
    assert refusal(ours) == (1009, "oversize")


# -- violations

PROTOCOL_ERRORS = {
    "an unmasked frame": piece(FRAME, masked=False),
    "a reserved bit": piece(FRAME, reserved=1),
    "a compressed message": piece(FRAME, reserved=4),
    "opcode 3": piece(FRAME, 3),
    "opcode 11": piece(b"", 11),
    "a continuation of nothing": piece(FRAME, Opcode.CONT),
    "a message inside a message": piece(FRAME, final=False) + piece(FRAME),
    "a ping in fragments": piece(b"", Opcode.PING, final=False),
    "a close in fragments": piece(b"", Opcode.CLOSE, final=False),
    "a ping of 126 bytes": piece(bytes(126), Opcode.PING),
    "a ping of 2^32 bytes": piece(b"", Opcode.PING, length=b"\x7f" + (2**32).to_bytes(8, "big")),
    "a close of one byte": piece(b"\x03", Opcode.CLOSE),
    "a close with code 1005, which stands for none": piece((1005).to_bytes(2, "big"), Opcode.CLOSE),
    "a close with code 999": piece((999).to_bytes(2, "big"), Opcode.CLOSE),
    "a length of 2^63": piece(b"", length=b"\x7f" + (2**63).to_bytes(8, "big")),
    "a length of 2^64-1": piece(b"", length=b"\x7f" + b"\xff" * 8),
    "24 bytes with a length of 64 bits": piece(FRAME, length=b"\x7f" + len(FRAME).to_bytes(8, "big")),
    "24 bytes with a length of 16 bits": piece(FRAME, length=b"\x7e" + len(FRAME).to_bytes(2, "big")),
}


@pytest.mark.parametrize("stream", PROTOCOL_ERRORS.values(), ids=PROTOCOL_ERRORS)
def test_what_the_protocol_does_not_allow_ends_it_with_1002_after_the_messages_before_it(stream: bytes) -> None:
    ours = reader()
    assert ours.feed(piece(FRAME) + stream) == [FRAME]
    assert refusal(ours) == (1002, "bad_websocket")
    assert ours.feed(piece(FRAME)) == []


def test_a_masked_frame_from_the_side_that_listens_ends_it_with_1002() -> None:
    ours = reader(masked=False)
    assert ours.feed(piece(FRAME)) == []
    assert refusal(ours) == (1002, "bad_websocket")


@pytest.mark.parametrize("final", [True, False])
def test_a_text_message_ends_it_with_1003_by_its_first_two_bytes(final: bool) -> None:
    ours = reader()
    assert ours.feed(piece(FRAME, Opcode.TEXT, final=final)[:2]) == []
    assert refusal(ours) == (1003, "text_message")


def test_a_close_whose_reason_is_not_utf8_ends_it_with_1007() -> None:
    ours = reader()
    ours.feed(piece(b"\x03\xe8\xff\xfe", Opcode.CLOSE))
    assert refusal(ours) == (1007, "bad_websocket")


@pytest.mark.parametrize("declared_bytes", [MAX_MESSAGE_BYTES + 1, 2**16, 2**32, 2**63 - 1])
def test_an_oversize_message_ends_it_with_1009_by_its_length_alone(declared_bytes: int) -> None:
    ours = reader()
    head = piece(b"", length=shortest_length(declared_bytes))[:-4]
    for place in range(len(head)):
        assert refusal(ours) is None
        assert ours.feed(head[place : place + 1]) == []
    assert refusal(ours) == (1009, "oversize")
    assert str(declared_bytes) in str(ours.error)
    assert str(MAX_MESSAGE_BYTES) in str(ours.error)


def test_a_message_of_exactly_the_limit_is_taken_and_fragments_are_counted_together() -> None:
    ours = reader()
    longest = frame(bytes(LIMIT_BYTES))
    assert ours.feed(piece(longest)) == [longest]
    assert ours.feed(in_fragments(longest, [400, 400])) == [longest]
    assert ours.feed(in_fragments(longest + b"!", [400, 400])) == []
    assert refusal(ours) == (1009, "oversize")


@pytest.mark.parametrize(
    "stream", [piece(bytes(19)), piece(b""), in_fragments(bytes(19), [10]), in_fragments(b"", [0])]
)
def test_a_message_shorter_than_a_header_of_ours_ends_it_with_1002(stream: bytes) -> None:
    ours = reader()
    assert ours.feed(stream) == []
    assert refusal(ours) == (1002, "bad_length")


FLOODS = {
    "pings": piece(b"x" * 125, Opcode.PING),
    "empty pings": piece(b"", Opcode.PING),
    "pongs": piece(b"", Opcode.PONG),
    "fragments of one byte": piece(b"x", Opcode.CONT, final=False),
    "fragments of nothing": piece(b"", Opcode.CONT, final=False),
}


@pytest.mark.parametrize("crumb", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_crumbs_ends_it_with_1008(crumb: bytes) -> None:
    ours = reader(max_frame_bytes=MIB)
    ours.feed(piece(FRAME, final=False))
    ours.forgive()
    ours.feed(crumb * MAX_CRUMBS)
    assert refusal(ours) is None
    ours.feed(crumb)
    assert refusal(ours) == (1008, "websocket_flood")


@pytest.mark.parametrize("message", [piece(FRAME), in_fragments(FRAME, [10])])
def test_a_message_between_them_starts_the_count_of_crumbs_anew_and_so_does_forgiveness(message: bytes) -> None:
    ours = reader()
    crumbs = piece(b"", Opcode.PING) * (MAX_CRUMBS - 1)
    for _ in range(5):
        assert ours.feed(crumbs + message) == [FRAME]
        ours.feed(crumbs)
        ours.forgive()
    assert ours.error is None


def test_a_proxy_that_cuts_at_a_kib_is_no_flood() -> None:
    message = frame(bytes(4 * MIB))
    stream = in_fragments(message, [1024] * (4 * 1024))
    assert reader(max_frame_bytes=4 * MIB).feed(stream) == [message]


# -- beside the library


def _library(stream: bytes) -> tuple[list[bytes], int | None]:
    """The messages the library finds, and the code it closes with or was told. It takes a close inside of a message for
    an error, which RFC 6455 does not (section 5.4).
    """
    theirs = Library(Side.SERVER, state=OPEN, max_size=MAX_MESSAGE_BYTES)
    theirs.receive_data(stream)
    messages: list[bytes] = []
    for event in theirs.events_received():
        assert isinstance(event, Frame)
        if event.opcode is Opcode.BINARY:
            messages.append(b"")
        if event.opcode in (Opcode.BINARY, Opcode.CONT):
            messages[-1] += bytes(event.data)
            last_is_whole = event.fin
    if messages and not last_is_whole:
        messages.pop()
    close = theirs.close_rcvd or theirs.close_sent
    return messages, close.code if close else None


def _ours(stream: bytes, cuts: list[int]) -> tuple[list[bytes], int | None]:
    ours = reader()
    messages = feed_in_pieces(ours, stream, cuts)
    if ours.close_received is not None:
        return messages, int.from_bytes(ours.close_received[:2], "big") or 1005
    refused = refusal(ours)
    return messages, refused[0] if refused else None


# All that the two judge alike: no text (it is for the library's user to refuse), nothing shorter than a header of ours.
OPCODES = st.sampled_from([Opcode.BINARY] * 6 + [Opcode.CONT] * 4 + [Opcode.PING, Opcode.PONG, Opcode.CLOSE, 3, 12])
PIECES = st.builds(
    piece,
    st.sampled_from([bytes(20), b"x" * 60, b"\x03\xe8" + b"x" * 100, bytes(125), bytes(126), bytes(300)]),
    OPCODES,
    masked=st.sampled_from([True] * 20 + [False]),
    final=st.sampled_from([True, True, False]),
    reserved=st.sampled_from([0] * 20 + [1, 2, 4, 7]),
)


@settings(max_examples=500)
@given(pieces=st.lists(PIECES, max_size=12), cuts=CUTS)
def test_the_library_finds_the_same_messages_and_closes_with_the_same_code(
    pieces: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(pieces)
    assert _ours(stream, cuts) == _library(stream)


@given(stream=st.binary(max_size=200), cuts=CUTS)
def test_noise_raises_nothing(stream: bytes, cuts: list[int]) -> None:
    _ours(stream, cuts)


# -- bounds

HOSTILE = {
    "fragments of one byte": piece(b"x", final=False) + piece(b"x", Opcode.CONT, final=False) * MIB,
    "crumbs and messages in turn": (piece(b"x" * 20, final=False) + piece(b"", Opcode.PING) * 1000 + piece(b"", 0))
    * 200,
    "pings": piece(b"", Opcode.PING) * MIB,
    "the shortest messages": piece(bytes(20)) * MIB,
    "one message of all": piece(bytes(MIB - 30)),
    "one message of all, in fragments": in_fragments(bytes(MIB - 30_000), [1024] * 990),
    "a message that does not end": piece(bytes(2 * MIB)),
}


def _feed_a_mib(stream: bytes) -> list[list[bytes]]:
    """As it is received: 256 KiB at a time, everything unread."""
    ours = reader(max_frame_bytes=4 * MIB)
    return [ours.feed(stream[start : start + 256 * 1024]) for start in range(0, MIB, 256 * 1024)]


@pytest.mark.parametrize("stream", HOSTILE.values(), ids=HOSTILE)
def test_a_mib_of_anything_takes_bounded_time_and_memory(stream: bytes) -> None:
    stream = stream[:MIB]
    started_at = perf_counter()
    _feed_a_mib(stream)
    assert perf_counter() - started_at < 2
    tracemalloc.start()
    _feed_a_mib(stream)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes <= 4 * MIB + MIB


def test_a_connection_that_waits_for_the_rest_keeps_little_and_forgets_it() -> None:
    ours = reader(max_frame_bytes=4 * MIB)
    tracemalloc.start()
    ours.feed(piece(bytes(2 * MIB), final=False) + piece(bytes(MIB), Opcode.CONT)[:-1])
    ours.forget()
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 100_000


# -- masking


@given(data=st.binary(max_size=40), key=st.binary(min_size=4, max_size=4))
def test_where_the_library_has_no_c_its_python_masks_alike(data: bytes, key: bytes) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "websockets.speedups", None)
        in_python = runpy.run_path(masking.__file__)["apply_mask"]
    assert in_python is utils.apply_mask
    assert in_python(memoryview(data), key) == apply_mask(memoryview(data), key)
