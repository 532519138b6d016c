"""The proxy does to bytes exactly what it was told, and nothing else."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from raftsdk.testing.processes import free_addresses
from raftsdk.testing.proxy import RETRANSMISSION_MS, Proxy, Way

PATIENCE_S = 10.0
A_WHILE_S = 0.15  # long enough for loopback to have delivered whatever it will

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """A server that keeps what it reads, piece by piece, and how each connection ended; it echoes if told to."""

    def __init__(self, *, echoes: bool) -> None:
        self.echoes = echoes
        self.pieces: list[bytes] = []
        self.ends: list[str] = []

    @property
    def received(self) -> bytes:
        return b"".join(self.pieces)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                self.pieces.append(data)
                if self.echoes:
                    writer.write(data)
            self.ends.append("end")
        except ConnectionResetError:
            self.ends.append("reset")
        writer.close()


class Dialer:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def read(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readexactly(count)

    async def end(self) -> str:
        """How the connection ends."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._reader.read()
        except ConnectionResetError:
            return "reset"
        return "end"

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(A_WHILE_S):
                return await self._reader.read(1) == b""
        except TimeoutError:
            return True


class Place:
    """A server behind a proxy."""

    def __init__(self, proxy: Proxy, upstream: Upstream, port: int) -> None:
        self.proxy = proxy
        self.upstream = upstream
        self._port = port

    @asynccontextmanager
    async def dialed(self) -> AsyncIterator[Dialer]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield Dialer(reader, writer)
        finally:
            writer.transport.abort()

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(int(PATIENCE_S / 0.01)):
            if holds():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"received {len(self.upstream.received)} bytes, ends {self.upstream.ends}")


@asynccontextmanager
async def place(
    tmp_path: Path, *, echoes: bool = True, caller_of: Callable[[bytes], str | None] | None = None
) -> AsyncIterator[Place]:
    addresses = free_addresses(tmp_path, {"proxy": "tcp", "target": "tcp"})
    ports = {name: int(address.rpartition(":")[2]) for name, address in addresses.items()}
    upstream = Upstream(echoes=echoes)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", ports["target"])
    proxy = Proxy(addresses["proxy"], target=addresses["target"], caller_of=caller_of, rng=random.Random(1))
    async with server, proxy:
        yield Place(proxy, upstream, ports["proxy"])


def first_letter(first: bytes) -> str | None:
    return first[:1].decode() or None


async def test_bytes_pass_both_ways_whole_and_in_order_and_so_does_the_end(tmp_path: Path) -> None:
    sent = random.Random(2).randbytes(3_000_000)
    async with place(tmp_path) as through, through.dialed() as dialer:
        dialer.writer.write(sent)
        assert await dialer.read(len(sent)) == sent
        dialer.writer.write_eof()
        assert await dialer.end() == "end"
        assert through.upstream.ends == ["end"]


async def test_what_is_cut_one_way_arrives_when_the_way_opens_while_the_other_way_never_closed(tmp_path: Path) -> None:
    async with place(tmp_path) as through, through.dialed() as dialer:
        dialer.writer.write(b"before")
        assert await dialer.read(6) == b"before"
        through.proxy.set(back=Way(cut=True))
        dialer.writer.write(b"during")
        await through.until(lambda: through.upstream.received == b"beforeduring")
        assert await dialer.hears_nothing()
        through.proxy.set(back=Way())
        assert await dialer.read(6) == b"during"


async def test_an_end_does_not_cross_a_way_that_is_cut(tmp_path: Path) -> None:
    async with place(tmp_path) as through:
        async with through.dialed() as dialer:
            dialer.writer.write(b"alive")
            assert await dialer.read(5) == b"alive"
            through.proxy.set(there=Way(cut=True))
        await asyncio.sleep(A_WHILE_S)
        assert through.upstream.ends == []
        through.proxy.set(there=Way())
        await through.until(lambda: through.upstream.ends == ["end"])


async def test_a_connection_dialed_while_the_way_is_cut_reaches_the_target_when_it_opens(tmp_path: Path) -> None:
    async with place(tmp_path) as through:
        through.proxy.set(there=Way(cut=True))
        async with through.dialed() as dialer:
            dialer.writer.write(b"hello")
            assert await dialer.hears_nothing()
            through.proxy.set(there=Way())
            assert await dialer.read(5) == b"hello"


