"""Peers that come, move and go while a node runs; and what they may ask of each other."""

import asyncio
from typing import Any

import pytest
from raw_peer import CLIENT, Handler, append, dialed, greeted, listening, new_network, running, until

from raftsdk.errors import Unreachable
from raftsdk.messages import (
    ChangeMembershipRequest,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    OpenSessionRequest,
    ReadIndexRequest,
    ReadIndexResponse,
    Request,
    Response,
    TakeSnapshotRequest,
    TimeoutNowRequest,
    TimeoutNowResponse,
    TransferLeadershipRequest,
)
from raftsdk.ports import LinkStatus, RaftNetwork
from raftsdk.testing.snapshot_traffic import MadeUpSnapshot

HEARTBEAT = append(leader_id="n1", data=None)
TIMEOUT_NOW = TimeoutNowRequest(term=3, leader_id="n1")
READ_INDEX = ReadIndexRequest(term=3, node_id="n1")

ANSWERS: dict[type[Request], Response] = {
    TimeoutNowRequest: TimeoutNowResponse(term=4),
    ReadIndexRequest: ReadIndexResponse(term=3, read_index=17),
    InstallSnapshotRequest: InstallSnapshotResponse(term=3, next_offset=0, installed=False),
}


class Answering(Handler):
    def response(self, request: Request) -> Response:
        return ANSWERS.get(type(request)) or super().response(request)


# -- calls


async def test_our_network_has_every_method_of_the_port() -> None:
    async with running("n1") as network:
        assert isinstance(network, RaftNetwork)
        assert isinstance(network.group(7), RaftNetwork)


async def test_leadership_is_handed_over_and_a_read_index_asked_for_on_the_lane_of_heartbeats() -> None:
    async with listening() as listener, running("n1", addresses={"n2": [listener.address]}) as network:
        control, _bulk = [await listener.accept("n2") for _ in range(2)]
        await until(lambda: network.link("n2").connected)
        calls: list[asyncio.Task[Any]] = [
            asyncio.create_task(network.timeout_now("n2", TIMEOUT_NOW)),
            asyncio.create_task(network.read_index("n2", READ_INDEX)),
        ]
        for request in (TIMEOUT_NOW, READ_INDEX):
            call_id, received = await control.receive()
            assert received == request
            control.send(ANSWERS[type(request)], call_id)
        assert await asyncio.gather(*calls) == [TimeoutNowResponse(term=4), ReadIndexResponse(term=3, read_index=17)]


@pytest.mark.parametrize(
    "request_of_n1", [TIMEOUT_NOW, READ_INDEX, MadeUpSnapshot(10).request()], ids=lambda request: type(request).__name__
)
async def test_a_peers_request_is_delivered_and_one_in_another_nodes_name_is_not(request_of_n1: Any) -> None:
    handler = Answering()
    async with running("n2", handler) as network:
        async with greeted(network, node_id="n1", target_id="n2") as honest:
            honest.send(request_of_n1)
            assert await honest.receive() == (1, ANSWERS[type(request_of_n1)])
        async with greeted(network, node_id="n3", target_id="n2") as liar:
            liar.send(request_of_n1)
            _, refusal = await liar.receive()
            assert isinstance(refusal, ErrorResponse)
            assert refusal.code == "wrong_identity"
        assert handler.received == [request_of_n1]


@pytest.mark.parametrize(
    "asked",
    [
        ChangeMembershipRequest(remove=["n3"]),
        TransferLeadershipRequest(target="n2"),
        OpenSessionRequest(),
        TakeSnapshotRequest(),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_what_operators_ask_is_for_clients_to_ask(asked: Any) -> None:
    handler = Handler()
    async with running("n1", handler) as network:
        async with greeted(network, **CLIENT) as client:
            client.send(asked)
            await client.receive()
        async with greeted(network) as peer:
            peer.send(asked)
            _, refusal = await peer.receive()
            assert isinstance(refusal, ErrorResponse)
            assert refusal.code == "wrong_identity"
        assert handler.received == [asked]


# -- members that come and go


async def test_a_node_that_joins_is_dialed_and_one_that_leaves_is_let_go() -> None:
    async with running("n2") as n2, running("n1") as n1:
        for _ in range(2):
            n1.set_addresses("n2", n2.listening)
            await until(lambda: n1.link("n2").connected)
            await n1.append_entries("n2", HEARTBEAT)
            n1.set_addresses("n2", ())
            n1.set_addresses("n2", ())
            assert n1.link("n2") == LinkStatus()
            with pytest.raises(Unreachable, match="nobody said where n2 is"):
                await n1.append_entries("n2", HEARTBEAT)
            await until(lambda: not n2._peers.server._sessions)


async def test_what_was_asked_of_a_node_that_leaves_raises_unreachable() -> None:
    handler = Handler()
    handler.holds = True
    async with running("n2", handler) as n2, running("n1", addresses={"n2": n2.listening}) as n1:
        await until(lambda: n1.link("n2").connected)
        call = asyncio.create_task(n1.append_entries("n2", HEARTBEAT))
        await until(lambda: handler.received)
        n1.set_addresses("n2", ())
        with pytest.raises(Unreachable, match="the connection to n2 ended before it answered"):
            await call


async def test_a_node_may_leave_before_the_network_starts_and_after_it_is_closed() -> None:
    async with running("n2") as n2:
        network = new_network("n1", addresses={"n2": n2.listening})
        network.set_addresses("n2", ())
        await network.start(Handler())
        with pytest.raises(Unreachable, match="nobody said where n2 is"):
            await network.append_entries("n2", HEARTBEAT)
        network.set_addresses("n2", n2.listening)
        await until(lambda: network.link("n2").connected)
        await network.aclose()
        network.set_addresses("n2", ())
        network.set_addresses("n2", n2.listening)
        await until(lambda: not n2._peers.server._sessions)
        assert not network.link("n2").connected


async def test_a_node_that_left_may_still_be_heard_as_a_stranger_among_others() -> None:
    async with running("n1", addresses={"n2": ["tcp://127.0.0.1:1"]}, max_connections=1) as n1:
        async with greeted(n1, **CLIENT):
            async with greeted(n1, node_id="n2"):
                pass
            n1.set_addresses("n2", ())
            async with dialed(n1) as peer:
                assert (await peer.say_hello(node_id="n2"))["code"] == "overloaded"
        await until(lambda: not n1._peers.server._sessions)
        async with greeted(n1, node_id="n2") as joiner:
            joiner.send(append())
            await joiner.receive()


async def test_addresses_that_no_transport_understands_are_tried_in_vain_and_others_are_found() -> None:
    async with running("n2") as n2, running("n1", reconnect_max_ms=20) as n1:
        n1.set_addresses("n2", ["quic://127.0.0.1:1", *n2.listening])
        await until(lambda: n1.link("n2").connected)
