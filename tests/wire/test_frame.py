"""Frames, as bytes."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftsdk.errors import WireError
from raftsdk.wire.frame import ERROR_RESPONSE, MAX_CALL_ID, MAX_GROUP, Flags, encode_frame, parse_frame

KINDS = st.integers(0, 255)
CALL_IDS = st.integers(0, MAX_CALL_ID)
FLAGS = st.sampled_from([0, Flags.RESPONSE, ERROR_RESPONSE])


def refused(data: bytes) -> str:
    """The reason for which `data` is refused."""
    with pytest.raises(WireError) as caught:
        parse_frame(data)
    return caught.value.reason


def sealed(head: bytes, body: bytes) -> bytes:
    """A frame of these 16 bytes and this body, with the right checksum."""
    return head + crc32(head, crc32(body)).to_bytes(4) + body


@given(KINDS, FLAGS, CALL_IDS, st.binary(max_size=300))
def test_a_frame_comes_back_as_it_was_encoded(kind: int, flags: int, call_id: int, body: bytes) -> None:
    frame = parse_frame(encode_frame(kind, flags, call_id, body))
    assert (frame.kind, frame.flags, frame.call_id, bytes(frame.body)) == (kind, flags, call_id, body)


@given(st.binary(max_size=300))
def test_a_known_checksum_of_the_body_gives_the_same_frame(body: bytes) -> None:
    assert encode_frame(1, 1, 2, body, crc32(body)) == encode_frame(1, 1, 2, body)


def test_a_frame_has_the_documented_bytes() -> None:
    head = bytes.fromhex("00000002 01 10 00 00 00000000 01020304".replace(" ", ""))
    assert encode_frame(0x10, 0, 0x01020304, b"hi") == sealed(head, b"hi")


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_frame_with_any_flipped_bit_is_refused(body: bytes, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(0x10, 0, 7, body))
    position = data.draw(st.integers(0, len(frame) - 1))
    frame[position] ^= 1 << data.draw(st.integers(0, 7))
    assert refused(bytes(frame)) in ("bad_length", "bad_version", "bad_checksum")


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_frame(data)


@pytest.mark.parametrize("cut", [0, 1, 19, 20, 21])
def test_a_frame_that_was_cut_is_refused_for_its_length(cut: int) -> None:
    assert refused(encode_frame(0x10, 0, 7, b"body")[:cut]) == "bad_length"


def test_a_frame_with_bytes_behind_it_is_refused_for_its_length() -> None:
    assert refused(encode_frame(0x10, 0, 7, b"body") + b"!") == "bad_length"


def test_another_version_is_told_apart_whatever_its_checksum() -> None:
    frame = bytearray(encode_frame(0x10, 0, 7, b"body"))
    frame[4] = 2
    assert refused(bytes(frame)) == "bad_version"


@pytest.mark.parametrize("flags", [Flags.ERROR, Flags.COMPRESSED, Flags.RESPONSE | Flags.COMPRESSED, 8, 0x80, 0xFF])
def test_flags_that_were_not_agreed_on_are_refused(flags: int) -> None:
    assert refused(encode_frame(0x10, flags, 7, b"body")) == "bad_flags"


@pytest.mark.parametrize("group", [1, MAX_GROUP])
def test_a_frame_of_another_group_is_refused_until_groups_are_agreed_on(group: int) -> None:
    head = encode_frame(0x10, 0, 7, b"")[:8] + group.to_bytes(4) + (7).to_bytes(4)
    assert refused(sealed(head, b"")) == "bad_group"
    assert parse_frame(sealed(head, b""), groups=True).group == group
    assert encode_frame(0x10, 0, 7, b"", group=group) == sealed(head, b"")


def test_the_reserved_byte_is_ignored_for_the_sake_of_those_who_will_use_it() -> None:
    head = bytearray(encode_frame(0x10, 0, 7, b"")[:16])
    head[7] = 0xFF
    assert parse_frame(sealed(bytes(head), b"")).call_id == 7
