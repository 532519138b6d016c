"""The SQLite store against a plain list, under any sequence of writes, restarts and crashes."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlite_places import IDENTITY

from raftsdk.storage.directory import Directory
from raftsdk.types import MAX_INTEGER, Entry, HardState, Write

EXAMPLES = 20
STEPS = 25

KINDS = st.sampled_from((0, 1, 2, 99, MAX_INTEGER))
DATA = st.one_of(st.binary(max_size=50), st.builds(bytes, st.integers(0, 9_000)))
VOTES = st.sampled_from((None, "n1", "n2"))


class SqliteAgainstAList(RuleBasedStateMachine):
    """`log` and `hard_state` are what the store must find at its next start."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="raftsdk-model-"))
        self.places = 0
        self.term = 1
        self.log: list[Entry] = []
        self.hard_state = HardState()
        self.directory = Directory(self.path)
        self.directory.load(IDENTITY)

    @property
    def path(self) -> Path:
        return self.root / str(self.places)

    @rule(steps=st.integers(1, 2**40), vote=VOTES, commit_index=st.integers(0, MAX_INTEGER))
    def begin_a_term(self, steps: int, vote: str | None, commit_index: int) -> None:
        self.term += steps
        self.hard_state = HardState(self.term, vote, commit_index)
        self.directory.write(Write(1, self.hard_state, None, 1, []))

    @rule(contents=st.lists(st.tuples(KINDS, DATA), min_size=1, max_size=9), vote=VOTES)
    def append(self, contents: list[tuple[int, bytes]], vote: str | None) -> None:
        self.hard_state = HardState(self.term, vote, len(self.log))
        self._write(self.hard_state, None, contents)

    @precondition(lambda self: self.log)
    @rule(back=st.integers(-1, 12), contents=st.lists(st.tuples(KINDS, DATA), max_size=4))
    def truncate(self, back: int, contents: list[tuple[int, bytes]]) -> None:
        truncate_from = max(len(self.log) - back, 1)
        del self.log[truncate_from - 1 :]
        self._write(None, truncate_from, contents)

    def _write(
        self, hard_state: HardState | None, truncate_from: int | None, contents: list[tuple[int, bytes]]
    ) -> None:
        entries = [Entry(self.term, kind, data) for kind, data in contents]
        self.directory.write(Write(1, hard_state, truncate_from, len(self.log) + 1, entries))
        self.log += entries

    @rule()
    def restart(self) -> None:
        self.directory.close(orderly=True)
        self._load()

    @rule()
    def crash(self) -> None:
        before = self.path
        self.places += 1
        shutil.copytree(before, self.path)
        self.directory.close(orderly=False)
        self._load()

    def _load(self) -> None:
        self.directory = Directory(self.path)
        found = self.directory.load(IDENTITY)
        assert found.entries == self.log
        assert found.hard_state == self.hard_state

    @invariant()
    def has_its_directory(self) -> None:
        assert self.path.is_dir()

    def teardown(self) -> None:
        self.restart()
        self.directory.close(orderly=True)
        shutil.rmtree(self.root)


TestSqliteAgainstAList = SqliteAgainstAList.TestCase
TestSqliteAgainstAList.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