async def test_what_is_delayed_comes_no_earlier_and_in_order_and_a_lost_packet_counts_as_a_retransmission(
    tmp_path: Path,
) -> None:
    clock = asyncio.get_running_loop().time
    async with place(tmp_path) as through, through.dialed() as dialer:
        for way, least_ms in ((Way(delay_ms=80, jitter_ms=20), 80.0), (Way(loss_share=1.0), RETRANSMISSION_MS)):
            through.proxy.set(there=way)
            began = clock()
            dialer.writer.write(b"abcdef")
            assert await dialer.read(6) == b"abcdef"
            assert clock() - began >= least_ms / 1000


async def test_a_slice_of_one_byte_hands_every_byte_on_alone(tmp_path: Path) -> None:
    async with place(tmp_path, echoes=False) as through, through.dialed() as dialer:
        through.proxy.set(there=Way(slice_bytes=1, bytes_per_second=200))
        dialer.writer.write(b"abcdefgh")
        await through.until(lambda: through.upstream.received == b"abcdefgh")
        assert max(map(len, through.upstream.pieces)) < 4  # the receiver may find two that came close together


async def test_a_bandwidth_is_not_exceeded(tmp_path: Path) -> None:
    clock = asyncio.get_running_loop().time
    async with place(tmp_path) as through, through.dialed() as dialer:
        through.proxy.set(there=Way(bytes_per_second=100_000, slice_bytes=1_000))
        began = clock()
        dialer.writer.write(bytes(20_000))
        await dialer.read(20_000)
        assert clock() - began >= 0.19


async def test_a_black_hole_swallows_all_behind_its_edge_and_tells_nobody(tmp_path: Path) -> None:
    async with place(tmp_path) as through, through.dialed() as dialer:
        through.proxy.set(there=Way(black_hole_after_bytes=4))
        dialer.writer.write(b"abcdef")
        assert await dialer.read(4) == b"abcd"
        dialer.writer.write(b"ghi")
        assert await dialer.hears_nothing()
        assert through.upstream.received == b"abcd"
        assert through.upstream.ends == []


async def test_a_gap_loses_what_it_hits_and_passes_on_what_follows(tmp_path: Path) -> None:
    async with place(tmp_path) as through, through.dialed() as dialer:
        for text, gap_share in ((b"one", 0.0), (b"two", 1.0), (b"six", 0.0)):
            through.proxy.set(there=Way(gap_share=gap_share))
            dialer.writer.write(text)
            await asyncio.sleep(A_WHILE_S)
        assert await dialer.read(6) == b"onesix"


async def test_a_reset_is_one_for_both_sides_and_a_new_connection_may_follow(tmp_path: Path) -> None:
    async with place(tmp_path) as through:
        async with through.dialed() as dialer:
            dialer.writer.write(b"a")
            assert await dialer.read(1) == b"a"
            through.proxy.reset()
            assert await dialer.end() == "reset"
        await through.until(lambda: through.upstream.ends == ["reset"])
        async with through.dialed() as dialer:
            dialer.writer.write(b"b")
            assert await dialer.read(1) == b"b"


async def test_a_target_that_is_not_there_costs_the_caller_its_connection(tmp_path: Path) -> None:
    addresses = free_addresses(tmp_path, {"proxy": "tcp", "nobody": "tcp"})
    async with Proxy(addresses["proxy"], target=addresses["nobody"]):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(addresses["proxy"].rpartition(":")[2]))
        assert await Dialer(reader, writer).end() == "reset"
        writer.close()


async def test_faults_of_one_caller_leave_another_alone(tmp_path: Path) -> None:
    async with place(tmp_path, caller_of=first_letter) as through:
        through.proxy.set("a", there=Way(cut=True))
        async with through.dialed() as one, through.dialed() as other:
            one.writer.write(b"a1")
            other.writer.write(b"b1")
            assert await other.read(2) == b"b1"
            assert await one.hears_nothing()
            through.proxy.reset("b")
            assert await other.end() == "reset"
            through.proxy.set("a", there=Way())
            assert await one.read(2) == b"a1"


async def test_a_proxy_that_ends_takes_its_connections_with_it(tmp_path: Path) -> None:
    async with AsyncExitStack() as outlives:
        async with place(tmp_path) as through:
            dialer = await outlives.enter_async_context(through.dialed())
            dialer.writer.write(b"a")
            assert await dialer.read(1) == b"a"
        assert await dialer.end() == "reset"


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="a proxy carries TCP"):
        Proxy("unix:///tmp/socket", target="tcp://127.0.0.1:1")
