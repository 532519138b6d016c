"""`raftsdk demo`: a real cluster, real files, a leader killed on the way, and every byte checked on every node."""

import asyncio
import signal
import sys
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from msgspec import Struct
from msgspec.structs import astuple
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from raftsdk import plugins
from raftsdk.cli import key_value
from raftsdk.cli.output import AsJson, Exit, complain, say, say_json, say_table
from raftsdk.client import Client
from raftsdk.config import CODECS, STORAGE, TRANSPORTS, RaftConfig
from raftsdk.errors import RaftError, Unreachable
from raftsdk.messages import StatusResponse
from raftsdk.runtime import event_loop
from raftsdk.testing.processes import LocalCluster, NodeProcess

WRITERS = 32
JOINING = 2
SETTLE_TIMEOUT_S = 120.0
POLL_S = 0.05

_MIXED_TRANSPORTS = ("tcp", "ws", "unix")
_COMMON_CODEC = "json"


class Demo(Struct, frozen=True, kw_only=True):
    """What to run."""

    nodes: int = 3
    input: Path | None = None  #: None: the standard library's own `.py` files.
    codec: str = "msgpack"
    transport: str = "tcp"
    mix: bool = False  #: Every node has other codecs and the next transport, of all that are installed.
    storage: str = "sqlite"
    kill_leader: bool = True
    grow: bool = False  #: Two nodes join on the way, and two of the first go.
    snapshot_every: int = 0  #: Entries between two snapshots of a node; 0: as a node does by default.

    def raft_settings(self) -> dict[str, int]:
        """What the nodes' configuration says beside the defaults."""
        if not self.snapshot_every:
            return {}
        return {
            "snapshot_after_entries": self.snapshot_every,
            # Little is kept, or nobody who comes late would be sent a snapshot.
            "snapshot_trailing_entries": self.snapshot_every // 10,
        }

    def codecs(self) -> list[str]:
        """Those in use, as a client offers them."""
        return sorted(plugins.names()[CODECS]) if self.mix else [self.codec]

    def transports(self) -> list[str]:
        """The schemes of the nodes' addresses, which they take in turn."""
        return (
            [name for name in _MIXED_TRANSPORTS if name in plugins.names()[TRANSPORTS]]
            if self.mix
            else [self.transport]
        )

    def codecs_of(self, number: int) -> list[str]:
        """What node `number` offers. Mixed, two neighbours share a codec of their own, and all share the last."""
        *others, common = sorted(self.codecs(), key=lambda name: name == _COMMON_CODEC)
        return (
            [*dict.fromkeys(others[place % len(others)] for place in (number, number + 1)), common]
            if others
            else [common]
        )


class LinkReport(Struct, frozen=True):
    """How one node reaches another."""

    source: str
    target: str
    codec: str
    transport: str


class Report(Struct, frozen=True, kw_only=True):
    """What came of it; `raftsdk demo --json` prints exactly this."""

    files: int
    bytes: int
    acknowledged: int
    lost: int  #: Acknowledged files that some node lacks or has other content of.
    #: From SIGKILL of the leader to the first write acknowledged after it, in milliseconds; None without a kill.
    failover_ms: int | None
    digests_equal: bool  #: Whether every node holds exactly the source's files, by SHA-256.
    nodes: int
    codec: str
    transport: str
    storage: str
    elapsed_s: float
    members: list[str]  #: In the end.
    snapshot_index: int  #: The least of them: of the last entry in a member's snapshot.
    links: list[LinkReport]

    @property
    def succeeded(self) -> bool:
        """Nothing was lost, and every node agrees with the source."""
        return self.lost == 0 and self.digests_equal and self.acknowledged == self.files


class Source(Struct, frozen=True):
    """The files to replicate: key (the path below the folder) to path, in order."""

    paths: dict[str, Path]

    def digests(self) -> dict[str, bytes]:
        """What every node must hold in the end."""
        return {key: sha256(path.read_bytes()).digest() for key, path in self.paths.items()}

    def bytes(self) -> int:
        """The size of it all."""
        return sum(path.stat().st_size for path in self.paths.values())


