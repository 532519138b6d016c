"""What the user writes."""

from typing import Protocol, runtime_checkable

from raftsdk.types import LogIndex


@runtime_checkable
class StateMachine(Protocol):
    """The application: the same commands in the same order give the same state and results on every node (paper §2).

    *Determinism.* No clock, no chance, no environment, no iteration order of a set: only the state and the command.
    *Raising.* An exception from `apply` stops that command alone, on every node alike: its proposer gets
    `CommandFailed` with the exception's type and text, the index counts as applied, and the next command follows. So
    raise only for what every node will find alike (a malformed command, a broken rule), and before changing any
    state.
    *Threads.* Both methods are called from the event loop's thread, one at a time. Long work there delays the node's
    heartbeats: the node applies in slices and warns when the loop lags, but it cannot interrupt one call.
    """

    def apply(self, command: bytes, index: LogIndex) -> bytes:
        """Apply one committed command and return its result for the proposer. Called once for each index, ascending;
        indexes of entries that are not commands are skipped. After a restart it starts again on a fresh object: from
        the first index, or behind the snapshot that was restored (`SnapshotStateMachine`).
        """
        ...

    def query(self, query: bytes) -> bytes:
        """Answer a question without changing anything. An exception is handed to whoever asked."""
        ...
