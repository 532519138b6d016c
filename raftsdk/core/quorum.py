"""Counting: what a majority has, and what it has decided. Pure functions over sets of voters.

A decision needs the majority of every half: there is one half normally, and two while a membership is joint (paper §6).
"""

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import TypeAlias

from raftsdk.types import LogIndex, NodeId

Halves: TypeAlias = Sequence[frozenset[NodeId]]


class VoteResult(Enum):
    """Where an election stands."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority(voters: Collection[NodeId]) -> int:
    """How many of `voters` decide.

    >>> [majority("x" * n) for n in (1, 2, 3, 4, 5)]
    [1, 2, 2, 3, 3]
    """
    return len(voters) // 2 + 1


def has_quorum(halves: Halves, present: Collection[NodeId]) -> bool:
    """Whether those present include a majority of every half."""
    return all(len(half.intersection(present)) >= majority(half) for half in halves)


def committed_index(halves: Halves, match_index: Callable[[NodeId], LogIndex]) -> LogIndex:
    """The highest index that a majority of every half holds durably (paper §5.3, §5.4); of nobody, none is (0).

    >>> match = {"n1": 7, "n2": 4, "n3": 2}
    >>> committed_index([frozenset(match)], match.__getitem__)
    4
    """
    return min(sorted(map(match_index, half), reverse=True)[majority(half) - 1] if half else 0 for half in halves)


def vote_result(halves: Halves, votes: dict[NodeId, bool]) -> VoteResult:
    """Won with a majority of every half; lost once some half can no longer give one.

    >>> vote_result([frozenset({"n1", "n2", "n3"})], {"n1": True, "n2": False}).value
    'pending'
    """
    if has_quorum(halves, [voter for voter, granted in votes.items() if granted]):
        return VoteResult.WON
    open_or_granted = [[voter for voter in half if votes.get(voter, True)] for half in halves]
    if all(len(voters) >= majority(half) for voters, half in zip(open_or_granted, halves, strict=True)):
        return VoteResult.PENDING
    return VoteResult.LOST
