"""Who waits for which entry. A proposal ends exactly once: with a result, or with an error that says what it means."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from raftsdk.config import RaftConfig
from raftsdk.core.events import ChangeMembership, Propose
from raftsdk.core.ready import Accepted, ProposalRefused
from raftsdk.errors import (
    CommandTooLarge,
    MembershipRefused,
    NodeStopped,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    ProposalDropped,
    RaftError,
)
from raftsdk.runtime.outcomes import Outcome, Settle
from raftsdk.runtime.sessions import COMMAND_HEADER_BYTES
from raftsdk.types import Entry, EntryKind, LogIndex, Member, NodeId, Term

_OVERWRITTEN: Final = "was overwritten by another leader's"
_OPEN: Final = "may still be applied"


class _Batch(Struct, eq=False):
    """Proposals that stand side by side in the log: the i-th at `first_index + i`, all of one `term`."""

    settlers: Sequence[Settle]
    commands_bytes: int
    deadline: float
    first_index: LogIndex = 0
    term: Term = 0

    def part(self, first: LogIndex, last: LogIndex) -> Iterator[tuple[LogIndex, Settle]]:
        """The proposals whose index lies between `first` and `last`, with their index."""
        start = max(first, self.first_index)
        return enumerate(self.settlers[start - self.first_index : max(last + 1 - self.first_index, 0)], start)

    @property
    def last_index(self) -> LogIndex:
        return self.first_index + len(self.settlers) - 1


class Proposals:
    """Collects commands for the next turn of the loop, and remembers the ones that are in the log until they end.

    Batches are few (one a turn of the loop), proposals are many: all book-keeping is by batch.
    """

    def __init__(self, config: RaftConfig) -> None:
        self._config = config
        self._commands: list[bytes] = []
        self._kinds: list[int] | None = None  # of `_commands`; None while all of them are plain commands
        self._settlers: list[Settle] = []
        self._offered: dict[int, _Batch] = {}  # by token: handed to the core, not yet accepted or refused
        self._accepted: list[_Batch] = []  # in the log, oldest first; not applied to the end
        self._next_token = 0
        self._pending_count = 0
        self._pending_bytes = 0
        self._applied_index: LogIndex = 0

    @property
    def pending(self) -> bool:
        """Whether anybody waits for anything."""
        return self._pending_count > 0

    @property
    def waiting(self) -> bool:
        """Whether there is anything for `offer`."""
        return bool(self._commands)

    def add(self, command: bytes, settle: Settle, overhead_bytes: int = 0) -> None:
        """Take a command for the next turn; so many bytes of it are not the caller's. Raises what `RaftNode.propose`
        documents for a command not taken.
        """
        size = len(command)
        if size - overhead_bytes > self._config.max_command_bytes:
            raise CommandTooLarge(
                f"the command has {size - overhead_bytes} bytes; max_command_bytes is {self._config.max_command_bytes}"
            )
        if self._pending_count >= self._config.max_pending_proposals:
            raise Overloaded(f"{self._pending_count} proposals are pending, the most that max_pending_proposals allows")
        if self._pending_bytes + size - overhead_bytes > self._config.max_uncommitted_bytes:
            raise Overloaded(
                f"proposals of {self._pending_bytes} bytes are pending; max_uncommitted_bytes allows no more"
            )
        self._commands.append(command)
        if self._kinds is not None:
            self._kinds.append(EntryKind.COMMAND)
        self._settlers.append(settle)
        self._pending_count += 1
        self._pending_bytes += size

    def add_for_session(self, kind: int, data: bytes, settle: Settle) -> None:
        """Take the data of an entry that concerns a session, among the commands, for the next turn. Raises as `add`."""
        if self._kinds is None:
            self._kinds = [EntryKind.COMMAND] * len(self._commands)
        self.add(data, settle, overhead_bytes=COMMAND_HEADER_BYTES)
        self._kinds[-1] = kind

    def offer(self, deadline: float) -> Propose:
        """Everything that was added since the last turn, as one fact for the core."""
        commands, self._commands = self._commands, []
        kinds, self._kinds = self._kinds, None
        settlers, self._settlers = self._settlers, []
        self._next_token += 1
        self._offered[self._next_token] = _Batch(settlers, sum(map(len, commands)), deadline)
        return Propose(self._next_token, commands, kinds)

    def offer_change(
        self, members: Sequence[Member], remove: Sequence[NodeId], deadline: float, settle: Settle
    ) -> ChangeMembership:
        """A change of members as a fact for the core. It is told to `settle` like a command; when it was not begun, as
        `MembershipRefused`.
        """
        self._next_token += 1
        self._pending_count += 1
        self._offered[self._next_token] = _Batch([settle], 0, deadline)
        return ChangeMembership(self._next_token, tuple(members), tuple(remove))

    def accepted(self, accepted: Accepted) -> None:
        """The core has put a batch into its log."""
        batch = self._offered.pop(accepted.token)
        batch.first_index, batch.term = accepted.first_index, accepted.term
        self._accepted.append(batch)

    def refused(self, refused: ProposalRefused, not_leader: NotLeader) -> None:
        """The core has put a batch nowhere."""
        error: RaftError = not_leader
        if refused.overloaded:
            error = Overloaded("too much is uncommitted (max_uncommitted_bytes), or leadership is being handed over")
        elif refused.why:
            error = MembershipRefused(refused.why)
        self._settle_all(self._offered.pop(refused.token), error)

    def applied(self, first_index: LogIndex, entries: Sequence[Entry], results: Sequence[Outcome]) -> None:
        """These entries are committed, and this is what the state machine made of them.

        An entry of another term at a proposal's index: the proposal's place is taken for good (paper §5.4). So are all
        places behind an entry of a later term, because terms never fall along a log. Truncation alone proves nothing,
        since another node may still hold the entry, lead, and commit it (paper Figure 8).
        """
        self._applied_index = last_index = first_index + len(entries) - 1
        for batch in self._accepted:
            for index, settle in batch.part(first_index, last_index):
                place = index - first_index
                if entries[place].term == batch.term:
                    settle(index, results[place])
                else:
                    settle(0, ProposalDropped(f"entry {index} of term {batch.term} {_OVERWRITTEN}"))
        overtaken = [batch for batch in self._accepted if batch.term < entries[-1].term]
        self._settle_rest(overtaken, ProposalDropped, _OVERWRITTEN)
        self._release([batch for batch in self._accepted if batch.last_index <= last_index])

    def skipped(self, last_index: LogIndex) -> None:
        """A snapshot brought everything up to `last_index`: what became of each entry in it, nobody here will know."""
        covered = [batch for batch in self._accepted if batch.first_index <= last_index]
        self._settle_rest(covered, OutcomeUnknown, "or another in its place is in the snapshot that was received")
        self._applied_index = last_index

    def expire(self, now: float) -> None:
        """Stop waiting for what is past its deadline: it may still be committed, now or by another leader."""
        if self._accepted and self._accepted[0].deadline <= now:
            expired = [batch for batch in self._accepted if batch.deadline <= now]
            self._settle_rest(expired, OutcomeUnknown, f"{_OPEN}: no quorum committed it before proposal_timeout_ms")

    def stop(self) -> None:
        """The node stops: nobody here will ever know more."""
        self._settle_rest(list(self._accepted), OutcomeUnknown, f"{_OPEN}: the node stopped")
        for batch in self._offered.values():
            # Only when a fault cut a turn short: the entries may be on their way to the disk, or not.
            self._settle_all(batch, OutcomeUnknown("the node failed while it took the command"))
        self._settle_all(_Batch(self._settlers, 0, 0.0), NodeStopped("the node stopped before it took the command"))
        self._offered.clear()
        self._commands, self._settlers = [], []

    def _settle_rest(self, batches: list[_Batch], error: type[RaftError], why: str) -> None:
        for batch in batches:
            for index, settle in batch.part(self._applied_index + 1, batch.last_index):
                settle(0, error(f"entry {index} of term {batch.term} {why}"))
        self._release(batches)

    def _settle_all(self, batch: _Batch, error: RaftError) -> None:
        for settle in batch.settlers:
            settle(0, error)
        self._forget(batch)

    def _release(self, batches: list[_Batch]) -> None:
        for batch in batches:
            self._accepted.remove(batch)
            self._forget(batch)

    def _forget(self, batch: _Batch) -> None:
        self._pending_count -= len(batch.settlers)
        self._pending_bytes -= batch.commands_bytes
