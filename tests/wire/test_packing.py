"""Packed frames: bytes, and connections on which they were agreed on."""

import asyncio
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftsdk_tcp import TcpTransport
from raw_peer import CLIENT, CODEC, Handler, RawListener, greeted, listening, running, until

from raftsdk import Client
from raftsdk.errors import WireError
from raftsdk.messages import (
    ErrorResponse,
    Message,
    MessageKind,
    ProposeRequest,
    ProposeResponse,
)
from raftsdk.ports import FRAME_HEADER_BYTES
from raftsdk.wire.frame import MAX_CALL_ID, Flags, Frame, encode_frame, parse_frame
from raftsdk.wire.packing import MAX_MESSAGES, PACK_BODY_BYTES, PACK_BYTES, PACK_MESSAGES, Outgoing, pack, unpack

PACKING: Final[dict[str, Any]] = {"features": ["packing"]}
ROOM: Final = 8 * 1024 * 1024

KINDS = st.sampled_from((0x20, 0x22, 0x7E))
FLAGS = st.sampled_from((0, Flags.RESPONSE, Flags.RESPONSE | Flags.ERROR))
CALL_IDS = st.one_of(st.integers(1, 5), st.integers(MAX_CALL_ID - 3, MAX_CALL_ID))
GROUPS = st.sampled_from((0, 1))
BODIES = st.one_of(st.binary(max_size=20), st.sampled_from((bytes(PACK_BODY_BYTES), bytes(PACK_BODY_BYTES + 1))))
MESSAGES = st.lists(st.tuples(KINDS, FLAGS, CALL_IDS, BODIES, st.none(), GROUPS), max_size=12)


def read(frames: list[bytes]) -> list[Frame]:
    """What a receiver makes of them."""
    return [message for data in frames for message in unpack(parse_frame(data, ROOM, groups=True, packing=True))]


def asked(*bodies: bytes, first_call_id: int = 1) -> list[Outgoing]:
    return [(0x22, 0, call_id, body, None, 0) for call_id, body in enumerate(bodies, first_call_id)]


def packed(body: bytes, call_id: int = 1) -> bytes:
    return encode_frame(MessageKind.QUERY_REQUEST, Flags.PACKED, call_id, body)


def refusal(body: bytes, call_id: int = 1) -> str:
    with pytest.raises(WireError) as caught:
        unpack(parse_frame(packed(body, call_id), packing=True))
    assert caught.value.reason == "bad_pack"
    return str(caught.value)


# -- bytes


@given(MESSAGES, st.integers(PACK_BODY_BYTES + 5, 3 * PACK_BYTES))
def test_whatever_is_packed_arrives_in_order_as_if_each_had_come_alone(
    messages: list[Outgoing], max_frame_bytes: int
) -> None:
    frames = pack(messages, max_frame_bytes)
    assert all(len(frame) - FRAME_HEADER_BYTES <= max_frame_bytes for frame in frames)
    assert read(frames) == [parse_frame(encode_frame(*message), groups=True) for message in messages]


def test_neighbours_of_one_kind_share_a_frame() -> None:
    assert len(pack(asked(*[b"?"] * PACK_MESSAGES), ROOM)) == 1


@pytest.mark.parametrize(
    "other",
    [(0x20, 0, 2, b"", None, 0), (0x22, 1, 2, b"", None, 0), (0x22, 0, 3, b"", None, 0), (0x22, 0, 2, b"", None, 9)],
    ids=["of another kind", "with other flags", "with an id that does not follow", "of another group"],
)
def test_a_message_that_differs_has_its_own_frame(other: Outgoing) -> None:
    messages = [*asked(b""), other]
    assert pack(messages, ROOM) == [encode_frame(*message) for message in messages]


def test_a_hundred_and_twenty_eight_messages_fill_a_frame_and_so_do_64_kib() -> None:
    assert [len(read([frame])) for frame in pack(asked(*[b""] * 300), ROOM)] == [128, 128, 44]
    assert all(len(frame) <= PACK_BYTES + FRAME_HEADER_BYTES for frame in pack(asked(*[bytes(4_000)] * 40), ROOM))


def test_a_long_body_is_not_copied_into_a_pack() -> None:
    bodies = [b"", bytes(PACK_BODY_BYTES + 1), b"", b""]
    assert [len(read([frame])) for frame in pack(asked(*bodies), ROOM)] == [1, 1, 2]


def test_the_last_call_id_ends_a_pack() -> None:
    messages = [*asked(b"", b"", first_call_id=MAX_CALL_ID - 1), *asked(b"", b"")]
    assert [len(read([frame])) for frame in pack(messages, ROOM)] == [2, 2]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "a packed frame of 0 bytes breaks off in message 1"),
        (b"\0\0\0", "a packed frame of 3 bytes breaks off in message 1"),
        (b"\0\0\0\2x", "a packed frame of 5 bytes breaks off in message 1"),
        (b"\xff\xff\xff\xffx", "a packed frame of 5 bytes breaks off in message 1"),
        (b"\0\0\0\1x\0", "a packed frame of 6 bytes breaks off in message 1"),
        (bytes(4 * MAX_MESSAGES + 4), "a packed frame has more than 1024 messages"),
    ],
)
def test_a_body_that_is_no_pack_says_where_it_breaks_off(body: bytes, why: str) -> None:
    assert refusal(body) == why


