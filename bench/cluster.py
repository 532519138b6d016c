"""Three processes of one contestant on loopback: started, led, loaded, stopped."""

import asyncio
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec

from bench.load import WARM_UP_S, Answer, Order, Sample, Spec, Status
from bench.systems import MODULES, System

NODES = 3
ANSWER_S = 15.0  # beyond the time of the load itself
ELECTION_S = 20.0
STOP_S = 5.0
POLL_S = 0.05
STDERR_TAIL_CHARS = 2_000


class BenchError(Exception):
    """A contestant did not do what was asked; the text says which and what it said last."""


class Node:
    """One process and the orders to it."""

    def __init__(self, name: str, process: Process, stderr: Path) -> None:
        self.pid = process.pid
        self._name = name
        self._process = process
        self._stderr = stderr

    async def status(self) -> Status:
        """How it is."""
        status = (await self._ask(Order())).status
        assert status is not None
        return status

    async def load(self, writers: int, seconds: float) -> Sample:
        """Have it write. Raises `BenchError` when a write fails."""
        answer = await self._ask(Order(writers, seconds))
        if answer.sample is None:
            raise BenchError(f"{self._name}: {answer.failed.error if answer.failed else 'no sample'}")
        return answer.sample

    async def _ask(self, order: Order) -> Answer:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        line = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(ANSWER_S + order.seconds + WARM_UP_S):
                stdin.write(msgspec.json.encode(order) + b"\n")
                await stdin.drain()
                line = await stdout.readline()
        if not line:
            said = self._stderr.read_text(errors="replace")[-STDERR_TAIL_CHARS:]
            raise BenchError(f"{self._name} does not answer; its last words:\n{said}")
        return msgspec.json.decode(line, type=Answer)

    async def stop(self) -> None:
        """End the process: first by ending its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class Cluster:
    """Nodes that have been started."""

    def __init__(self, system: System, nodes: list[Node]) -> None:
        self._system = system
        self.nodes = nodes

    async def leader(self) -> Node:
        """Whoever leads, once somebody does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ELECTION_S):
                while True:
                    for node in self.nodes:
                        if (await node.status()).leading:
                            return node
                    await asyncio.sleep(POLL_S)
        raise BenchError(f"{self._system.name}: no leader within {ELECTION_S:.0f} s")

    async def check_all_applied(self) -> None:
        """Return when all nodes have applied equally many commands; raises `BenchError` when they never do."""
        applied: set[int] = set()
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                while True:
                    applied = {(await node.status()).applied for node in self.nodes}
                    if len(applied) == 1:
                        return
                    await asyncio.sleep(POLL_S)
        raise BenchError(f"{self._system.name}: the nodes stay at {sorted(applied)} commands applied")


@asynccontextmanager
async def running(system: System, directory: Path, codec: str) -> AsyncIterator[Cluster]:
    """Three nodes of `system`, with their data under `directory`; stopped at the end, whatever happens."""
    ports = _free_ports(NODES)
    async with AsyncExitStack() as stack:
        nodes = []
        for place in range(NODES):
            home = directory / f"n{place + 1}"
            home.mkdir(parents=True)
            spec = Spec(place, ports, system.variant, str(home), codec)
            nodes.append(await _start(system, spec, home.with_suffix(".stderr")))
            stack.push_async_callback(nodes[-1].stop)
        yield Cluster(system, nodes)


async def _start(system: System, spec: Spec, stderr: Path) -> Node:
    with stderr.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULES[system.peer], msgspec.json.encode(spec).decode(),
            stdin=PIPE, stdout=PIPE, stderr=sink,
        )  # fmt: skip
    return Node(f"n{spec.node + 1} of {system.name}", process, stderr)


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now, in ascending order: PySyncObj connects towards the lower address."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return sorted(opened.getsockname()[1] for opened in sockets)
    finally:
        for opened in sockets:
            opened.close()
