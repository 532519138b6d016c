"""Recorded bytes are told frame by frame, sound or not, and nothing in them stops the telling."""

import random
from collections.abc import Mapping

import msgspec
import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec

from raftsdk.messages import ErrorResponse, MessageKind, ProposeRequest, StatusRequest
from raftsdk.ports import Codec
from raftsdk.types import Identity
from raftsdk.wire.capture import MAX_FRAME_BYTES, Seen, agreed_codec, frames_in, streams_in
from raftsdk.wire.frame import ERROR_RESPONSE, Flags, WireKind, encode_frame
from raftsdk.wire.hello import HelloRefused, Terms, encode_hello, make_hello, negotiate
from raftsdk.wire.packing import pack

CODECS: Mapping[str, Codec] = {"msgpack": MsgpackCodec(), "json": JsonCodec()}
TERMS = Terms(identity=Identity("c", "n1"), codecs=("json",), max_frame_bytes=1_000, idle_timeout_ms=1_000)
HELLO = make_hello(TERMS, "client", "")
PROPOSAL = ProposeRequest(command=b"\x00\xffcommand")


def dialed() -> bytes:
    """What a client sends that says hello, proposes, and stays."""
    return b"".join(
        (
            encode_frame(WireKind.HELLO, 0, 0, encode_hello(HELLO)),
            encode_frame(MessageKind.PROPOSE_REQUEST, 0, 1, CODECS["json"].encode(PROPOSAL)),
            encode_frame(WireKind.KEEP_ALIVE, 0, 0, b""),
        )
    )


def answered() -> bytes:
    """What the node sends back: its choice, and that it does not lead."""
    refusal = CODECS["json"].encode(ErrorResponse(code="not_leader", leader_id="n2"))
    return b"".join(
        (
            encode_frame(WireKind.HELLO_ANSWER, Flags.RESPONSE, 0, encode_hello(negotiate(HELLO, TERMS))),
            encode_frame(MessageKind.ERROR, ERROR_RESPONSE, 1, refusal),
        )
    )


def tell(data: bytes, codec: str = "") -> list[Seen]:
    return list(frames_in(data, CODECS, codec))


def test_both_sides_of_a_conversation_are_told() -> None:
    hello, proposal, keep_alive = tell(dialed())
    assert (hello.offset, hello.kind, hello.codec, hello.content["codecs"]) == (0, "hello", "json", ["json"])
    assert (proposal.kind, proposal.call_id, proposal.codec) == ("propose_request", 1, "json")
    assert proposal.content["command"] == b"\x00\xffcommand"
    assert (keep_alive.kind, keep_alive.body_bytes, keep_alive.content) == ("keep_alive", 0, None)
    answer, refusal = tell(answered())
    assert (answer.content["answer"], answer.content["codec"], answer.flags) == ("accepted", "json", ["response"])
    assert (refusal.flags, refusal.content["leader_id"]) == (["response", "error"], "n2")
    assert not any(seen.trouble for seen in (*tell(dialed()), *tell(answered())))


def test_the_hellos_answer_tells_the_codec_and_a_refusal_tells_none() -> None:
    assert agreed_codec(answered()) == "json"
    refused = encode_frame(WireKind.HELLO_ANSWER, Flags.RESPONSE, 0, encode_hello(HelloRefused(code="wrong_cluster")))
    assert agreed_codec(dialed()) == agreed_codec(refused) == agreed_codec(b"") == ""
    assert tell(refused)[0].content["code"] == "wrong_cluster"


def test_what_is_packed_is_told_message_by_message() -> None:
    bodies = [CODECS["json"].encode(PROPOSAL), b"nonsense"]
    packed = pack(
        [(MessageKind.PROPOSE_REQUEST, 0, call_id, body, None, 0) for call_id, body in enumerate(bodies, 7)], 999
    )
    sound, unsound, keep_alive = tell(packed[0] + encode_frame(WireKind.KEEP_ALIVE, 0, 0, b""))
    assert (sound.offset, sound.call_id, sound.flags) == (0, 7, ["packed"])
    assert sound.content["command"] == b"\x00\xffcommand"
    assert (unsound.offset, unsound.call_id, unsound.body_bytes) == (0, 8, 8)
    assert "malformed" in unsound.trouble
    assert keep_alive.offset == len(packed[0])
    assert [seen.trouble for seen in tell(encode_frame(0x20, Flags.PACKED, 7, b""))] == [
        "bad_pack: a packed frame of 0 bytes breaks off in message 1"
    ]


