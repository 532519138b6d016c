"""The log and its pointers, against a model that keeps everything and computes everything anew."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raftsdk.core.log import Log, data_bytes
from raftsdk.testing.safety import Disk
from raftsdk.testing.solo import commands
from raftsdk.types import Entry, EntryId, EntryKind, HardState, Write


class LogBesideItsModel(RuleBasedStateMachine):
    """A log, the list it should be, and the disk its writes go to."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log([], 0)
        self.model: list[Entry] = []
        self.term = 1
        self.disk = Disk()
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

    @precondition(lambda self: self.under_way is None and self.log.has_unsubmitted())
    @rule()
    def submit(self) -> None:
        truncate_from, first, entries = self.log.submit()
        self.writes += 1
        self.under_way = Write(self.writes, HardState(), truncate_from, first, entries)
        after = Disk(entries=self.disk.entries)
        after.persist(self.under_way)
        assert after.entries == self.model, "a write brings the disk to where the log is"

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
        assert self.log.between(1, len(self.model)) == self.model
        assert self.log.last_id == EntryId(self.model[-1].term if self.model else 0, len(self.model))

    @invariant()
    def the_pointers_are_in_order(self) -> None:
        log = self.log
        assert 0 <= log.handed_index <= log.commit_index <= log.last_index
        assert 0 <= log.durable_index <= log.submitted_index <= log.last_index

    @invariant()
    def what_is_called_durable_is_on_the_disk(self) -> None:
        durable = self.log.durable_index
        assert self.disk.entries[:durable] == self.model[:durable]

    @invariant()
    def what_the_store_lacks_is_known(self) -> None:
        if self.under_way is None and not self.log.has_unsubmitted():
            assert self.disk.entries == self.model


TestLogBesideItsModel = LogBesideItsModel.TestCase
TestLogBesideItsModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def _log(*terms: int) -> Log:
    return Log(commands(*terms), 0)


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
    log = Log(entries, 0)
    assert log.batch(1, max_bytes=1000, max_entries=2) == entries[:2]
    assert log.batch(1, max_bytes=30, max_entries=10) == entries[:2]
    assert log.batch(1, max_bytes=29, max_entries=10) == entries[:1]
    assert log.batch(3, max_bytes=100, max_entries=10) == entries[2:3]
    assert log.batch(4, max_bytes=100, max_entries=10) == entries[3:]
    assert log.batch(6, max_bytes=100, max_entries=10) == []


def test_a_committed_entry_is_never_truncated() -> None:
    log = Log(commands(1, 1), 1)
    with pytest.raises(AssertionError, match="asked to truncate 1, committed up to 1"):
        log.truncate(1)
    log.truncate(2)
    assert log.last_index == 1


def test_a_stored_commit_index_beyond_the_stored_log_is_refused() -> None:
    with pytest.raises(AssertionError, match="beyond the stored log"):
        Log(commands(1), 2)


def test_what_a_store_handed_out_stays_as_it_was() -> None:
    stored = commands(1, 1)
    log = Log(stored, 0)
    log.truncate(2)
    log.append(commands(2, 2, first=2))
    assert stored == commands(1, 1)


def test_only_payload_is_measured() -> None:
    assert data_bytes([Entry(1, EntryKind.NOOP, b""), Entry(1, EntryKind.COMMAND, b"abc")]) == 3
