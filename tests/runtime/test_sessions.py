"""Sessions: a command is applied once however often it is in the log, and every node finds the same."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftsdk.errors import CommandFailed, SessionExpired
from raftsdk.runtime import sessions as module
from raftsdk.runtime.outcomes import Outcome
from raftsdk.runtime.sessions import (
    MAX_KEPT_BYTES,
    MAX_KEPT_OUTCOMES,
    MAX_SESSIONS,
    OUTCOME_OVERHEAD_BYTES,
    SESSION_TIMEOUT_MS,
    LogClock,
    Sessions,
    open_session,
    session_command,
)
from raftsdk.types import MAX_INTEGER, EntryKind, LogIndex

OPEN, COMMAND = EntryKind.OPEN_SESSION, EntryKind.SESSION_COMMAND


@dataclass
class Log:
    """A log of sessions' entries alone, applied as it is written; counts what reaches the state machine."""

    sessions: Sessions = field(default_factory=Sessions)
    index: LogIndex = 0
    applied: list[bytes] = field(default_factory=list)

    def add(self, kind: int, data: bytes) -> Outcome:
        self.index += 1
        return self.sessions.apply(kind, data, self.index, self._apply)

    def open(self, at_ms: int = 0) -> int:
        assert self.add(OPEN, open_session(at_ms)) == b""
        return self.index

    def command(
        self, session_id: int, sequence: int, command: bytes = b"", *, at_ms: int = 0, first_unanswered: int = 0
    ) -> Outcome:
        data = session_command(
            at_ms, command, session_id=session_id, sequence=sequence, first_unanswered=first_unanswered
        )
        return self.add(COMMAND, data)

    def _apply(self, command: bytes, index: LogIndex) -> Outcome:
        self.applied.append(command)
        return CommandFailed(f"refused at {index}") if command == b"refuse" else b"%d:%b" % (index, command)


def test_a_command_that_comes_again_is_answered_again_and_not_applied() -> None:
    log = Log()
    session = log.open()
    first = log.command(session, 1, b"a")
    assert log.command(session, 1, b"a") == first == b"2:a"
    assert log.applied == [b"a"]


def test_a_refusal_of_the_state_machine_is_kept_like_a_result() -> None:
    log = Log()
    session = log.open()
    ends = [log.command(session, 1, b"refuse") for _ in range(2)]
    assert [(type(end), str(end)) for end in ends] == [(CommandFailed, "refused at 2")] * 2
    assert len(log.applied) == 1


def test_commands_of_one_session_may_come_in_any_order() -> None:
    log = Log()
    session = log.open()
    for sequence in (3, 1, 2, 1, 3):
        log.command(session, sequence, b"%d" % sequence)
    assert log.applied == [b"3", b"1", b"2"]


def test_two_sessions_know_nothing_of_each_other() -> None:
    log = Log()
    first, second = log.open(), log.open()
    log.command(first, 1, b"first")
    log.command(second, 1, b"second")
    assert log.applied == [b"first", b"second"]


def test_what_the_client_has_the_answer_of_is_forgotten_and_never_applied_again() -> None:
    log = Log()
    session = log.open()
    for sequence in (1, 2):
        log.command(session, sequence)
    log.command(session, 3, first_unanswered=3)
    assert isinstance(log.command(session, 2), SessionExpired)
    assert len(log.applied) == 3


@pytest.mark.parametrize("session_id", [1, 3, MAX_INTEGER])
def test_a_session_that_was_never_opened_is_unknown(session_id: int) -> None:
    log = Log()
    assert log.open() == 1
    log.sessions = Sessions()
    assert isinstance(log.command(session_id, 1), SessionExpired)
    assert log.applied == []


# -- bounds


def test_a_session_not_used_for_an_hour_of_log_time_is_gone_and_one_that_was_used_is_not() -> None:
    log = Log()
    used, unused = log.open(), log.open()
    log.command(used, 1, at_ms=SESSION_TIMEOUT_MS)
    assert len(log.sessions) == 2
    log.command(used, 2, at_ms=SESSION_TIMEOUT_MS + 1)
    assert len(log.sessions) == 1
    assert isinstance(log.command(unused, 1, at_ms=0), SessionExpired)
    assert isinstance(log.command(used, 3, at_ms=2 * SESSION_TIMEOUT_MS), bytes)


def test_log_time_never_goes_back() -> None:
    log = Log()
    log.open(at_ms=500)
    log.open(at_ms=20)
    assert log.sessions.log_time_ms == 500


def test_beyond_the_most_there_may_be_the_session_not_used_for_longest_goes() -> None:
    log = Log()
    ids = [log.open() for _ in range(MAX_SESSIONS)]
    log.command(ids[0], 1)
    log.open()
    assert len(log.sessions) == MAX_SESSIONS
    assert isinstance(log.command(ids[1], 1), SessionExpired)
    assert isinstance(log.command(ids[0], 2), bytes)


def test_a_client_that_never_says_what_it_knows_has_its_oldest_outcomes_forgotten() -> None:
    log = Log()
    session = log.open()
    for sequence in range(1, MAX_KEPT_OUTCOMES + 2):
        log.command(session, sequence)
    assert isinstance(log.command(session, 1), SessionExpired)
    assert isinstance(log.command(session, 2), bytes)
    assert len(log.applied) == MAX_KEPT_OUTCOMES + 1


def test_outcomes_are_bounded_in_bytes_but_the_newest_is_kept_however_long_it_is() -> None:
    log = Log()
    session = log.open()
    log.command(session, 1, b"small")
    log.command(session, 2, bytes(MAX_KEPT_BYTES))
    assert isinstance(log.command(session, 1), SessionExpired)
    assert isinstance(log.command(session, 2), bytes)
    assert len(log.applied) == 2


