"""Committed entries into the state machine, in order, in slices, beside the loop and never inside its turn."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from raftsdk.core.ready import Committed
from raftsdk.errors import CommandFailed
from raftsdk.ports import StateMachine
from raftsdk.runtime.proposals import Outcome
from raftsdk.types import Entry, EntryKind, LogIndex

SLICE_ENTRIES = 64
SLICE_S = 0.005
"""After so long in one go, everything else in the event loop gets a turn: a long replay must not delay heartbeats."""

OnApplied = Callable[[LogIndex, Sequence[Entry], Sequence[Outcome]], None]


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
        clock = asyncio.get_running_loop().time
        while True:
            await self._wake.wait()
            self._wake.clear()
            since = clock()
            while self._queue:
                committed = self._queue.popleft()
                for start in range(0, len(committed.entries), SLICE_ENTRIES):
                    self._apply(committed.first_index + start, committed.entries[start : start + SLICE_ENTRIES])
                    if clock() - since > SLICE_S:
                        await asyncio.sleep(0)
                        since = clock()

    def _apply(self, first_index: LogIndex, entries: Sequence[Entry]) -> None:
        results = [
            self._result(entry.data, index) if entry.kind == EntryKind.COMMAND else b""
            for index, entry in enumerate(entries, first_index)
        ]
        self.applied_index = first_index + len(entries) - 1
        self._on_applied(first_index, entries, results)

    def _result(self, command: bytes, index: LogIndex) -> Outcome:
        try:
            result = self._state_machine.apply(command, index)
        except MemoryError:
            raise  # this node's trouble, which the others do not share: going on would let its state differ from theirs
        except Exception as error:
            return CommandFailed(f"{type(error).__name__}: {error}")
        if type(result) is not bytes:
            return CommandFailed(
                f"TypeError: {type(self._state_machine).__name__}.apply returned no bytes: {result!r:.100}"
            )
        return result
