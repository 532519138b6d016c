"""The dialing side: one node against others that hang, lie, refuse, come back, or agree."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport
from raw_peer import CODEC, Handler, RawListener, RawPeer, append, hello, listening, new_network, running, until

from raftsdk.config import LinkConfig
from raftsdk.errors import ConfigError, Refused, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    Message,
    MessageKind,
    ProposeRequest,
    ProposeResponse,
    StatusRequest,
)
from raftsdk.ports import Codec, Connection, LinkStatus, Listener
from raftsdk.ports.transport import OnConnection
from raftsdk.types import Identity
from raftsdk.wire.endpoint import Endpoint
from raftsdk.wire.frame import Flags, WireKind, encode_frame
from raftsdk.wire.link import Link
from raftsdk.wire.rpc import RpcNetwork

YES = AppendEntriesResponse(term=1, success=True)
HEARTBEAT = append(leader_id="n1", data=None)
NOWHERE = "tcp://127.0.0.1:1"


def entries(number: int = 0, data: bytes = b"x") -> AppendEntriesRequest:
    return append(number, leader_id="n1", data=data)


@asynccontextmanager
async def dialing(**settings: Any) -> AsyncIterator[tuple[RpcNetwork, RawListener]]:
    """n1, and where its connections to n2 arrive."""
    quick = {"reconnect_min_ms": 1, "reconnect_max_ms": 10}
    async with (
        listening() as listener,
        running("n1", addresses={"n2": [listener.address]}, **quick | settings) as network,
    ):
        yield network, listener


@asynccontextmanager
async def connected(**settings: Any) -> AsyncIterator[tuple[RpcNetwork, RawPeer, RawPeer]]:
    """The same, after both hellos were accepted: n1, and n2's ends of the control lane and the bulk lane."""
    answer = settings.pop("answer", {})
    async with dialing(**settings) as (network, listener):
        control, bulk = [await listener.accept("n2", **answer) for _ in range(2)]
        await until(lambda: network.link("n2").connected)
        yield network, control, bulk


def calling(network: RpcNetwork, request: AppendEntriesRequest) -> asyncio.Task[AppendEntriesResponse]:
    return asyncio.create_task(network.append_entries("n2", request))


async def fails(call: asyncio.Task[AppendEntriesResponse], text: str) -> None:
    with pytest.raises(Unreachable, match=text):
        await call


# -- lanes


async def test_a_heartbeat_travels_on_another_connection_than_entries() -> None:
    async with connected() as (network, control, bulk):
        calls = [calling(network, entries(3)), calling(network, HEARTBEAT)]
        for lane, request in ((bulk, entries(3)), (control, HEARTBEAT)):
            call_id, received = await lane.receive()
            assert received == request
            lane.send(YES, call_id)
        assert await asyncio.gather(*calls) == [YES, YES]


