"""What clients may conclude: nothing acknowledged is lost, nothing happens twice, nobody reads the past.

The log is one order of everything, so linearizability can be judged as answers come in: whatever was asked after an
answer was received stands behind it, writes by their index, reads by the index they were served at. The histories of
`raftsdk.testing.history` are judged besides, by checkers that know of no index.
"""

from typing import TYPE_CHECKING

from raftsdk.testing.safety import SafetyViolation, demand
from raftsdk.types import Entry, EntryKind, LogIndex

if TYPE_CHECKING:
    from raftsdk.testing.world.world import World


class Oracle:
    """Knows every command that was ever proposed, and every answer that was ever given."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.floor: LogIndex = 0  #: Everything asked from now on must stand behind this index.
        self.acknowledged: dict[LogIndex, bytes] = {}  #: Commands whose clients know that they were applied.
        self._proposed: dict[bytes, int] = {}  # how often each command was
        self._executed: dict[tuple[int, int], LogIndex] = {}  # by session and sequence: where it was applied
        self._twice = ""  # what was executed twice, in words
        self._answers: dict[tuple[LogIndex, bytes], bytes] = {}  # to a query, by the index it was served at

    # -- the log

    def proposes(self, command: bytes) -> None:
        """A client proposes it, once more if it did so before."""
        self._proposed[command] = self._proposed.get(command, 0) + 1

    def applies(self, index: LogIndex, entry: Entry) -> None:
        """An entry is applied, for the first time anywhere: what nobody proposed is in no log."""
        if entry.kind == EntryKind.COMMAND:
            left = self._proposed.get(entry.data, 0) - 1
            demand(left >= 0, lambda: f"entry {index} is a command that nobody proposed, or not so often")
            self._proposed[entry.data] = left

    def executes(self, index: LogIndex, sessions_command: tuple[int, int]) -> None:
        """A state machine is given a session's command: the same one at the same index, whoever applies it."""
        first = self._executed.setdefault(sessions_command, index)
        if first != index:
            session, sequence = sessions_command
            self._twice = f"command {sequence} of session {session} is applied at {first} and {index}"

    def demand_exactly_once(self) -> None:
        """Raise if a session's command was executed twice: what is raised in a state machine is only a command's
        outcome.
        """
        if self._twice:
            raise SafetyViolation(self._twice)

    # -- answers

    def acknowledges(self, command: bytes, index: LogIndex, asked_at: LogIndex, session: tuple[int, int]) -> None:
        """A client learns that its command was applied; `asked_at` was the floor when it first asked."""
        where = self._executed.get(session, 0) if session[0] else index
        committed = self._world.safety.committed
        demand(0 < where <= len(committed), lambda: f"a command is acknowledged at {index}, and was not applied")
        demand(
            committed[where - 1].data.endswith(command),
            lambda: f"the command acknowledged at {where} is not what is there",
        )
        demand(where > asked_at, lambda: f"a command stands at {where}, asked for after {asked_at} was answered")
        self.acknowledged[where] = command
        self.floor = max(self.floor, where)

    def reads(self, query: bytes, result: bytes, served_at: LogIndex, asked_at: LogIndex) -> None:
        """A client is told the answer to a query, with what everybody has applied up to `served_at`."""
        demand(served_at >= asked_at, lambda: f"a read is served at {served_at}, asked for after {asked_at}")
        first = self._answers.setdefault((served_at, query), result)
        if first != result:
            raise SafetyViolation(f"{query!r} is {first!r} and {result!r}, both at {served_at}")
        self.floor = max(self.floor, served_at)