def test_beyond_the_bytes_of_all_sessions_those_not_used_for_longest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TABLE_BYTES", 10 * (OUTCOME_OVERHEAD_BYTES + 103))
    log, ids = Log(index=100), []
    for _ in range(12):
        ids.append(log.open())
        log.command(ids[-1], 1, bytes(99))
    assert [type(log.command(session, 1)) for session in ids[:3]] == [SessionExpired, SessionExpired, bytes]


# -- what no leader of ours writes


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (OPEN, b""),
        (OPEN, bytes(9)),
        (OPEN, struct.pack(">Q", MAX_INTEGER + 1)),
        (COMMAND, bytes(31)),
        (COMMAND, session_command(0, b"", session_id=1, sequence=0, first_unanswered=0)),
        (COMMAND, session_command(0, b"", session_id=1, sequence=1, first_unanswered=2)),
        (COMMAND, session_command(MAX_INTEGER + 1, b"", session_id=1, sequence=1, first_unanswered=1)),
        (COMMAND, session_command(0, b"", session_id=1, sequence=MAX_INTEGER + 1, first_unanswered=1)),
    ],
)
def test_a_malformed_entry_fails_and_changes_nothing(kind: int, data: bytes) -> None:
    log = Log()
    log.open()
    before = log.sessions.encode()
    assert isinstance(log.add(kind, data), CommandFailed)
    assert (log.sessions.encode(), log.applied) == (before, [])


# -- determinism

ENTRIES = st.one_of(
    st.tuples(st.just(OPEN), st.integers(0, 3).map(lambda hours: open_session(hours * SESSION_TIMEOUT_MS // 2))),
    st.tuples(
        st.just(COMMAND),
        st.builds(
            lambda hours, session_id, sequence, first, command: session_command(
                hours * SESSION_TIMEOUT_MS // 2,
                command,
                session_id=session_id,
                sequence=sequence,
                first_unanswered=first,
            ),
            st.integers(0, 3),
            st.integers(1, 6),
            st.integers(1, 6),
            st.integers(0, 6),
            st.sampled_from([b"", b"refuse", bytes(600)]),
        ),
    ),
    st.tuples(st.sampled_from([OPEN, COMMAND]), st.binary(max_size=40)),
)


@given(st.lists(ENTRIES, max_size=60), st.integers(0, 60))
def test_a_node_that_starts_from_a_snapshot_goes_on_as_one_that_applied_everything(
    entries: list[tuple[int, bytes]], cut: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in (("MAX_SESSIONS", 4), ("MAX_KEPT_OUTCOMES", 3), ("MAX_KEPT_BYTES", 1_500)):
            patch.setattr(module, name, limit)
        patch.setattr(module, "MAX_TABLE_BYTES", 2_500)
        whole, restored = Log(), Log()
        ends = [whole.add(*entry) for entry in entries]
        for entry in entries[:cut]:
            restored.add(*entry)
        restored.sessions = Sessions.decode(restored.sessions.encode())
        rest = [restored.add(*entry) for entry in entries[cut:]]
        assert [repr(end) for end in rest] == [repr(end) for end in ends[cut:]]
        assert restored.sessions.encode() == whole.sessions.encode()
        assert restored.applied == whole.applied


def damaged(change: Callable[[list[object]], object]) -> bytes:
    log = Log()
    for _ in range(2):
        log.command(log.open(at_ms=7), 1, b"x")
    table = msgspec.msgpack.decode(log.sessions.encode())
    change(table)
    return msgspec.msgpack.encode(table)


def _first(table: list[object]) -> list[object]:
    sessions = table[1]
    assert isinstance(sessions, list)
    record = sessions[0]
    assert isinstance(record, list)
    return record


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.clear(),
        lambda table: table.__setitem__(0, 6),  # a session used after the log's time
        lambda table: table.__setitem__(0, -1),
        lambda table: _first(table).__setitem__(0, 3),  # the other's id
        lambda table: _first(table).__setitem__(3, [[1, False, b"x"], [1, False, b"y"]]),
        lambda table: _first(table).__setitem__(3, [[n, False, b""] for n in range(MAX_KEPT_OUTCOMES + 1)]),
        lambda table: _first(table).__setitem__(3, [[1, False, None]]),
        lambda table: _first(table).__setitem__(3, [[1, True, b"\xff"]]),
    ],
)
def test_a_table_that_no_node_can_have_written_is_refused(change: Callable[[list[object]], object]) -> None:
    with pytest.raises(ValueError):
        Sessions.decode(damaged(change))


@given(st.binary(max_size=64))
def test_bytes_that_are_no_table_are_refused(data: bytes) -> None:
    try:
        table = Sessions.decode(data)
    except ValueError:
        return
    assert Sessions.decode(table.encode()).encode() == table.encode()


# -- the clock


def test_log_time_goes_on_from_what_was_seen_as_fast_as_the_clock() -> None:
    now = [1000.0]
    clock = LogClock(lambda: now[0])
    assert clock.now_ms() == 0
    now[0] += 2.5
    assert clock.now_ms() == 2_500
    clock.saw(9_000)
    assert clock.now_ms() == 9_000
    now[0] += 1
    clock.saw(4)  # of a leader before, applied late
    assert clock.now_ms() == 10_000


def test_log_time_has_a_ceiling_that_every_store_can_carry() -> None:
    clock = LogClock(lambda: 0.0)
    clock.saw(MAX_INTEGER)
    assert open_session(clock.now_ms()) == MAX_INTEGER.to_bytes(8)