def find_files(folder: Path | None) -> Source:
    """Every file below `folder`; by default the standard library's modules.

    Raises `RaftError` when there is none, or one that cannot be replicated.
    """
    root = folder or Path(sysconfig.get_path("stdlib"))
    found = root.rglob("*") if folder else (path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    paths = {path.relative_to(root).as_posix(): path for path in sorted(found) if path.is_file()}
    if not paths:
        raise RaftError(f"no files below {root}: name another folder with --input")
    for key, path in paths.items():
        if problem := _problem(key, path):
            raise RaftError(f"{str(path)!a} {problem}: name another folder with --input")
    return Source(paths)


def _problem(key: str, path: Path) -> str | None:
    """Why this file cannot be replicated under `key`."""
    limit = RaftConfig().max_command_bytes - key_value.MAX_KEY_BYTES - 3
    if path.stat().st_size > limit:
        return f"has more than {limit} bytes, the most one command can carry"
    try:
        key.encode()
    except UnicodeEncodeError:
        return "has a name that is no UTF-8 text"
    return None


Show: TypeAlias = Callable[[str, int, int], None]
"""Told what is going on: a phase, how much of it is done, and how much there is."""


async def run_demo(demo: Demo, show: Show) -> Report:
    """Start the cluster, replicate the files, kill and restart the leader on the way, and compare every node."""
    source = find_files(demo.input)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="raftsdk-demo-") as directory:
        cluster = LocalCluster(
            Path(directory),
            nodes=demo.nodes,
            joining=JOINING if demo.grow else 0,
            transport=demo.transports(),
            storage=demo.storage,
            settings={"raft": demo.raft_settings()},
        )
        for number, node in enumerate([*cluster.nodes, *cluster.joining]):
            node.configure({"codecs": demo.codecs_of(number)})
        show("starting the nodes", 0, demo.nodes)
        async with cluster, _client(demo, cluster, cluster.addresses) as client:
            run = _Run(demo, source, cluster, client, show)
            await run.replicate()
            contents = await run.settle()
            links = await run.links()
            statuses = await run.statuses()
    expected = source.digests()
    return Report(
        files=len(source.paths),
        bytes=source.bytes(),
        acknowledged=len(run.acknowledged),
        lost=sum(any(held.get(key) != expected[key] for held in contents) for key in run.acknowledged),
        failover_ms=run.failover_ms,
        digests_equal=all(held == expected for held in contents),
        nodes=demo.nodes,
        codec="mixed" if demo.mix else demo.codec,
        transport="mixed" if demo.mix else demo.transport,
        storage=demo.storage,
        elapsed_s=round(time.monotonic() - started, 1),
        members=[status.node_id for status in statuses],
        snapshot_index=min(status.snapshot_index for status in statuses),
        links=links,
    )


