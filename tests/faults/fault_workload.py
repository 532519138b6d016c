"""Clients that read, write and compare-and-set whatever keys there are, and write down what they were told.

Every key is in use by all clients at once, until it has seen so many operations, or so many whose outcome nobody knows,
that checkers would be slow: then a new one takes its place. Half of the keys see no compare-and-set, so that both
checkers have work. Reads go through the log, are confirmed by the leader, or answered by any node as fresh as by the
leader, and may be answered by the leader on its lease: all four are linearizable. Every second client may write in a
session: what it has to repeat is applied once. At the end every key is read once more: what was acknowledged and lost
has nowhere to hide.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from itertools import count
from typing import Final

from raftsdk import Client, Consistency
from raftsdk.cli.key_value import get_message, parse_flag, parse_value, put_command, swap_command
from raftsdk.client.session import Session
from raftsdk.errors import NotLeader, OutcomeUnknown, Overloaded, ProposalDropped, Unreachable
from raftsdk.testing.history import Operation, Outcome, Output, Recorder

CLIENTS: Final = 8
KEYS_AT_ONCE: Final = 8
OPERATIONS_A_KEY: Final = 120
UNKNOWN_A_KEY: Final = 6
PAUSE_S: Final = 0.003
PAUSE_AFTER_FAILURE_S: Final = 0.05
PADDING_BYTES: Final = (0, 100, 1_000, 30_000)
"""Behind one value after the other: mostly little, sometimes a lot."""

READS: Final = (None, Consistency.LINEARIZABLE, Consistency.FOLLOWER_LINEARIZABLE)
"""How a read is made; None stands for a command."""

TOLD: Final = (NotLeader, OutcomeUnknown, Overloaded, ProposalDropped, Unreachable)
"""What a client may be told under faults; anything else is a bug, and ends the test."""


class Key:
    """A key in use."""

    def __init__(self, number: int) -> None:
        compared = number % 2 == 1
        self.name = f"{'compared' if compared else 'written'}/{number}"
        self.kinds = ("read", "write", "cas") if compared else ("read", "write")
        self.last_seen: int | None = None
        self.operations = 0
        self.unknown = 0

    @property
    def is_worn(self) -> bool:
        """Whether its history is as long as checkers should have to bear."""
        return self.operations >= OPERATIONS_A_KEY or self.unknown >= UNKNOWN_A_KEY


class Workload:
    """Asks through `clients` in turn until `stop`. Every value is written once."""

    def __init__(
        self,
        clients: Sequence[Client],
        rng: random.Random,
        *,
        sessions: bool,
        leases: bool,
        padding_bytes: Sequence[int],
    ) -> None:
        self.asked = 0
        self.successes = 0
        self._clients = clients
        self._in_sessions = range(0, CLIENTS, 2) if sessions else ()
        self._sessions: dict[int, Session] = {}
        self._reads = (*READS, Consistency.LEASE) if leases else READS
        self._rng = rng
        self._padding_bytes = padding_bytes
        self._recorder = Recorder(time.monotonic_ns)
        self._values = count(1)
        self._used: list[Key] = []
        self._open = [self._new_key() for _ in range(KEYS_AT_ONCE)]
        self._stopped = False
        self._tasks = [asyncio.create_task(self._ask_on(number)) for number in range(CLIENTS)]

    async def stop(self) -> list[Operation]:
        """Have every client end what it is at, read every key there was, and return what happened."""
        self._stopped = True
        await asyncio.gather(*self._tasks)
        parts = (self._used[number::CLIENTS] for number in range(CLIENTS))
        await asyncio.gather(*(self._read_all(number, part) for number, part in enumerate(parts)))
        return self._recorder.operations()

    async def read_by_lease(self, client: Client) -> None:
        """Read every key in use through `client`, whose node is one that nobody else would ask."""
        for key in self._open:
            pending = self._recorder.invoke("strayed", key.name, "read")
            found = await client.query(get_message(key.name), consistency=Consistency.LEASE)
            pending.returned(_value_in(found))

    async def cancel(self) -> None:
        """Have every client give up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask_on(self, number: int) -> None:
        while not self._stopped:
            place = self._rng.randrange(KEYS_AT_ONCE)
            if self._open[place].is_worn:
                self._open[place] = self._new_key()
            key = self._open[place]
            outcome = await self._ask(number, key, self._rng.choice(key.kinds))
            await asyncio.sleep(PAUSE_S if outcome is Outcome.OK else PAUSE_AFTER_FAILURE_S)

    async def _read_all(self, number: int, keys: Sequence[Key]) -> None:
        for key in keys:
            outcome = await self._ask(number, key, "read")
            assert outcome is Outcome.OK, f"{key.name} cannot be read though nothing is broken any more"

    def _new_key(self) -> Key:
        self._used.append(Key(len(self._used)))
        return self._used[-1]

    async def _ask(self, number: int, key: Key, kind: str) -> Outcome:
        self.asked += 1
        key.operations += 1
        value, expected = next(self._values), key.last_seen
        asked = (expected, value) if kind == "cas" else value if kind == "write" else None
        pending = self._recorder.invoke(f"c{number}", key.name, kind, asked)
        try:
            answer = await self._send(number, key, kind, expected, value)
        except TOLD as error:
            pending.raised(error)
            outcome = pending.operation().outcome
            key.unknown += outcome is Outcome.UNKNOWN
            return outcome
        pending.returned(answer)
        self.successes += 1
        return Outcome.OK

    async def _send(self, number: int, key: Key, kind: str, expected: int | None, value: int) -> Output:
        """One operation, never repeated where it may have been carried out twice."""
        if kind == "read":
            key.last_seen = _value_in(await self._read(self._clients[number % len(self._clients)], key))
            return key.last_seen
        if kind == "write":
            await self._propose(number, put_command(key.name, self._held_for(value)))
            return None
        held = None if expected is None else self._held_for(expected)
        return parse_flag(await self._propose(number, swap_command(key.name, held, self._held_for(value))))

    async def _read(self, client: Client, key: Key) -> bytes:
        consistency = self._rng.choice(self._reads)
        if consistency is None:
            return await client.propose(get_message(key.name))
        return await client.query(get_message(key.name), consistency=consistency)

    async def _propose(self, number: int, command: bytes) -> bytes:
        client = self._clients[number % len(self._clients)]
        if number not in self._in_sessions:
            return await client.propose(command)
        if number not in self._sessions:
            self._sessions[number] = await client.open_session()
        return await self._sessions[number].propose(command)

    def _held_for(self, value: int) -> bytes:
        """What stands in a key that has this value."""
        return b"%d " % value + b"." * self._padding_bytes[value % len(self._padding_bytes)]


def _value_in(answer: bytes) -> int | None:
    held = parse_value(answer)
    return None if held is None else int(held.partition(b" ")[0])
