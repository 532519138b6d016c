"""State machines under test: registers and lists by default, or the user's own; each watched while it works."""

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Protocol, runtime_checkable

import msgspec

from raftsdk.ports import SnapshotStateMachine, StateMachine
from raftsdk.types import LogIndex

PIECE_BYTES = 200


@runtime_checkable
class Simulated(Protocol):
    """What a state machine's class may offer so that the simulator's clients know what to ask of it.

    Without it, commands are short texts that are never the same, and nothing is queried.
    """

    @staticmethod
    def simulated_command(chance: Random) -> bytes:
        """A command, made by chance."""
        ...

    @staticmethod
    def simulated_query(chance: Random) -> bytes:
        """A query, made by chance."""
        ...


class Registers:
    """Registers that are written and compared-and-set, and lists that are appended to, by key.

    Commands: `write KEY VALUE`, `cas KEY OLD NEW`, `append KEY VALUE`; the answer is `ok`, or `no` from a `cas` that
    found another value. A query is a key; the answer is its value, or its items with spaces between.
    """

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def apply(self, command: bytes, index: LogIndex) -> bytes:
        """One command. Raises `ValueError` for what is none."""
        verb, key, *values = command.decode().split(" ")
        match verb, values:
            case "write", [value]:
                self._values[key] = value
            case "append", [value]:
                self._values[key] = f"{self._values[key]} {value}" if key in self._values else value
            case "cas", [old, new]:
                if self._values.get(key, "") != old:
                    return b"no"
                self._values[key] = new
            case _:
                raise ValueError(f"{verb} is no command of so many words")
        return b"ok"

    def query(self, query: bytes) -> bytes:
        """The value of a key, empty when it has none."""
        return self._values.get(query.decode(), "").encode()

    def snapshot(self) -> AsyncIterator[bytes]:
        """All values, as of now."""
        return _cut(dict(self._values))

    async def restore(self, pieces: AsyncIterator[bytes]) -> None:
        """Take these values for one's own."""
        self._values = msgspec.msgpack.decode(b"".join([piece async for piece in pieces]), type=dict[str, str])


async def _cut(values: dict[str, str]) -> AsyncIterator[bytes]:
    data = msgspec.msgpack.encode(values)
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


# -- watched


class Watched:
    """A state machine, and somebody who is told of every command before it is applied."""

    def __init__(self, machine: StateMachine, on_apply: Callable[[bytes, LogIndex], None]) -> None:
        self.machine = machine
        self._on_apply = on_apply
        self.query = machine.query

    def apply(self, command: bytes, index: LogIndex) -> bytes:
        """Apply it."""
        self._on_apply(command, index)
        return self.machine.apply(command, index)


class WatchedWithSnapshots(Watched):
    """The same of one that can be written down and read again."""

    def __init__(self, machine: SnapshotStateMachine, on_apply: Callable[[bytes, LogIndex], None]) -> None:
        super().__init__(machine, on_apply)  # type: ignore[arg-type]  # it is both: see `watched`
        self.snapshot = machine.snapshot
        self.restore = machine.restore


def watched(machine: StateMachine, on_apply: Callable[[bytes, LogIndex], None]) -> StateMachine:
    """`machine`, able to do what it can and no more."""
    if isinstance(machine, SnapshotStateMachine):
        return WatchedWithSnapshots(machine, on_apply)
    return Watched(machine, on_apply)
