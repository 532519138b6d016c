"""State machines that somebody might bring into the simulator, good and bad."""

from collections.abc import AsyncIterator
from random import Random


class Counter:
    """Says what clients ask of it, and can be written down."""

    def __init__(self) -> None:
        self.total = 0

    def apply(self, command: bytes, index: int) -> bytes:
        self.total += int(command)
        return b"%d" % self.total

    def query(self, query: bytes) -> bytes:
        return b"%d" % self.total

    async def snapshot(self) -> AsyncIterator[bytes]:
        yield b"%d" % self.total

    async def restore(self, pieces: AsyncIterator[bytes]) -> None:
        self.total = int(b"".join([piece async for piece in pieces]))

    @staticmethod
    def simulated_command(chance: Random) -> bytes:
        return b"%d" % chance.randint(1, 9)

    @staticmethod
    def simulated_query(chance: Random) -> bytes:
        return b""


class Careful(Counter):
    """Holds its state fast in the call of `snapshot`, as the port demands; `Counter` reads it when it is asked to."""

    def snapshot(self) -> AsyncIterator[bytes]:
        return _one(b"%d" % self.total)


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


class Plain:
    """The two methods that every state machine has, and no more."""

    def __init__(self) -> None:
        self.applied: list[bytes] = []

    def apply(self, command: bytes, index: int) -> bytes:
        self.applied.append(command)
        return b"%d" % len(self.applied)

    def query(self, query: bytes) -> bytes:
        return b""


class Personal(Plain):
    """Answers with something that is not in the commands: on every node with something else."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        Personal.made += 1
        self.own = Personal.made

    def apply(self, command: bytes, index: int) -> bytes:
        return b"%d" % self.own
