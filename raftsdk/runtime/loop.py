"""The loop: drain the inbox, step the core, carry out what it asks for. One turn is one batch of everything."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from raftsdk.config import RaftConfig
from raftsdk.core.events import Event, Persisted, Received, Tick
from raftsdk.core.raft import Raft
from raftsdk.core.ready import Alarm, Ready, Respond
from raftsdk.errors import NotLeader
from raftsdk.messages import ErrorCode, ErrorResponse, PeerRequest, Response
from raftsdk.ports import RaftNetwork, Storage
from raftsdk.runtime.applier import Applier
from raftsdk.runtime.peers import Peers
from raftsdk.runtime.proposals import Proposals, Settle
from raftsdk.types import Write

log = logging.getLogger("raftsdk.node")

Reply: TypeAlias = Callable[[Response], None]


class Loop:
    """Turns facts into work. Nothing else touches the core, and no turn ever waits."""

    def __init__(
        self,
        raft: Raft,
        storage: Storage,
        network: RaftNetwork,
        applier: Applier,
        proposals: Proposals,
        config: RaftConfig,
    ) -> None:
        self._raft = raft
        self._storage = storage
        self._peers = Peers(network, self.post)
        self._applier = applier
        self._proposals = proposals
        self._config = config
        self._inbox: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._replies: dict[int, Reply] = {}
        self._next_token = 0
        self._held: deque[Respond] = deque()  # in the order of the writes they wait for
        self._durable = 0  # number of the last write that is durable
        self._last_alarms: dict[str, float] = {}  # by name: when it was last logged
        self._writes: asyncio.Queue[Write] = asyncio.Queue(maxsize=1)
        self._shown = (raft.role, raft.term, raft.leader_id)
        self.leader_changed = asyncio.Event()  # set, and replaced, whenever role, term or leader change

    # -- what happens

    def post(self, event: Event) -> None:
        """Tell the core something, next turn."""
        self._inbox.append(event)
        self._wake.set()

    def propose(self, command: bytes, settle: Settle) -> None:
        """Put a command into the next turn's batch. Raises as `Proposals.add` does."""
        self._proposals.add(command, settle)
        self._wake.set()

    def receive(self, request: PeerRequest, reply: Reply) -> None:
        """A peer asks. `reply` is called once, when the answer may be given."""
        if len(self._inbox) >= self._config.max_inbox_events:
            reply(ErrorResponse(code=ErrorCode.OVERLOADED, message="max_inbox_events are waiting", retry_after_ms=100))
            return
        self._next_token += 1
        self._replies[self._next_token] = reply
        self.post(Received(self._next_token, request))

    # -- the tasks

    async def run(self) -> None:
        """Take turns until cancelled."""
        clock = asyncio.get_running_loop().time
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                self._turn(clock() + self._config.proposal_timeout_ms / 1000)
        finally:
            await self._peers.aclose()
            for reply in self._replies.values():
                reply(ErrorResponse(code=ErrorCode.STOPPED, message=f"{self._raft.id} has stopped"))
            self._replies.clear()

    async def persist(self) -> None:
        """Carry out writes, one at a time, until cancelled. What `persist` raises ends the node."""
        while True:
            write = await self._writes.get()
            await self._storage.persist(write)
            self.post(Persisted(write.number))

    async def tick(self) -> None:
        """Pass time to the core, and notice when something keeps the event loop from running.

        Never more than one tick at a time: while this process was stopped or busy, what peers sent was not read either,
        and counting that time as silence would cost an election each time.
        """
        interval = self._config.tick_interval_ms / 1000
        alarm_s = interval * self._config.heartbeat_interval_ticks
        clock = asyncio.get_running_loop().time
        due = clock() + interval
        while True:
            await asyncio.sleep(due - clock())
            now = clock()
            if now - due > alarm_s:
                log.warning(
                    "the event loop of %s stood still for %d ms: heartbeats are late; is an apply or a query so long?",
                    self._raft.id,
                    (now - due) * 1000,
                )
            due = max(due + interval, now)
            self._proposals.expire(now)
            self.post(Tick())

    # -- one turn

    def _turn(self, deadline: float) -> None:
        step, inbox = self._raft.step, self._inbox
        while inbox:
            event = inbox.popleft()
            if type(event) is Persisted:
                self._release(event.number)
            step(event)
        if self._proposals.waiting:
            step(self._proposals.offer(deadline))
        self._carry_out(self._raft.ready())

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
            self._proposals.accepted(accepted)
        for refused in ready.refused:
            self._proposals.refused(refused, self.not_leader())
        if ready.committed:
            self._applier.feed(ready.committed)
        for alarm in ready.alarms:
            self._show_alarm(alarm)
        self._show_role()

    def _release(self, durable: int) -> None:
        """Keep every promise that waited for a write up to number `durable`."""
        self._durable = durable
        while self._held and self._held[0].after <= durable:
            self._reply(self._held.popleft())

    def _reply(self, respond: Respond) -> None:
        self._replies.pop(respond.token)(respond.response)

    def not_leader(self) -> NotLeader:
        """Where to ask instead, as far as this node knows."""
        leader = self._raft.membership.member(self._raft.leader_id) if self._raft.leader_id else None
        return NotLeader(leader.id, leader.addresses) if leader else NotLeader(self._raft.leader_id)

    def _show_alarm(self, alarm: Alarm) -> None:
        """One line a second for each kind: what raises alarms may do so as fast as the network carries it."""
        now = asyncio.get_running_loop().time()
        if now - self._last_alarms.get(alarm.name, -1.0) >= 1.0:
            self._last_alarms[alarm.name] = now
            log.error("%s: %s: %s", self._raft.id, alarm.name, alarm.text)

    def _show_role(self) -> None:
        shown = (self._raft.role, self._raft.term, self._raft.leader_id)
        if shown != self._shown:
            self._shown = shown
            self.leader_changed.set()
            self.leader_changed = asyncio.Event()
            log.info("%s is %s in term %d; leader: %s", self._raft.id, *shown[:2], shown[2] or "none")
