"""A cluster of real processes under a workload, what may befall it, and what must hold when it is over.

Whatever happened: the history is linearizable, which no undecided history is; once nothing is broken any more, one
leader serves, and every node holds the same. And the run proves something: enough was asked, under faults, with enough
success (`faults` counts a fault from when it begins until it is repaired).
"""

import asyncio
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from fault_workload import OPERATIONS_A_KEY, PADDING_BYTES, Workload
from faulty_machine import Machine, require_namespaces, small_disk
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from raftsdk import Client
from raftsdk.cli.key_value import digests_query, parse_digests
from raftsdk.config.reading import merge
from raftsdk.errors import RaftError
from raftsdk.messages import StatusResponse
from raftsdk.ports import Codec
from raftsdk.testing.checkers import check
from raftsdk.testing.history import Demands, Fault, HistoryReport, Operation, write_history
from raftsdk.testing.processes import LocalCluster, NodeProcess
from raftsdk.testing.wiring import Cuts, Wiring
from raftsdk.types import NodeId, Suffrage

TICK_MS: Final = 20
ELECTION_TIMEOUT_TICKS: Final = 30
ELECTION_TIMEOUT_S: Final = 2 * ELECTION_TIMEOUT_TICKS * TICK_MS / 1000
"""The longest that a node waits before it campaigns."""

CLIENT_TIMEOUT_MS: Final = 1_500
STATUS_TIMEOUT_MS: Final = 400
CODECS: Final[Sequence[Codec]] = (MsgpackCodec(), JsonCodec())
POLL_S: Final = 0.05
PATIENCE_S: Final = 20.0
WARM_UP_S: Final = 1.0
HISTORY_FILE: Final = "history.jsonl"

Found = TypeVar("Found")


