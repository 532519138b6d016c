"""Counting, against the definitions: every majority there is, one by one."""

from collections.abc import Iterator
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftsdk.core.quorum import VoteResult, committed_index, has_quorum, majority, vote_result
from raftsdk.types import NodeId

VOTERS = st.frozensets(st.sampled_from([f"n{number}" for number in range(1, 8)]))
HALVES = st.lists(VOTERS, min_size=1, max_size=2)
"""One of them may be empty: a node that is yet to join knows of no voters."""


def _quorums(halves: list[frozenset[NodeId]]) -> Iterator[frozenset[NodeId]]:
    """Every set of voters that has more than half of each half."""
    everybody = sorted(frozenset().union(*halves))
    for size in range(1, len(everybody) + 1):
        for some in map(frozenset, combinations(everybody, size)):
            if all(2 * len(some & half) > len(half) for half in halves):
                yield some


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_a_majority_is_more_than_half(voters: int, needed: int) -> None:
    assert majority([f"n{number}" for number in range(voters)]) == needed


@pytest.mark.parametrize("halves", [[frozenset()], [frozenset({"n1"}), frozenset()]], ids=["alone", "beside another"])
def test_of_no_voters_nothing_is_decided(halves: list[frozenset[NodeId]]) -> None:
    assert not has_quorum(halves, {"n1", "n2"})
    assert committed_index(halves, lambda _: 9) == 0
    assert vote_result(halves, {"n1": True, "n2": True}) == VoteResult.LOST


@given(HALVES)
def test_any_two_quorums_share_a_voter(halves: list[frozenset[NodeId]]) -> None:
    quorums = [some for some in _quorums(halves) if has_quorum(halves, some)]
    assert all(one & other for one, other in combinations(quorums, 2))


@given(HALVES, st.frozensets(st.sampled_from([f"n{number}" for number in range(1, 10)])))
def test_a_quorum_is_more_than_half_of_every_half(halves: list[frozenset[NodeId]], present: frozenset[NodeId]) -> None:
    assert has_quorum(halves, present) == any(some <= present for some in _quorums(halves))


@given(HALVES, st.dictionaries(st.sampled_from([f"n{number}" for number in range(1, 8)]), st.integers(0, 9)))
def test_committed_is_the_highest_index_that_some_quorum_holds(
    halves: list[frozenset[NodeId]], match: dict[NodeId, int]
) -> None:
    held = [min(match.get(voter, 0) for voter in some) for some in _quorums(halves)]
    assert committed_index(halves, lambda voter: match.get(voter, 0)) == max(held, default=0)


@given(HALVES, st.dictionaries(st.sampled_from([f"n{number}" for number in range(1, 10)]), st.booleans()))
def test_an_election_is_decided_as_soon_as_it_can_be(
    halves: list[frozenset[NodeId]], votes: dict[NodeId, bool]
) -> None:
    granted = {voter for voter, vote in votes.items() if vote}
    refused = votes.keys() - granted
    won = any(some <= granted for some in _quorums(halves))
    lost = not any(some.isdisjoint(refused) for some in _quorums(halves))
    expected = VoteResult.WON if won else VoteResult.LOST if lost else VoteResult.PENDING
    assert vote_result(halves, votes) == expected
