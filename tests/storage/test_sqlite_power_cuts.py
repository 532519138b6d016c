"""The power is cut at any moment: what was acknowledged is there, and the node starts."""

import shutil
import sqlite3
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple
from unittest.mock import patch

import pytest
from recorded_disk import CHANCES, ROOT, Disk, Name, Operation, Recorder, Sync, Unname, recording
from sqlite_places import (
    IDENTITY,
    MEMORY,
    NOTHING,
    SOAK,
    after,
    append,
    covered_index,
    entry_id,
    last_index,
    numbered,
    read,
    receive,
    take,
)

from raftsdk.storage import database
from raftsdk.storage.directory import DATABASE_FILE, SNAPSHOT_FOLDER, WAL_FILE, Directory
from raftsdk.types import Entry, EntryId, HardState, Recovered, Write

CUTS = 200 * SOAK
AGAIN = 10
RUNS = 3
STEPS = 25
NOWHERE = -1
CHECKPOINT_PAGES = 40  # so that some writes of so short a run also move pages into the database


@dataclass
class Played:
    """A recording, and what was acknowledged when: `states[i]` once `ends[i]` operations were done."""

    operations: list[Operation]
    ends: list[int] = field(default_factory=list)
    states: list[tuple[Recovered, bytes]] = field(default_factory=list)

    def acknowledge(self, state: Recovered, data: bytes) -> None:
        self.ends.append(len(self.operations))
        self.states.append((state, data))

    def possible(self, operations: int) -> list[tuple[Recovered, bytes]]:
        """What may be found after so many: what was acknowledged last, or the write that was under way."""
        acknowledged = max(bisect_right(self.ends, operations) - 1, 0)
        return self.states[acknowledged : acknowledged + 2]


@pytest.fixture(scope="module")
def played() -> Played:
    """Some runs of a store: writes, truncations, snapshots of both kinds, compactions, checkpoints, orderly ends."""
    return record({}, (NOTHING, b""), RUNS)


def record(files: dict[str, bytes], state: tuple[Recovered, bytes], runs: int) -> Played:
    """Runs that begin with these files, in which a start would find `state`."""
    with (
        tempfile.TemporaryDirectory(prefix="raftsdk-", dir=MEMORY) as directory,
        patch.object(database, "CHECKPOINT_PAGES", (CHECKPOINT_PAGES, CHECKPOINT_PAGES)),
    ):
        recorder, random = Recorder(Path(directory)), Random(4)
        recorder.begin_with(files)
        played = Played(recorder.operations)
        played.acknowledge(*state)
        with recording(recorder):
            for _ in range(runs):
                play(recorder.root, played, random)
    return played


def play(path: Path, played: Played, random: Random) -> None:
    """One run, from start to orderly end."""
    directory = Directory(path)
    state, data = played.states[-1]
    assert directory.load(IDENTITY) == state
    assert setting(directory, "synchronous") == 2
    played.acknowledge(state, data)
    for _ in range(STEPS):
        write, data = random.choice((appending, appending, truncating, compacting, installing))(
            directory, state, data, random
        )
        directory.write(write)
        state = after(state, write)
        played.acknowledge(state, data)
        if write.snapshot is not None:
            directory.snapshots.remove_before(write.snapshot.index)
        if write.compacted is not None:
            directory.tidy()
    directory.close(orderly=True)


def setting(directory: Directory, name: str) -> object:
    assert directory._database is not None
    return directory._database._value(f"PRAGMA {name}")


# -- steps of a run


def appending(_directory: Directory, state: Recovered, data: bytes, random: Random) -> tuple[Write, bytes]:
    end = last_index(state)
    hard_state = HardState(state.hard_state.term + random.randrange(2), random.choice(("n1", None)), end)
    return Write(1, hard_state, None, end + 1, entries(hard_state.term, random)), data


def truncating(_directory: Directory, state: Recovered, data: bytes, random: Random) -> tuple[Write, bytes]:
    lowest = max(covered_index(state) + 1, state.first_index)
    index = random.randrange(lowest, last_index(state) + 2) if last_index(state) >= lowest else lowest
    return Write(1, None, index, min(index, last_index(state) + 1), entries(state.hard_state.term, random)), data


def compacting(directory: Directory, state: Recovered, data: bytes, random: Random) -> tuple[Write, bytes]:
    lowest = covered_index(state) + 1
    if last_index(state) < lowest:
        return appending(directory, state, data, random)
    data = random.randbytes(random.choice((100, 70_000, 200_000)))
    last = entry_id(state, random.randrange(lowest, last_index(state) + 1))
    compacted = entry_id(state, random.randrange(state.first_index - 1, last.index + 1))
    return Write(1, None, None, last_index(state) + 1, [], take(directory, last, data), compacted), data


