"""Many Raft groups over the same connections: each hears what is for it, and no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport
from raw_peer import (
    CLIENT,
    CODEC,
    Handler,
    append,
    greeted,
    listening,
    new_network,
    running,
    until,
)
from snapshot_peer import Receiver

from raftsdk.config import LinkConfig
from raftsdk.errors import Refused, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    Message,
    MessageKind,
    ProposeRequest,
    ProposeResponse,
)
from raftsdk.testing.snapshot_traffic import MadeUpSnapshot
from raftsdk.types import Identity
from raftsdk.wire.endpoint import Endpoint
from raftsdk.wire.frame import MAX_GROUP, WireKind, encode_frame
from raftsdk.wire.link import Link
from raftsdk.wire.rpc import GroupNetwork, RpcNetwork

YES = AppendEntriesResponse(term=1, success=True)
GROUPS: dict[str, Any] = {"features": ["groups"]}


def entries(number: int = 0) -> AppendEntriesRequest:
    return append(number, leader_id="n1")


@dataclass
class Host:
    """A process with groups 7 and 8, and with nobody in group 0."""

    network: RpcNetwork
    groups: dict[int, GroupNetwork]
    handlers: dict[int, Handler]


@asynccontextmanager
async def hosting(node_id: str, **settings: Any) -> AsyncIterator[Host]:
    network = new_network(node_id, **settings)
    host = Host(network, {number: network.group(number) for number in (7, 8)}, {7: Handler(), 8: Handler()})
    try:
        for number, group in host.groups.items():
            await group.start(host.handlers[number])
        yield host
    finally:
        await network.aclose()


@asynccontextmanager
async def two_hosts(**settings: Any) -> AsyncIterator[tuple[Host, Host]]:
    """n1, each of whose groups has named n2 and reached it; and n2."""
    async with hosting("n2") as n2, hosting("n1", **settings) as n1:
        for group in n1.groups.values():
            group.set_addresses("n2", n2.network.listening)
        await until(lambda: n1.groups[7].link("n2").connected)
        yield n1, n2


# -- between nodes


async def test_each_group_hears_what_is_for_it_over_the_same_two_connections() -> None:
    async with two_hosts() as (n1, n2):
        for number, group in n1.groups.items():
            response = await group.append_entries("n2", entries(number))
            assert response.conflict_index == number
        for number, handler in n2.handlers.items():
            assert handler.received == [entries(number)]
        assert len(n2.network._peers.server._sessions) == 2


async def test_answers_find_the_calls_of_their_group_in_whatever_order_they_come() -> None:
    async with two_hosts() as (n1, n2):
        for handler in n2.handlers.values():
            handler.holds = True
        calls = [
            asyncio.create_task(group.append_entries("n2", entries(place + number)))
            for place in (10, 20)
            for number, group in n1.groups.items()
        ]
        await until(lambda: sum(len(handler.replies) for handler in n2.handlers.values()) == 4)
        for handler in reversed(n2.handlers.values()):
            for request, reply in reversed([*zip(handler.received, handler.replies, strict=True)]):
                reply(handler.response(request))
        assert [response.conflict_index for response in await asyncio.gather(*calls)] == [17, 18, 27, 28]


async def test_a_request_for_a_group_that_nobody_serves_is_refused_and_the_connection_lives() -> None:
    async with two_hosts() as (n1, n2):
        await n2.groups[8].aclose()
        for stranger in (n1.groups[8], n1.network.group(9), n1.network):
            with pytest.raises(Refused, match=r"unknown_group: group . is not served here"):
                await stranger.append_entries("n2", entries())
        assert (await n1.groups[7].append_entries("n2", entries(3))).conflict_index == 3
        assert (n1.network.closed_by_reason, n2.network.closed_by_reason) == ({}, {})


async def test_a_group_that_is_left_ends_its_own_calls_and_no_others() -> None:
    async with two_hosts() as (n1, n2):
        for handler in n2.handlers.values():
            handler.holds = True
        left, other = [asyncio.create_task(n1.groups[number].append_entries("n2", entries())) for number in (7, 8)]
        await until(lambda: all(handler.replies for handler in n2.handlers.values()))
        await n1.groups[7].aclose()
        await n1.groups[7].aclose()
        with pytest.raises(Unreachable, match="group 7 was left before n2 answered"):
            await left
        n2.handlers[8].replies[0](YES)
        assert await other == YES


async def test_a_peer_is_let_go_once_no_group_names_it_any_more() -> None:
    async with two_hosts() as (n1, n2):
        n1.groups[7].set_addresses("n2", ())
        await n1.groups[8].append_entries("n2", entries())
        await n1.groups[8].aclose()
        with pytest.raises(Unreachable, match="nobody said where n2 is"):
            await n1.groups[7].append_entries("n2", entries())
        await until(lambda: not n2.network._peers.server._sessions)


async def test_a_request_for_several_groups_is_encoded_once() -> None:
    class Counting(MsgpackCodec):
        encoded: ClassVar[list[Message]] = []

        def encode(self, message: Message) -> bytes:
            self.encoded.append(message)
            return super().encode(message)

    async with two_hosts(codecs=[Counting()]) as (n1, _):
        request = entries()
        await asyncio.gather(*(group.append_entries("n2", request) for group in n1.groups.values()))
        assert Counting.encoded == [request]


async def test_snapshots_of_several_groups_share_the_third_connection() -> None:
    async with two_hosts(config=LinkConfig(snapshot_piece_bytes=10_000)) as (n1, n2):
        receivers = {7: Receiver(), 8: Receiver()}
        for number, receiver in receivers.items():
            await n2.groups[number].aclose()
            await n2.groups[number].start(receiver)
        sources = {7: MadeUpSnapshot(700_000), 8: MadeUpSnapshot(800_000)}
        calls = [
            asyncio.create_task(n1.groups[number].install_snapshot("n2", source.request(), source))
            for number, source in sources.items()
        ]
        await until(lambda: all(receiver.next_offset for receiver in receivers.values()))
        assert len(n2.network._peers.server._sessions) == 3
        await asyncio.gather(*calls)
        assert [receiver.received_bytes for receiver in receivers.values()] == [700_000, 800_000]
        assert all(receiver.installed for receiver in receivers.values())


async def test_a_snapshot_of_a_group_that_is_left_ends() -> None:
    async with two_hosts(config=LinkConfig(max_snapshot_bytes_per_second=1_000_000)) as (n1, n2):
        await n2.groups[7].aclose()
        receiver, source = Receiver(), MadeUpSnapshot(100_000_000)
        await n2.groups[7].start(receiver)
        n1.network.set_addresses("n2", n2.network.listening)  # so that its connections outlive group 7
        call = asyncio.create_task(n1.groups[7].install_snapshot("n2", source.request(), source))
        await until(lambda: receiver.next_offset)
        await n1.groups[7].aclose()
        with pytest.raises(Unreachable, match="the snapshot at index 9 did not arrive"):
            await call


# -- starting


async def test_a_group_is_served_once() -> None:
    async with hosting("n1") as host:
        with pytest.raises(ValueError, match="group 7 is served already"):
            await host.network.group(7).start(Handler())
        await host.groups[7].aclose()
        await host.network.group(7).start(Handler())


@pytest.mark.parametrize("number", [-1, MAX_GROUP + 1])
def test_a_group_is_a_number_that_a_header_holds(number: int) -> None:
    with pytest.raises(ValueError, match="is no group: give a number from 0 to 4294967295"):
        new_network("n1").group(number)


async def test_where_the_first_group_cannot_listen_another_may_try_again() -> None:
    async with running("n2") as other:
        network = new_network("n1", listen=other.listening)
        with pytest.raises(OSError, match="in use"):
            await network.group(7).start(Handler())
        await other.aclose()
        await network.group(7).start(Handler())
        async with greeted(network, **CLIENT, **GROUPS) as client:
            client.send(ProposeRequest(command=b"a"), group=7)
            assert (await client.receive())[1] == ProposeResponse(index=1, result=b"a")
        await network.aclose()


# -- agreeing


async def test_a_peer_that_knows_of_no_groups_is_sent_none_and_group_0_as_before() -> None:
    async with listening() as listener, running("n1", addresses={"n2": [listener.address]}) as network:
        _control, bulk = [await listener.accept("n2") for _ in range(2)]
        await until(lambda: network.link("n2").connected)
        with pytest.raises(Refused, match="unsupported: n2 knows of no groups, so not of group 7"):
            await network.group(7).append_entries("n2", entries())
        call = asyncio.create_task(network.append_entries("n2", entries()))
        call_id, request = await bulk.receive()
        assert (call_id, request) == (1, entries())
        bulk.send(YES)
        assert await call == YES


async def test_a_dialer_that_did_not_offer_groups_is_closed_when_it_uses_one() -> None:
    async with hosting("n1") as host, greeted(host.network) as peer:
        peer.send(append(), group=7)
        await peer.ended()
        assert host.network.closed_by_reason == {"bad_group": 1}


async def test_whatever_answers_a_request_comes_from_its_group() -> None:
    async with hosting("n1") as host, greeted(host.network, **GROUPS) as peer:
        peer.send(append(), 1, group=8)
        peer.send(append(leader_id="n3"), 2, group=8)
        peer.send(append(), 3, group=9)
        peer.write(encode_frame(0x7E, 0, 4, b"from the future", group=9))
        frames = [await peer.frame() for _ in range(4)]
        assert [(frame.call_id, frame.group) for frame in frames] == [(1, 8), (2, 8), (3, 9), (4, 9)]
        errors = [CODEC.decode(MessageKind.ERROR, frame.body) for frame in frames[1:]]
        codes = [error.code for error in errors if isinstance(error, ErrorResponse)]
        assert codes == ["wrong_identity", "unknown_group", "unsupported"]


async def test_the_group_of_a_keep_alive_is_ignored() -> None:
    async with hosting("n1") as host, greeted(host.network, **GROUPS) as peer:
        peer.write(encode_frame(WireKind.KEEP_ALIVE, 0, 0, b"", group=9))
        peer.send(append(), group=7)
        assert (await peer.receive())[0] == 1


async def test_a_response_from_another_group_closes_the_connection() -> None:
    async with listening() as listener, running("n1", addresses={"n2": [listener.address]}) as network:
        _control, bulk = [await listener.accept("n2", **GROUPS) for _ in range(2)]
        await until(lambda: network.link("n2").connected)
        network.group(7).set_addresses("n2", [listener.address])
        call = asyncio.create_task(network.group(7).append_entries("n2", entries()))
        assert (await bulk.frame()).group == 7
        bulk.send(YES, group=8)
        with pytest.raises(Unreachable, match="n2 answered nonsense: a response from group 8, where group 7 was asked"):
            await call
        await bulk.ended()
        assert network.closed_by_reason == {"bad_group": 1}


# -- clients


async def test_a_client_asks_the_group_it_names() -> None:
    async with hosting("n1") as host:
        host.handlers[7].result, host.handlers[8].result = b"seven", b"eight"
        endpoint = Endpoint(
            identity=Identity(cluster_id="", node_id=""),
            codecs=[JsonCodec()],
            transports=[TcpTransport()],
            config=LinkConfig(),
        )
        link = Link(endpoint, role="client", addresses=host.network.listening)
        link.open()
        for number, result in ((7, b"seven"), (8, b"eight")):
            assert await link.call(ProposeRequest(command=b"a"), number) == ProposeResponse(index=1, result=result)
        answer = await link.call(ProposeRequest(command=b"a"))
        assert isinstance(answer, ErrorResponse)
        assert answer.code == "unknown_group"
        await link.aclose()
