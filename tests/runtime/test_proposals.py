"""Who waits for which entry: under every order of events, a proposal ends exactly once, and with the truth."""

from collections import Counter
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftsdk.config import RaftConfig
from raftsdk.core.ready import Accepted, ProposalRefused
from raftsdk.errors import (
    CommandTooLarge,
    MembershipRefused,
    NodeStopped,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    ProposalDropped,
)
from raftsdk.runtime.outcomes import Outcome
from raftsdk.runtime.proposals import Proposals
from raftsdk.types import Entry, EntryKind, LogIndex, Member

LIMIT = 50
TIMEOUT = 10.0


@dataclass
class Slot:
    """One entry of the log: its term, and which proposal it is (None: somebody else's)."""

    term: int
    proposal: int | None


class Story:
    """A node's life as its proposals see it. Keeps beside them a log, and so knows how each must end."""

    def __init__(self) -> None:
        self.proposals = Proposals(RaftConfig(max_pending_proposals=LIMIT))
        self.ends: dict[int, Outcome] = {}
        self.ended_at: dict[int, LogIndex] = {}
        self.expired: set[int] = set()
        self.times_ended: Counter[int] = Counter()
        self.place: dict[int, tuple[LogIndex, int]] = {}  # index and term of every accepted proposal
        self.log: list[Slot] = []
        self.applied = 0
        self.term = 1
        self.now = 0.0
        self.count = 0
        self.waiting: list[int] = []

    def add(self, count: int) -> None:
        for _ in range(count):
            number = self.count
            try:
                self.proposals.add(b"%d" % number, partial(self._end, number))
            except Overloaded:
                return
            self.count += 1
            assert self.count - len(self.ends) <= LIMIT
            self.waiting.append(number)

    def _end(self, number: int, index: LogIndex, end: Outcome) -> None:
        self.times_ended[number] += 1
        self.ends[number], self.ended_at[number] = end, index

    def turn(self, verdict: str) -> None:
        """The loop offers what waits, and the core says what becomes of it."""
        if not self.proposals.waiting:
            return
        token = self.proposals.offer(self.now + TIMEOUT).token
        offered, self.waiting = self.waiting, []
        if verdict == "accepted":
            first = len(self.log) + 1
            self.place.update({number: (first + i, self.term) for i, number in enumerate(offered)})
            self.log += [Slot(self.term, number) for number in offered]
            self.proposals.accepted(Accepted(token, first, self.term))
            return
        self.proposals.refused(ProposalRefused(token, overloaded=verdict == "overloaded"), NotLeader("n2"))
        expected = Overloaded if verdict == "overloaded" else NotLeader
        assert all(type(self.ends[number]) is expected for number in offered)

    def another_leader(self, kept: float, length: int) -> None:
        """Overwrites a part of what is not applied; then this node leads again."""
        keep = self.applied + int(kept * (len(self.log) - self.applied))
        del self.log[keep:]
        self.log += [Slot(self.term + 1, None)] * length
        self.term += 2

    def apply(self, count: int) -> None:
        part = self.log[self.applied : self.applied + count]
        if not part:
            return
        entries = [Entry(term=slot.term, kind=EntryKind.COMMAND, data=b"") for slot in part]
        first, self.applied = self.applied + 1, self.applied + len(part)
        self.proposals.applied(first, entries, [b"result of %d" % (first + i) for i in range(len(part))])
        for number, (index, term) in self.place.items():
            if number in self.expired or not first <= index <= self.applied:
                continue
            if self.log[index - 1].term == term:
                assert (self.ends[number], self.ended_at[number]) == (b"result of %d" % index, index)
            else:
                assert type(self.ends[number]) is ProposalDropped

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.proposals.expire(self.now)
        self.expired |= {number for number, end in self.ends.items() if isinstance(end, OutcomeUnknown)}

    def _is_overtaken(self, number: int) -> bool:
        """Whether an entry of a later term was applied while the proposal waited: terms never fall along a log."""
        _, term = self.place[number]
        return number not in self.expired and any(slot.term > term for slot in self.log[: self.applied])

    def stop(self) -> None:
        self.proposals.stop()
        assert self.times_ended == Counter(range(self.count))
        for number in range(self.count):
            end, (index, _) = self.ends[number], self.place.get(number, (0, 0))
            if number in self.waiting:
                assert type(end) is NodeStopped
            if index > self.applied:
                assert type(end) is (ProposalDropped if self._is_overtaken(number) else OutcomeUnknown)
            if isinstance(end, OutcomeUnknown):
                assert number in self.place
        self.proposals.stop()
        assert self.times_ended == Counter(range(self.count))


EVENTS = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 20)),
    st.tuples(st.just("turn"), st.sampled_from(["accepted", "accepted", "accepted", "overloaded", "not leader"])),
    st.tuples(st.just("another_leader"), st.floats(0, 1), st.integers(0, 5)),
    st.tuples(st.just("apply"), st.integers(1, 30)),
    st.tuples(st.just("pass_time"), st.sampled_from([1.0, 6.0])),
)


