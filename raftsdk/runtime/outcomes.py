"""What an entry of the log comes to, and how what a state machine raises becomes an outcome."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

from raftsdk.errors import CommandFailed, RaftError
from raftsdk.types import LogIndex

Outcome: TypeAlias = bytes | RaftError

Settle: TypeAlias = Callable[[LogIndex, Outcome], None]
"""Told once how something ended, and at which index (0: in no log). Must not raise."""

MAX_FAILURE_CHARS: Final = 1000
"""Of what a state machine raised: its proposer may be far away, and the text may be a whole command."""


def failure(error: Exception) -> CommandFailed:
    """What whoever asked is told of an exception of the state machine: its type, and its text if it has one."""
    with suppress(Exception):  # a stranger's __str__ may raise, too
        return CommandFailed(_storable(f"{type(error).__name__}: {error}"[:MAX_FAILURE_CHARS]))
    return CommandFailed(type(error).__name__)


def no_bytes(method: Callable[..., object], result: object) -> CommandFailed:
    """What is said when a state machine's `method` returned something that no answer can carry."""
    return CommandFailed(f"TypeError: {method.__qualname__} returned {type(result).__name__}, not bytes")


def _storable(text: str) -> str:
    """`text` as UTF-8 can say it: a session keeps its failures, snapshots included, and some texts hold surrogates."""
    return text.encode("utf-8", "replace").decode()
