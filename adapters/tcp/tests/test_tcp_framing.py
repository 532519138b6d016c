import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftsdk_tcp import FrameSplitter

from raftsdk.testing.transport_suite import frame

LIMIT_BYTES = 1_000


def _feed_in_pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    splitter = FrameSplitter(LIMIT_BYTES)
    frames: list[bytes] = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, stop in pairwise(edges):
        frames += splitter.feed(stream[start:stop])
    return frames


@given(bodies=st.lists(st.binary(max_size=60)), cuts=st.lists(st.integers(min_value=0), max_size=30))
def test_every_cut_of_a_stream_gives_the_same_frames(bodies: list[bytes], cuts: list[int]) -> None:
    frames = [frame(body) for body in bodies]
    assert _feed_in_pieces(b"".join(frames), cuts) == frames


@given(bodies=st.lists(st.binary(max_size=60), max_size=5))
def test_a_stream_fed_byte_by_byte_gives_the_same_frames(bodies: list[bytes]) -> None:
    frames = [frame(body) for body in bodies]
    stream = b"".join(frames)
    assert _feed_in_pieces(stream, list(range(len(stream)))) == frames


@given(body=st.binary(min_size=1, max_size=60), cut=st.integers(min_value=1))
def test_an_incomplete_frame_at_the_end_is_not_given_out(body: bytes, cut: int) -> None:
    whole, incomplete = frame(b"whole"), frame(body)
    stream = whole + incomplete[: cut % len(incomplete)]
    assert _feed_in_pieces(stream, []) == [whole]


def test_ten_thousand_frames_in_one_piece_are_all_given_out() -> None:
    frames = [frame(b"%d" % number) for number in range(10_000)]
    assert FrameSplitter(LIMIT_BYTES).feed(b"".join(frames)) == frames


def test_a_body_of_exactly_the_limit_is_given_out_and_one_byte_more_is_refused() -> None:
    splitter = FrameSplitter(LIMIT_BYTES)
    assert splitter.feed(frame(bytes(LIMIT_BYTES))) == [frame(bytes(LIMIT_BYTES))]
    assert splitter.error is None
    assert splitter.feed(frame(bytes(LIMIT_BYTES + 1))) == []
    assert splitter.error is not None


@pytest.mark.parametrize("declared_bytes", [LIMIT_BYTES + 1, 2**31, 2**32 - 1])
def test_an_oversize_frame_is_refused_by_its_first_four_bytes_alone(declared_bytes: int) -> None:
    splitter = FrameSplitter(LIMIT_BYTES)
    length = declared_bytes.to_bytes(4, "big")
    for each in length[:3]:
        assert splitter.feed(bytes([each])) == []
        assert splitter.error is None
    assert splitter.feed(length[3:]) == []
    assert splitter.error is not None
    assert splitter.error.reason == "oversize"
    assert str(declared_bytes) in str(splitter.error)
    assert str(LIMIT_BYTES) in str(splitter.error)


def test_whole_frames_before_an_oversize_one_are_given_out_and_nothing_after_it() -> None:
    splitter = FrameSplitter(LIMIT_BYTES)
    good, bad = frame(b"good"), frame(bytes(LIMIT_BYTES + 1))
    assert splitter.feed(good + bad + good) == [good]
    assert splitter.error is not None
    assert splitter.feed(good) == []


def test_a_changed_limit_holds_from_the_next_header_on() -> None:
    splitter = FrameSplitter(LIMIT_BYTES)
    begun = frame(bytes(LIMIT_BYTES))
    splitter.feed(begun[:10])
    splitter.max_frame_bytes = 10
    assert splitter.feed(begun[10:]) == [begun]
    assert splitter.feed(frame(bytes(11))) == []
    assert splitter.error is not None


def test_a_piece_that_is_one_frame_is_handed_on_without_a_copy() -> None:
    piece = frame(b"the whole of it")
    assert FrameSplitter(LIMIT_BYTES).feed(piece)[0] is piece


def test_a_large_frame_in_tiny_pieces_costs_little_more_memory_than_its_bytes() -> None:
    large = frame(bytes(256 * 1024))
    splitter = FrameSplitter(len(large))
    tracemalloc.start()
    for start in range(0, len(large) - 2, 2):
        splitter.feed(large[start : start + 2])
    _now_bytes, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 3 * len(large)
    assert splitter.feed(large[-2:]) == [large]


def test_forgetting_frees_what_was_kept() -> None:
    large = frame(bytes(1024 * 1024))
    splitter = FrameSplitter(len(large))
    tracemalloc.start()
    for start in range(0, len(large) - 1024, 1024):
        splitter.feed(large[start : start + 1024])
    splitter.forget()
    now_bytes, _peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now_bytes < 64 * 1024
