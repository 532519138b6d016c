"""How long a node takes to serve again that was killed, by the length of its log."""

from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from msgspec import Struct

from bench.cluster import Cluster, running
from bench.growth.node import Settings, system
from bench.growth.processes import rss_mib
from bench.growth.turns import chosen, said, wait_until
from bench.load import Order
from bench.processes import BenchError
from bench.rows import Outcome
from bench.systems import HASHICORP_BOLT, OPENRAFT_FILE
from bench.turns import Step

WRITERS = 256
FILL_S = 1.0  # of one order to fill the log
RESTART_S = 300.0
POLL_S = 0.005
EXPECTED_WRITES_PER_S = 20_000

SYSTEMS = (
    system("raftsdk, SQLite, no snapshots", Settings("sqlite", compacts=False)),
    HASHICORP_BOLT,
    OPENRAFT_FILE,
)


class Restart(Struct, frozen=True):
    """A follower that was killed and started again, while the others were idle."""

    system: str
    wanted_entries: int
    entries: int  #: In its log.
    answers_s: float  #: From the start of the process until it said how it is.
    serves_s: float  #: Until it had applied what the leader had.
    serves_s_per_million: float  #: What it took longer than with an empty log, for a million entries.
    rss_mib: float  #: Then.


async def run(options: Namespace, directory: Path, step: Step) -> Outcome:
    """One contestant after another, each with a log that grows."""
    rows: list[Restart] = []
    failed = []
    for contestant in chosen(SYSTEMS, options):
        found: list[Restart] = []
        try:
            with TemporaryDirectory(dir=directory) as home:
                async with running(contestant, Path(home)) as cluster:
                    for wanted in options.restart_entries:
                        await _fill(cluster, wanted, options.value_bytes)
                        found.append(await _restart(cluster, wanted, found[0] if found else None))
                        step(f"{contestant.name}, {found[-1].entries:,} entries: {found[-1].serves_s:.2f} s")
        except BenchError as error:
            failed.append(f"{contestant.name}: {said(error)}")
        rows += found
    notes = [f"Values of {options.value_bytes} B, nothing compacted: the whole log is applied again."]
    return Outcome("Restart of a node", rows, notes, failed=failed)


def steps(options: Namespace) -> tuple[int, float]:
    """One for each length of the log."""
    count = len(chosen(SYSTEMS, options))
    return count * len(options.restart_entries), count * max(options.restart_entries) / EXPECTED_WRITES_PER_S


async def _fill(cluster: Cluster, entries: int, value_bytes: int) -> None:
    writer = await cluster.writer()
    while (await writer.status()).applied < entries:
        await writer.load(Order(WRITERS, FILL_S, value_bytes))
    await writer.load(Order(writers=1, once=True))  # also ends the writers of our own nodes
    await cluster.check_all_applied()


async def _restart(cluster: Cluster, wanted: int, first: Restart | None) -> Restart:
    leader = await cluster.leader()
    applied = (await leader.status()).applied
    place = next(place for place, node in enumerate(cluster.nodes) if node is not leader)
    await cluster.nodes[place].kill()
    began = perf_counter()
    await cluster.restart(place)
    node = cluster.nodes[place]
    await node.status()
    answers_s = perf_counter() - began

    async def serves() -> bool:
        return (await node.status()).applied >= applied

    await wait_until(serves, RESTART_S, poll_s=POLL_S, failure=f"{node.name} has not applied its log")
    serves_s = perf_counter() - began
    added_s, added = (serves_s - first.serves_s, applied - first.entries) if first else (0.0, 0)
    per_million = added_s / added * 1_000_000 if added else 0.0
    return Restart(cluster.system.name, wanted, applied, answers_s, serves_s, per_million, rss_mib(node.pid))
