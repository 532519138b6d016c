"""Committed entries into the state machine, in order, in slices, beside the loop and never inside its turn."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import monotonic
from typing import TypeAlias

from raftsdk.core.ready import Committed
from raftsdk.errors import CommandFailed
from raftsdk.ports import StateMachine
from raftsdk.runtime.proposals import Outcome
from raftsdk.types import Entry, EntryKind, LogIndex

SLICE_S = 0.005
"""After so long in one go, everything else in the event loop gets a turn: a long replay must not delay heartbeats."""

MAX_FAILURE_CHARS = 1000
"""Of what a state machine raised: its proposer may be far away, and the text may be a whole command."""

OnApplied: TypeAlias = Callable[[LogIndex, Sequence[Entry], Sequence[Outcome]], None]


class Applier:
    """Feeds one state machine. What a command raises is that command's result; the next one follows."""

    def __init__(self, state_machine: StateMachine, on_applied: OnApplied) -> None:
        self._state_machine = state_machine
        self._on_applied = on_applied
        self._queue: deque[Committed] = deque()
        self._wake = asyncio.Event()
        self.applied_index: LogIndex = 0

    def feed(self, committed: Committed) -> None:
        """Apply these next."""
        self._queue.append(committed)
        self._wake.set()

    async def run(self) -> None:
        """Apply whatever is fed, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            until = monotonic() + SLICE_S
            while self._queue:
                committed = self._queue.popleft()
                entries, done = iter(committed.entries), 0
                while results := self._apply(entries, committed.first_index + done, until):
                    self.applied_index = committed.first_index + done + len(results) - 1
                    self._on_applied(
                        committed.first_index + done, committed.entries[done : done + len(results)], results
                    )
                    done += len(results)
                    if monotonic() > until:
                        await asyncio.sleep(0)
                        until = monotonic() + SLICE_S

    def _apply(self, entries: Iterator[Entry], first_index: LogIndex, until: float) -> list[Outcome]:
        """The results of the next `entries`: of one at least, if there is one, and of no more once `until` is past."""
        results: list[Outcome] = []
        for index, entry in enumerate(entries, first_index):
            results.append(self._result(entry.data, index) if entry.kind == EntryKind.COMMAND else b"")
            if monotonic() > until:
                break
        return results

    def _result(self, command: bytes, index: LogIndex) -> Outcome:
        try:
            result = self._state_machine.apply(command, index)
        except MemoryError:
            raise  # this node's trouble, which the others do not share: going on would let its state differ from theirs
        except Exception as error:
            return failure(error)
        return result if type(result) is bytes else no_bytes(self._state_machine.apply, result)


def failure(error: Exception) -> CommandFailed:
    """What whoever asked is told of an exception of the state machine: its type, and its text if it has one."""
    with suppress(Exception):  # a stranger's __str__ may raise, too
        return CommandFailed(f"{type(error).__name__}: {error}"[:MAX_FAILURE_CHARS])
    return CommandFailed(type(error).__name__)


def no_bytes(method: Callable[..., object], result: object) -> CommandFailed:
    """What is said when a state machine's `method` returned something that no answer can carry."""
    return CommandFailed(f"TypeError: {method.__qualname__} returned {type(result).__name__}, not bytes")