class _Run:
    """The demo under way."""

    def __init__(self, demo: Demo, source: Source, cluster: LocalCluster, client: Client, show: Show) -> None:
        self.acknowledged: set[str] = set()
        self.failover_ms: int | None = None
        self._demo = demo
        self._source = source
        self._cluster = cluster
        self._client = client
        self._show = show
        self._phase = "replicating"
        self._members = list(cluster.nodes)
        self._third_is_written = asyncio.Event()
        self._two_thirds_are_written = asyncio.Event()

    async def replicate(self) -> None:
        """Write every file; a third of the way the leader dies, at two thirds it is back."""
        remaining = iter(self._source.paths.items())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(WRITERS):
                    group.create_task(self._write(remaining))
                group.create_task(self._upset())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # one sentence for whoever ran it; the others say the same

    async def _write(self, remaining: Iterator[tuple[str, Path]]) -> None:
        """One writer: a file at a time, each until it is acknowledged. Putting a file twice does no harm."""
        total = len(self._source.paths)
        for key, path in remaining:
            await self._client.propose(key_value.put_command(key, path.read_bytes()), idempotent=True)
            self.acknowledged.add(key)
            done = len(self.acknowledged)
            self._show(self._phase, done, total)
            if done * 3 >= total:
                self._third_is_written.set()
            if done * 3 >= total * 2:
                self._two_thirds_are_written.set()

    async def _upset(self) -> None:
        """What happens to the cluster meanwhile."""
        await self._third_is_written.wait()
        if self._demo.grow:
            await self._grow()
        if self._demo.kill_leader:
            await self._kill_and_restart_leader()
        if self._demo.grow:
            await self._shrink()

    async def _grow(self) -> None:
        """Start two more nodes, which ask to be taken in, and wait until they vote."""
        self._phase = "growing"
        for node in self._cluster.joining:
            await node.start()
        while (voters := await self._voters()) < self._demo.nodes + len(self._cluster.joining):
            self._phase = f"growing: {voters} voters"
            await asyncio.sleep(POLL_S)
        self._members += self._cluster.joining
        self._phase = "replicating"

    async def _voters(self) -> int:
        leader = await self._leader()
        async with _client(self._demo, self._cluster, [leader.address]) as client:
            status = await client.status()
        # Who has not applied it itself may not know that it is one, and is told of in `peers` all the same.
        return sum(suffrage == "voter" for suffrage in (status.suffrage, *(peer.suffrage for peer in status.peers)))

    async def _shrink(self) -> None:
        """Remove as many as came, the leader among them, in one change."""
        leader = await self._leader()
        others = [node for node in self._cluster.nodes if node is not leader]
        going = [leader, *others][: len(self._cluster.joining)]
        self._phase = f"removing {' and '.join(node.node_id for node in going)}"
        async with _client(self._demo, self._cluster, [leader.address]) as client:
            await client.change_membership(remove=[node.node_id for node in going])
        self._members = [node for node in self._members if node not in going]
        for node in going:
            await node.stop()
        self._phase = "replicating"

    async def _kill_and_restart_leader(self) -> None:
        leader = await self._leader()
        await leader.kill()
        self._phase = f"replicating without {leader.node_id}"
        killed_at = time.monotonic()
        # A command that only reads: it goes through the log like any write, and no file depends on it.
        await self._client.propose(key_value.get_message("after the kill"), idempotent=True)
        self.failover_ms = round((time.monotonic() - killed_at) * 1000)
        await self._two_thirds_are_written.wait()
        await leader.start()
        self._phase = "replicating"

    async def _leader(self) -> NodeProcess:
        while True:
            for node in filter(attrgetter("running"), self._members):
                with suppress(Unreachable):  # it may just have been killed
                    async with _client(self._demo, self._cluster, [node.address]) as client:
                        if (await client.status()).role == "leader":
                            return node
            await asyncio.sleep(POLL_S)

    async def settle(self) -> list[dict[str, bytes]]:
        """Wait until every node has applied everything, and return what each holds: key to SHA-256."""
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                leader = await self._leader()
                async with _client(self._demo, self._cluster, [leader.address]) as client:
                    goal = (await client.status()).commit_index
                return await asyncio.gather(*(self._content(node, goal) for node in self._members))
        except TimeoutError:
            raise RaftError(f"not every node had applied everything after {SETTLE_TIMEOUT_S:g} s") from None

    async def links(self) -> list[LinkReport]:
        """Every link there is, as its dialer sees it; waits for those that are not there yet."""
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                of_nodes = await asyncio.gather(*map(self._links_of, self._members))
        except TimeoutError:
            raise RaftError(f"not every node reached every other within {SETTLE_TIMEOUT_S:g} s") from None
        return list(chain.from_iterable(of_nodes))

    async def statuses(self) -> list[StatusResponse]:
        """How each member is."""
        found = []
        for node in self._members:
            async with _client(self._demo, self._cluster, [node.address]) as client:
                found.append(await client.status())
        return found

    async def _links_of(self, node: NodeProcess) -> list[LinkReport]:
        async with _client(self._demo, self._cluster, [node.address]) as client:
            peers = (await client.status()).peers
            while not all(peer.connected for peer in peers):
                await asyncio.sleep(POLL_S)
                peers = (await client.status()).peers
        return [LinkReport(node.node_id, peer.node_id, peer.codec, peer.transport) for peer in peers]

    async def _content(self, node: NodeProcess, goal: int) -> dict[str, bytes]:
        async with _client(self._demo, self._cluster, [node.address]) as client:
            while (status := await client.status()).applied_index < goal:
                self._show(f"waiting for {node.node_id}", status.applied_index, goal)
                await asyncio.sleep(POLL_S)
            held: dict[str, bytes] = {}
            last, more = "", True
            while more:
                page = key_value.parse_digests(await client.query(key_value.digests_query(start_after=last)))
                held.update(zip(page.keys, page.digests, strict=True))
                last, more = page.keys[-1] if page.keys else "", page.more
                self._show(f"checking {node.node_id}", len(held), len(self._source.paths))
            return held


