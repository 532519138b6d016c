"""The transport in memory: what every transport must do, and the faults that only this one has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from raftsdk.errors import Unreachable
from raftsdk.testing import transport_suite
from raftsdk.testing.memory import MemoryConnection, MemoryNetwork, MemoryTransport
from raftsdk.testing.suite import Case
from raftsdk.testing.transport_suite import TransportSubject, frame

_numbers = count(1)
SUBJECT = TransportSubject(transport=MemoryTransport, address=lambda: f"memory://{next(_numbers)}")


@pytest.mark.parametrize("case", transport_suite.SUITE.cases, ids=str)
async def test_what_every_transport_must_do(case: Case[TransportSubject]) -> None:
    await case.run(SUBJECT)


@asynccontextmanager
async def connected(network: MemoryNetwork) -> AsyncIterator[tuple[MemoryConnection, MemoryConnection]]:
    """A connection that n1 dialed to n2, and n2's end of it."""
    accepted: asyncio.Queue[MemoryConnection] = asyncio.Queue()
    over = asyncio.Event()

    async def keep(connection: object) -> None:
        assert isinstance(connection, MemoryConnection)
        accepted.put_nowait(connection)
        await over.wait()

    listener = await network.transport("n2").listen("memory://n2", keep)
    dialed = await network.transport("n1").connect("memory://n2")
    yield dialed, await accepted.get()
    over.set()
    dialed.abort()
    await listener.aclose()


async def silent(connection: MemoryConnection) -> bool:
    """Whether nothing is there to be read, after the event loop had time to bring it."""
    reading = asyncio.create_task(connection.read())
    await asyncio.wait([reading], timeout=0.05)
    if not reading.done():
        reading.cancel()
        await asyncio.wait([reading])
        return True
    return False


async def test_what_is_held_one_way_arrives_after_the_release_while_the_other_way_goes_on() -> None:
    network = MemoryNetwork()
    async with connected(network) as (n1, n2):
        network.hold("n1", "n2")
        n1.write([frame(b"first"), frame(b"second")])
        n2.write([frame(b"from n2")])
        assert await n1.read() == [frame(b"from n2")]
        assert await silent(n2)
        network.release("n1", "n2")
        assert await n2.read() == [frame(b"first"), frame(b"second")]


async def test_a_held_side_hears_of_the_end_only_after_the_release() -> None:
    network = MemoryNetwork()
    async with connected(network) as (n1, n2):
        network.hold("n1", "n2")
        n1.abort()
        assert await silent(n2)
        network.release("n1", "n2")
        assert await n2.read() == []


async def test_connecting_along_a_held_path_hangs_until_the_release() -> None:
    network = MemoryNetwork()
    async with connected(network):
        network.hold("n1", "n2")
        connecting = asyncio.create_task(network.transport("n1").connect("memory://n2"))
        await asyncio.wait([connecting], timeout=0.05)
        assert not connecting.done()
        network.release("n1", "n2")
        (await connecting).abort()


async def test_a_delayed_frame_comes_later_than_one_the_other_way_and_order_is_kept() -> None:
    network = MemoryNetwork()
    async with connected(network) as (n1, n2):
        network.delay("n1", "n2", 0.1)
        n1.write([frame(b"1")])
        n1.write([frame(b"2")])
        assert await silent(n2)
        assert await n2.read() == [frame(b"1"), frame(b"2")]


async def test_a_reset_ends_both_sides_and_loses_what_was_on_its_way() -> None:
    network = MemoryNetwork()
    async with connected(network) as (n1, n2):
        network.hold("n1", "n2")
        n1.write([frame(b"lost")])
        network.reset("n1", "n2")
        assert await n2.read() == []
        assert await n1.read() == []


async def test_two_networks_do_not_see_each_other() -> None:
    network = MemoryNetwork()
    async with connected(network):
        with pytest.raises(Unreachable, match="nobody listens"):
            await MemoryNetwork().transport("n1").connect("memory://n2")
