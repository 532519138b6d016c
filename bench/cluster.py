"""The processes of one contestant on loopback: started, led, loaded, killed, stopped."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from bench.etcd import EtcdServer, etcd_command
from bench.load import Spec
from bench.processes import BenchError, Program, Server, spawn
from bench.systems import System

APPLIED_S = 15.0
ELECTION_S = 20.0
POLL_S = 0.05


class Cluster:
    """A node for each place, and a client if the writers are not in the leader's process."""

    def __init__(self, system: System, directory: Path) -> None:
        self.system = system
        self.nodes: list[Server] = []
        self.client: Program | None = None
        self._directory = directory
        ports = _free_ports(2 * system.nodes)
        self._ports = ports[: system.nodes]
        self._client_ports = self._ports if system.program else ports[system.nodes :]

    async def start(self) -> None:
        """Start every process."""
        for place in range(self.system.nodes):
            self._home(place).mkdir(parents=True)
            self.nodes.append(await self._start(place))
        if self.system.client:
            home = self._directory / "client"
            home.mkdir()
            spec = self._spec(0, self._client_ports, home)
            name = f"the client of {self.system.name}"
            self.client = await _program(name, self.system.client, spec, home.with_suffix(".stderr"))

    async def restart(self, place: int) -> None:
        """Start a node again that has ended, with the data it left behind."""
        self.nodes[place] = await self._start(place)

    async def stop(self) -> None:
        """End every process."""
        if self.client is not None:
            await self.client.stop()
        await asyncio.gather(*(node.stop() for node in self.nodes))

    async def leader(self) -> Server:
        """Whoever leads, once somebody does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ELECTION_S):
                while True:
                    for node in self.nodes:
                        if node.running and (await node.status()).leading:
                            return node
                    await asyncio.sleep(POLL_S)
        raise BenchError(f"{self.system.name}: no leader within {ELECTION_S:.0f} s")

    async def writer(self) -> Program:
        """Whoever takes orders to work: the client, or else the leader, once there is one."""
        leader = await self.leader()
        writer = self.client or leader
        assert isinstance(writer, Program)
        return writer

    async def check_all_applied(self) -> None:
        """Return when all nodes have applied equally many commands; raises `BenchError` when they never do."""
        applied: set[int] = set()
        with suppress(TimeoutError):
            async with asyncio.timeout(APPLIED_S):
                while True:
                    applied = {(await node.status()).applied for node in self.nodes}
                    if len(applied) == 1:
                        return
                    await asyncio.sleep(POLL_S)
        raise BenchError(f"{self.system.name}: the nodes stay at {sorted(applied)} commands applied")

    async def _start(self, place: int) -> Server:
        name, stderr = f"n{place + 1} of {self.system.name}", self._home(place).with_suffix(".stderr")
        spec = self._spec(place, self._ports, self._home(place))
        if self.system.program:
            return await _program(name, self.system.program, spec, stderr)
        process = await spawn(etcd_command(spec, self._client_ports), stderr, takes_orders=False)
        return EtcdServer(name, process, stderr, self._client_ports[place])

    def _home(self, place: int) -> Path:
        return self._directory / f"n{place + 1}"

    def _spec(self, place: int, ports: list[int], directory: Path) -> Spec:
        system = self.system
        return Spec(place, ports, system.variant, str(directory), system.codec, system.transport)


@asynccontextmanager
async def running(system: System, directory: Path) -> AsyncIterator[Cluster]:
    """The nodes of `system`, with their data under `directory`; stopped at the end, whatever happens."""
    cluster = Cluster(system, directory)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


async def _program(name: str, command: tuple[str, ...], spec: Spec, stderr: Path) -> Program:
    process = await spawn([*command, msgspec.json.encode(spec).decode()], stderr, takes_orders=True)
    return Program(name, process, stderr)


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now, in ascending order: PySyncObj connects towards the lower address."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return sorted(opened.getsockname()[1] for opened in sockets)
    finally:
        for opened in sockets:
            opened.close()
