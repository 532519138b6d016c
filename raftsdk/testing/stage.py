"""A cluster on a stage: real nodes, make-believe disks and wires, and nothing happens unless the director says so.

Nodes do as `raftsdk.core` says and not a step more. The director (a transcript, a random schedule) says when time
passes, which message arrives, is lost or repeated, when a write becomes durable, who crashes. What happens is told
line by line. After every event the safety properties of the paper's Figure 3 are checked, and those of our own that
make them hold on real disks: a promise leaves a node only when its disk would remember it.
"""

from collections.abc import Callable, Sequence
from random import Random

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.events import (
    Answered,
    CallFailed,
    ChangeMembership,
    Event,
    Persisted,
    Propose,
    ReadIndex,
    Received,
    Silent,
    SnapshotReceived,
    SnapshotTaken,
    Tick,
    TransferLeadership,
)
from raftsdk.core.raft import Raft
from raftsdk.core.ready import Call, ReadReady, ReadRefused, Ready, Respond
from raftsdk.messages import InstallSnapshotRequest, PeerResponse
from raftsdk.storage.contents import Contents
from raftsdk.testing.safety import Safety, demand
from raftsdk.testing.telling import (
    committed_text,
    last_text,
    membership_text,
    request_text,
    response_text,
    role_text,
    write_text,
)
from raftsdk.types import (
    LogIndex,
    Member,
    Membership,
    NodeId,
    SnapshotMeta,
    Suffrage,
    Term,
    Write,
)


class Flight:
    """One message under way: a request, or the answer to it. A copy's answer is heard by nobody."""

    __slots__ = ("call", "caller", "copy", "life", "response", "source", "target")

    def __init__(
        self, caller: NodeId, life: int, call: Call, *, copy: bool = False, response: PeerResponse | None = None
    ) -> None:
        self.caller = caller
        self.life = life  #: Of the caller: what was asked in an earlier life is answered to nobody.
        self.call = call
        self.copy = copy
        self.response = response
        self.source, self.target = (caller, call.target) if response is None else (call.target, caller)

    def __str__(self) -> str:
        if self.response is None:
            return request_text(self.call.request)
        return response_text(self.call.request, self.response)


class Actor:
    """One node, its disk, and what it owes."""

    def __init__(self, node_id: NodeId, disk: Contents, raft: Raft) -> None:
        self.id = node_id
        self.disk = disk
        self.raft: Raft | None = raft  #: None while it is down.
        self.life = 0
        self.disk_held = False  #: Writes wait for the director.
        self.writing: Write | None = None
        self.durable_write = 0
        self.received: dict[int, Flight] = {}  #: Requests that the node has not answered, by token.
        self.promises: list[Respond] = []  #: Answers that wait for the disk.
        self.applied_index: LogIndex = 0
        self.reads: dict[int, LogIndex] = {}  #: Reads without an end, by token: what was committed when they began.
        self.seen: tuple[Role, Term, NodeId | None] = (Role.FOLLOWER, 0, None)  #: As last told.
        self.seen_commit: LogIndex = 0

    def running(self) -> Raft:
        """The node; it must be up."""
        assert self.raft is not None, f"{self.id} is down"
        return self.raft


