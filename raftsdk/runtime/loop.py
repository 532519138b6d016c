"""The loop: drain the inbox, step the core, carry out what it asks for. One turn is one batch of everything."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import Any, Final, TypeAlias

from raftsdk.config import RaftConfig
from raftsdk.core import quiescence
from raftsdk.core.events import Event, Persisted, Received, Silent, Tick, TransferLeadership
from raftsdk.core.raft import Raft
from raftsdk.core.ready import Alarm, ReadReady, Ready, Respond
from raftsdk.errors import NotLeader
from raftsdk.messages import Consistency, ErrorCode, ErrorResponse, PeerRequest, Response
from raftsdk.ports import RaftNetwork, Storage
from raftsdk.runtime.applied import AppliedState
from raftsdk.runtime.applier import Applier
from raftsdk.runtime.outcomes import Outcome, Settle
from raftsdk.runtime.peers import Peers
from raftsdk.runtime.proposals import Proposals
from raftsdk.runtime.reads import Reads
from raftsdk.runtime.sessions import LogClock
from raftsdk.runtime.snapshots import OwnSnapshots, ReceivedSnapshots
from raftsdk.types import Entry, LogIndex, Member, NodeId, SnapshotMeta, Write

log = logging.getLogger("raftsdk.node")

Reply: TypeAlias = Callable[[Response], None]
Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
EndTransfer: TypeAlias = Callable[[str], None]
"""Told once why leadership was not handed over; the empty text when it was."""


LEAVING_S = 1.0
"""For so long a node that is no member any more is still reached, once that is committed."""


STALL_SILENCE_S = 1.0
"""For so long nothing more is said of an event loop that stood still: every group of a host would say the same."""

_NOBODY: Final = frozenset[NodeId]()

_stall_told_at = -STALL_SILENCE_S


class Loop:
    """Turns facts into work. Nothing else touches the core, and no turn ever waits."""

    def __init__(
        self, raft: Raft, storage: Storage, network: RaftNetwork, state: AppliedState, config: RaftConfig
    ) -> None:
        self._raft = raft
        self._storage = storage
        self._state = state
        self._config = config
        self._peers = Peers(network, storage, raft.id, self.post)
        self._applier = Applier(state, storage, self._applied, self._restored)
        self._received = ReceivedSnapshots(storage, self.post, self._refuse_piece)
        self.proposals = Proposals(config)
        self.reads = Reads(state, config)
        self.snapshots = OwnSnapshots(state, storage, config, self.post)
        self.log_clock = LogClock(monotonic)
        self._inbox: deque[Event] = deque()
        self._call_soon = asyncio.get_running_loop().call_soon
        self._call_later = asyncio.get_running_loop().call_later
        self._turn_is_due = False
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # by what a turn raised
        self._replies: dict[int, Reply] = {}
        self._next_token = 0
        self._transfers: dict[int, EndTransfer] = {}
        self._held: deque[Respond] = deque()  # in the order of the writes they wait for
        self._durable = 0  # number of the last write that is durable
        self._last_alarms: dict[str, float] = {}  # by name: when it was last logged
        self._writes: asyncio.Queue[Write] = asyncio.Queue(maxsize=1)
        self._shown = (raft.role, raft.term, raft.leader_id)
        self._tick_s = config.tick_interval_ms / 1000
        self._ticked_at = monotonic()  # up to when the core knows of the time
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf  # when it is due, or was
        self._watched: frozenset[NodeId] | None = _NOBODY  # None: the network watches some of them no more
        self._is_member = raft.membership.member(raft.id) is not None
        self.changed = asyncio.Event()  #: Set, and replaced, whenever role, term, leader or members change.
        self.has_written = asyncio.Event()  #: Set with the first write: a new node's identity is on its disk.
        self._relocation: asyncio.TimerHandle | None = None
        self._locate()
        if raft.log.snapshot is not None:
            self.snapshots.stored(raft.log.snapshot)
            self.reads.paused = True  # until the core's first work, restoring it, is done

    # -- what happens

    def post(self, event: Event) -> None:
        """Tell the core something, next turn."""
        self._inbox.append(event)
        self._wake()

    def _wake(self) -> None:
        """Have a turn taken once everybody who is at work now has said what he has to say: so turns are batches."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self._call_soon(self._take_turn)

    def propose(self, command: bytes, settle: Settle) -> None:
        """Put a command into the next turn's batch. Raises as `Proposals.add` does."""
        self.proposals.add(command, settle)
        self._wake()

    def propose_for_session(self, kind: int, data: bytes, settle: Settle) -> None:
        """Put an entry that concerns a session into the next turn's batch. Raises as `Proposals.add` does."""
        self.proposals.add_for_session(kind, data, settle)
        self._wake()

    def change_membership(self, members: Sequence[Member], remove: Sequence[NodeId], settle: Settle) -> None:
        """Ask for other members, next turn. `settle` is told of the first entry of the change."""
        self.post(self.proposals.offer_change(members, remove, self._deadline(), settle))

    def transfer_leadership(self, target: NodeId | None, end: EndTransfer) -> None:
        """Hand over leadership, next turn on."""
        self._next_token += 1
        self._transfers[self._next_token] = end
        self.post(TransferLeadership(self._next_token, target))

    def read(self, query: bytes | None, consistency: Consistency, max_staleness_ms: int, settle: Settle) -> None:
        """Take a read, for now or the next turn. Raises as `Reads.add` does."""
        self.reads.add(query, consistency, max_staleness_ms, settle)
        if self.reads.new:
            self._wake()

    def receive(self, request: PeerRequest, reply: Reply) -> None:
        """A peer asks. `reply` is called once, when the answer may be given."""
        if len(self._inbox) >= self._config.max_inbox_events:
            reply(ErrorResponse(code=ErrorCode.OVERLOADED, message="max_inbox_events are waiting", retry_after_ms=100))
            return
        self._next_token += 1
        self._replies[self._next_token] = reply
        self.post(Received(self._next_token, request))

    # -- the tasks

    def jobs(self) -> Sequence[Job]:
        """What is to run, side by side, until it is cancelled."""
        return (self._run, self._persist, self._applier.run, self._received.run)

    async def _run(self) -> None:
        """Wait for a turn to fail, which ends the node. No task takes the turns: to wake one each time would cost a
        twentieth of a lone write.
        """
        self._wake()
        try:
            await self._failed
        finally:
            self._failed.cancel()
            if self._alarm is not None:
                self._alarm.cancel()
            await self._peers.aclose()
            await self.snapshots.aclose()
            for reply in self._replies.values():
                reply(ErrorResponse(code=ErrorCode.STOPPED, message=f"{self._raft.id} has stopped"))
            self._replies.clear()

    async def _persist(self) -> None:
        """Carry out writes, one at a time. What `persist` raises ends the node."""
        while True:
            write = await self._writes.get()
            await self._storage.persist(write)
            if write.snapshot is not None:
                self.snapshots.stored(write.snapshot)
            self.has_written.set()
            self.post(Persisted(write.number))

    def _tell_stall(self, now: float, late_s: float) -> None:
        global _stall_told_at  # of this process: its groups share the event loop
        if now - _stall_told_at >= STALL_SILENCE_S:
            _stall_told_at = now
            log.warning(
                "the event loop of %s stood still for %d ms: heartbeats are late; is an apply or a query so long?",
                self._raft.id,
                late_s * 1000,
            )

    # -- one turn

    def _take_turn(self) -> None:
        self._turn_is_due = False
        if self._failed.done():
            return
        try:
            self._turn()
        except (Exception, asyncio.CancelledError) as error:
            self._failed.set_exception(error)

    def _turn(self) -> None:
        step, inbox = self._raft.step, self._inbox
        self._pass_time()
        while inbox:
            event = inbox.popleft()
            if type(event) is Persisted:
                self._release(event.number)
            step(event)
        if self.proposals.waiting:
            step(self.proposals.offer(self._deadline()))
        if self.reads.new:
            for read_index in self.reads.offer():
                step(read_index)
        self._carry_out(self._raft.ready())
        if self._raft.quiescence.holds or self._watched != _NOBODY:
            self._watch()
        self._set_alarm()

    def _watch(self) -> None:
        """Rely on the lives that the core relies on, and on no others."""
        watched = quiescence.watched(self._raft)
        if watched != self._watched:
            self._watched = watched
            self._peers.watch(watched, self._config, self._lost)

    def _lost(self, node_id: NodeId) -> None:
        self._watched = None
        self.post(Silent(node_id))

    def _pass_time(self) -> None:
        """Tell the core how many ticks have passed since it last heard, before anything else that has happened.

        After standing still, nothing comes due at once: what peers sent meanwhile was not read either, and counting
        that time as their silence would cost an election each time.
        """
        now = monotonic()
        lapsed = int((now - self._ticked_at) / self._tick_s)
        if not lapsed:
            return
        self._ticked_at += lapsed * self._tick_s
        passed = min(lapsed, self._raft.ticks_until_due)
        late_s = now - self._alarm_at
        if late_s > self._config.heartbeat_interval_ticks * self._tick_s:
            self._tell_stall(now, late_s)
            passed = max(passed - 1, 1)
        self.proposals.expire(now)
        self.reads.expire(self.not_leader())
        self.reads.ticked(self._ticked_at)
        self._raft.step(Tick(lapsed, passed))

    def _set_alarm(self) -> None:
        """Have a turn taken when time alone makes something due. To wake up at each tick would be most of what an idle
        node costs.
        """
        next_tick_at = self._ticked_at + self._tick_s
        if self._alarm is not None and self._alarm_at <= next_tick_at:
            return  # as always under load: everything that waits has a time limit, which ticks are for
        if self.proposals.pending or self.reads.pending:
            due_at = next_tick_at
        else:
            due_at = self._ticked_at + self._tick_s * self._raft.ticks_until_due
        if self._alarm is not None:
            if self._alarm_at <= due_at:
                return  # it rings too early, if at all, and is set anew then
            self._alarm.cancel()
        self._alarm_at = due_at
        # A millisecond is what event loops round by: rather late than in vain.
        self._alarm = self._call_later(due_at - monotonic() + 0.001, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _deadline(self) -> float:
        return monotonic() + self._config.proposal_timeout_ms / 1000

    def _carry_out(self, ready: Ready) -> None:
        self._peers.start(ready.calls)
        if ready.write:
            self._writes.put_nowait(ready.write)
        for response in ready.responses:
            # The write may have become durable in this very turn, after the answer was decided.
            if response.after > self._durable:
                self._held.append(response)
            else:
                self._reply(response)
        for accepted in ready.accepted:
            self.proposals.accepted(accepted)
        for refused in ready.refused:
            self.proposals.refused(refused, self.not_leader())
        for alarm in ready.alarms:
            self._show_alarm(alarm)
        if ready.membership:
            self._follow_membership()
        for ended in ready.transfers:
            self._transfers.pop(ended.token)(ended.why)
        if ready.pieces:
            self._received.keep(ready.pieces)
        if ready.restore:
            self.reads.paused = True
            self.proposals.skipped(ready.restore.index)
            self._applier.restore(ready.restore)
        if ready.committed:
            self._applier.feed(ready.committed)
        for read in ready.reads:
            if isinstance(read, ReadReady):
                self.reads.confirmed(read)
            else:
                self.reads.refused(read.token, self.not_leader())
        self._show_role()

    def _release(self, durable: int) -> None:
        """Keep every promise that waited for a write up to number `durable`."""
        self._durable = durable
        while self._held and self._held[0].after <= durable:
            self._reply(self._held.popleft())

    def _reply(self, respond: Respond) -> None:
        self._replies.pop(respond.token)(respond.response)

    def _refuse_piece(self, token: int, why: str) -> None:
        self._replies.pop(token)(ErrorResponse(code=ErrorCode.OVERLOADED, message=why, retry_after_ms=100))

    # -- what the applier reports

    def _applied(self, first_index: LogIndex, entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> None:
        self.log_clock.saw(self._state.sessions.log_time_ms)
        self.proposals.applied(first_index, entries, outcomes)
        self.snapshots.progressed()
        self.reads.progressed()
        if self._state.membership_index >= first_index:
            self._tell_change()
            if self._relocation is None:
                # Whoever has left is to hear of that first, which is on its way.
                self._relocation = asyncio.get_running_loop().call_later(LEAVING_S, self._locate)

    def _restored(self, meta: SnapshotMeta) -> None:
        log.info("%s has restored the snapshot of entry %d", self._raft.id, meta.index)
        self.log_clock.saw(self._state.sessions.log_time_ms)
        self.reads.paused = False
        self.reads.progressed()
        self._tell_change()

    # -- the end

    def stop(self) -> None:
        """Tell everybody who waits that nothing more will come. The tasks are ended by whoever runs them."""
        self.proposals.stop()
        self.reads.stop()
        for end in self._transfers.values():
            end("the node stopped")
        self._transfers.clear()
        if self._relocation is not None:
            self._relocation.cancel()
        self._tell_change()

    # -- what is known, and told

    def not_leader(self) -> NotLeader:
        """Where to ask instead, as far as this node knows."""
        leader_id = self._raft.leader_id
        if leader_id is None or leader_id == self._raft.id:  # it leads, and could not get a quorum's answer
            return NotLeader()
        leader = self._raft.membership.member(leader_id)
        return NotLeader(leader_id, leader.addresses if leader else ())

    def _locate(self) -> None:
        self._relocation = None
        self._peers.locate(self._raft.log.memberships(), self._raft.log.open_memberships())

    def _tell_change(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def _follow_membership(self) -> None:
        membership = self._raft.membership
        self._locate()
        is_member = membership.member(self._raft.id) is not None
        if self._is_member and not is_member:
            log.warning("%s was removed from its cluster: once that is committed, it may be stopped", self._raft.id)
        self._is_member = is_member
        ids = ", ".join(f"{member.id} ({member.suffrage})" for member in membership.members)
        log.info("%s knows as members: %s%s", self._raft.id, ids, "; a change is under way" * bool(membership.outgoing))
        self._tell_change()

    def _show_alarm(self, alarm: Alarm) -> None:
        """One line a second for each kind: what raises alarms may do so as fast as the network carries it."""
        now = monotonic()
        if now - self._last_alarms.get(alarm.name, -1.0) >= 1.0:
            self._last_alarms[alarm.name] = now
            log.error("%s: %s: %s", self._raft.id, alarm.name, alarm.text)

    def _show_role(self) -> None:
        shown = (self._raft.role, self._raft.term, self._raft.leader_id)
        if shown != self._shown:
            self._shown = shown
            self._tell_change()
            log.info("%s is %s in term %d; leader: %s", self._raft.id, *shown[:2], shown[2] or "none")
