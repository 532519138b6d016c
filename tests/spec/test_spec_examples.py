"""Every example of `spec/wire.md`, made again."""

import json

import msgspec
import pytest
from raftsdk_json import JsonCodec
from spec_text import example, spec

from raftsdk import plugins
from raftsdk.config.rules import CODECS
from raftsdk.messages import AppendEntriesRequest, RequestVoteRequest, RequestVoteResponse
from raftsdk.ports import FRAME_HEADER_BYTES
from raftsdk.types import Entry, Member, Membership, decode_membership, encode_membership
from raftsdk.wire.frame import Flags, WireKind, encode_frame
from raftsdk.wire.hello import HelloAccepted, HelloRefused, decode_answer, decode_hello, encode_hello
from raftsdk.wire.packing import pack

_ASKED = RequestVoteRequest(term=7, candidate_id="n2", last_log_index=41, last_log_term=6, pre_vote=True)
_ANSWERED = RequestVoteResponse(term=7, vote_granted=True)

_FRAMES = {
    "request_vote_request": encode_frame(0x12, 0, 1, JsonCodec().encode(_ASKED)),
    "request_vote_response": encode_frame(0x13, Flags.RESPONSE, 1, JsonCodec().encode(_ANSWERED)),
    "keep_alive": encode_frame(WireKind.KEEP_ALIVE, 0, 0, b""),
    "packed": pack([(0x22, 0, call_id, b'{"query":""}', None, 0) for call_id in (7, 8)], 1_000)[0],
}


@pytest.mark.parametrize("name", _FRAMES)
def test_a_frame_of_the_specification_is_what_we_write(name: str) -> None:
    assert example(f"frame {name}").data().hex(" ") == _FRAMES[name].hex(" ")


def test_the_hello_of_the_specification_is_one() -> None:
    data = example("frame hello").data()
    body = data[FRAME_HEADER_BYTES:]
    assert data == encode_frame(WireKind.HELLO, 0, 0, body)
    hello = decode_hello(memoryview(body))
    assert (hello.role, hello.codecs, hello.max_frame_bytes) == ("client", ["json"], 2**20)


@pytest.mark.parametrize(
    ("title", "kind"), [("json answer accepted", HelloAccepted), ("json answer refused", HelloRefused)]
)
def test_an_answer_of_the_specification_is_what_we_write(title: str, kind: type) -> None:
    text = example(title).text.encode()
    answer = decode_answer(memoryview(text))
    assert isinstance(answer, kind)
    assert encode_hello(answer) == text


@pytest.mark.parametrize("codec", ["json", "msgpack", "protobuf", "capnp", "flatbuffers"])
def test_the_message_that_is_shown_in_every_codec_is_what_we_write(codec: str) -> None:
    shown = AppendEntriesRequest(
        term=7,
        leader_id="n1",
        prev_log_index=41,
        prev_log_term=6,
        leader_commit=41,
        entries=[Entry(7, 1, b"hi")],
    )
    body = example(f"body {codec}")
    data = body.text.encode() if codec == "json" else body.data()
    assert data.hex(" ") == plugins.make(CODECS, codec).encode(shown).hex(" ")


def test_the_membership_in_an_entry_of_the_specification_is_what_we_write() -> None:
    membership = Membership((Member("n1", ("tcp://10.0.0.1:7001",)),))
    text = example("json entry membership").text.encode()
    assert encode_membership(membership) == text
    assert decode_membership(text) == membership


def test_no_example_is_left_unread() -> None:
    read = {f"frame {name}" for name in (*_FRAMES, "hello")}
    read |= {"json answer accepted", "json answer refused", "json entry membership"}
    left = [found.title for found in spec().examples if found.title not in read]
    assert [title for title in left if not title.startswith(("json vector ", "body "))] == []


@pytest.mark.parametrize("title", [found.title for found in spec().examples if found.title.startswith("json vector ")])
def test_the_files_of_vectors_look_as_they_are_described(title: str) -> None:
    shown = json.loads(example(title).text)
    assert all({"name", "clause"} <= vector.keys() for vector in shown["vectors"])
    assert msgspec.json.decode(msgspec.json.encode(shown)) == shown