def installing(directory: Directory, state: Recovered, _data: bytes, random: Random) -> tuple[Write, bytes]:
    data = random.randbytes(random.choice((100, 70_000, 200_000)))
    last = EntryId(state.hard_state.term, last_index(state) + random.randrange(1, 9))
    meta = receive(directory, last, data)
    return Write(1, None, state.first_index, last.index + 1, entries(last.term, random), meta, last), data


def entries(term: int, random: Random) -> list[Entry]:
    sizes = [random.choice((10, 600, 9_000)) for _ in range(random.randrange(1, 9))]
    return [Entry(term, 1, random.randbytes(size)) for size in sizes]


# -- cuts


class Cut(NamedTuple):
    """The moment, what the disk kept of what it was not told to keep, and the files it leaves."""

    operations: int
    chance: str
    files: dict[str, bytes]


def cuts(played: Played, operations: list[Operation], count: int) -> Iterator[Cut]:
    """So many moments, each as probable as any other."""
    random, disk, done = Random(5), Disk(), 0
    for number in sorted(random.randrange(played.ends[0], len(operations) + 1) for _ in range(count)):
        for operation in operations[done:number]:
            disk.do(operation)
        done = number
        chance = random.choice(CHANCES)
        yield Cut(number, str(chance.__doc__), disk.after_power_cut(chance(random)))


def faults(played: Played, operations: list[Operation], count: int, path: Path) -> Iterator[str]:
    """What is found that should not be, after so many cuts of the power."""
    for each in cuts(played, operations, count):
        Recorder(path).begin_with(each.files)
        try:
            check_start(path, played.possible(each.operations))
        except Exception as error:  # whatever a start does but start
            yield f"after {each.operations} operations ({each.chance}): {error!r}"
        shutil.rmtree(path)


def check_start(path: Path, possible: list[tuple[Recovered, bytes]]) -> None:
    """That a node starts on what is left, finds all that was acknowledged, and goes on."""
    found = start(path, possible, append_one=True)
    with closing(sqlite3.connect(path / DATABASE_FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    left = [file.name for file in (path / SNAPSHOT_FOLDER).glob("*")]
    assert len(left) == (found[0].snapshot is not None), f"leftovers: {left}"
    start(path, [found])


def start(path: Path, possible: list[tuple[Recovered, bytes]], *, append_one: bool = False) -> tuple[Recovered, bytes]:
    directory = Directory(path)
    try:
        state = directory.load(IDENTITY)
        assert setting(directory, "synchronous") == 2
        found = state, read(directory, state.snapshot) if state.snapshot else b""
        assert found in possible, f"found {brief(found)}, and not one of {[brief(each) for each in possible]}"
        if not append_one:
            return found
        write = append(last_index(state) + 1, numbered(last_index(state) + 1, 1, term=state.hard_state.term))
        directory.write(write)
        return after(state, write), found[1]
    finally:
        directory.close(orderly=True)


def brief(state: tuple[Recovered, bytes]) -> str:
    recovered, data = state
    return f"{recovered.hard_state}, entries {recovered.first_index}–{last_index(recovered)}, snapshot of {len(data)}"


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="raftsdk-", dir=MEMORY) as directory:
        yield Path(directory) / "n1"


def test_the_power_may_be_cut_at_any_moment(played: Played, place: Path) -> None:
    assert list(faults(played, played.operations, CUTS, place)) == []


def test_the_power_may_be_cut_again_while_a_node_starts_on_what_a_cut_left(played: Played, place: Path) -> None:
    for first in cuts(played, played.operations, AGAIN):
        Recorder(place).begin_with(first.files)
        state = start(place, played.possible(first.operations))
        shutil.rmtree(place)
        again = record(first.files, state, runs=1)
        assert list(faults(again, again.operations, CUTS // AGAIN, place)) == []


@pytest.mark.parametrize(
    "name", [WAL_FILE, DATABASE_FILE, "guard.draft", "created.draft", "received.draft", SNAPSHOT_FOLDER, "the names"]
)
def test_a_store_that_leaves_out_one_kind_of_sync_is_found_out(played: Played, place: Path, name: str) -> None:
    """So the test above would notice: each sync is there because something is lost without it."""
    targets = {each.target for each in played.operations if isinstance(each, Name) and each.name == name} or {ROOT}
    without = [
        Sync(NOWHERE) if isinstance(each, Sync) and each.target in targets else each for each in played.operations
    ]
    assert without != played.operations
    fault = next(faults(played, without, CUTS, place), None)
    assert fault is not None


def test_the_recording_has_what_the_test_of_power_cuts_is_about(played: Played) -> None:
    numbers = {each.name: each.target for each in played.operations if isinstance(each, Name)}
    checkpoints = [each for each in played.operations if each == Sync(numbers[DATABASE_FILE])]
    snapshots = [each for each in played.operations if isinstance(each, Name) and each.name.endswith(".snapshot")]
    removed = [each for each in played.operations if isinstance(each, Unname)]
    assert len(played.states) == 1 + RUNS * (1 + STEPS)
    assert min(len(checkpoints), len(snapshots), len(removed)) > 3 * RUNS
