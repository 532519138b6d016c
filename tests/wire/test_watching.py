"""Nodes that watch each other for all their groups: what it costs, and what time counts."""

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from raw_peer import CLIENT, Handler, RawPeer, append, greeted, listening, running, until

from raftsdk.types import NodeId
from raftsdk.wire.frame import WireKind, encode_frame
from raftsdk.wire.rpc import GroupNetwork, RpcNetwork
from raftsdk.wire.server import Server

INTERVAL_S = 0.05
SILENCE_S = 0.4

KEEP_ALIVE = encode_frame(WireKind.KEEP_ALIVE, 0, 0, b"")


def watch(
    network: GroupNetwork, *targets: NodeId, lost: Callable[[NodeId], None], silence_s: float = SILENCE_S
) -> None:
    network.watch(targets, interval_s=INTERVAL_S, silence_s=silence_s, lost=lost)


def ignore(_node_id: NodeId) -> None:
    pass


def kinds_read_from(peer: RawPeer) -> tuple[list[int], asyncio.Task[None]]:
    """The kinds of the frames that come, as they come, until the task is cancelled."""
    kinds: list[int] = []

    async def read() -> None:
        while True:
            kinds.append((await peer.frame()).kind)

    return kinds, asyncio.create_task(read())


@asynccontextmanager
async def two_that_watch(told: list[NodeId]) -> AsyncIterator[tuple[RpcNetwork, RpcNetwork]]:
    """n1, which tells whom it lost, and n2; each has heard the other."""
    async with running("n1") as n1, running("n2") as n2:
        n1.set_addresses("n2", n2.listening)
        n2.set_addresses("n1", n1.listening)
        watch(n1, "n2", lost=told.append)
        watch(n2, "n1", lost=ignore)
        await until(lambda: n1.link("n2").connected and n2.link("n1").connected)
        yield n1, n2


# -- what it costs


async def test_groups_share_one_keep_alive_a_beat_and_it_goes_over_the_lane_for_control() -> None:
    async with listening() as listener, running("n1", addresses={"n2": [listener.address]}) as network:
        control, bulk = [await listener.accept("n2", features=["groups"]) for _ in range(2)]
        await until(lambda: network.link("n2").connected)
        controls, reading_control = kinds_read_from(control)
        bulks, reading_bulk = kinds_read_from(bulk)
        for number in range(1, 51):
            watch(network.group(number), "n2", lost=ignore, silence_s=60)
        await until(lambda: len(controls) >= 4)
        assert {*controls} == {WireKind.KEEP_ALIVE}
        assert len(controls) < 50, "as many as there are groups"
        assert bulks == []
        reading_control.cancel()
        reading_bulk.cancel()


async def test_a_thousand_groups_keep_one_vigil_for_each_node_and_none_when_they_have_left() -> None:
    async with running("n1") as network:
        groups = [network.group(number) for number in range(1, 1001)]
        for group in groups:
            watch(group, "n2", "n3", lost=ignore, silence_s=60)
        watching = network._peers.watching
        assert len(watching._vigils) == 2
        for group in groups[::2]:
            await group.aclose()
        for group in groups[1::2]:
            watch(group, lost=ignore)
        assert (watching._vigils, watching._kept) == ({}, {})


async def test_nothing_is_kept_of_nodes_that_were_lost() -> None:
    told: list[NodeId] = []
    async with running("n1") as network:
        watch(network, "n2", "n3", lost=told.append)
        await until(lambda: len(told) == 2)
        watching = network._peers.watching
        assert (watching._vigils, watching._kept) == ({}, {})


async def test_a_node_that_has_not_taken_a_keep_alive_yet_is_sent_no_other() -> None:
    async with listening() as listener, running("n1", addresses={"n2": [listener.address]}) as network:
        control, _bulk = [await listener.accept("n2") for _ in range(2)]
        await until(lambda: network.link("n2").connected)
        for _ in range(10):
            network._peers.lanes["n2"].control.stay_alive()
        call = asyncio.create_task(network.append_entries("n2", append(leader_id="n1", data=None)))
        kinds = [(await control.frame()).kind for _ in range(2)]
        assert kinds.count(WireKind.KEEP_ALIVE) == 1, kinds
        call.cancel()


# -- whom it tells


async def test_a_group_that_is_left_is_told_nothing_and_others_are() -> None:
    told: list[NodeId] = []
    told_7: list[NodeId] = []
    async with running("n1") as network:
        watch(network.group(7), "n2", lost=told_7.append)
        watch(network.group(8), "n2", lost=told.append)
        await network.group(7).aclose()
        await until(lambda: told == ["n2"])
        await asyncio.sleep(3 * INTERVAL_S)
        assert told_7 == []


async def test_whoever_is_told_may_end_what_another_group_watches() -> None:
    told: list[str] = []
    async with running("n1") as network:

        def end_8(node_id: NodeId) -> None:
            told.append(f"7 of {node_id}")
            watch(network.group(8), lost=ignore)

        watch(network.group(7), "n2", lost=end_8)
        watch(network.group(8), "n2", lost=lambda node_id: told.append(f"8 of {node_id}"))
        await until(lambda: told)
        await asyncio.sleep(3 * INTERVAL_S)
        assert told == ["7 of n2"]


