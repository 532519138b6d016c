"""What strangers, broken peers and broken clients may send to a node, and what becomes of it.

Every test ends with the node alive: it serves an honest peer on another connection.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
from raw_peer import CLIENT, CODEC, Handler, RawPeer, append, dialed, greeted, hello, running, until

from raftsdk.messages import (
    AppendEntriesResponse,
    ErrorResponse,
    MessageKind,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    RequestVoteRequest,
    StatusRequest,
)
from raftsdk.wire.frame import Flags, WireKind, encode_frame
from raftsdk.wire.rpc import RpcNetwork
from raftsdk.wire.server import MAX_CONNECTIONS_OF_A_PEER

HELLO_FRAME = encode_frame(WireKind.HELLO, 0, 0, msgspec.json.encode(hello()))


@asynccontextmanager
async def node(handler: Handler | None = None, **settings: Any) -> AsyncIterator[RpcNetwork]:
    """n1, which is asked at the end whether it still serves n3."""
    async with running("n1", handler, **settings) as network:
        yield network
        if handler is not None:
            handler.holds = False
        async with greeted(network, node_id="n3") as honest:
            honest.send(append(5, leader_id="n3"))
            assert await honest.receive() == (1, AppendEntriesResponse(term=1, success=True, conflict_index=5))


# -- before the hello


async def test_a_stranger_who_says_nothing_is_closed_after_the_handshake_time_limit() -> None:
    async with node(handshake_timeout_ms=100) as network, dialed(network) as stranger:
        await stranger.ended()
        await until(lambda: network.closed_by_reason == {"handshake_timeout": 1})


async def test_a_hello_that_trickles_in_has_one_time_limit_for_all_of_it() -> None:
    async with node(handshake_timeout_ms=200) as network, dialed(network) as stranger:
        for position in range(len(HELLO_FRAME)):
            stranger.write(HELLO_FRAME[position : position + 1])
            await asyncio.sleep(0.02)  # 20 ms for each of over 100 bytes: ten times the limit
            if network.closed_by_reason:
                break
        assert network.closed_by_reason == {"handshake_timeout": 1}


async def test_of_too_many_silent_strangers_the_oldest_gives_way() -> None:
    async with node(max_half_open_connections=3) as network, AsyncExitStack() as stack:
        strangers = [await stack.enter_async_context(dialed(network)) for _ in range(5)]
        await strangers[0].ended()
        await strangers[1].ended()
        assert network.closed_by_reason == {"half_open_limit": 2}
        assert (await strangers[4].say_hello())["answer"] == "accepted"


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: raft\r\n\r\n", "oversize"),
        (bytes.fromhex("160301020001fc0303") + bytes(100), "oversize"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "oversize"),
        (b"\xff" * 64, "oversize"),
        (bytes(64), "bad_version"),
        (HELLO_FRAME[:5] + b"\x77" + HELLO_FRAME[6:], "bad_checksum"),
        (encode_frame(WireKind.HELLO, 0, 0, b""), "bad_hello"),
        (encode_frame(WireKind.HELLO, 0, 0, b"[" * 10_000), "bad_hello"),
        (encode_frame(WireKind.HELLO, Flags.RESPONSE, 0, b"{}"), "unexpected_kind"),
        (encode_frame(WireKind.KEEP_ALIVE, 0, 0, b""), "unexpected_kind"),
        (encode_frame(MessageKind.REQUEST_VOTE_REQUEST, 0, 1, b"{}"), "unexpected_kind"),
    ],
    ids=str,
)
async def test_whoever_begins_with_anything_but_a_hello_is_closed_without_a_traceback(
    noise: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler()
    async with node(handler) as network, dialed(network) as stranger:
        stranger.write(noise)
        await stranger.ended()
        assert network.closed_by_reason == {reason: 1}
        assert handler.received == []
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


async def test_a_stranger_who_leaves_without_a_word_is_no_violation() -> None:
    async with node() as network:
        async with dialed(network) as stranger:
            stranger.write(HELLO_FRAME[:30])
        async with greeted(network):
            assert network.closed_by_reason == {}


async def test_a_frame_of_an_unknown_version_is_answered_with_the_versions_spoken_here() -> None:
    async with node() as network, dialed(network) as stranger:
        stranger.write(HELLO_FRAME[:4] + b"\x09" + HELLO_FRAME[5:])
        answer = await stranger.answer()
        assert (answer["code"], answer["protocol"]) == ("version_mismatch", {"min": 1, "max": 1})
        await stranger.ended()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"protocol": {"min": 2, "max": 3}}, "version_mismatch"),
        ({"cluster_id": "another"}, "wrong_cluster"),
        ({"node_id": "n1"}, "own_id"),
        ({"target_id": "n9"}, "wrong_target"),
        ({"codecs": ["capnp"]}, "no_common_codec"),
        ({"node_id": "a/b"}, "bad_hello"),
    ],
)
async def test_a_hello_that_cannot_be_agreed_on_is_refused_by_name_and_closed(
    changes: dict[str, Any], code: str
) -> None:
    handler = Handler()
    async with node(handler) as network, dialed(network) as stranger:
        answer = await stranger.say_hello(**changes)
        stranger.send(append())
        assert (answer["answer"], answer["code"]) == ("refused", code)
        await stranger.ended()
        assert network.closed_by_reason == {code: 1}
        assert handler.received == []


async def test_a_hello_with_fields_of_the_future_is_accepted() -> None:
    async with node() as network, dialed(network) as peer:
        assert (await peer.say_hello(zone={"name": "a"}))["answer"] == "accepted"


# -- too many


async def test_a_client_too_many_is_refused_and_a_known_peer_is_not() -> None:
    peers = {"n3": ["tcp://127.0.0.1:1"]}
    async with node(max_connections=2, addresses=peers) as network, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(greeted(network, **CLIENT))
        for changes in (CLIENT, {"node_id": "n77"}):
            async with dialed(network) as surplus:
                assert (await surplus.say_hello(**changes))["code"] == "overloaded"
                await surplus.ended()
        for _ in range(MAX_CONNECTIONS_OF_A_PEER - 1):
            await stack.enter_async_context(greeted(network, node_id="n3"))


async def test_clients_leave_half_of_the_file_descriptors_to_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _limit: (4, 4))
    peers = {"n3": ["tcp://127.0.0.1:1"]}
    async with node(addresses=peers) as network, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(greeted(network, **CLIENT))
        async with dialed(network) as surplus:
            assert (await surplus.say_hello(**CLIENT))["code"] == "overloaded"
        await stack.enter_async_context(greeted(network, node_id="n3"))


async def test_of_too_many_connections_of_one_peer_the_oldest_gives_way() -> None:
    async with node() as network, AsyncExitStack() as stack:
        count = MAX_CONNECTIONS_OF_A_PEER + 1
        peers = [await stack.enter_async_context(greeted(network, node_id="n2")) for _ in range(count)]
        await peers[0].ended()
        assert network.closed_by_reason == {"displaced": 1}
        for peer in peers[1:]:
            peer.send(append())
            await peer.receive()


# -- frames


@pytest.mark.parametrize("declared_bytes", [2**32 - 1, 2**31, 1_000_001])
async def test_a_frame_that_declares_too_much_is_refused_from_its_header_alone(declared_bytes: int) -> None:
    handler = Handler()
    async with node(handler) as network, greeted(network) as peer:
        peer.write(declared_bytes.to_bytes(4) + encode_frame(MessageKind.APPEND_ENTRIES_REQUEST, 0, 1, b"")[4:])
        await peer.ended()
        assert network.closed_by_reason == {"oversize": 1}
        assert handler.received == []


async def test_a_hello_over_its_own_limit_is_refused_though_a_message_could_be_longer() -> None:
    async with node(max_hello_bytes=1000) as network, dialed(network) as stranger:
        stranger.write(encode_frame(WireKind.HELLO, 0, 0, bytes(1001)))
        await stranger.ended()
        assert network.closed_by_reason == {"oversize": 1}


def damaged() -> bytes:
    frame = bytearray(encode_frame(MessageKind.APPEND_ENTRIES_REQUEST, 0, 1, CODEC.encode(append())))
    frame[-3] ^= 1
    return bytes(frame)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (damaged(), "bad_checksum"),
        (encode_frame(MessageKind.APPEND_ENTRIES_REQUEST, Flags.COMPRESSED, 1, b"bomb"), "bad_flags"),
        (encode_frame(MessageKind.APPEND_ENTRIES_REQUEST, 0x80, 1, b"{}"), "bad_flags"),
        (encode_frame(MessageKind.APPEND_ENTRIES_RESPONSE, Flags.RESPONSE, 1, b"{}"), "unexpected_kind"),
        (encode_frame(0xEE, Flags.RESPONSE, 1, b"{}"), "unexpected_kind"),
        (HELLO_FRAME, "unexpected_kind"),
        (b"\0\0\0\0\x02" + bytes(15), "bad_version"),
    ],
)
async def test_a_frame_against_the_rules_closes_its_connection_and_nothing_of_it_is_delivered(
    data: bytes, reason: str
) -> None:
    handler = Handler()
    async with node(handler) as network, greeted(network) as peer:
        peer.write(data)
        peer.send(append())
        await peer.ended()
        assert network.closed_by_reason == {reason: 1}
        assert handler.received == []


async def test_frames_cut_into_single_bytes_are_the_same_frames() -> None:
    handler = Handler()
    async with node(handler) as network, greeted(network) as peer:
        for byte in encode_frame(MessageKind.APPEND_ENTRIES_REQUEST, 0, 1, CODEC.encode(append(3))):
            peer.write(bytes([byte]))
            await asyncio.sleep(0)
        await peer.receive()
        assert handler.received == [append(3)]


async def test_ten_thousand_frames_at_once_are_all_answered_and_another_peer_is_served_between_them() -> None:
    handler = Handler()
    count = 10_000
    async with node(handler) as network, greeted(network) as flood, greeted(network, node_id="n3") as other:
        body = CODEC.encode(append(data=None))
        flood.write(b"".join(encode_frame(0x10, 0, call_id, body) for call_id in range(1, count + 1)))
        other.send(append(leader_id="n3"))
        await other.receive()
        assert [(await flood.frame()).call_id for _ in range(count)] == [*range(1, count + 1)]
        assert handler.received.index(append(leader_id="n3")) < count


async def test_half_a_frame_followed_by_the_end_is_not_delivered() -> None:
    handler = Handler()
    async with node(handler) as network:
        async with greeted(network) as peer:
            peer.write(encode_frame(0x10, 0, 1, CODEC.encode(append()))[:-1])
            await asyncio.sleep(0)
        async with greeted(network):
            assert (handler.received, network.closed_by_reason) == ([], {})


async def test_half_a_frame_followed_by_silence_is_closed_and_a_quiet_peer_that_stays_alive_is_not() -> None:
    handler = Handler()
    keep_alive = encode_frame(WireKind.KEEP_ALIVE, 0, 0, b"")
    async with node(handler, idle_timeout_ms=400) as network, greeted(network) as quiet, greeted(network) as half:
        half.write(encode_frame(0x10, 0, 1, CODEC.encode(append()))[:-1])
        ended = asyncio.create_task(half.ended())
        while not ended.done():
            quiet.write(keep_alive)
            await asyncio.wait([ended], timeout=0.02)
        await ended
        assert (handler.received, network.closed_by_reason) == ([], {"idle": 1})
        quiet.send(append())
        await quiet.receive()


# -- requests


async def refusal(peer: RawPeer) -> str:
    """The code of the error that answers call 1."""
    call_id, response = await peer.receive()
    assert call_id == 1
    assert isinstance(response, ErrorResponse), response
    return response.code


async def test_a_request_of_an_unknown_kind_is_answered_unsupported() -> None:
    async with node() as network, greeted(network) as peer:
        peer.write(encode_frame(0x7E, 0, 1, b"from the future"))
        assert await refusal(peer) == "unsupported"
        peer.send(append())
        await peer.receive()


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"[" * 100_000, b'{"term":-1}'])
async def test_a_request_that_cannot_be_decoded_is_answered_bad_request_and_not_delivered(body: bytes) -> None:
    handler = Handler()
    async with node(handler) as network, greeted(network) as peer:
        peer.write(encode_frame(MessageKind.APPEND_ENTRIES_REQUEST, 0, 1, body))
        assert await refusal(peer) == "bad_request"
        assert handler.received == []


async def test_fields_that_a_newer_peer_adds_to_a_request_are_ignored() -> None:
    handler = Handler()
    async with node(handler) as network, greeted(network) as peer:
        body = msgspec.json.encode(msgspec.json.decode(CODEC.encode(append())) | {"priority": 7})
        peer.write(encode_frame(MessageKind.APPEND_ENTRIES_REQUEST, 0, 1, body))
        await peer.receive()
        assert handler.received == [append()]


@pytest.mark.parametrize(
    "request_of_n3",
    [
        append(leader_id="n3"),
        RequestVoteRequest(term=1, candidate_id="n3", last_log_index=0, last_log_term=0),
        RequestVoteRequest(term=1, candidate_id="n1", last_log_index=0, last_log_term=0, pre_vote=True),
    ],
)
async def test_a_request_in_the_name_of_another_node_is_refused_and_not_delivered(request_of_n3: Any) -> None:
    handler = Handler()
    async with node(handler) as network, greeted(network, node_id="n2") as peer:
        peer.send(request_of_n3)
        assert await refusal(peer) == "wrong_identity"
        assert handler.received == []


@pytest.mark.parametrize(
    ("role", "message"),
    [
        (CLIENT, append()),
        (CLIENT | {"node_id": "n2"}, append()),
        ({}, ProposeRequest(command=b"x")),
        ({}, QueryRequest(query=b"x")),
        ({}, StatusRequest()),
    ],
)
async def test_a_request_that_is_not_for_that_role_is_refused_and_not_delivered(
    role: dict[str, Any], message: Any
) -> None:
    handler = Handler()
    async with node(handler) as network, greeted(network, **role) as peer:
        peer.send(message)
        assert await refusal(peer) == "wrong_identity"
        assert handler.received == []


async def test_one_unanswered_request_too_many_is_answered_overloaded_and_room_is_made_by_an_answer() -> None:
    handler = Handler()
    handler.holds = True
    async with node(handler, max_calls_per_connection=2) as network, greeted(network, **CLIENT) as client:
        for call_id in (2, 3, 1):
            client.send(ProposeRequest(command=b"x"), call_id)
        assert await refusal(client) == "overloaded"
        handler.replies[0](ProposeResponse(index=1, result=b""))
        assert (await client.receive())[0] == 2
        client.send(ProposeRequest(command=b"y"), 4)
        await until(lambda: len(handler.received) == 3)


async def test_a_call_id_that_is_still_in_use_closes_the_connection() -> None:
    handler = Handler()
    handler.holds = True
    async with node(handler) as network, greeted(network) as peer:
        peer.send(append(1), call_id=9)
        peer.send(append(2), call_id=9)
        await peer.ended()
        assert network.closed_by_reason == {"duplicate_call": 1}
        assert handler.received == [append(1)]


# -- responses


async def test_a_client_that_never_reads_is_closed_and_everyone_else_is_served() -> None:
    handler = Handler()
    handler.result = bytes(500_000)
    async with node(handler, max_unsent_bytes=1_000_000) as network, greeted(network, **CLIENT) as deaf:
        deaf.stop_receiving()
        for call_id in range(1, 101):
            deaf.send(QueryRequest(query=b""), call_id)
        await until(lambda: network.closed_by_reason == {"slow_reader": 1})
        assert len(handler.received) < 100


async def test_of_what_came_in_one_read_nothing_is_delivered_after_the_connection_was_ended() -> None:
    handler = Handler()
    handler.result = bytes(2000)
    async with node(handler, max_unsent_bytes=1000) as network, greeted(network, **CLIENT) as client:
        query = CODEC.encode(QueryRequest(query=b""))
        client.write(b"".join(encode_frame(MessageKind.QUERY_REQUEST, 0, call_id, query) for call_id in range(50)))
        await client.ended()
        assert network.closed_by_reason == {"slow_reader": 1}
        assert len(handler.received) == 1


async def test_a_second_reply_to_one_request_is_dropped() -> None:
    handler = Handler()
    handler.holds = True
    async with node(handler) as network, greeted(network) as peer:
        peer.send(append(1), call_id=1)
        peer.send(append(2), call_id=2)
        await until(lambda: len(handler.replies) == 2)
        for number in (0, 0, 1):
            handler.replies[number](AppendEntriesResponse(term=1, success=True))
        assert [(await peer.receive())[0], (await peer.receive())[0]] == [1, 2]


async def test_a_reply_after_the_end_of_the_connection_is_dropped() -> None:
    handler = Handler()
    handler.holds = True
    async with node(handler) as network:
        async with greeted(network) as peer:
            peer.send(append())
            await until(lambda: handler.replies)
        async with greeted(network) as later:
            handler.replies[0](AppendEntriesResponse(term=1, success=True))
            later.send(append(), call_id=77)
            await until(lambda: len(handler.replies) == 2)
            handler.replies[1](AppendEntriesResponse(term=2, success=True))
            assert await later.receive() == (77, AppendEntriesResponse(term=2, success=True))


async def test_a_response_longer_than_agreed_becomes_an_error() -> None:
    handler = Handler()
    async with node(handler) as network, greeted(network, **CLIENT, max_frame_bytes=1000) as client:
        handler.result = bytes(2000)
        client.send(QueryRequest(query=b""))
        assert await refusal(client) == "too_large"
        handler.result = bytes(500)
        client.send(QueryRequest(query=b""))
        assert await client.receive() == (1, QueryResponse(applied_index=1, result=bytes(500)))


async def test_a_result_longer_than_agreed_leaves_doubt_because_the_command_was_applied() -> None:
    handler = Handler()
    async with node(handler) as network, greeted(network, **CLIENT, max_frame_bytes=1000) as client:
        handler.result = bytes(2000)
        client.send(ProposeRequest(command=b"x"))
        assert await refusal(client) == "outcome_unknown"


# -- what is said about it


async def test_a_flood_of_violations_from_one_host_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with node() as network:
        for _ in range(20):
            async with dialed(network) as stranger:
                stranger.write(b"\xff" * 64)
                await stranger.ended()
        assert network.closed_by_reason == {"oversize": 20}
    lines = [record for record in caplog.records if record.name == "raftsdk.wire"]
    assert [record.levelno for record in lines] in (
        [logging.WARNING],
        [logging.WARNING] * 2,
    )  # the flood takes a moment


async def test_what_a_stranger_says_cannot_write_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with node() as network, dialed(network) as stranger:
        stranger.write(encode_frame(WireKind.HELLO, 0, 0, msgspec.json.encode(hello(role="x\nERROR all is lost"))))
        await stranger.ended()
    assert "bad_hello" in caplog.text
    assert not any(line.startswith("ERROR all is lost") for line in caplog.text.splitlines())


async def test_an_address_in_use_stops_the_start_and_nothing_stays_open() -> None:
    async with node() as network:
        free_and_taken = ["tcp://127.0.0.1:0", network.listening[0]]
        with pytest.raises(OSError, match="cannot listen"):
            async with running("n2", listen=free_and_taken) as second:
                pytest.fail(f"started at {second.listening}")