def test_the_group_that_a_frame_is_for_is_told() -> None:
    body = CODECS["json"].encode(PROPOSAL)
    (seen,) = tell(encode_frame(MessageKind.PROPOSE_REQUEST, 0, 1, body, group=7))
    assert (seen.group, seen.trouble) == (7, "")


def test_without_a_hello_whichever_codec_can_read_a_message_does() -> None:
    for name, codec in CODECS.items():
        (seen,) = tell(encode_frame(MessageKind.PROPOSE_REQUEST, 0, 1, codec.encode(PROPOSAL)))
        assert (seen.codec, seen.trouble) == (name, "")


def test_a_message_that_no_codec_can_read_says_what_each_of_them_said() -> None:
    (seen,) = tell(encode_frame(MessageKind.PROPOSE_REQUEST, 0, 1, b"nonsense"))
    assert "msgpack: ProposeRequest" in seen.trouble
    assert "json: ProposeRequest" in seen.trouble
    assert (seen.kind, seen.call_id, seen.content) == ("propose_request", 1, None)


def test_a_frame_with_a_wrong_checksum_does_not_hide_those_after_it() -> None:
    data = dialed()
    damaged = data[:25] + bytes([data[25] ^ 1]) + data[26:]
    hello, proposal, keep_alive = tell(damaged)
    assert hello.trouble.startswith("bad_checksum: ")
    assert (proposal.kind, keep_alive.kind) == ("propose_request", "keep_alive")


def test_a_recording_that_was_cut_off_says_how_much_is_missing() -> None:
    *_, last = tell(dialed()[:-5])
    assert last.trouble.startswith("bad_length: ")
    assert tell(b"\0\0")[0].trouble.startswith("bad_length: 2 bytes are no frame")


def test_bytes_that_are_no_frames_end_the_telling_at_once() -> None:
    (seen,) = tell(b"\x7f" * 1_000)
    assert seen.trouble.startswith("oversize: ")
    assert (MAX_FRAME_BYTES >> 24) < 8


def test_a_kind_nobody_knows_is_told_by_its_number_and_its_bytes() -> None:
    (seen,) = tell(encode_frame(0x7F, 0, 9, b"later"))
    assert (seen.kind, seen.call_id, seen.content) == ("0x7f", 9, {"body": b"later"})


def test_an_empty_body_is_a_message_where_a_codec_says_so() -> None:
    (seen,) = tell(encode_frame(MessageKind.STATUS_REQUEST, 0, 1, CODECS["msgpack"].encode(StatusRequest())))
    assert (seen.codec, seen.content) == ("msgpack", {})


def test_hex_and_what_tshark_prints_are_read_like_the_bytes_themselves() -> None:
    ours, theirs = dialed(), answered()
    assert streams_in(ours) == [ours]
    assert streams_in(ours.hex(" ").encode()) == streams_in(ours.hex().upper().encode() + b"\n") == [ours]
    followed = "\n".join(
        (
            "=" * 67, "Follow: tcp,raw", "Filter: tcp.stream eq 0", "Node 0: 127.0.0.1:50000", "Node 1: 127.0.0.1:7001",
            ours[:30].hex(), "\t" + theirs[:10].hex(), "\t" + theirs[10:].hex(), ours[30:].hex(), "=" * 67,
        )
    )  # fmt: skip
    assert streams_in(followed.encode()) == [ours, theirs]


def test_a_text_that_is_no_hex_is_refused_with_its_line() -> None:
    with pytest.raises(ValueError, match=r"line 2 is no hex: b'GET / HTTP/1.1'"):
        streams_in(b"00ff\nGET / HTTP/1.1\n")
    with pytest.raises(ValueError, match="line 1 is no hex"):
        streams_in(b"0")


def test_whatever_the_bytes_are_the_telling_ends_and_can_be_written_as_json() -> None:
    chance = random.Random(3)
    sound = dialed() + answered()
    for _ in range(2_000):
        damaged = bytearray(sound)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        for seen in tell(bytes(damaged[: chance.randint(0, len(damaged))])):
            assert 0 <= seen.offset < len(sound)
            assert len(msgspec.json.encode(seen)) < 8 * len(sound)