class Stage:
    """The cluster. `tell` gets every line; `rng_of` gives a node, by its place from 0 on, its own chance."""

    def __init__(
        self,
        members: Sequence[Member],
        config: RaftConfig,
        tell: Callable[[str], None],
        rng_of: Callable[[int], Random],
    ) -> None:
        self.membership = Membership(tuple(members))  #: What the nodes were started with.
        self.config = config
        self.tell = tell
        self._disks: dict[NodeId, Contents] = {}
        self.safety = Safety(self._disks)
        self.flights: list[Flight] = []  #: Messages under way, the oldest first.
        self._rng_of = rng_of
        self._rngs: dict[NodeId, Random] = {}
        self._groups: dict[NodeId, int] = {}
        self._next_token = 1
        self.actors: dict[NodeId, Actor] = {}
        for member in members:
            self.set_up(member.id, Contents())

    def set_up(self, node_id: NodeId, disk: Contents) -> None:
        """Put a node on the stage that has just started from `disk`; a new one knows of no members."""
        if node_id not in self._rngs:
            self._rngs[node_id] = self._rng_of(len(self._rngs))
        self._disks[node_id] = disk
        actor = self.actors[node_id] = Actor(node_id, disk, self._new_raft(node_id, disk))
        self._wake(actor)

    def _new_raft(self, node_id: NodeId, disk: Contents) -> Raft:
        founder = self.membership.member(node_id) is not None
        membership = self.membership if founder else Membership(())
        return Raft(node_id, membership, disk.recovered(), self.config, self._rngs[node_id])

    def _wake(self, actor: Actor) -> None:
        raft = actor.running()
        actor.seen = (raft.role, raft.term, raft.leader_id)
        actor.seen_commit = actor.applied_index = 0
        actor.reads = {}
        self._settle(actor)

    # -- what the director may do

    def tick(self, node_id: NodeId) -> None:
        """Let one unit of time pass for one node."""
        self._step(self.actors[node_id], Tick())

    def propose(self, node_id: NodeId, commands: Sequence[bytes]) -> None:
        """Ask a node to put commands into the log."""
        self._step(self.actors[node_id], Propose(self._token(), list(commands)))

    def change_membership(self, node_id: NodeId, members: Sequence[Member], remove: Sequence[NodeId] = ()) -> None:
        """Ask a node for other members."""
        self._step(self.actors[node_id], ChangeMembership(self._token(), tuple(members), tuple(remove)))

    def transfer_leadership(self, node_id: NodeId, target: NodeId | None = None) -> None:
        """Ask a node to hand over leadership."""
        self._step(self.actors[node_id], TransferLeadership(self._token(), target))

    def miss(self, node_id: NodeId, silent: NodeId) -> None:
        """Tell a node that nothing is heard of another."""
        self._step(self.actors[node_id], Silent(silent))

    def read(self, node_id: NodeId, *, lease: bool = False) -> None:
        """Ask a node at which index a linearizable read may be served."""
        actor, token = self.actors[node_id], self._token()
        actor.reads[token] = len(self.safety.committed)
        self._step(actor, ReadIndex(token, lease))

    def take_snapshot(self, node_id: NodeId) -> None:
        """Have a node take a snapshot of everything it has applied."""
        actor = self.actors[node_id]
        log, index = actor.running().log, actor.applied_index
        if index >= log.first_index:
            digest = self.safety.digest(index)
            meta = SnapshotMeta(index, log.term_at(index), log.membership_at(index), index, digest)
            self._step(actor, SnapshotTaken(meta))

    def deliver(self, flight: Flight) -> None:
        """Let a message arrive; at a node that is down or cut off, it is lost instead."""
        if flight.target not in self.actors or self.actors[flight.target].raft is None or self.is_cut(flight):
            self.lose(flight)
            return
        self.flights.remove(flight)
        self.tell(f"{flight.source} → {flight.target} {flight}")
        if flight.response is None:
            self._arrive(flight)
        elif self._listens(flight):
            self._step(self.actors[flight.caller], Answered(flight.call, flight.response))

    def _arrive(self, flight: Flight) -> None:
        token = self._token()
        actor = self.actors[flight.target]
        actor.received[token] = flight
        self._step(actor, Received(token, flight.call.request))

    def lose(self, flight: Flight) -> None:
        """Let a message get lost, whereupon its caller gives the call up."""
        self.flights.remove(flight)
        self.tell(f"{flight.source} ✗ {flight.target} {flight}")
        self._fail(flight)

    def _fail(self, flight: Flight) -> None:
        if self._listens(flight):
            self._step(self.actors[flight.caller], CallFailed(flight.call))

    def _listens(self, flight: Flight) -> bool:
        caller = self.actors[flight.caller]
        return caller.raft is not None and caller.life == flight.life and not flight.copy

    def duplicate(self, flight: Flight) -> None:
        """Let a copy of a request arrive now, while the request itself is still under way."""
        self.forge(flight.source, flight.call)

    def forge(self, source: NodeId, call: Call) -> None:
        """Let a request arrive that no node of ours sent; its answer goes nowhere."""
        flight = Flight(source, 0, call, copy=True)
        self.flights.append(flight)
        self.deliver(flight)

    def persist(self, node_id: NodeId) -> None:
        """Make the write that is under way durable."""
        actor = self.actors[node_id]
        self._persist(actor)
        self._settle(actor)

    def crash(self, node_id: NodeId) -> None:
        """Stop a node at once: everything is lost but its disk."""
        actor = self.actors[node_id]
        self.tell(f"{node_id} crashes" + (f", #{actor.writing.number} not durable" if actor.writing else ""))
        owed = list(actor.received.values())
        actor.raft, actor.writing = None, None
        actor.life += 1
        actor.received, actor.promises = {}, []
        for flight in owed:
            self._fail(flight)

    def restart(self, node_id: NodeId) -> None:
        """Start a node that is down from what its disk holds."""
        actor = self.actors[node_id]
        raft = actor.raft = self._new_raft(node_id, actor.disk)
        actor.durable_write = 0
        self.tell(f"{node_id} restarts: term={raft.term} vote={raft.voted_for or '-'} last={last_text(raft)}")
        self.safety.restarts(node_id, raft.term)
        self._wake(actor)

    def partition(self, groups: Sequence[Sequence[NodeId]]) -> None:
        """Cut the wires between groups; messages across are lost. Nodes in no group are together in one more."""
        self._groups = {node_id: number for number, group in enumerate(groups, 1) for node_id in group}

    def is_cut(self, flight: Flight) -> bool:
        """Whether a partition is in a message's way."""
        return self._groups.get(flight.source, 0) != self._groups.get(flight.target, 0)

    # -- what follows

    def _token(self) -> int:
        self._next_token += 1
        return self._next_token

    def _step(self, actor: Actor, event: Event) -> None:
        actor.running().step(event)
        self._settle(actor)

    def _settle(self, actor: Actor) -> None:
        """Carry out all the work there is, as a runtime would."""
        raft = actor.running()
        while True:
            self._observe(actor, raft)
            ready = raft.ready()
            self._carry_out(actor, ready)
            if ready.pieces:
                continue
            if actor.writing is None or actor.disk_held:
                break
            self._persist(actor)
        self._release(actor)

    def _observe(self, actor: Actor, raft: Raft) -> None:
        now = (raft.role, raft.term, raft.leader_id)
        if now != actor.seen:
            demand(raft.term >= actor.seen[1], lambda: f"{actor.id} went back from term {actor.seen[1]}")
            if raft.role is Role.LEADER and actor.seen[:2] != now[:2]:
                self.safety.leads(raft)
            actor.seen = now
            self.tell(f"{actor.id} {role_text(raft)}")
        if raft.role is Role.LEADER:
            self.safety.one_change_at_a_time(raft)
        if raft.log.commit_index != actor.seen_commit:
            others = [other.raft for other in self.actors.values() if other.raft is not None]
            self.safety.commits(raft, actor.seen_commit, others)
            actor.seen_commit = raft.log.commit_index

    def _carry_out(self, actor: Actor, ready: Ready) -> None:
        for alarm in ready.alarms:
            self.tell(f"{actor.id} ALARM {alarm.name}: {alarm.text}")
        for accepted in ready.accepted:
            self.tell(f"{actor.id} accepts from {accepted.first_index}@{accepted.term} on")
        for refused in ready.refused:
            why = refused.why or ("too much uncommitted" if refused.overloaded else "not the leader")
            self.tell(f"{actor.id} refuses: {why}")
        for transfer in ready.transfers:
            self.tell(f"{actor.id} {'does not hand over: ' + transfer.why if transfer.why else 'hands over'}")
        for read in ready.reads:
            self._end_read(actor, read)
        if ready.membership is not None:
            self.tell(f"{actor.id} members: {membership_text(ready.membership)}")
        self.flights += [Flight(actor.id, actor.life, call) for call in ready.calls]
        if ready.write is not None:
            self._begin(actor, ready.write)
        actor.promises += ready.responses
        if ready.restore is not None:
            self.safety.restores(actor.id, actor.applied_index, ready.restore)
            actor.applied_index = ready.restore.index
            self.tell(f"{actor.id} restores {ready.restore.index}@{ready.restore.term}")
        if ready.committed is not None:
            self.safety.hands_out(actor.id, actor.applied_index, ready.committed)
            actor.applied_index += len(ready.committed.entries)
            self.tell(f"{actor.id} commits {committed_text(ready.committed)}")
        for piece in ready.pieces:
            # The one there is: in a play a snapshot comes whole. What is in it is what its maker's state came to.
            actor.running().step(SnapshotReceived(piece.token, _meta_of(piece.request)))

    def _end_read(self, actor: Actor, read: ReadReady | ReadRefused) -> None:
        began_at = actor.reads.pop(read.token)
        if isinstance(read, ReadRefused):
            self.tell(f"{actor.id} refuses to read")
            return
        self.safety.reads(actor.id, began_at, read.index)
        self.tell(f"{actor.id} reads at {read.index}{' by lease' if read.lease else ''}")

    def _begin(self, actor: Actor, write: Write) -> None:
        demand(actor.writing is None, lambda: f"{actor.id} has two writes under way")
        self.safety.writes(actor.id, write, actor.running().log.term_at(write.first_index - 1))
        actor.writing = write
        if actor.disk_held:
            self.tell(f"{actor.id} begins {write_text(write)}")

    def _persist(self, actor: Actor) -> None:
        write = actor.writing
        assert write is not None, f"{actor.id} has no write under way"
        actor.disk.persist(write)
        actor.writing = None
        actor.durable_write = write.number
        self.tell(f"{actor.id} persists {f'#{write.number}' if actor.disk_held else write_text(write)}")
        actor.running().step(Persisted(write.number))

    def _release(self, actor: Actor) -> None:
        due = [promise for promise in actor.promises if promise.after <= actor.durable_write]
        if not due:
            return
        actor.promises = [promise for promise in actor.promises if promise.after > actor.durable_write]
        for promise in due:
            flight = actor.received.pop(promise.token)
            self.safety.promises(actor.id, flight.call.request, promise.response)
            answer = Flight(flight.caller, flight.life, flight.call, copy=flight.copy, response=promise.response)
            if flight.copy:
                self.tell(f"{actor.id} answers: {answer}")
            else:
                self.flights.append(answer)


