"""Everything that the applied entries add up to: the state machine, the sessions, the membership, and how far.

Pure but for the state machine itself: no task, no clock, so that the simulator runs the very same code. The bytes of a
snapshot are an envelope of ours, and behind it whatever the state machine writes:

    format u32 (1) | length of the table u32 | table of sessions (`sessions`) | the state machine's bytes

in big-endian.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from struct import Struct as Layout
from typing import Final

from raftsdk.errors import StorageFailed
from raftsdk.ports import SnapshotStateMachine, StateMachine
from raftsdk.runtime.outcomes import Outcome, failure, no_bytes
from raftsdk.runtime.sessions import MAX_TABLE_BYTES, Sessions
from raftsdk.types import Entry, EntryKind, LogIndex, Membership, SnapshotMeta, Term, decode_membership

FORMAT: Final = 1

_HEADER: Final = Layout(">II")
_MAX_LENGTH: Final = 2 * MAX_TABLE_BYTES  # Outcomes are counted generously, and the rest of a session is small.


class AppliedState:
    """One node's state after every entry up to `index`."""

    def __init__(self, state_machine: StateMachine, membership: Membership) -> None:
        self.state_machine = state_machine
        #: Whether it can be written down and read again; which takes a while to find out.
        self.can_snapshot = isinstance(state_machine, SnapshotStateMachine)
        self.sessions = Sessions()
        self.index: LogIndex = 0
        self.term: Term = 0  #: Of that entry.
        self.applied_bytes = 0  #: Of all entries that were applied one by one, ever.
        self.membership = membership  #: As of that entry.
        self.membership_index: LogIndex = 0  #: Where it comes from; 0: from configuration.
        self._apply = state_machine.apply

    def apply(
        self, entries: Sequence[Entry], first_index: LogIndex, *, clock: Callable[[], float] = float, until: float = 0.0
    ) -> list[Outcome]:
        """The outcomes of these entries, in order: of one at least, and of no more once `clock()` is past `until`."""
        outcomes: list[Outcome] = []
        command_kind, apply_command = EntryKind.COMMAND, self._command  # looked up once: every write passes here
        size = 0
        for index, entry in enumerate(entries, first_index):
            data = entry.data
            size += len(data)
            outcomes.append(apply_command(data, index) if entry.kind == command_kind else self._other(entry, index))
            if clock() > until:
                break
        self.index = first_index + len(outcomes) - 1
        self.term = entries[len(outcomes) - 1].term
        self.applied_bytes += size
        return outcomes

    def _command(self, command: bytes, index: LogIndex) -> Outcome:
        try:
            result = self._apply(command, index)
        except MemoryError:
            raise  # this node's trouble, which the others do not share: going on would let its state differ from theirs
        except Exception as error:
            return failure(error)
        return result if type(result) is bytes else no_bytes(self._apply, result)

    def _other(self, entry: Entry, index: LogIndex) -> Outcome:
        if entry.kind in (EntryKind.OPEN_SESSION, EntryKind.SESSION_COMMAND):
            return self.sessions.apply(entry.kind, entry.data, index, self._command)
        if entry.kind == EntryKind.MEMBERSHIP:
            self.membership, self.membership_index = decode_membership(entry.data), index
        return b""

    def query(self, query: bytes) -> bytes:
        """What the state machine answers. Raises `CommandFailed` with what it raised."""
        try:
            result = self.state_machine.query(query)
        except Exception as error:
            raise failure(error) from error
        if type(result) is not bytes:
            raise no_bytes(self.state_machine.query, result)
        return result

    # -- snapshots

    def snapshot(self) -> AsyncGenerator[bytes, None]:
        """The state as it is now, in pieces: to be read while further entries are applied."""
        assert isinstance(self.state_machine, SnapshotStateMachine)
        table = self.sessions.encode()
        return _joined(_HEADER.pack(FORMAT, len(table)) + table, self.state_machine.snapshot())

    async def restore(self, meta: SnapshotMeta, pieces: AsyncIterator[bytes]) -> None:
        """Become the state that `pieces` hold. Raises `StorageFailed` when they do not, and whatever the state machine
        raises; either leaves a state that nobody knows.
        """
        assert isinstance(self.state_machine, SnapshotStateMachine)
        reader = _Reader(pieces)
        version, length = _HEADER.unpack(await reader.read(_HEADER.size))
        if version != FORMAT or length > _MAX_LENGTH:
            raise StorageFailed(
                f"the snapshot of entry {meta.index} is of format {version} with {length} bytes of sessions; this "
                f"raftsdk reads format {FORMAT} with up to {_MAX_LENGTH}: use a release that both nodes know"
            )
        try:
            sessions = Sessions.decode(await reader.read(length))
        except ValueError as error:
            raise StorageFailed(
                f"the sessions in the snapshot of entry {meta.index} cannot be read: {error}"
            ) from error
        await self.state_machine.restore(reader.rest())
        self.sessions = sessions
        self.index, self.term = meta.index, meta.term
        self.membership, self.membership_index = meta.membership, meta.index


class _Reader:
    """Takes exact lengths off the front of pieces, and hands out what is left."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = bytearray()

    async def read(self, length: int) -> bytes:
        """The next `length` bytes. Raises `StorageFailed` when there are fewer."""
        while len(self._buffer) < length:
            piece = await anext(self._pieces, b"")
            if not piece:
                raise StorageFailed(f"the snapshot ends {length - len(self._buffer)} bytes before its sessions do")
            self._buffer += piece
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def rest(self) -> AsyncIterator[bytes]:
        """What was not read."""
        return _joined(bytes(self._buffer), self._pieces)


async def _joined(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """`first`, and the pieces behind it; they are closed with it, if they can be."""
    try:
        if first:
            yield first
        async for piece in pieces:
            yield piece
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
