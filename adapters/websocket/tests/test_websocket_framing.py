"""Both handshakes, messages, pings and goodbyes, put together; without a socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftsdk_tcp import Framing
from raftsdk_websocket import WebSocketFraming
from raftsdk_websocket.address import parse_address
from raftsdk_websocket.listener import Farewell
from raftsdk_websocket.upgrade import ClientUpgrade, ServerUpgrade
from raftsdk_websocket.writer import encode_close, encode_messages
from websockets.frames import CloseCode, Frame, Opcode

from raftsdk.testing.transport_suite import frame

FRAME = frame(b"body")
PING = Frame(Opcode.PING, b"there?").serialize(mask=True)


def listening(farewell: Farewell | None = None) -> WebSocketFraming:
    return WebSocketFraming(ServerUpgrade(path="/", origins=None), (farewell or Farewell()).code)


def dialing() -> WebSocketFraming:
    return WebSocketFraming(ClientUpgrade(parse_address("ws://127.0.0.1:7001").uri))


def opened() -> tuple[WebSocketFraming, WebSocketFraming]:
    """Both ends after the handshake, that which dialed first."""
    dialed, accepted = dialing(), listening()
    accepted.feed(dialed.open())
    dialed.feed(accepted.replies())
    assert dialed.opened
    assert accepted.opened
    return dialed, accepted


def test_it_is_a_framing_for_the_streams_of_tcp() -> None:
    framing: Framing = listening()
    assert (framing.opened, framing.ended, framing.certified_names) == (False, False, None)


def test_the_side_that_dials_speaks_first() -> None:
    assert dialing().open().startswith(b"GET / HTTP/1.1\r\n")
    assert listening().open() == b""


@given(
    there=st.lists(st.binary(max_size=50), max_size=5),
    back=st.lists(st.binary(max_size=50), max_size=5),
    cuts=st.lists(st.integers(min_value=1, max_value=100), min_size=1, max_size=30),
)
def test_frames_pass_both_ways_however_the_bytes_are_cut(
    there: list[bytes], back: list[bytes], cuts: list[int]
) -> None:
    dialed, accepted = dialing(), listening()
    went = _fed_in_pieces(accepted, dialed.open(), cuts)
    came = _fed_in_pieces(dialed, accepted.pack([frame(body) for body in back]), cuts)
    went += _fed_in_pieces(accepted, dialed.pack([frame(body) for body in there]), cuts)
    assert went == [frame(body) for body in there]
    assert came == [frame(body) for body in back]


def _fed_in_pieces(framing: WebSocketFraming, stream: bytes, cuts: list[int]) -> list[bytes]:
    frames: list[bytes] = []
    for size in cuts * (len(stream) + 1):
        frames += framing.feed(stream[:size])
        stream = stream[size:]
        if not stream:
            break
    return frames + framing.feed(b"")


def test_what_comes_behind_the_handshake_waits_for_the_next_feed_and_its_limit() -> None:
    dialed, accepted = dialing(), listening()
    accepted.feed(dialed.open())
    assert dialed.feed(accepted.pack([frame(bytes(100_000))])) == []
    dialed.max_frame_bytes = 100_000
    assert dialed.feed(b"") == [frame(bytes(100_000))]
    assert dialed.feed(b"") == []


def test_the_response_goes_before_the_first_frame_and_once() -> None:
    accepted = listening()
    accepted.feed(dialing().open())
    assert accepted.feed(b"") == []
    assert accepted.has_replies
    assert accepted.pack([FRAME]).startswith(b"HTTP/1.1 101 ")
    assert accepted.pack([FRAME]) == encode_messages([FRAME], masked=False)


def test_a_refused_request_is_answered_in_the_goodbye() -> None:
    accepted = listening()
    assert accepted.feed(b"GET /elsewhere HTTP/1.1\r\n\r\n") == []
    assert accepted.error is not None
    assert not accepted.opened
    assert not accepted.has_replies
    assert accepted.close().startswith(b"HTTP/1.1 426 ")
    assert accepted.close() == b""
    assert accepted.feed(b"GET / HTTP/1.1\r\n\r\n") == []
    assert accepted.error is not None


def test_a_dialer_that_is_refused_leaves_without_a_word() -> None:
    dialed = dialing()
    dialed.feed(b"HTTP/1.1 404 Not Found\r\n\r\n")
    assert dialed.error is not None
    assert dialed.close() == b""


def test_of_many_pings_the_latest_is_answered_once() -> None:
    dialed, accepted = opened()
    accepted.feed(Frame(Opcode.PING, b"first").serialize(mask=True) * 500 + PING)
    assert accepted.replies() == Frame(Opcode.PONG, b"there?").serialize(mask=False)
    assert not accepted.has_replies
    assert accepted.replies() == b""
    assert dialed.feed(Frame(Opcode.PONG, b"there?").serialize(mask=False)) == []
    assert dialed.error is None


def test_a_pong_goes_before_the_frames_that_are_written_meanwhile() -> None:
    _, accepted = opened()
    accepted.feed(PING)
    assert accepted.pack([FRAME]).startswith(b"\x8a\x06there?\x82")


def test_whoever_writes_may_be_pinged_any_number_of_times() -> None:
    _, accepted = opened()
    for _ in range(5):
        accepted.feed(PING * 1_000)
        accepted.pack([FRAME])
    assert accepted.error is None


def test_a_goodbye_says_1000_and_is_answered_in_kind() -> None:
    dialed, accepted = opened()
    said = accepted.close()
    assert said == b"\x88\x02\x03\xe8"
    assert accepted.close() == b""
    assert dialed.feed(said) == []
    assert dialed.ended
    answer = dialed.replies()
    assert dialed.close() == b""
    assert accepted.feed(answer) == []
    assert (accepted.ended, accepted.has_replies) == (True, False)


def test_a_listener_that_has_closed_says_1001() -> None:
    farewell = Farewell()
    accepted = listening(farewell)
    accepted.feed(dialing().open())
    farewell.going_away = True
    assert accepted.close() == b"\x88\x02\x03\xe9"


def test_frames_before_a_goodbye_are_handed_out_with_it() -> None:
    dialed, accepted = opened()
    assert accepted.feed(dialed.pack([FRAME]) + dialed.close()) == [FRAME]
    assert accepted.ended


def test_after_a_violation_the_goodbye_says_which() -> None:
    _, accepted = opened()
    assert accepted.feed(Frame(Opcode.TEXT, FRAME).serialize(mask=True)) == []
    assert accepted.error is not None
    assert accepted.close() == encode_close(CloseCode.UNSUPPORTED_DATA, str(accepted.error), masked=False)


def test_a_reason_that_is_too_long_for_a_close_is_cut_between_characters() -> None:
    close = encode_close(CloseCode.PROTOCOL_ERROR, "\u00e4" * 100, masked=False)
    assert close == b"\x88\x7c\x03\xea" + "\u00e4".encode() * 61


@pytest.mark.parametrize("end", [dialing, listening])
def test_what_nobody_wants_any_more_is_dropped(end: type[WebSocketFraming]) -> None:
    dialed, accepted = opened()
    ours, stream = (dialed, accepted.pack([FRAME])) if end is dialing else (accepted, dialed.pack([FRAME]))
    ours.feed(stream[:20])
    ours.forget()
    assert ours.feed(stream[20:] + stream) == []
    assert ours.error is None


def test_a_handshake_may_still_be_ended_when_nobody_wants_frames() -> None:
    dialed, accepted = dialing(), listening()
    accepted.forget()
    accepted.feed(dialed.open())
    assert accepted.opened
    dialed.feed(accepted.pack([FRAME]))
    assert dialed.feed(b"") == [FRAME]


def test_no_two_messages_are_masked_with_the_same_key() -> None:
    dialed, _ = opened()
    stream = dialed.pack([FRAME] * 1_000)
    size = len(stream) // 1_000
    keys = {stream[start + 2 : start + 6] for start in range(0, len(stream), size)}
    assert len(keys) > 990


@pytest.mark.parametrize("size", [0, 104, 105, 106, 107, 65_514, 65_515, 65_516, 65_517])
def test_a_message_is_written_as_the_library_writes_it_around_each_form_of_a_length(size: int) -> None:
    dialed, accepted = opened()
    accepted.max_frame_bytes = 100_000
    assert accepted.pack([frame(bytes(size))] * 2) == Frame(Opcode.BINARY, frame(bytes(size))).serialize(mask=False) * 2
    assert accepted.feed(dialed.pack([frame(bytes(size))] * 2)) == [frame(bytes(size))] * 2