def _meta_of(request: InstallSnapshotRequest) -> SnapshotMeta:
    return SnapshotMeta(
        request.last_included_index,
        request.last_included_term,
        request.membership,
        request.total_bytes,
        request.digest,
    )


def cast(count: int, learners: Sequence[NodeId] = ()) -> list[Member]:
    """Members n1 to n`count`, those named in `learners` without a vote."""
    ids = [f"n{number}" for number in range(1, count + 1)]
    return [Member(i, suffrage=Suffrage.LEARNER if i in learners else Suffrage.VOTER) for i in ids]


def status_lines(actor: Actor) -> list[str]:
    """A node in one line; with its peers below when that would be too long."""
    raft = actor.raft
    if raft is None:
        return [f"{actor.id} is down"]
    quiesced = " quiesced" if raft.quiescence.holds else ""
    line = (
        f"{actor.id}@{raft.term} {raft.role.value}{quiesced} last={last_text(raft)} commit={raft.log.commit_index}"
        f" durable={raft.log.durable_index}"
    )
    peers = [f"{peer}:{progress}" for peer, progress in raft.progress.items()]
    if not peers:
        return [f"{line} vote={raft.voted_for or '-'} leader={raft.leader_id or '-'}"]
    whole = f"{line} {{{'  '.join(peers)}}}"
    return [whole] if len(whole) <= 100 else [line, *(f"   {peer}" for peer in peers)]


def log_line(actor: Actor) -> str:
    """A node's log as the paper draws it: the term of each entry; `|` stands after what it knows to be committed."""
    raft = actor.raft
    if raft is None:
        return f"{actor.id} is down"
    first = raft.log.first_index
    terms = [str(entry.term) for entry in raft.log.between(first, raft.log.last_index)]
    terms.insert(raft.log.commit_index + 1 - first, "|")
    return f"{actor.id}  {' '.join([f'..{first - 1}', *terms] if first > 1 else terms)}"
