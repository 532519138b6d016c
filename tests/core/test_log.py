"""The log and its pointers, against a model that keeps everything and computes everything anew."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raftsdk.core.log import Log, data_bytes
from raftsdk.storage.contents import Contents
from raftsdk.testing.solo import commands
from raftsdk.types import (
    Entry,
    EntryId,
    EntryKind,
    HardState,
    LogIndex,
    Member,
    Membership,
    Recovered,
    SnapshotMeta,
    Write,
)


class LogBesideItsModel(RuleBasedStateMachine):
    """A log, the list it should be, and the disk its writes go to."""

    def __init__(self) -> None:
        super().__init__()
        self.log = _log()
        self.model: list[Entry] = []  # every entry there ever was, also those that were compacted away
        self.term = 1
        self.disk = Contents()
        self.under_way: Write | None = None
        self.handed: list[Entry] = []
        self.writes = 0

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        entries = commands(*[self.term] * count, first=len(self.model) + 1)
        self.log.append(entries)
        self.model += entries

    @rule(by=st.integers(1, 3))
    def enter_a_later_term(self, by: int) -> None:
        self.term += by

    @precondition(lambda self: self.log.commit_index < len(self.model))
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(self.log.commit_index + 1, len(self.model)))
        self.log.truncate(index)
        del self.model[index - 1 :]
        self.term += 1  # in another leader's term: an index and a term name one entry for ever

    @precondition(lambda self: self.log.commit_index < len(self.model))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        self.log.commit_index = data.draw(st.integers(self.log.commit_index, len(self.model)))

    @rule()
    def hand_out(self) -> None:
        self.handed += self.log.take_committed()
        assert self.handed == self.model[: self.log.commit_index]

    @precondition(lambda self: self._covered() < self.log.handed_index)
    @rule(data=st.data(), trailing=st.integers(0, 5))
    def compact(self, data: st.DataObject, trailing: int) -> None:
        index = data.draw(st.integers(self._covered() + 1, self.log.handed_index))
        self.log.compact(_snapshot(index, self.model[index - 1].term), trailing)
        assert self.log.first_index > index - trailing, "of what the snapshot covers, no more stays than was asked for"

    @rule(data=st.data(), beyond=st.integers(1, 4), keeps=st.booleans())
    def install(self, data: st.DataObject, beyond: int, *, keeps: bool) -> None:
        uncommitted = len(self.model) - self.log.commit_index
        if keeps and uncommitted:
            index = self.log.commit_index + data.draw(st.integers(1, uncommitted))
            self.log.install(_snapshot(index, self.model[index - 1].term))
        else:
            self.term += 1
            index = self.log.commit_index + beyond
            del self.model[self.log.commit_index :]
            self.model += commands(*[self.term] * beyond, first=len(self.model) + 1)
            self.log.install(_snapshot(index, self.term))
        self.handed = self.model[:index]

    def _covered(self) -> LogIndex:
        return self.log.snapshot.index if self.log.snapshot else 0

    @precondition(lambda self: self.under_way is None and self.log.has_unsubmitted())
    @rule()
    def submit(self) -> None:
        new = self.log.submit()
        self.writes += 1
        self.under_way = Write(
            self.writes, HardState(), new.truncate_from, new.first_index, new.entries, new.snapshot, new.compacted
        )
        disk = self.disk
        after = Contents(
            entries=disk.entries, first_index=disk.first_index, prev_term=disk.prev_term, snapshot=disk.snapshot
        )
        after.persist(self.under_way)
        self._is_where_the_log_is(after)

    def _is_where_the_log_is(self, disk: Contents) -> None:
        log = self.log
        assert (disk.first_index, disk.prev_term) == (log.first_index, log.term_at(log.first_index - 1))
        assert disk.entries == self.model[log.first_index - 1 :], "a write brings the disk to where the log is"
        assert disk.snapshot == log.snapshot

    @precondition(lambda self: self.under_way is not None)
    @rule()
    def persist(self) -> None:
        assert self.under_way is not None
        self.disk.persist(self.under_way)
        self.under_way = None
        self.log.durable_index = self.log.submitted_index

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        assert self.log.last_index == len(self.model)
        first = self.log.first_index
        assert self.log.between(first, len(self.model)) == self.model[first - 1 :]
        assert self.log.last_id == EntryId(self.model[-1].term if self.model else 0, len(self.model))

    @invariant()
    def the_pointers_are_in_order(self) -> None:
        log = self.log
        assert log.first_index - 1 <= self._covered() <= log.handed_index <= log.commit_index <= log.last_index
        assert 0 <= log.durable_index <= log.submitted_index <= log.last_index

    @invariant()
    def what_is_called_durable_is_on_the_disk(self) -> None:
        durable, first = self.log.durable_index, self.disk.first_index
        assert self.disk.between(first, durable) == self.model[first - 1 : max(durable, first - 1)]
        assert durable <= self.disk.last_index

    @invariant()
    def what_the_store_lacks_is_known(self) -> None:
        if self.under_way is None and not self.log.has_unsubmitted():
            self._is_where_the_log_is(self.disk)


TestLogBesideItsModel = LogBesideItsModel.TestCase
TestLogBesideItsModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def _log(*terms: int, commit: int = 0) -> Log:
    return _log_of(commands(*terms), commit)


def _log_of(entries: list[Entry], commit: int = 0) -> Log:
    return Log(Recovered(HardState(commit_index=commit), 1, entries), Membership(()))


def _snapshot(index: int, term: int) -> SnapshotMeta:
    return SnapshotMeta(index, term, Membership((Member("n1"),)), 0, bytes(32))


@pytest.mark.parametrize(
    ("index", "term", "agrees"),
    [(0, 0, True), (1, 1, True), (3, 2, True), (3, 1, False), (4, 2, False), (0, 1, False)],
)
def test_a_log_matches_where_it_has_that_entry(index: int, term: int, *, agrees: bool) -> None:
    assert _log(1, 1, 2).matches(index, term) is agrees


def test_the_last_agreeable_entry_is_the_highest_that_could_be_in_both() -> None:
    for terms in [(), (1,), (1, 1, 2, 2, 4), (2, 2, 2), (1, 3, 5, 5)]:
        log = _log(*terms)
        for index in range(8):
            for term in range(7):
                could_be = [i for i in range(1, min(index, len(terms)) + 1) if terms[i - 1] <= term]
                best = max(could_be, default=0)
                assert log.last_agreeable(index, term) == EntryId(terms[best - 1] if best else 0, best)


def test_a_conflict_is_the_first_entry_that_differs() -> None:
    log = _log(1, 1, 2, 2, 3)
    assert log.first_conflict(3, commands(2, 2, 3, 3, first=3)) is None
    assert log.first_conflict(3, commands(2, 4, 4, 4, first=3)) == 4
    assert log.first_conflict(3, commands(3, 3, first=3)) == 3
    assert log.first_conflict(6, commands(4, first=6)) is None
    assert log.first_conflict(3, []) is None


def test_a_batch_keeps_both_limits_and_is_never_empty() -> None:
    entries = [Entry(1, EntryKind.COMMAND, b"x" * size) for size in (10, 20, 300, 5, 5)]
    log = _log_of(entries)
    assert log.batch(1, max_bytes=1000, max_entries=2) == entries[:2]
    assert log.batch(1, max_bytes=30, max_entries=10) == entries[:2]
    assert log.batch(1, max_bytes=29, max_entries=10) == entries[:1]
    assert log.batch(3, max_bytes=100, max_entries=10) == entries[2:3]
    assert log.batch(4, max_bytes=100, max_entries=10) == entries[3:]
    assert log.batch(6, max_bytes=100, max_entries=10) == []


def test_a_committed_entry_is_never_truncated() -> None:
    log = _log(1, 1, commit=1)
    with pytest.raises(AssertionError, match="asked to truncate 1, committed up to 1"):
        log.truncate(1)
    log.truncate(2)
    assert log.last_index == 1


def test_a_stored_commit_index_beyond_the_stored_log_is_refused() -> None:
    with pytest.raises(AssertionError, match="beyond the stored log"):
        _log(1, commit=2)


def test_what_a_store_handed_out_stays_as_it_was() -> None:
    stored = commands(1, 1)
    log = _log_of(stored)
    log.truncate(2)
    log.append(commands(2, 2, first=2))
    assert stored == commands(1, 1)


def test_only_payload_is_measured() -> None:
    assert data_bytes([Entry(1, EntryKind.NOOP, b""), Entry(1, EntryKind.COMMAND, b"abc")]) == 3
