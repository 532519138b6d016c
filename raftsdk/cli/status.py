"""`raftsdk status`: how each node is, and what it sees of the others."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from raftsdk.cli.cluster import TimeoutMs, open_client, takes_tls
from raftsdk.cli.output import AsJson, complain, say_json, say_table
from raftsdk.errors import RaftError, Unreachable
from raftsdk.messages import PeerStatus, StatusResponse
from raftsdk.runtime import event_loop

_NODE_COLUMNS = ("node", "suffrage", "role", "term", "leader", "last", "durable", "commit", "applied", "snapshot")
_PEER_COLUMNS = ("from", "to", "connected", "codec", "transport", "state", "match", "lag", "outstanding")


@takes_tls
def status(
    addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS", help="Where the nodes are.")],
    timeout_ms: TimeoutMs = 2_000,
    as_json: AsJson = False,
) -> None:
    """Show each node's suffrage, role, term and indexes.

    And, for every link of it, the codec and the transport; from the leader, each peer's state and lag in entries.
    Exit code 3 when any of them does not answer; what the others said is printed all the same.
    """
    answers = event_loop.run(_ask_all(addresses, timeout_ms))
    found = [answer for answer in answers if isinstance(answer, StatusResponse)]
    if as_json:
        say_json(
            [
                {"address": address, "error": str(answer)} if isinstance(answer, RaftError) else answer
                for address, answer in zip(addresses, answers, strict=True)
            ]
        )
    elif found:
        say_table(_NODE_COLUMNS, [_node_row(answer) for answer in found])
        say_table(_PEER_COLUMNS, [_peer_row(answer, peer) for answer in found for peer in answer.peers])
    failed = [
        (address, str(answer))
        for address, answer in zip(addresses, answers, strict=True)
        if isinstance(answer, RaftError)
    ]
    for address, trouble in failed:
        complain(trouble if address in trouble else f"{address}: {trouble}")
    if failed:
        raise Unreachable(f"{len(failed)} of {len(addresses)} nodes did not answer")


async def _ask_all(addresses: Sequence[str], timeout_ms: int) -> list[StatusResponse | RaftError]:
    return await asyncio.gather(*(_ask(address, timeout_ms) for address in addresses))


async def _ask(address: str, timeout_ms: int) -> StatusResponse | RaftError:
    client = open_client([address], timeout_ms)
    try:
        async with client:
            return await client.status()
    except RaftError as error:
        return error


def _node_row(node: StatusResponse) -> Sequence[str]:
    indexes = (node.last_log_index, node.durable_index, node.commit_index, node.applied_index, node.snapshot_index)
    suffrage = node.suffrage or "none"  # of a node that is no member (yet, or any more)
    return (node.node_id, suffrage, node.role, str(node.term), node.leader_id or "none", *map(str, indexes))


def _peer_row(node: StatusResponse, peer: PeerStatus) -> Sequence[str]:
    """What only a leader knows of a peer is left blank elsewhere."""
    known = (
        peer.state,
        str(peer.match_index),
        str(node.last_log_index - peer.match_index),
        str(peer.outstanding_calls),
    )
    return (
        *(node.node_id, peer.node_id, "yes" if peer.connected else "no", peer.codec, peer.transport),
        *(known if peer.state else ("", "", "", "")),
    )
