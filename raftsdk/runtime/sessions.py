"""Clients' sessions: a command asked for again is answered again, and applied once (thesis §6.3).

A session is opened by an entry of kind `OPEN_SESSION`; the index of that entry is its id. Its commands are entries of
kind `SESSION_COMMAND`. The `data` of either begins with the log time: milliseconds that the leader counts by its
monotonic clock on from the last log time it has seen in the log. Nobody reads a wall clock, and every node finds the
same time in the same entry. All numbers are u64, big-endian:

    OPEN_SESSION      log time
    SESSION_COMMAND   log time | session id | sequence | first unanswered | command

What a session is worth must be the same on every node, or their states part. So it is decided by the entries alone,
and by the constants below, which belong to the format and not to anybody's configuration.

Nothing here knows of tasks or clocks, so that the simulator runs the very same code.
"""

from collections.abc import Callable
from struct import Struct as Layout
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from raftsdk.errors import CommandFailed, SessionExpired
from raftsdk.runtime.outcomes import Outcome
from raftsdk.types import MAX_INTEGER, EntryKind, LogIndex, Unsigned

SESSION_TIMEOUT_MS: Final = 60 * 60 * 1000
"""A session that was not used for so long, in log time, is gone."""

MAX_SESSIONS: Final = 10_000
"""One more, and the one that was not used for longest is gone."""

MAX_KEPT_OUTCOMES: Final = 1_024
"""Of one session: a client has no more commands than that without an answer. One more, and the oldest is forgotten."""

MAX_KEPT_BYTES: Final = 1024 * 1024
"""Of one session's outcomes, but for the newest, which is kept however long it is."""

MAX_TABLE_BYTES: Final = 32 * 1024 * 1024
"""Of all sessions' outcomes together: beyond that, those that were not used for longest go. It bounds how long the
table takes to be written into a snapshot, during which nothing else happens: some 50 ms.
"""

OUTCOME_OVERHEAD_BYTES: Final = 64
"""What an outcome counts for besides its own bytes: even empty ones take memory."""

ApplyCommand: TypeAlias = Callable[[bytes, LogIndex], Outcome]

_OPEN: Final = Layout(">Q")
_COMMAND: Final = Layout(">QQQQ")

COMMAND_HEADER_BYTES: Final = _COMMAND.size
"""What an entry of kind `SESSION_COMMAND` has before its command."""

_Kept: TypeAlias = bytes | str  # a result, or the text of a `CommandFailed`


def open_session(log_time_ms: int) -> bytes:
    """The `data` of an entry of kind `OPEN_SESSION`."""
    return _OPEN.pack(log_time_ms)


def session_command(
    log_time_ms: int, command: bytes, *, session_id: int, sequence: int, first_unanswered: int
) -> bytes:
    """The `data` of an entry of kind `SESSION_COMMAND`."""
    return _COMMAND.pack(log_time_ms, session_id, sequence, first_unanswered) + command


class _Session(Struct):
    """One session. Commands of a client with several under way may arrive in any order."""

    last_used_ms: int
    floor: int = 0  # everything below was answered, or forgotten; it is not applied any more
    kept: dict[int, _Kept] = msgspec.field(default_factory=dict)  # by sequence, the first to be forgotten first
    kept_bytes: int = 0


