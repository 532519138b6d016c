"""One raftsdk node that is watched for long: it can snapshot, and its writers go on between orders."""

import asyncio
import sys

import msgspec
from msgspec import Struct

from bench.growth.load import CAUGHT_UP, SNAPSHOT, Load, LongOrder
from bench.growth.machine import Pages
from bench.load import Answer, Failed, Sample, Spec, Status, outcome
from bench.raftsdk_node import addresses
from bench.systems import System, module
from raftsdk import NodeBuilder, RaftConfig, RaftError, RaftNode, run

KEEPS_ALL = RaftConfig(snapshot_after_entries=0, snapshot_after_bytes=0)


class Settings(Struct, frozen=True):
    """What the `variant` of these nodes says, as JSON."""

    storage: str
    state_bytes: int = 0
    compacts: bool = True  #: By the defaults of `RaftConfig`; otherwise on demand alone.


def system(name: str, settings: Settings) -> System:
    """A contestant made of such nodes."""
    durable = settings.storage != "memory"
    synced = "every write, by fsync, on a majority" if durable else "nothing"
    variant = msgspec.json.encode(settings).decode()
    return System(name, "raftsdk", durable, synced, module(__name__), variant)


def make_node(spec: Spec, settings: Settings, pages: Pages) -> RaftNode:
    """The node."""
    builder = NodeBuilder(f"n{spec.node + 1}").cluster("bench").members(addresses(spec)).codec(spec.codec)
    builder.storage(settings.storage, path="" if settings.storage == "memory" else spec.directory)
    return builder.config(RaftConfig() if settings.compacts else KEEPS_ALL).state_machine(pages).build()


class Orders:
    """Carries out orders with one node."""

    def __init__(self, node: RaftNode, pages: Pages) -> None:
        self._node = node
        self._pages = pages
        self._load = Load(node.propose)

    async def carry_out(self) -> None:
        """Answer the lines of standard input until it ends."""
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            order = msgspec.json.decode(line, type=LongOrder)
            answer = outcome(await self._work(order)) if order.writers else Answer(status=self._status())
            print(msgspec.json.encode(answer).decode(), flush=True)
        await self._load.end()

    def _status(self) -> Status:
        return Status(self._node.is_leader, self._pages.applied, self._node.status().term)

    async def _work(self, order: LongOrder) -> Sample | Failed:
        if order.once:
            return await self._load.once(order)
        if order.until == SNAPSHOT:
            return await self._until_a_snapshot(order)
        if order.until == CAUGHT_UP:
            return await self._until_caught_up(order)
        return await self._load.window(order)

    async def _until_a_snapshot(self, order: LongOrder) -> Sample | Failed:
        taken = asyncio.create_task(self._node.take_snapshot())
        sample = await self._load.window(order, taken.done)
        if isinstance(sample, Failed):
            taken.cancel()
            return sample
        try:
            await taken
        except RaftError as error:
            return Failed(f"{type(error).__name__}: {error}")
        return sample

    async def _until_caught_up(self, order: LongOrder) -> Sample | Failed:
        now = self._node.status()
        if not any(peer.match_index + 1 < now.first_log_index for peer in now.peers):
            return Failed("the log still has what every peer lacks: nobody needs a snapshot")

        def caught_up() -> bool:
            return all(peer.match_index >= now.last_log_index for peer in self._node.status().peers)

        return await self._load.window(order, caught_up)


async def main(spec: Spec) -> None:
    """Carry out orders until there are no more."""
    settings = msgspec.json.decode(spec.variant, type=Settings)
    pages = Pages(settings.state_bytes)
    async with make_node(spec, settings, pages) as node:
        await Orders(node, pages).carry_out()


if __name__ == "__main__":
    run(main(msgspec.json.decode(sys.argv[1], type=Spec)))
