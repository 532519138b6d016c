"""The applier alone: order, results, slices."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from raftsdk.core.ready import Committed
from raftsdk.errors import CommandFailed
from raftsdk.runtime.applier import MAX_FAILURE_CHARS, SLICE_S, Applier
from raftsdk.runtime.proposals import Outcome
from raftsdk.types import Entry, EntryKind, LogIndex


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Recorder:
    """A state machine that keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bytes]] = []

    def apply(self, command: bytes, index: int) -> bytes:
        self.calls.append((index, command))
        if command == b"slow":
            until = asyncio.get_running_loop().time() + 2 * SLICE_S
            while asyncio.get_running_loop().time() < until:
                pass
        if command == b"speechless":
            raise Speechless
        if command == b"long":
            raise ValueError("x" * 10_000)
        return command.upper()

    def query(self, query: bytes) -> bytes:
        return b""


class Told:
    """What the applier reports."""

    def __init__(self) -> None:
        self.slices: list[int] = []
        self.results: dict[LogIndex, Outcome] = {}

    def __call__(self, first_index: LogIndex, entries: Sequence[Entry], results: Sequence[Outcome]) -> None:
        assert len(entries) == len(results) > 0
        assert first_index == len(self.results) + 1
        self.slices.append(len(results))
        self.results.update(enumerate(results, first_index))


def entries_of(commands: Sequence[bytes]) -> list[Entry]:
    return [Entry(term=1, kind=EntryKind.COMMAND if command else EntryKind.NOOP, data=command) for command in commands]


async def apply(batches: Sequence[Sequence[bytes]]) -> tuple[Recorder, Told, Applier]:
    """What comes of feeding these batches one after another; an empty command stands for a leader's noop."""
    machine, told = Recorder(), Told()
    applier = Applier(machine, told)
    task = asyncio.create_task(applier.run())
    index = 1
    for batch in batches:
        applier.feed(Committed(index, entries_of(batch)))
        index += len(batch)
    for _ in range(10_000):
        if len(told.results) == index - 1:
            break
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return machine, told, applier


@given(st.lists(st.lists(st.sampled_from([b"", b"a", b"b"]), min_size=1, max_size=200), max_size=5))
def test_every_command_is_applied_once_in_order_and_nothing_else_is(batches: list[list[bytes]]) -> None:
    machine, told, applier = asyncio.run(apply(batches))
    log = dict(enumerate((command for batch in batches for command in batch), 1))
    assert machine.calls == [(index, command) for index, command in log.items() if command]
    assert told.results == {index: command.upper() for index, command in log.items()}
    assert applier.applied_index == len(log)


async def test_a_slice_ends_with_the_command_that_takes_too_long() -> None:
    _, told, _ = await apply([[b"slow", b"slow", b"slow"]])
    assert told.slices == [1, 1, 1]


async def test_an_exception_without_words_and_one_with_too_many_are_results_like_any_other() -> None:
    _, told, _ = await apply([[b"speechless", b"long", b"fine"]])
    first, second = told.results[1], told.results[2]
    assert isinstance(first, CommandFailed)
    assert str(first) == "Speechless"
    assert isinstance(second, CommandFailed)
    assert str(second).startswith("ValueError: xxx")
    assert len(str(second)) == MAX_FAILURE_CHARS
    assert told.results[3] == b"FINE"