class Trial:
    """What tests do to the cluster, and what they ask of it. Made by `on_trial`."""

    def __init__(self, cluster: LocalCluster, rng: random.Random) -> None:
        self.cluster = cluster
        self.nodes = list(cluster.nodes)  #: The members; whoever adds or removes one changes this.
        self.rng = rng
        self.faults: list[Fault] = []
        self.longest_pause_s = 2 * ELECTION_TIMEOUT_S
        self.report: HistoryReport | None = None  # once it is over
        self.machines: dict[NodeProcess, Machine] = {}
        self._askers: dict[NodeProcess, Client] = {}
        self._stack = AsyncExitStack()
        self._workload: Workload | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def begin(self, **workload: Any) -> None:
        """Start the workload, and wait until it runs well."""
        addresses = self.cluster.addresses
        clients = [self.client(*addresses[place:], *addresses[:place]) for place in range(len(addresses))]
        for client in clients:
            await self._stack.enter_async_context(client)
        self._workload = Workload(clients, self.rng, **workload)
        self._stack.push_async_callback(self._workload.cancel)
        await self.serves()
        await asyncio.sleep(WARM_UP_S)

    async def end(self, min_operations: int) -> list[Operation]:
        """What happened, so much at least. Nothing is broken any more; in the end every node holds the same, and has
        the same members.
        """
        await self.leader()
        await self.until(self._agree_on_members, f"{names(self.nodes)} the voters, and nobody else a member")
        await self.serves(min_operations - self.workload.asked)
        operations = await self.workload.stop()
        contents = await self.contents()
        assert all(held == contents[0] for held in contents)
        for node in [*self.cluster.nodes, *self.cluster.joining]:
            assert "Traceback" not in node.said(), f"{node.node_id} did not expect what happened"
        return operations

    @property
    def cuts(self) -> Cuts:
        return self.cluster.cuts

    @property
    def wiring(self) -> Wiring:
        assert self.cluster.wiring is not None
        return self.cluster.wiring

    @property
    def workload(self) -> Workload:
        assert self._workload is not None
        return self._workload

    # -- faults

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """Note that something is broken for as long as the block lasts."""
        began = time.monotonic_ns()
        try:
            yield
        finally:
            self.faults.append(Fault(name, began, time.monotonic_ns()))

    async def kill(self, *nodes: NodeProcess) -> None:
        """SIGKILL, for a moment or two."""
        with self.fault(f"kill {names(nodes)}"):
            await asyncio.gather(*(node.kill() for node in nodes))
            await asyncio.sleep(self.rng.uniform(0, 0.5))
            await asyncio.gather(*(node.start() for node in nodes))

    @asynccontextmanager
    async def paused(self, *nodes: NodeProcess) -> AsyncIterator[None]:
        """SIGSTOP, and SIGCONT after the block."""
        with self.fault(f"pause {names(nodes)}"):
            for node in nodes:
                node.signal(signal.SIGSTOP)
            try:
                yield
            finally:
                for node in nodes:
                    node.signal(signal.SIGCONT)

    async def _agree_on_members(self) -> bool:
        """Whether all of `nodes` are voters, and nobody else is a member, as far as any of them knows."""
        statuses = (await self.statuses()).values()
        return len(statuses) == len(self.nodes) and all(
            status.suffrage == Suffrage.VOTER
            and not status.joint
            and members_by(status) == {node.node_id for node in self.nodes}
            for status in statuses
        )

    def installed_snapshots(self) -> int:
        """How many others' snapshots the nodes have installed, at least."""
        installed = 0
        for node in [*self.cluster.nodes, *self.cluster.joining]:
            # But for its first start, a node may have begun by restoring its own.
            installed += max(0, len(re.findall("has restored the snapshot of", node.said())) - max(0, node.starts - 1))
        return installed

    # -- what is asked

    def client(self, *addresses: str, timeout_ms: int = CLIENT_TIMEOUT_MS) -> Client:
        return Client(addresses, codecs=CODECS, transports=[TcpTransport()], timeout_ms=timeout_ms)

    async def status(self, node: NodeProcess) -> StatusResponse | None:
        """How the node is; None if it does not say."""
        if node not in self._askers:
            asker = self.client(node.address, timeout_ms=STATUS_TIMEOUT_MS)
            self._askers[node] = await self._stack.enter_async_context(asker)
        try:
            return await self._askers[node].status()
        except RaftError:
            return None

    async def statuses(self) -> dict[NodeProcess, StatusResponse]:
        """How those nodes are that say so."""
        running = [node for node in self.nodes if node.running]
        found = await asyncio.gather(*map(self.status, running))
        return {node: status for node, status in zip(running, found, strict=True) if status is not None}

    async def term(self) -> int:
        """The highest there is."""
        return max(status.term for status in (await self.statuses()).values())

    async def leader(self, *, within_s: float = PATIENCE_S, other_than: NodeProcess | None = None) -> NodeProcess:
        """The node that leads the highest term, and that a majority of all nodes follows."""

        async def leads() -> NodeProcess | None:
            statuses = await self.statuses()
            for node, status in statuses.items():
                followers = [other for other in statuses.values() if _follows(other, status)]
                if status.role == "leader" and node is not other_than and 2 * len(followers) > len(self.nodes):
                    return node
            return None

        return await self.until(leads, f"a leader other than {other_than and other_than.node_id}", within_s=within_s)

    async def follower(self) -> NodeProcess:
        leader = await self.leader()
        return self.rng.choice([node for node in self.nodes if node is not leader])

    async def serves(self, successes: int = 20, *, within_s: float = PATIENCE_S) -> None:
        """Wait until so many more operations have succeeded."""
        goal = self.workload.successes + successes

        async def served() -> bool:
            return self.workload.successes >= goal

        await self.until(served, f"{successes} more operations that succeed", within_s=within_s)

    async def until(
        self, holds: Callable[[], Awaitable[Found | None]], what: str, *, within_s: float = PATIENCE_S
    ) -> Found:
        """What `holds` returns, once that is true."""
        deadline = time.monotonic() + within_s
        while not (found := await holds()):
            assert time.monotonic() < deadline, f"{what}: not within {within_s:.1f} s"
            await asyncio.sleep(POLL_S)
        return found

    async def contents(self) -> list[dict[str, bytes]]:
        """What each node holds once it has applied what is committed now: key to SHA-256 of the value."""
        goal = max(status.commit_index for status in (await self.statuses()).values())

        async def applied() -> bool:
            statuses = await self.statuses()
            return len(statuses) == len(self.nodes) and all(s.applied_index >= goal for s in statuses.values())

        await self.until(applied, f"index {goal} applied on every node")
        return [await self._content(self._askers[node]) for node in self.nodes]

    async def _content(self, asker: Client) -> dict[str, bytes]:
        held: dict[str, bytes] = {}
        more = True
        while more:
            page = parse_digests(await asker.query(digests_query(start_after=max(held, default=""))))
            held.update(zip(page.keys, page.digests, strict=True))
            more = page.more
        return held