async def test_a_peer_that_takes_no_bulk_still_gets_heartbeats_and_what_waits_for_it_is_bounded() -> None:
    megabyte = entries(data=bytes(1_000_000))
    async with connected(max_unsent_bytes=4_000_000, codecs=[JsonCodec()], answer={"max_frame_bytes": 2_000_000}) as (
        network,
        control,
        bulk,
    ):
        bulk.stop_receiving()
        calls = [calling(network, megabyte) for _ in range(20)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        surplus = [call for call in calls if call.done()]
        assert 1 <= len(surplus) < 20
        await fails(surplus[0], "n2 does not keep up: .* bytes to it are still unsent")
        heartbeat = calling(network, HEARTBEAT)
        control.send(YES, (await control.receive())[0])
        assert await heartbeat == YES
        await network.aclose()
        await asyncio.gather(*calls, return_exceptions=True)


# -- answers


async def test_an_answer_after_the_deadline_is_dropped_and_later_calls_get_their_own() -> None:
    async with connected(call_timeout_ms=300) as (network, _, bulk):
        first = calling(network, entries(1))
        first_id, _request = await bulk.receive()
        while not first.done():  # something is heard now and then: this is a slow node, not a dead one
            bulk.send(YES, call_id=999)
            await asyncio.wait([first], timeout=0.02)
        await fails(first, "n2 did not answer within 300 ms")
        second = calling(network, entries(2))
        bulk.send(AppendEntriesResponse(term=1, success=False), first_id)
        bulk.send(YES, (await bulk.receive())[0])
        assert await second == YES


async def test_an_answer_that_arrived_while_our_own_process_slept_is_in_time() -> None:
    async with connected(call_timeout_ms=100) as (network, _, bulk):
        call = calling(network, entries())
        bulk.send(YES, (await bulk.receive())[0])
        time.sleep(0.15)  # noqa: ASYNC251 - the stall of the whole process is what this is about
        assert await call == YES


async def test_a_connection_on_which_nothing_is_heard_for_a_call_timeout_is_given_up_for_a_new_one() -> None:
    async with dialing(call_timeout_ms=100) as (network, listener):
        _control, bulk = [await listener.accept("n2") for _ in range(2)]
        await until(lambda: network.link("n2").connected)
        await fails(calling(network, entries()), "n2 did not answer within 100 ms")
        await bulk.ended()
        assert network.closed_by_reason == {"silent": 1}
        await listener.accept("n2")
        await until(lambda: network.link("n2").connected)


@pytest.mark.parametrize(
    ("kind", "flags", "body", "reason"),
    [
        (MessageKind.APPEND_ENTRIES_RESPONSE, Flags.RESPONSE, b"\xff", "bad_response"),
        (MessageKind.ERROR, Flags.RESPONSE | Flags.ERROR, b"[]", "bad_response"),
        (MessageKind.REQUEST_VOTE_RESPONSE, Flags.RESPONSE, b'{"term":1,"vote_granted":true}', "unexpected_kind"),
        (MessageKind.ERROR, Flags.RESPONSE, b'{"code":"x"}', "unexpected_kind"),
        (MessageKind.APPEND_ENTRIES_RESPONSE, Flags.RESPONSE | Flags.ERROR, CODEC.encode(YES), "unexpected_kind"),
        (MessageKind.APPEND_ENTRIES_REQUEST, 0, b"{}", "unexpected_kind"),
        (MessageKind.APPEND_ENTRIES_RESPONSE, Flags.RESPONSE | Flags.COMPRESSED, b"", "bad_flags"),
    ],
)
async def test_a_response_that_answers_nothing_asked_closes_the_connection_and_the_call_is_unknown(
    kind: int, flags: int, body: bytes, reason: str
) -> None:
    async with connected() as (network, _, bulk):
        call = calling(network, entries())
        call_id, _request = await bulk.receive()
        bulk.write(encode_frame(kind, flags, call_id, body))
        await fails(call, "n2")
        await bulk.ended()
        assert network.closed_by_reason == {reason: 1}


async def test_a_request_from_the_side_that_was_called_closes_the_connection() -> None:
    async with connected() as (network, _, bulk):
        bulk.send(entries(), call_id=999)
        await bulk.ended()
        assert network.closed_by_reason == {"unexpected_kind": 1}


async def test_an_answer_to_the_hello_over_its_own_limit_is_refused() -> None:
    async with dialing(max_hello_bytes=1000) as (network, listener):
        peer = await listener.next()
        await peer.accept_hello("n2", padding="x" * 1000)
        await peer.ended()
        assert network.closed_by_reason["oversize"] >= 1


async def test_an_oversize_response_closes_the_connection() -> None:
    async with connected(answer={"max_frame_bytes": 1000}) as (network, _, bulk):
        call = calling(network, entries())
        await bulk.receive()
        bulk.write(encode_frame(MessageKind.APPEND_ENTRIES_RESPONSE, Flags.RESPONSE, 1, bytes(1001)))
        await fails(call, "the connection to n2 ended before it answered")
        assert network.closed_by_reason == {"oversize": 1}


async def test_an_error_response_raises_refused_and_the_connection_lives() -> None:
    async with connected() as (network, _, bulk):
        for message in (ErrorResponse(code="stopped", message="going home"), YES):
            call = calling(network, entries())
            bulk.send(message, (await bulk.receive())[0])
            if message is YES:
                assert await call == YES
                continue
            with pytest.raises(Refused, match="stopped: going home"):
                await call


async def test_a_request_larger_than_agreed_is_refused_before_it_is_sent() -> None:
    async with connected(answer={"max_frame_bytes": 1000}) as (network, _, bulk):
        with pytest.raises(Refused, match=r"too_large: \d+ bytes, and at most 1000 agreed"):
            await calling(network, entries(data=bytes(1000)))
        call = calling(network, entries())
        bulk.send(YES, (await bulk.receive())[0])
        assert await call == YES


async def test_a_lost_connection_fails_what_was_outstanding_and_comes_back() -> None:
    async with dialing() as (network, listener):
        lanes = [await listener.accept("n2") for _ in range(2)]
        await until(lambda: network.link("n2").connected)
        call = calling(network, entries())
        await lanes[1].receive()
        for lane in lanes:
            await lane.aclose()
        await fails(call, "the connection to n2 ended before it answered")
        for _ in range(2):
            await listener.accept("n2")
        await until(lambda: network.link("n2").connected)


async def test_a_link_that_only_waits_stays_alive_by_empty_frames() -> None:
    async with connected(answer={"idle_timeout_ms": 60}) as (_, control, bulk):
        for lane in (control, bulk, control, bulk):
            frame = await lane.frame()
            assert (frame.kind, frame.flags, bytes(frame.body)) == (WireKind.KEEP_ALIVE, 0, b"")


# -- connecting


async def test_the_hello_says_who_speaks_to_whom_and_what_it_prefers() -> None:
    async with dialing(codecs=[MsgpackCodec(), JsonCodec()], max_frame_bytes=5000) as (_, listener):
        peer = await listener.next()
        said = await peer.accept_hello("n2", max_frame_bytes=5000)
        expected = hello(node_id="n1", target_id="n2", codecs=["msgpack", "json"], max_frame_bytes=5000)
        assert said == expected | {"compression": [], "features": ["groups", "packing"]}


async def test_while_a_peer_is_unreachable_a_call_raises_at_once_and_says_why() -> None:
    async with running("n1", addresses={"n2": [NOWHERE]}, reconnect_max_ms=20) as network:
        with pytest.raises(Unreachable, match="n2 is not connected: the first attempt is under way"):
            await network.append_entries("n2", HEARTBEAT)
        await until(lambda: "under way" not in reason(network))
        assert reason(network).startswith(f"n2 is not connected: {NOWHERE}: ")
        assert network.link("n2") == LinkStatus()


def reason(network: RpcNetwork) -> str:
    """Why a call to n2 fails before it even suspends."""
    call = network.append_entries("n2", HEARTBEAT)
    with pytest.raises(Unreachable) as caught:
        call.send(None)
    return str(caught.value)


async def test_a_node_of_which_nobody_said_where_it_is_is_unreachable() -> None:
    async with running("n1") as network:
        with pytest.raises(Unreachable, match="nobody said where n9 is"):
            await network.append_entries("n9", HEARTBEAT)


async def test_a_listener_that_never_answers_the_hello_is_given_up_after_the_handshake_limit() -> None:
    async with dialing(handshake_timeout_ms=50) as (network, listener):
        for _ in range(3):
            silent = await listener.next()
            await silent.frame()
            await silent.ended()
        assert not network.link("n2").connected


@pytest.mark.parametrize(
    "answer",
    [
        encode_frame(WireKind.HELLO_ANSWER, Flags.RESPONSE, 0, b"{}"),
        encode_frame(WireKind.HELLO_ANSWER, 0, 0, b"{}"),
        encode_frame(WireKind.HELLO, 0, 0, b"{}"),
        encode_frame(MessageKind.APPEND_ENTRIES_RESPONSE, Flags.RESPONSE, 0, b"{}"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        bytes(40),
    ],
)
async def test_a_listener_that_answers_the_hello_with_nonsense_is_closed_and_tried_again(answer: bytes) -> None:
    async with dialing() as (network, listener):
        for _ in range(3):
            liar = await listener.next()
            await liar.frame()
            liar.write(answer)
            await liar.ended()
        assert sum(network.closed_by_reason.values()) >= 2
        assert not network.link("n2").connected


@pytest.mark.parametrize("changes", [{"codec": "capnp"}, {"node_id": "n3"}, {"cluster_id": "d"}, {"version": 2}])
async def test_a_listener_that_chooses_what_was_not_offered_is_not_believed(changes: dict[str, Any]) -> None:
    async with dialing() as (network, listener):
        liar = await listener.next()
        await liar.accept_hello(**{"node_id": "n2"} | changes)
        await liar.ended()
        assert network.closed_by_reason["bad_answer"] >= 1
        assert not network.link("n2").connected


async def test_a_refused_hello_is_named_to_callers_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        running("n2", identity=Identity(cluster_id="other", node_id="n2")) as other,
        running("n1", addresses={"n2": other.listening}, reconnect_min_ms=1, reconnect_max_ms=5) as network,
    ):
        await until(lambda: other.closed_by_reason["wrong_cluster"] >= 6)
        with pytest.raises(Unreachable, match=r"n2 is not connected: wrong_cluster: you belong to cluster c, .* other"):
            await network.append_entries("n2", HEARTBEAT)
    lines = [record for record in caplog.records if "no connection to n2" in record.message]
    assert len(lines) == 2  # one for each lane


async def test_an_address_that_belongs_to_another_node_now_is_refused_and_the_next_one_is_tried() -> None:
    async with (
        running("n3") as n3,
        running("n2") as n2,
        running("n1", addresses={"n2": [NOWHERE, *n3.listening, *n2.listening]}, reconnect_max_ms=20) as n1,
    ):
        assert await answered(n1, "n2") == YES
        assert n3.closed_by_reason["wrong_target"] >= 1


async def test_a_node_that_moved_is_found_at_its_new_address() -> None:
    async with running("n1", addresses={"n2": [NOWHERE]}, reconnect_max_ms=20) as n1, running("n2") as n2:
        n1.set_addresses("n2", n2.listening)
        assert await answered(n1, "n2") == YES


async def answered(network: RpcNetwork, target: str) -> AppendEntriesResponse:
    """The first answer from `target`, on the bulk lane."""
    await until(lambda: network.link(target).connected)
    return await network.append_entries(target, entries())


class Eager(random.Random):
    """Notes within which limits it is asked to choose, and always chooses the lowest."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        self.limits.append(b)
        return a


async def test_the_pause_between_attempts_is_anything_up_to_a_limit_that_doubles() -> None:
    rng = Eager()
    config = LinkConfig(reconnect_min_ms=20, reconnect_max_ms=100)
    endpoint = Endpoint(
        identity=Identity(cluster_id="c", node_id="n1"),
        codecs=[JsonCodec()],
        transports=[TcpTransport()],
        config=config,
        rng=rng,
    )
    link = Link(endpoint, role="peer", target="n2", addresses=[NOWHERE])
    link.open()
    await until(lambda: len(rng.limits) >= 6)
    await link.aclose()
    assert rng.limits[:6] == [20, 40, 80, 100, 100, 100]


async def test_the_pause_is_short_again_after_a_connection_that_lasted() -> None:
    rng = Eager()
    async with dialing(reconnect_min_ms=10, reconnect_max_ms=50, rng=rng) as (network, listener):
        for _ in range(6):
            await (await listener.next()).aclose()
        lanes = [await listener.accept("n2") for _ in range(2)]
        await until(lambda: network.link("n2").connected)
        await asyncio.sleep(0.1)  # twice what counts as lasting
        for lane in lanes:
            await lane.aclose()
        await until(lambda: len(rng.limits) == 8)
        assert sorted(rng.limits) == [10, 10, 10, 10, 20, 20, 40, 40]


class GivesUp:
    """A transport inside which something is cancelled at the first attempt, by nobody who uses it."""

    schemes: ClassVar = TcpTransport.schemes

    def __init__(self) -> None:
        self._transport = TcpTransport()
        self._attempts = 0

    async def connect(self, address: str) -> Connection:
        self._attempts += 1
        if self._attempts == 1:
            raise asyncio.CancelledError
        return await self._transport.connect(address)

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        return await self._transport.listen(address, on_connection)


async def test_a_transport_that_gives_up_unasked_costs_an_attempt_and_not_the_link() -> None:
    async with listening() as listener:
        endpoint = Endpoint(
            identity=Identity(cluster_id="c", node_id="n1"),
            codecs=[CODEC],
            transports=[GivesUp()],
            config=LinkConfig(reconnect_min_ms=1),
        )
        link = Link(endpoint, role="peer", target="n2", addresses=[listener.address])
        link.open()
        async with asyncio.timeout(20):
            with pytest.raises(Unreachable, match="the transport gave up"):
                await link.call(HEARTBEAT)
        await listener.accept("n2")
        await until(lambda: link.status.connected)
        await link.aclose()


async def test_a_node_counts_as_connected_once_both_lanes_are() -> None:
    async with dialing() as (network, listener):
        control = await listener.accept("n2", idle_timeout_ms=30)
        assert (await control.frame()).kind == WireKind.KEEP_ALIVE  # so this lane is up
        assert not network.link("n2").connected
        await listener.accept("n2")
        await until(lambda: network.link("n2").connected)


# -- agreeing


async def test_members_with_different_preferences_form_one_cluster() -> None:
    preferences: dict[str, list[Codec]] = {
        "n1": [JsonCodec(), MsgpackCodec()],
        "n2": [MsgpackCodec(), JsonCodec()],
        "n3": [MsgpackCodec()],
    }
    async with (
        running("n2", codecs=preferences["n2"]) as n2,
        running("n3", codecs=preferences["n3"]) as n3,
        running("n1", codecs=preferences["n1"], addresses={"n2": n2.listening, "n3": n3.listening}) as n1,
    ):
        for target in ("n2", "n3"):
            assert await answered(n1, target) == YES
        assert n1.link("n2") == LinkStatus(connected=True, codec="msgpack", transport="tcp")
        n2.set_addresses("n1", n1.listening)
        assert await answered_as("n2", n2, "n1") == YES
        assert n2.link("n1").codec == "json"  # a tie again: the listener's favourite


async def answered_as(node_id: str, network: RpcNetwork, target: str) -> AppendEntriesResponse:
    await until(lambda: network.link(target).connected)
    return await network.append_entries(target, append(leader_id=node_id))


async def test_a_request_for_several_peers_is_encoded_once() -> None:
    class Counting(MsgpackCodec):
        encoded: ClassVar[list[Message]] = []

        def encode(self, message: Message) -> bytes:
            self.encoded.append(message)
            return super().encode(message)

    handlers = [Handler(), Handler()]
    async with (
        running("n2", handlers[0]) as n2,
        running("n3", handlers[1]) as n3,
        running("n1", codecs=[Counting()], addresses={"n2": n2.listening, "n3": n3.listening}) as n1,
    ):
        await until(lambda: n1.link("n2").connected and n1.link("n3").connected)
        request = entries()
        await asyncio.gather(*(n1.append_entries(target, request) for target in ("n2", "n3")))
        assert [message for message in Counting.encoded if message is request] == [request]
        assert [handler.received for handler in handlers] == [[request], [request]]
        await n1.append_entries("n2", entries())
        assert len(Counting.encoded) == 2  # equal, yet another object: it is encoded again


async def test_a_peer_that_hangs_delays_no_call_to_another() -> None:
    hung, well = Handler(), Handler()
    hung.holds = True
    async with (
        running("n2", hung) as n2,
        running("n3", well) as n3,
        running("n1", addresses={"n2": n2.listening, "n3": n3.listening}) as n1,
    ):
        await until(lambda: n1.link("n2").connected and n1.link("n3").connected)
        waiting = [calling(n1, entries(number)) for number in range(200)]
        for number in range(200):
            assert (await n1.append_entries("n3", entries(number))).conflict_index == number
        assert not any(call.done() for call in waiting)
        await n1.aclose()
        assert {type(end) for end in await asyncio.gather(*waiting, return_exceptions=True)} == {Unreachable}


# -- a client's link


def client_link(*addresses: str, **settings: Any) -> Link:
    endpoint = Endpoint(
        identity=Identity(cluster_id="", node_id=""),
        codecs=[JsonCodec()],
        transports=[TcpTransport()],
        config=LinkConfig(**settings),
    )
    return Link(endpoint, role="client", addresses=addresses)


async def test_a_client_waits_for_its_first_connection_and_gets_error_responses_as_they_are() -> None:
    handler = Handler()
    async with running("n1", handler) as n1:
        link = client_link(*n1.listening)
        link.open()
        assert await link.call(ProposeRequest(command=b"a")) == ProposeResponse(index=1, result=b"a")
        handler.holds = True
        call = asyncio.create_task(link.call(StatusRequest()))
        await until(lambda: len(handler.replies) == 2)
        handler.replies[1](ErrorResponse(code="not_leader", leader_id="n2"))
        assert await call == ErrorResponse(code="not_leader", leader_id="n2")
        await link.aclose()


async def test_a_client_whose_attempt_to_connect_fails_is_told_so() -> None:
    link = client_link(NOWHERE)
    link.open()
    with pytest.raises(Unreachable, match=f"{NOWHERE} is not connected: {NOWHERE}"):
        await link.call(StatusRequest())
    await link.aclose()
    await link.aclose()
    with pytest.raises(Unreachable, match="the link was closed"):
        await link.call(StatusRequest())


# -- a configuration that makes no sense


def test_every_fault_of_the_addresses_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        new_network("n1", listen=["http://a:1"], addresses={"n2": ["tcp://b:1", "ws://b:2"]})
    assert caught.value.faults == (
        "no transport for 'http://a:1': there is one for tcp, tcp+tls, unix",
        "no transport for 'ws://b:2': there is one for tcp, tcp+tls, unix",
    )


def test_codecs_and_transports_that_cannot_be_told_apart_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        new_network("n1", codecs=[JsonCodec(), JsonCodec()], transports=[TcpTransport(), TcpTransport()])
    assert caught.value.faults == (
        "two have the codec 'json': keep one",
        "two have the scheme 'tcp': keep one",
        "two have the scheme 'tcp+tls': keep one",
        "two have the scheme 'unix': keep one",
    )


def test_a_network_without_a_codec_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no codec"):
        new_network("n1", codecs=[])


async def test_the_address_of_the_node_itself_is_ignored() -> None:
    network = new_network("n1", addresses={"n1": [NOWHERE], "n2": [NOWHERE]})
    with pytest.raises(Unreachable, match="nobody said where n1 is"):
        await network.append_entries("n1", HEARTBEAT)
