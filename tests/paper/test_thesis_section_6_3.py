"""Ongaro's thesis, §6.3: linearizable semantics through client sessions, as every node applies them.

One test a sentence; the bounds and the bytes are in `tests/runtime/test_sessions.py`.
"""

from raftsdk.errors import CommandFailed, SessionExpired
from raftsdk.runtime.outcomes import Outcome
from raftsdk.runtime.sessions import MAX_SESSIONS, SESSION_TIMEOUT_MS, Sessions, open_session, session_command
from raftsdk.types import EntryKind, LogIndex


class _Applied:
    """A counter, and the sessions of its clients: what one node comes to by its log."""

    def __init__(self, sessions: Sessions | None = None, total: int = 0) -> None:
        self.sessions = sessions or Sessions()
        self.total = total
        self._next_index = 1

    def open(self, *, at_ms: int = 0) -> int:
        """A session's id."""
        return self._apply(EntryKind.OPEN_SESSION, open_session(at_ms))[0]

    def add(self, amount: int, session_id: int, sequence: int, *, unanswered: int = 0, at_ms: int = 0) -> Outcome:
        """What becomes of a command of that session."""
        data = session_command(
            at_ms, b"%d" % amount, session_id=session_id, sequence=sequence, first_unanswered=unanswered
        )
        return self._apply(EntryKind.SESSION_COMMAND, data)[1]

    def _apply(self, kind: int, data: bytes) -> tuple[LogIndex, Outcome]:
        index = self._next_index
        self._next_index += 1
        return index, self.sessions.apply(kind, data, index, self._command)

    def _command(self, command: bytes, _index: LogIndex) -> Outcome:
        self.total += int(command)
        return b"%d" % self.total if self.total < 100 else CommandFailed("too much")


def test_a_command_that_was_executed_is_answered_without_executing_it_again() -> None:
    """§6.3: if a server receives a command whose serial number has already been executed, it responds immediately."""
    node = _Applied()
    client = node.open()
    assert [node.add(5, client, 1), node.add(5, client, 1)] == [b"5", b"5"]
    assert node.total == 5


def test_serial_numbers_are_the_sessions_own() -> None:
    """§6.3: each client assigns unique serial numbers to its commands, and is told apart by an identifier."""
    node = _Applied()
    one, other = node.open(), node.open()
    assert [node.add(5, one, 1), node.add(5, other, 1)] == [b"5", b"10"]


def test_a_client_may_have_several_commands_under_way() -> None:
    """§6.3: a set of responses is kept, so that a retried command need not be the latest, or arrive in order."""
    node = _Applied()
    client = node.open()
    first = [node.add(1, client, sequence) for sequence in (2, 3, 1)]
    again = [node.add(1, client, sequence) for sequence in (1, 2, 3)]
    assert (first, again) == ([b"1", b"2", b"3"], [b"3", b"1", b"2"])


def test_responses_that_the_client_has_are_discarded() -> None:
    """§6.3: with each request comes the lowest number without a response; everything below it may be discarded."""
    node = _Applied()
    client = node.open()
    node.add(1, client, 1)
    node.add(1, client, 2, unanswered=2)
    assert isinstance(node.add(1, client, 1), SessionExpired)
    assert node.total == 2


def test_a_session_begins_with_an_entry_of_its_own() -> None:
    """§6.3: a client registers, and is identified from then on by the index of that entry, which nobody else has."""
    node = _Applied()
    assert [node.open(), node.open()] == [1, 2]


def test_a_command_of_an_unknown_session_is_not_executed() -> None:
    """§6.3: without a record of the session the command may have been executed already: an error is all there is."""
    node = _Applied()
    assert isinstance(node.add(5, session_id=7, sequence=1), SessionExpired)
    assert node.total == 0


def test_sessions_are_bounded_in_number_and_the_least_recently_used_goes() -> None:
    """§6.3: one option is an upper bound on the number of active sessions, expiring those least recently used."""
    node = _Applied()
    idle, active = node.open(), node.open()
    node.add(1, active, 1)
    for _ in range(MAX_SESSIONS - 1):
        node.open()
    assert isinstance(node.add(1, idle, 1), SessionExpired)
    assert node.add(1, active, 1) == b"1"


def test_sessions_expire_by_the_time_that_is_in_the_log() -> None:
    """§6.3: the leader augments each command with its time, and all servers expire sessions deterministically by it."""
    node = _Applied()
    client = node.open(at_ms=0)
    assert node.add(1, client, 1, at_ms=SESSION_TIMEOUT_MS) == b"1"
    assert isinstance(node.add(1, client, 2, at_ms=2 * SESSION_TIMEOUT_MS + 1), SessionExpired)


def test_nodes_with_the_same_log_agree_on_every_session() -> None:
    """§6.3: the servers must agree, or one of them would apply a command that another does not."""
    nodes = [_Applied(), _Applied()]
    for node in nodes:
        client = node.open()
        node.add(60, client, 1, at_ms=5)
        node.add(60, client, 2, at_ms=3)
    assert nodes[0].sessions.encode() == nodes[1].sessions.encode()


def test_sessions_outlive_the_log_that_brought_them() -> None:
    """§6.3 and §5.1: the sessions are part of the state that is in a snapshot, refusals among it."""
    node = _Applied()
    client = node.open()
    node.add(60, client, 1)
    refused = node.add(60, client, 2)
    restored = _Applied(Sessions.decode(node.sessions.encode()), node.total)
    assert restored.add(60, client, 1) == b"60"
    assert str(restored.add(60, client, 2)) == str(refused) == "too much"
    assert restored.total == 120
