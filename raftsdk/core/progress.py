"""One peer in the leader's eyes: what it surely has, what comes next, and whether more may be sent now."""

from enum import Enum

from raftsdk.types import LogIndex


class ProgressState(Enum):
    """How sure the leader is of what a peer's log looks like."""

    PROBE = "probe"  #: Not sure: one call at a time, to find where the logs agree.
    REPLICATE = "replicate"  #: Sure: a window of calls, each sent as if the one before had succeeded.
    SNAPSHOT = "snapshot"  #: What it needs next was compacted away: one call under way, with a snapshot.


class Progress:
    """A small machine of its own. A leader has one for each peer and throws them away when it steps down.

    A call ends exactly once, so `outstanding` always drains. Going back to `PROBE` abandons what is under way by
    starting a new `epoch`: calls of an older one no longer count, but what they prove still does.
    """

    __slots__ = (
        "confirmed_at",
        "confirmed_round",
        "epoch",
        "first_epoch",
        "match_index",
        "missed_since",
        "next_index",
        "outstanding",
        "recently_active",
        "state",
        "waiting",
    )

    def __init__(self, next_index: LogIndex, first_epoch: int = 0) -> None:
        self.state = ProgressState.PROBE
        self.match_index: LogIndex = 0  #: Highest index known to be durable there. Never falls within a term.
        self.next_index = next_index  #: First index of the next call. Invariant: match_index < next_index.
        self.outstanding = 0  #: Calls with entries, of this epoch, that have not ended.
        self.epoch = self.first_epoch = first_epoch  #: No call of an earlier one was to this peer as it is now.
        self.waiting = False  #: A call failed: send nothing but heartbeats until one of them is answered.
        self.recently_active = True  #: Heard from since the last check of the quorum (a new leader gives credit).
        self.missed_since = -1  #: In the leader's ticks: since when no heartbeat was answered; -1: the last one was.
        self.confirmed_round = 0  #: The last round of reads for which it followed this leader.
        self.confirmed_at = -1  #: When, in the leader's ticks, the last call began that it answered as a follower.

    def may_send(self, last_index: LogIndex, window: int) -> bool:
        """Whether a call with entries should start now."""
        if self.waiting or self.next_index > last_index or self.state is ProgressState.SNAPSHOT:
            return False
        return self.outstanding < (window if self.state is ProgressState.REPLICATE else 1)

    def sent(self, count: int) -> None:
        """A call with `count` entries from `next_index` on has started."""
        self.outstanding += 1
        if self.state is ProgressState.REPLICATE:
            self.next_index += count

    def ended(self, epoch: int) -> None:
        """A call with entries has ended, either way."""
        if epoch == self.epoch:
            self.outstanding -= 1

    def maybe_match(self, index: LogIndex) -> bool:
        """The peer has proved to hold everything up to `index`. True when that is news.

        Answers overtake each other: an old one proves less than is known, and must not lower anything.
        """
        self.next_index = max(self.next_index, index + 1)
        if index <= self.match_index:
            return False
        self.match_index = index
        return True

    def become_replicate(self) -> None:
        """The logs agree up to `match_index`: stream from there."""
        if self.state is not ProgressState.REPLICATE:
            self.state = ProgressState.REPLICATE
            self.next_index = self.match_index + 1
            self.outstanding = 0
            self.epoch += 1

    def become_snapshot(self) -> None:
        """A snapshot is on its way, with one call."""
        self.state = ProgressState.SNAPSHOT
        self.outstanding = 1
        self.epoch += 1

    def become_probe(self, next_index: LogIndex) -> None:
        """Look for agreement again, from `next_index` at the most, abandoning the calls under way."""
        self.state = ProgressState.PROBE
        self.next_index = max(next_index, self.match_index + 1)
        self.outstanding = 0
        self.epoch += 1

    def step_back(self, rejected: LogIndex, agreeable: LogIndex) -> None:
        """The peer refused a call of this epoch whose `prev_log_index` was `rejected`: look lower.

        Even when more has been proved since, its entries are not there: calls of one epoch cover the log side by side.
            call A: 1..10, call B: 11..20; B overtakes A and is refused; A's answer comes first: 10 is proved, then
            `rejected` is 10 as well, and without stepping back nobody would ever send 11..20 again.
        A refusal that leaves nowhere lower to look is not to be answered by the same call at once, for ever.
        """
        before = self.next_index
        self.become_probe(min(rejected, agreeable + 1))
        self.waiting = self.next_index >= before

    def __str__(self) -> str:
        """As transcripts show it: `2→4 replicate outstanding=1`."""
        parts = [f"{self.match_index}→{self.next_index} {self.state.value}"]
        if self.outstanding:
            parts.append(f"outstanding={self.outstanding}")
        if self.waiting:
            parts.append("waiting")
        return " ".join(parts)