class Sessions:
    """All sessions, as of the last entry applied. Deterministic: a function of the entries."""

    def __init__(self) -> None:
        self.log_time_ms = 0  #: The latest seen in an entry; it never goes back.
        self._sessions: dict[int, _Session] = {}  # by id, the one not used for longest first
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def apply(self, kind: int, data: bytes, index: LogIndex, apply: ApplyCommand) -> Outcome:
        """Apply an entry of one of the two kinds; `apply` is for the command in it, if it is one to be applied.

        The result is empty for a session that was opened. Data that no leader of ours writes ends in `CommandFailed`,
        on every node alike.
        """
        if kind == EntryKind.OPEN_SESSION:
            return self._open(data, index)
        return self._command(data, index, apply)

    def _open(self, data: bytes, index: LogIndex) -> Outcome:
        if len(data) != _OPEN.size:
            return CommandFailed(f"an entry that opens a session has {_OPEN.size} bytes, not {len(data)}")
        (log_time_ms,) = _OPEN.unpack(data)
        if log_time_ms > MAX_INTEGER:
            return _out_of_range()
        self._advance(log_time_ms)
        self._sessions[index] = _Session(self.log_time_ms)
        self._bound()
        return b""

    def _command(self, data: bytes, index: LogIndex, apply: ApplyCommand) -> Outcome:
        if len(data) < _COMMAND.size:
            return CommandFailed(f"a session's command has at least {_COMMAND.size} bytes, not {len(data)}")
        log_time_ms, session_id, sequence, first_unanswered = _COMMAND.unpack_from(data)
        if not first_unanswered <= sequence or not 1 <= sequence <= MAX_INTEGER or log_time_ms > MAX_INTEGER:
            return _out_of_range()
        self._advance(log_time_ms)
        session = self._sessions.pop(session_id, None)
        if session is None:
            return SessionExpired(f"session {session_id} is not known: it was never opened, or not used for too long")
        self._sessions[session_id] = session  # behind all others
        session.last_used_ms = self.log_time_ms
        session.floor = max(session.floor, first_unanswered)
        self._forget_answered(session)
        if sequence < session.floor:
            return SessionExpired(f"what became of command {sequence} of session {session_id} was forgotten")
        kept = session.kept.get(sequence)
        if kept is None:
            outcome = apply(data[_COMMAND.size :], index)
            self._keep(session, sequence, outcome)
            return outcome
        return kept if isinstance(kept, bytes) else CommandFailed(kept)

    def _keep(self, session: _Session, sequence: int, outcome: Outcome) -> None:
        session.kept[sequence] = kept = outcome if isinstance(outcome, bytes) else str(outcome)
        self._count(session, _cost(kept))
        while len(session.kept) > MAX_KEPT_OUTCOMES or (len(session.kept) > 1 and session.kept_bytes > MAX_KEPT_BYTES):
            session.floor = max(session.floor, self._forget_first(session) + 1)
        self._bound()

    def _forget_answered(self, session: _Session) -> None:
        """Those at the front alone, so that it costs nothing: what hides behind them is refused by `floor` anyway."""
        while session.kept and next(iter(session.kept)) < session.floor:
            self._forget_first(session)

    def _forget_first(self, session: _Session) -> int:
        sequence = next(iter(session.kept))
        self._count(session, -_cost(session.kept.pop(sequence)))
        return sequence

    def _count(self, session: _Session, size: int) -> None:
        session.kept_bytes += size
        self._kept_bytes += size

    def _advance(self, log_time_ms: int) -> None:
        self.log_time_ms = max(self.log_time_ms, log_time_ms)
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if oldest.last_used_ms + SESSION_TIMEOUT_MS >= self.log_time_ms:
                break
            self._drop_oldest()

    def _bound(self) -> None:
        while len(self._sessions) > MAX_SESSIONS or (len(self._sessions) > 1 and self._kept_bytes > MAX_TABLE_BYTES):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._kept_bytes -= self._sessions.pop(next(iter(self._sessions))).kept_bytes

    # -- in a snapshot

    def encode(self) -> bytes:
        """The table as MessagePack, for a snapshot: two nodes with the same log write the same bytes."""
        records = [
            _Record(
                session_id,
                session.last_used_ms,
                session.floor,
                [
                    (sequence, isinstance(kept, str), kept.encode() if isinstance(kept, str) else kept)
                    for sequence, kept in session.kept.items()
                ],
            )
            for session_id, session in self._sessions.items()
        ]
        return msgspec.msgpack.encode(_Table(self.log_time_ms, records))

    @classmethod
    def decode(cls, data: bytes) -> "Sessions":
        """The table again. Raises `ValueError` for bytes that `encode` cannot have written."""
        table = msgspec.msgpack.decode(data, type=_Table)
        sessions = cls()
        last_used_ms = 0
        for record in table.sessions:
            if record.id in sessions._sessions or not last_used_ms <= record.last_used_ms <= table.log_time_ms:
                raise ValueError(f"session {record.id} occurs twice, or is out of order")
            last_used_ms = record.last_used_ms
            sessions._sessions[record.id] = record.as_session()
        sessions.log_time_ms = table.log_time_ms
        sessions._kept_bytes = sum(session.kept_bytes for session in sessions._sessions.values())
        if len(sessions) > MAX_SESSIONS:
            raise ValueError(f"{len(sessions)} sessions, and there are {MAX_SESSIONS} at the most")
        return sessions


class _Record(Struct, frozen=True, array_like=True):
    """A session as it is written."""

    id: Unsigned
    last_used_ms: Unsigned
    floor: Unsigned
    kept: list[tuple[Unsigned, bool, bytes]]  # the sequence, whether it failed, and the result or the text of that

    def as_session(self) -> _Session:
        kept: dict[int, _Kept] = {sequence: data.decode() if failed else data for sequence, failed, data in self.kept}
        if len(kept) < len(self.kept) or len(kept) > MAX_KEPT_OUTCOMES:
            raise ValueError(f"session {self.id} has an outcome twice, or more than {MAX_KEPT_OUTCOMES}")
        return _Session(self.last_used_ms, self.floor, kept, sum(map(_cost, kept.values())))


class _Table(Struct, frozen=True, array_like=True):
    """All sessions as they are written."""

    log_time_ms: Unsigned
    sessions: list[_Record]


def _cost(kept: _Kept) -> int:
    return len(kept) + OUTCOME_OVERHEAD_BYTES


def _out_of_range() -> CommandFailed:
    return CommandFailed("the numbers of a session's entry are out of their range")


class LogClock:
    """What a leader stamps on entries: log time goes on from the last one seen, as fast as its own clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock  # monotonic, in seconds
        self._log_time_ms = 0
        self._seen_at = clock()

    def saw(self, log_time_ms: int) -> None:
        """A log time that was found in the log just now."""
        if log_time_ms > self._log_time_ms:
            self._log_time_ms, self._seen_at = log_time_ms, self._clock()

    def now_ms(self) -> int:
        """The log time at this moment."""
        return min(self._log_time_ms + int((self._clock() - self._seen_at) * 1000), MAX_INTEGER)
