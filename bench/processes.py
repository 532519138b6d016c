"""One process of a contestant: a program that carries out orders, or a server that is only there."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE

import msgspec

from bench.load import ONCE_S, WARM_UP_S, Answer, Order, Sample, Status

ANSWER_S = 15.0  # beyond the time of the load itself
STOP_S = 5.0
STDERR_TAIL_CHARS = 2_000


class BenchError(Exception):
    """A contestant did not do what was asked; the text says which and what it said last."""


async def spawn(command: Sequence[str], stderr: Path, *, takes_orders: bool) -> Process:
    """Start a process; what it says goes to the end of the file `stderr`."""
    with stderr.open("ab") as sink:
        stdin, stdout = (PIPE, PIPE) if takes_orders else (DEVNULL, DEVNULL)
        return await asyncio.create_subprocess_exec(*command, stdin=stdin, stdout=stdout, stderr=sink)


class Server:
    """A process that is let alone until it is ended."""

    def __init__(self, name: str, process: Process, stderr: Path) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._stderr = stderr

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.returncode is None

    async def status(self) -> Status:
        """How it is. Raises `BenchError` when it does not say."""
        raise NotImplementedError

    def last_words(self) -> str:
        """The end of what it said."""
        return self._stderr.read_text(errors="replace").strip()[-STDERR_TAIL_CHARS:]

    async def kill(self) -> None:
        """SIGKILL: no chance to save anything. Returns when the process is gone."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """End the process: first by asking."""
        if not self.running:
            return
        self._ask_to_end()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    def _ask_to_end(self) -> None:
        self._process.terminate()


class Program(Server):
    """A process that carries out orders."""

    async def status(self) -> Status:
        """How it is."""
        status = (await self._ask(Order())).status
        assert status is not None
        return status

    async def load(self, order: Order) -> Sample:
        """Have it work. Raises `BenchError` when an operation fails."""
        answer = await self._ask(order)
        if answer.sample is None:
            raise BenchError(f"{self.name}: {answer.failed.error if answer.failed else 'no sample'}")
        return answer.sample

    async def _ask(self, order: Order) -> Answer:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        line = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(ANSWER_S + (ONCE_S if order.once else WARM_UP_S + order.seconds)):
                stdin.write(msgspec.json.encode(order) + b"\n")
                await stdin.drain()
                line = await stdout.readline()
        if not line:
            state = "does not answer" if self.running else f"has ended with {self._process.returncode}"
            raise BenchError(f"{self.name} {state}; its last words: {self.last_words() or 'none'}")
        return msgspec.json.decode(line, type=Answer)

    def _ask_to_end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
