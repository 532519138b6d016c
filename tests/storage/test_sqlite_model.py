"""The SQLite store against a dict, under any sequence of writes, snapshots, restarts and crashes.

After every operation, and between the steps of those that have some, a copy of the directory must start and hold all.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlite_places import (
    IDENTITY,
    MEMORY,
    NOTHING,
    SOAK,
    after,
    covered_index,
    entry_id,
    last_index,
    read,
    receive,
    take,
)

from raftsdk.storage.directory import Directory
from raftsdk.types import MAX_INTEGER, Entry, EntryId, HardState, Write

EXAMPLES = 50 * SOAK
STEPS = 30

KINDS = st.sampled_from((0, 1, 2, 99, MAX_INTEGER))
DATA = st.one_of(st.binary(max_size=50), st.builds(bytes, st.integers(0, 9_000)))
CONTENTS = st.lists(st.tuples(KINDS, DATA), max_size=4)
STATES = st.one_of(st.binary(max_size=50), st.builds(bytes, st.integers(60_000, 140_000)))
VOTES = st.sampled_from((None, "n1", "n2"))


class SqliteAgainstADict(RuleBasedStateMachine):
    """`expected` and `data` are what the store must find at its next start."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="raftsdk-model-", dir=MEMORY))
        self.places = 0
        self.term = 1
        self.expected = NOTHING
        self.data = b""
        self.directory = Directory(self.path)
        self.directory.load(IDENTITY)

    @property
    def path(self) -> Path:
        return self.root / str(self.places)

    @rule(
        steps=st.integers(1, 2**40), vote=VOTES, commit_index=st.integers(0, MAX_INTEGER), incarnation=st.integers(0, 9)
    )
    def begin_a_term(self, steps: int, vote: str | None, commit_index: int, incarnation: int) -> None:
        self.term += steps
        self.write(Write(1, HardState(self.term, vote, commit_index, incarnation), None, 1, []))

    @rule(contents=st.lists(st.tuples(KINDS, DATA), min_size=1, max_size=9), vote=VOTES)
    def append(self, contents: list[tuple[int, bytes]], vote: str | None) -> None:
        end = last_index(self.expected)
        self.write(Write(1, HardState(self.term, vote, end), None, end + 1, self.entries(contents)))

    @precondition(lambda self: self.expected.entries)
    @rule(back=st.integers(-1, 12), contents=CONTENTS)
    def truncate(self, back: int, contents: list[tuple[int, bytes]]) -> None:
        end, lowest = last_index(self.expected), max(covered_index(self.expected), self.expected.first_index - 1) + 1
        index = max(end - back, lowest)
        self.write(Write(1, None, index, min(index, end + 1), self.entries(contents)))

    @precondition(lambda self: last_index(self.expected) > covered_index(self.expected))
    @rule(back=st.integers(0, 12), trailing=st.integers(0, 5), state=STATES, contents=CONTENTS)
    def compact(self, back: int, trailing: int, state: bytes, contents: list[tuple[int, bytes]]) -> None:
        end = last_index(self.expected)
        last = entry_id(self.expected, max(end - back, covered_index(self.expected) + 1))
        meta = take(self.directory, last, state)
        self.expect_after_crash()
        cut = last.index - trailing
        compacted = entry_id(self.expected, cut) if cut >= self.expected.first_index else None
        self.write(Write(1, None, None, end + 1, self.entries(contents), meta, compacted), state)

    @rule(ahead=st.integers(1, 50), state=STATES, contents=CONTENTS)
    def install(self, ahead: int, state: bytes, contents: list[tuple[int, bytes]]) -> None:
        """In the place of the whole log."""
        last = EntryId(self.term, covered_index(self.expected) + ahead)
        meta = receive(self.directory, last, state)
        self.expect_after_crash()
        truncate_from, entries = self.expected.first_index, self.entries(contents)
        self.write(Write(1, None, truncate_from, last.index + 1, entries, meta, last), state)

    @rule()
    def tidy(self) -> None:
        while self.directory.tidy():
            self.expect_after_crash()

    @rule()
    def restart(self) -> None:
        self.directory.close(orderly=True)
        self.directory = self.found_in(self.path)

    @rule()
    def crash(self) -> None:
        before = self.path
        self.places += 1
        shutil.copytree(before, self.path)
        self.directory.close(orderly=False)
        self.directory = self.found_in(self.path)

    @invariant()
    def a_crash_now_loses_nothing(self) -> None:
        self.expect_after_crash()

    def entries(self, contents: list[tuple[int, bytes]]) -> list[Entry]:
        return [Entry(self.term, kind, data) for kind, data in contents]

    def write(self, write: Write, data: bytes | None = None) -> None:
        self.directory.write(write)
        self.expected, self.data = after(self.expected, write), self.data if data is None else data
        if write.snapshot is not None:
            self.expect_after_crash()
            self.directory.snapshots.remove_before(write.snapshot.index)

    def expect_after_crash(self) -> None:
        """That a process killed now would find what it was told is durable. Its files are looked at, not taken."""
        copy = self.root / "copy"
        shutil.copytree(self.path, copy)
        self.found_in(copy).close(orderly=True)
        shutil.rmtree(copy)

    def found_in(self, path: Path) -> Directory:
        directory = Directory(path)
        assert directory.load(IDENTITY) == self.expected
        if self.expected.snapshot is not None:
            assert read(directory, self.expected.snapshot) == self.data
        return directory

    def teardown(self) -> None:
        self.directory.close(orderly=True)
        shutil.rmtree(self.root)


TestSqliteAgainstADict = SqliteAgainstADict.TestCase
TestSqliteAgainstADict.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
