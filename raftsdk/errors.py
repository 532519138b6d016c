"""Every error says what the caller may conclude.

The question after a failed write is never "what went wrong" but "may it still happen?". So:

- `NotLeader`, `Overloaded`, `CommandTooLarge`: the command is in no log. Ask elsewhere, later, or for less.
- `ProposalDropped`: the command was in a log and lost its place to another. It will never be applied; propose again.
- `CommandFailed`: the command *was* committed, and the state machine refused it, on every node alike.
- `OutcomeUnknown`: it may yet be applied. Only an idempotent command may be repeated.
"""

from collections.abc import Sequence

from raftsdk.types import NodeId


class RaftError(Exception):
    """The base of every error this package raises on purpose."""


# -- proposals and queries


class NotLeader(RaftError):
    """The node asked does not lead, so the request is in no log. `leader` is who does, when known, and where."""

    def __init__(self, leader: NodeId | None = None, addresses: Sequence[str] = ()) -> None:
        self.leader = leader
        self.addresses = tuple(addresses)
        where = f" at {', '.join(addresses)}" if addresses else ""
        super().__init__(f"not the leader; ask {leader}{where}" if leader else "not the leader, and none is known")


class Overloaded(RaftError):
    """A bound was reached and the request is in no log. Ask again after `retry_after_ms`."""

    def __init__(self, message: str, retry_after_ms: int = 100) -> None:
        self.retry_after_ms = retry_after_ms
        super().__init__(message)


class CommandTooLarge(RaftError):
    """The command is larger than `max_command_bytes`; it is in no log, and asking again will not help."""


class ProposalDropped(RaftError):
    """The proposed entry was overwritten by another leader's and will never be applied: it is safe to propose again."""


class OutcomeUnknown(RaftError):
    """The proposal may or may not be applied, now or later. Repeat it only if applying it twice does no harm."""


class CommandFailed(RaftError):
    """The command was committed and the state machine raised on it, on every node alike. Later entries go on."""


class SessionExpired(RaftError):
    """The session is not known any more, so nobody can tell whether its command was applied before; now it was not."""


class MembershipRefused(RaftError):
    """The change of members was not begun; the text says why, and what to do."""


class TransferFailed(RaftError):
    """Leadership was not handed over; whoever led may go on leading."""


class SnapshotFailed(RaftError):
    """No snapshot was taken; the log is whole, and nothing else has changed."""


class NodeStopped(RaftError):
    """The node is shutting down or was stopped by a fault: nothing new was accepted."""


# -- peers and the wire


class Unreachable(RaftError):
    """No answer. Between nodes: the peer may or may not have acted. From a client: no node took the request, so it is
    in no log; had one perhaps taken it, the error would be `OutcomeUnknown`.
    """


class Refused(RaftError):
    """The other side answered, and said no: `code` is one of the wire's error codes (`messages.ErrorCode`)."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}" if message else code)


class WireError(RaftError):
    """A peer broke the wire's rules; its connection is closed. `reason` is a short word fit for a metric's label."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class DecodeError(RaftError):
    """These bytes are not that message. The text names the field and says what was wrong with it."""


# -- storage


class StorageFailed(RaftError):
    """A durable write or a read failed. The node stops and never guesses; nothing is retried past it."""


class StorageRefused(RaftError):
    """The data directory cannot be used: locked, damaged, of a newer format, or of another node or cluster."""


class SnapshotDamaged(RaftError):
    """A snapshot that was received is not the one that was sent: its digest differs. Nothing of it is kept."""


# -- configuration


class ConfigError(RaftError):
    """The configuration has faults: all of them, one line each, every line saying what to do."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"{len(faults)} fault{'s' if len(faults) != 1 else ''} in the configuration:\n{lines}")