@asynccontextmanager
async def on_trial(
    directory: Path,
    *,
    seed: int,
    min_operations: int,
    settings: Mapping[str, Any] | None = None,
    clock_rates: Sequence[float] = (),
    disk_kib: int = 0,
    sessions: bool = True,
    leases: bool = False,
    min_installs: int = 0,
    padding_bytes: Sequence[int] = PADDING_BYTES,
    **cluster_of: Any,
) -> AsyncIterator[Trial]:
    """A cluster under a workload, warm; after the block, its trial.

    With `clock_rates`, taken in turn, every node has a machine of its own (`Trial.machines`), whose clock runs so fast;
    with `disk_kib`, a disk of its own, that small. With `leases`, nodes serve reads by lease, and some are asked for.
    What else is given is `LocalCluster`'s. The workload goes on until `min_operations` were asked for, and at least
    `min_installs` snapshots must have been sent. The history is left in `directory`, for whoever wants to know how it
    came to a failure.
    """
    if cluster_of.get("namespaces"):
        require_namespaces()
    raft = {"tick_interval_ms": TICK_MS, "election_timeout_ticks": ELECTION_TIMEOUT_TICKS, "lease_reads": leases}
    cluster = LocalCluster(directory, settings=merge({"raft": raft}, settings or {}), **cluster_of)
    trial = Trial(cluster, random.Random(seed))
    if clock_rates:
        rates = zip(cluster.nodes, cycle(clock_rates), strict=False)
        trial.machines = {node: Machine(node, clock_rate=rate) for node, rate in rates}
    with ExitStack() as disks:
        for node in cluster.nodes if disk_kib else ():
            disks.enter_context(small_disk(node.directory / "data", disk_kib))
        async with cluster, trial:
            await trial.leader()
            await trial.begin(sessions=sessions, leases=leases, padding_bytes=padding_bytes)
            yield trial
            operations = await trial.end(min_operations)
    write_history(directory / HISTORY_FILE, operations)
    installed = trial.installed_snapshots()
    assert installed >= min_installs, f"{installed} snapshots were installed; at least {min_installs} are demanded"
    check(operations).require()
    trial.report = HistoryReport.of(operations, trial.faults)
    trial.report.require(Demands(min_operations=min_operations, min_keys=min_operations // OPERATIONS_A_KEY))


def names(nodes: Sequence[NodeProcess]) -> str:
    return " and ".join(node.node_id for node in nodes)


def members_by(status: StatusResponse) -> set[NodeId]:
    """Who the members are, as far as that node knows; itself among them only if it is one."""
    own = {status.node_id} if status.suffrage else set()
    return own | {peer.node_id for peer in status.peers}


def _follows(one: StatusResponse, leader: StatusResponse) -> bool:
    return (one.term, one.leader_id) == (leader.term, leader.node_id)