def test_ids_beyond_the_last_one_are_refused() -> None:
    assert "beyond the last one" in refusal(bytes(8), call_id=MAX_CALL_ID)
    assert len(read([packed(bytes(8), call_id=MAX_CALL_ID - 1)])) == 2


def test_the_most_messages_are_taken() -> None:
    assert len(read([packed(bytes(4 * MAX_MESSAGES))])) == MAX_MESSAGES


# -- connections


def proposals(*commands: bytes) -> bytes:
    bodies = [CODEC.encode(ProposeRequest(command=command)) for command in commands]
    return pack([(0x20, 0, call_id, body, None, 0) for call_id, body in enumerate(bodies, 1)], ROOM)[0]


def understood(frame: Frame) -> list[tuple[int, Message]]:
    """The call ids and messages of a frame, packed or not."""
    return [(each.call_id, CODEC.decode(MessageKind(each.kind), each.body)) for each in unpack(frame)]


async def test_packed_requests_are_delivered_in_order_and_their_answers_come_packed() -> None:
    handler = Handler()
    async with running("n1", handler) as network, greeted(network, **CLIENT, **PACKING) as client:
        client.write(proposals(b"a", b"b", b"c"))
        frame = await client.frame()
    assert (frame.kind, frame.flags) == (MessageKind.PROPOSE_RESPONSE, Flags.RESPONSE | Flags.PACKED)
    assert understood(frame) == [
        (1, ProposeResponse(index=1, result=b"a")),
        (2, ProposeResponse(index=1, result=b"b")),
        (3, ProposeResponse(index=1, result=b"c")),
    ]
    assert handler.received == [ProposeRequest(command=command) for command in (b"a", b"b", b"c")]


async def test_answers_that_are_ready_at_other_times_come_alone() -> None:
    handler = Handler()
    handler.holds = True
    async with running("n1", handler) as network, greeted(network, **CLIENT, **PACKING) as client:
        client.write(proposals(b"a", b"b"))
        await until(lambda: len(handler.replies) == 2)
        for place in (1, 0):
            handler.replies[place](ProposeResponse(index=7, result=b""))
            frame = await client.frame()
            assert (frame.flags, frame.call_id) == (Flags.RESPONSE, place + 1)


async def test_a_pack_counts_for_as_many_calls_as_it_holds() -> None:
    handler = Handler()
    handler.holds = True
    async with (
        running("n1", handler, max_calls_per_connection=2) as network,
        greeted(network, **CLIENT, **PACKING) as client,
    ):
        client.write(proposals(b"a", b"b", b"c", b"d"))
        errors = understood(await client.frame())
    assert [(call_id, isinstance(error, ErrorResponse) and error.code) for call_id, error in errors] == [
        (3, "overloaded"),
        (4, "overloaded"),
    ]
    assert len(handler.received) == 2


async def test_a_broken_pack_ends_the_connection_and_nothing_of_it_is_done() -> None:
    handler = Handler()
    async with running("n1", handler) as network, greeted(network, **CLIENT, **PACKING) as client:
        body = parse_frame(proposals(b"a", b"b"), packing=True).body
        client.write(encode_frame(MessageKind.PROPOSE_REQUEST, Flags.PACKED, 1, bytes(body[:-1])))
        await client.ended()
        assert network.closed_by_reason == {"bad_pack": 1}
    assert handler.received == []


async def test_a_pack_that_was_not_agreed_on_ends_the_connection() -> None:
    handler = Handler()
    async with running("n1", handler) as network, greeted(network, **CLIENT) as client:
        client.write(proposals(b"a", b"b"))
        await client.ended()
        assert network.closed_by_reason == {"bad_flags": 1}
    assert handler.received == []


async def test_a_client_packs_what_it_is_asked_at_once_and_understands_packed_answers() -> None:
    async with listening() as listener, client_of(listener) as client:
        calls = [asyncio.create_task(client.propose(command)) for command in (b"a", b"b")]
        node = await listener.accept("n1", **PACKING)
        frame = await node.frame()
        assert understood(frame) == [(1, ProposeRequest(command=b"a")), (2, ProposeRequest(command=b"b"))]
        answers = [CODEC.encode(ProposeResponse(index=1, result=result)) for result in (b"A", b"B")]
        node.write(pack([(0x21, 1, call_id, body, None, 0) for call_id, body in enumerate(answers, 1)], ROOM)[0])
        assert await asyncio.gather(*calls) == [b"A", b"B"]


async def test_a_client_packs_nothing_for_a_node_that_has_not_heard_of_it() -> None:
    async with listening() as listener, client_of(listener) as client:
        calls = [asyncio.create_task(client.propose(command)) for command in (b"a", b"b")]
        node = await listener.accept("n1")
        for call_id in (1, 2):
            assert (await node.receive())[0] == call_id
            node.send(ProposeResponse(index=1, result=b"done"), call_id)
        assert await asyncio.gather(*calls) == [b"done", b"done"]


def client_of(listener: RawListener) -> Client:
    return Client([listener.address], codecs=[CODEC], transports=[TcpTransport()])