def _client(demo: Demo, cluster: LocalCluster, addresses: Sequence[str]) -> Client:
    return Client(
        addresses,
        codecs=[plugins.make(CODECS, name) for name in demo.codecs()],
        transports=plugins.make_transports(demo.transports(), cluster.credentials),
        timeout_ms=30_000,
    )


# -- the command


def demo(
    nodes: Annotated[int, typer.Option(min=1, max=9, help="How many processes.")] = 3,
    input_: Annotated[
        Path | None,
        typer.Option("--input", metavar="DIR", exists=True, file_okay=False, help="Replicate every file below DIR."),
    ] = None,
    codec: Annotated[str, typer.Option(help="The codec between the nodes; see `raftsdk plugins`.")] = "msgpack",
    transport: Annotated[str, typer.Option(help="The scheme of the nodes' addresses; see `raftsdk plugins`.")] = "tcp",
    mix: Annotated[
        bool, typer.Option("--mix", help="Nodes with different codecs and transports, of all that are installed.")
    ] = False,
    storage: Annotated[str, typer.Option(help="sqlite or memory.")] = "sqlite",
    kill_leader: Annotated[bool, typer.Option(help="Kill the leader a third of the way, restart it later.")] = True,
    grow: Annotated[
        bool, typer.Option("--grow", help="Two more nodes join, and two of the first are removed.")
    ] = False,
    snapshot_every: Annotated[
        int, typer.Option(min=0, metavar="ENTRIES", help="Have nodes take snapshots so often. Default: as configured.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Replicate files while the leader is killed.

    The main job: real processes on loopback, real files, and every node checked. Without --input, the files are the .py
    files of Python's own standard library. Exit code 0 only if nothing was lost and every node holds exactly the
    source, by SHA-256. With --storage memory the restarted node has forgotten its vote: good for a demo, not for a
    service.
    """
    task = Demo(
        nodes=nodes,
        input=input_,
        codec=codec,
        transport=transport,
        mix=mix,
        storage=storage,
        kill_leader=kill_leader,
        grow=grow,
        snapshot_every=snapshot_every,
    )
    if task.kill_leader and task.nodes < 3:
        raise typer.BadParameter(f"{nodes} nodes cannot lose one and go on: give at least 3, or --no-kill-leader")
    for group, name in ((CODECS, codec), (TRANSPORTS, transport), (STORAGE, storage)):
        plugins.load(group, name)  # a wrong name is told before anything starts
    if transport == "memory":
        raise typer.BadParameter("the demo's nodes are processes, and memory reaches no other: name another transport")
    with Progress(*_COLUMNS, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None)

        def show(phase: str, done: int, total: int) -> None:
            progress.update(bar, description=phase, completed=done, total=total)

        report = event_loop.run(_until_terminated(run_demo(task, show)))
    if as_json:
        say_json(report)
    else:
        facts = [name for name in report.__struct_fields__ if name not in ("links", "members")]
        say_table(("", ""), [(name, str(getattr(report, name))) for name in facts])
        say(f"members: {' '.join(report.members)}")
        say_table(("from", "to", "codec", "transport"), map(astuple, report.links))
    if not report.succeeded:
        complain(f"{report.lost} acknowledged files were lost, or the nodes differ from the source")
        sys.exit(Exit.FAILED)


async def _until_terminated(demo: Awaitable[Report]) -> Report:
    """`demo`, which SIGTERM ends as Ctrl-C does: by stopping the nodes, which would otherwise outlive it for ever."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    return await demo


_COLUMNS = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
