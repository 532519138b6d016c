"""Live nodes, in processes of their own, tried by their address while somebody writes: they conform, unmoved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from raftsdk import Client, plugins
from raftsdk.cli.key_value import digests_query, parse_digests, put_command
from raftsdk.config import CODECS, TlsConfig
from raftsdk.messages import StatusResponse
from raftsdk.ports import Credentials
from raftsdk.testing.certificates import Authority
from raftsdk.testing.conformance import trial
from raftsdk.testing.conformance.links.own import PEER
from raftsdk.testing.conformance.plan import Order, plan
from raftsdk.testing.conformance.trial import Outcome, Result
from raftsdk.testing.processes import LocalCluster
from raftsdk.wire.tls import FileCredentials

# Elections far apart, so that a busy machine holds none of its own; a hello's time limit that is soon over.
SETTINGS = {"raft": {"election_timeout_ticks": 100}, "link": {"handshake_timeout_ms": 500}}
PATIENCE_S = 30.0

WHY_SKIPPED = (
    "it takes a node with settings of the case's own",
    "is no stream of bytes",
    "the listener's own order of several codecs has to be known",
    "term 1 need not be over on a live node",
    "it takes two codecs",
    "it answered before it read on, as it may",
    "of the node's own authority",
)
"""What a live node cannot be tried on, as the reports say it."""


def client(scheme: str, addresses: list[str], credentials: Credentials | None) -> Client:
    transports = plugins.make_transports([scheme], credentials)
    return Client(addresses, codecs=[plugins.make(CODECS, "json")], transports=transports)


def certified(cluster: LocalCluster, folder: Path) -> TlsConfig:
    """Give every node, and the kit, certificates of one authority; those of the kit."""
    authority = Authority(folder, "ours")

    def issue(name: str) -> TlsConfig:
        issued = authority.issue(name)
        return TlsConfig(
            certificate=str(issued.certificate), key=str(issued.key), authorities=str(authority.certificate)
        )

    for node in cluster.nodes:
        node.configure({"tls": msgspec.to_builtins(issue(node.node_id))})
    return issue(PEER)


@asynccontextmanager
async def writing(writer: Client, acknowledged: dict[str, bytes]) -> AsyncIterator[None]:
    """Somebody writes meanwhile."""

    async def write() -> None:
        for number in count():
            await writer.propose(put_command(f"{number}", b"%d" % number * 50), idempotent=True)
            acknowledged[f"{number}"] = b"%d" % number * 50
            await asyncio.sleep(0.005)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        failed = task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not failed, "the writer gave up"


def _election(status: StatusResponse) -> tuple[int, str, str]:
    return status.term, status.leader_id, status.node_id


@pytest.mark.parametrize(("nodes", "scheme"), [(1, "tcp"), (3, "ws"), (1, "tcp+tls")])
async def test_live_nodes_conform_and_are_unmoved_while_somebody_writes(nodes: int, scheme: str) -> None:
    with TemporaryDirectory() as path:  # short enough for a Unix socket
        cluster = LocalCluster(Path(path), nodes=nodes, transport=scheme, settings=SETTINGS)
        tls = certified(cluster, Path(path)) if "tls" in scheme or scheme == "wss" else TlsConfig()
        credentials = FileCredentials(tls) if tls.certificate else None
        acknowledged = {"before": b"all"}
        async with cluster, client(scheme, cluster.addresses, credentials) as writer:
            await writer.propose(put_command("before", acknowledged["before"]), idempotent=True)
            before = [await _status(scheme, each, credentials) for each in cluster.addresses]
            async with writing(writer, acknowledged):
                orders = [Order(tier="links", addresses=[each], codecs=["json"], tls=tls) for each in cluster.addresses]
                found = [*chain(*await asyncio.gather(*(asyncio.to_thread(_tried, order) for order in orders)))]
            after = [await _status(scheme, each, credentials) for each in cluster.addresses]
            kept = [await _kept(scheme, each, credentials, acknowledged) for each in cluster.addresses]

    assert [(result.line, result.message) for result in found if result.outcome == Outcome.FAILED] == []
    skipped = [result for result in found if result.outcome == Outcome.SKIPPED]
    assert [each.line for each in skipped if not any(why in each.message for why in WHY_SKIPPED)] == []
    assert len(found) - len(skipped) > 100 * nodes
    assert [_election(status) for status in after] == [_election(status) for status in before]
    due = {key: sha256(value).digest() for key, value in acknowledged.items()}
    assert len(due) > 10
    # The write that was under way at the end is in the log or is not.
    assert [{key: each[key] for key in due} for each in kept] == [due] * nodes
    assert max(len(each) for each in kept) <= len(due) + 1


def _tried(order: Order) -> list[Result]:
    return [trial.run(each) for each in plan(order)]


async def _status(scheme: str, address: str, credentials: Credentials | None) -> StatusResponse:
    async with client(scheme, [address], credentials) as asking:
        return await asking.status()


async def _kept(
    scheme: str, address: str, credentials: Credentials | None, acknowledged: dict[str, bytes]
) -> dict[str, bytes]:
    """The digests of all that a node has, once it has as many keys as were acknowledged."""
    async with client(scheme, [address], credentials) as asking, asyncio.timeout(PATIENCE_S):
        while True:
            found: dict[str, bytes] = {}
            more, last = True, ""
            while more:
                page = parse_digests(await asking.query(digests_query("", last)))
                found |= zip(page.keys, page.digests, strict=True)
                more, last = page.more, page.keys[-1]
            if len(found) >= len(acknowledged):
                return found
            await asyncio.sleep(0.05)