@settings(max_examples=300)
@given(st.lists(EVENTS, max_size=40))
def test_a_proposal_ends_exactly_once_and_with_the_truth_under_every_order(events: list[tuple[object, ...]]) -> None:
    story = Story()
    for name, *arguments in events:
        getattr(story, str(name))(*arguments)
        assert not story.times_ended or max(story.times_ended.values()) == 1
    story.stop()


def test_when_all_have_ended_there_is_room_for_as_many_again() -> None:
    story = Story()
    for verdict in ("accepted", "overloaded", "not leader", "accepted"):
        story.add(LIMIT)
        story.turn(verdict)
        story.apply(LIMIT)
        assert len(story.ends) == story.count
    story.add(LIMIT)
    story.turn("accepted")
    story.pass_time(2 * TIMEOUT)
    story.add(LIMIT)
    assert story.count == 6 * LIMIT


def test_truncation_alone_proves_nothing() -> None:
    """Another node may still hold the entry, lead, and commit it (paper Figure 8)."""
    story = Story()
    story.add(1)
    story.turn("accepted")
    story.another_leader(kept=0.0, length=0)
    story.pass_time(TIMEOUT)
    assert type(story.ends[0]) is OutcomeUnknown


def test_all_places_behind_an_entry_of_a_later_term_are_taken() -> None:
    """The new leader's one entry tells whoever waited at the old leader, however far behind it they stood."""
    story = Story()
    story.add(3)
    story.turn("accepted")
    story.another_leader(kept=0.0, length=1)
    story.apply(1)
    assert [type(story.ends[number]) for number in range(3)] == [ProposalDropped] * 3


def test_a_turn_that_a_fault_cut_short_leaves_doubt() -> None:
    """The core had the command, and what it asked for may have been on its way to the disk."""
    story = Story()
    story.add(1)
    story.proposals.offer(TIMEOUT)
    story.add(1)
    story.proposals.stop()
    assert [type(story.ends[number]) for number in range(2)] == [OutcomeUnknown, NodeStopped]


def test_a_command_too_large_takes_no_room() -> None:
    proposals = Proposals(RaftConfig(max_command_bytes=10, max_uncommitted_bytes=10))

    def settle(index: LogIndex, end: Outcome) -> None:
        raise AssertionError("nothing was decided yet")

    with pytest.raises(CommandTooLarge):
        proposals.add(bytes(11), settle)
    assert not proposals.waiting
    proposals.add(bytes(10), settle)
    with pytest.raises(Overloaded, match="max_uncommitted_bytes"):
        proposals.add(b"x", settle)


def test_what_is_in_a_snapshot_that_was_received_has_an_end_nobody_here_will_know() -> None:
    """This node led, was deposed, and lagged so far that it got the state instead of the entries."""
    story = Story()
    for _ in range(2):
        story.add(2)
        story.turn("accepted")
    story.proposals.skipped(3)
    assert {number: type(end) for number, end in story.ends.items()} == dict.fromkeys(range(4), OutcomeUnknown)
    assert "in the snapshot that was received" in str(story.ends[0])
    story.proposals.stop()
    assert max(story.times_ended.values()) == 1


def test_what_lies_behind_a_snapshot_that_was_received_is_still_waited_for() -> None:
    story = Story()
    story.add(2)
    story.turn("accepted")
    story.proposals.skipped(0)
    story.apply(2)
    assert story.ends == {0: b"result of 1", 1: b"result of 2"}


def test_entries_of_sessions_stand_among_the_commands_in_the_order_they_came() -> None:
    proposals, ends = Proposals(RaftConfig()), Counter[str]()
    settle = partial(lambda name, index, end: ends.update([name]), "any")
    proposals.add(b"a", settle)
    proposals.add_for_session(EntryKind.OPEN_SESSION, b"b", settle)
    proposals.add(b"c", settle)
    offered = proposals.offer(TIMEOUT)
    assert (offered.commands, offered.kinds) == ([b"a", b"b", b"c"], [1, 3, 1])
    proposals.add(b"d", settle)
    assert proposals.offer(TIMEOUT).kinds is None


def test_a_change_of_members_ends_like_a_command_and_a_refusal_says_why() -> None:
    story = Story()
    ends: list[tuple[LogIndex, Outcome]] = []
    for index, settles in ((5, lambda i, end: ends.append((i, end))), (0, lambda i, end: ends.append((i, end)))):
        change = story.proposals.offer_change([Member("n4")], ["n3"], TIMEOUT, settles)
        assert (change.members, change.remove) == ((Member("n4"),), ("n3",))
        if index:
            story.proposals.accepted(Accepted(change.token, index, 1))
            story.proposals.applied(index, [Entry(1, EntryKind.MEMBERSHIP, b"")], [b""])
        else:
            story.proposals.refused(ProposalRefused(change.token, why="no voter would be left"), NotLeader())
    assert ends[0] == (5, b"")
    assert (type(ends[1][1]), str(ends[1][1])) == (MembershipRefused, "no voter would be left")