async def test_every_group_waits_as_long_as_it_said() -> None:
    told: list[str] = []
    async with running("n1") as network:
        watch(network.group(8), "n2", lost=lambda _: told.append("patient"), silence_s=2 * SILENCE_S)
        watch(network.group(7), "n2", lost=lambda _: told.append("hasty"), silence_s=SILENCE_S)
        await until(lambda: told)
        assert told == ["hasty"]
        await until(lambda: told == ["hasty", "patient"])


async def test_a_group_that_watches_later_is_told_later() -> None:
    told: list[int] = []
    async with running("n1") as network:
        watch(network.group(7), "n2", lost=lambda _: told.append(7))
        await asyncio.sleep(SILENCE_S / 2)
        watch(network.group(8), "n2", lost=lambda _: told.append(8))
        await until(lambda: told)
        assert told == [7]
        await until(lambda: told == [7, 8])


async def test_a_group_that_always_watches_others_besides_misses_a_node_all_the_same() -> None:
    told: list[NodeId] = []
    others = itertools.cycle(("n3", "n4"))
    async with running("n1") as network:
        for _ in range(int(3 * SILENCE_S / INTERVAL_S)):
            watch(network, "n2", next(others), lost=told.append)
            await asyncio.sleep(INTERVAL_S)
        assert {*told} == {"n2"}


async def test_a_network_that_was_closed_misses_nobody() -> None:
    told: list[NodeId] = []
    async with running("n1") as network:
        for number in (0, 7):
            watch(network.group(number), "n2", lost=told.append)
        await network.aclose()
        await asyncio.sleep(1.5 * SILENCE_S)
        assert told == []
        watching = network._peers.watching
        assert (watching._vigils, watching._kept) == ({}, {})


# -- what counts as silence


def heard_since(server: Server, before: float) -> bool:
    return server.heard_at("n2") > before


async def test_a_process_that_stood_still_calls_nobody_lost_for_it() -> None:
    told: list[NodeId] = []
    async with two_that_watch(told):
        await asyncio.sleep(1.5 * SILENCE_S)  # so that it has watched for long enough to miss somebody
        for _ in range(3):
            time.sleep(2 * SILENCE_S)  # noqa: ASYNC251 - the stall of the whole process is what this is about
            await asyncio.sleep(INTERVAL_S)
        await asyncio.sleep(SILENCE_S)
        assert told == []


async def test_a_node_that_was_lost_is_missed_again_once_it_came_back_and_fell_silent_again() -> None:
    told: list[NodeId] = []
    async with two_that_watch(told) as (n1, n2):
        watch(n2, lost=ignore)
        await until(lambda: told == ["n2"])
        watch(n2, "n1", lost=ignore)
        watch(n1, "n2", lost=told.append)
        await asyncio.sleep(1.5 * SILENCE_S)
        assert told == ["n2"]
        watch(n2, lost=ignore)
        await until(lambda: told == ["n2", "n2"])


async def test_a_node_is_heard_on_whichever_of_its_connections() -> None:
    async with running("n1") as network, greeted(network) as older, greeted(network) as newer:
        server = network._peers.server
        for peer in (older, newer, older):
            before = server.heard_at("n2")
            peer.write(KEEP_ALIVE)
            await until(partial(heard_since, server, before))


async def test_what_was_heard_of_a_node_is_known_after_its_connection_ended_and_not_of_strangers() -> None:
    async with listening() as listener, running("n1", addresses={"n2": [listener.address]}) as network:
        server = network._peers.server
        async with greeted(network), greeted(network, node_id="n9"):
            heard_at = server.heard_at("n2")
            assert server.heard_at("n9") > 0
        await until(lambda: not server._sessions)
        assert server.heard_at("n2") == heard_at
        assert server.heard_at("n9") == -math.inf
        assert ([*server._parted_at], server._of_peers) == (["n2"], {})
        network.set_addresses("n2", ())
        network.set_addresses("n3", [listener.address])
        async with greeted(network, node_id="n3"):
            pass
        await until(lambda: not server._sessions)
        assert [*server._parted_at] == ["n3"]


async def test_an_older_connection_that_ends_last_does_not_set_the_time_back() -> None:
    async with listening() as listener, running("n1", addresses={"n2": [listener.address]}) as network:
        server = network._peers.server
        async with greeted(network):
            async with greeted(network):
                heard_at = server.heard_at("n2")
            await until(lambda: len(server._sessions) == 1)
            assert server.heard_at("n2") == heard_at
        await until(lambda: not server._sessions)
        assert server.heard_at("n2") == heard_at


async def test_a_client_is_no_node_whatever_it_calls_itself() -> None:
    async with running("n1") as network, greeted(network, **CLIENT | {"node_id": "n2"}):
        assert len(network._peers.server._sessions) == 1
        assert network._peers.server.heard_at("n2") == -math.inf


@pytest.mark.parametrize("data", [b"entry", None], ids=["entries", "a heartbeat"])
async def test_a_node_that_calls_is_heard_and_need_not_watch(data: bytes | None) -> None:
    told: list[NodeId] = []
    handler = Handler()
    async with running("n1", handler) as n1, running("n2") as n2:
        n2.set_addresses("n1", n1.listening)
        await until(lambda: n2.link("n1").connected)
        watch(n1, "n2", lost=told.append)
        for number in range(int(2 * SILENCE_S / INTERVAL_S)):
            await n2.append_entries("n1", append(number, data=data))
            await asyncio.sleep(INTERVAL_S)
        assert told == []
