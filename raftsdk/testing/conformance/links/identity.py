"""Clause 6: who may say the hello, and what its role and its name then allow it to ask."""

from contextlib import AsyncExitStack
from typing import Final

from raftsdk.messages import (
    AppendEntriesRequest,
    Message,
    ProposeRequest,
    QueryRequest,
    RequestVoteRequest,
    StatusRequest,
)
from raftsdk.testing.conformance.links.hellos import is_no_hello
from raftsdk.testing.conformance.links.own import OWN, PEER, Canned, over_tls
from raftsdk.testing.conformance.links.stranger import ABSENT, frame, hello_body
from raftsdk.testing.conformance.links.subject import Agreed, LinkTarget
from raftsdk.testing.suite import Suite

IDENTITY: Final[Suite[LinkTarget]] = Suite("identity")

_STRANGE_IDS: Final = ("../n1", "n 1", "n\n1", "n\x001", "-n1", ".n1", "é", "n1/", "a" * 129, "n1\n")
_KIND_OF_NOBODY: Final = 0x7E


def vote(candidate_id: str = PEER) -> RequestVoteRequest:
    """A question that changes nothing, whatever is answered: whether an election of term 1 could be won."""
    return RequestVoteRequest(term=1, candidate_id=candidate_id, last_log_index=0, last_log_term=0, pre_vote=True)


# -- ids


@IDENTITY.case("a peer must give all three ids", "4.2.2")
async def _missing_ids(target: LinkTarget) -> None:
    async with target.reached() as node:
        for field in ("cluster_id", "node_id", "target_id"):
            for nothing in ("", ABSENT):
                await node.is_refused("bad_hello", **await node.peer_hello(**{field: nothing}))


@IDENTITY.case("a client may leave each id empty, and gives real ones otherwise", "4.2.2")
async def _client_ids(target: LinkTarget) -> None:
    async with target.reached() as node:
        async with node.agreed(cluster_id="", node_id="", target_id=""):
            pass
        for field in ("cluster_id", "node_id", "target_id"):
            await is_no_hello(node, hello_body(**{field: "n 1"}))


@IDENTITY.case("an id of 128 characters is one", "6.1.1")
async def _longest_id(target: LinkTarget) -> None:
    async with target.reached() as node:
        if over_tls(node.address):  # as what its certificate does not carry: judged after bad_hello
            await node.is_refused("wrong_identity", **await node.peer_hello(node_id="Z" + "a.b_c-9" * 18 + "z"))
            return
        async with node.agreed_as_peer(node_id="Z" + "a.b_c-9" * 18 + "z"):
            pass


@IDENTITY.case("a peer with an id that is none is refused with bad_hello", "6.1.1")
async def _strange_ids(target: LinkTarget) -> None:
    async with target.reached() as node:
        sound = {"codecs": list(target.codecs), **await node.peer_hello()}
        for field in ("cluster_id", "node_id", "target_id"):
            for text in _STRANGE_IDS:
                await is_no_hello(node, hello_body(**{**sound, field: text}))
        await node.serves_on("bad_hello")


@IDENTITY.case("another cluster is refused, for peers and clients alike", "6.2.1")
async def _cluster(target: LinkTarget) -> None:
    async with target.reached() as node:
        other = f"not-{(await node.ids()).cluster_id}"[:128]
        await node.is_refused("wrong_cluster", **await node.peer_hello(cluster_id=other))
        await node.is_refused("wrong_cluster", cluster_id=other)


@IDENTITY.case("the letters' case of a cluster's name matters", "6.2.1")
async def _case_matters(target: LinkTarget) -> None:
    async with target.reached() as node:
        other = (await node.ids()).cluster_id.swapcase()
        await node.is_refused("wrong_cluster", **await node.peer_hello(cluster_id=other))


@IDENTITY.case("a dialer that looks for another node is refused", "6.3.1")
async def _target(target: LinkTarget) -> None:
    async with target.reached() as node:
        other = f"not-{(await node.ids()).node_id}"[:128]
        await node.is_refused("wrong_target", **await node.peer_hello(target_id=other))
        await node.is_refused("wrong_target", target_id=other)


@IDENTITY.case("a peer that goes by the node's own id is refused", "6.4.1")
async def _own_id(target: LinkTarget) -> None:
    async with target.reached() as node:
        ids = await node.ids()
        # Over TLS the kit cannot prove to be the node, which is judged first (4.4.2).
        due = "wrong_identity" if over_tls(node.address) else "own_id"
        await node.is_refused(due, **await node.peer_hello(node_id=ids.node_id))


@IDENTITY.case("a client may go by the id of a node", "6.6.4")
async def _clients_name(target: LinkTarget) -> None:
    async with target.reached() as node:
        ids = await node.ids()
        name = PEER if over_tls(node.address) else ids.node_id
        async with node.agreed(node_id=name) as agreed:
            await agreed.asks_status()


# -- several connections


async def _is_served(peer: Agreed) -> None:
    peer.stranger.send(frame(_KIND_OF_NOBODY, call_id=1))
    await peer.is_error("unsupported")


@IDENTITY.case("a peer may have four connections at a time", "6.4.2")
async def _several(target: LinkTarget) -> None:
    async with target.reached() as node, AsyncExitStack() as connections:
        peers = [await connections.enter_async_context(node.agreed_as_peer()) for _ in range(4)]
        for peer in peers:
            await _is_served(peer)


@IDENTITY.case("a peer's newest connections win, and the oldest is closed", "6.4.2")
async def _newest(target: LinkTarget) -> None:
    async with target.reached() as node, AsyncExitStack() as connections:
        peers = [await connections.enter_async_context(node.agreed_as_peer()) for _ in range(12)]
        for peer in peers[-4:]:
            await _is_served(peer)
        if not target.live:  # which may allow more than 4
            await peers[0].stranger.is_closed("newer connections of the same peer")
            await node.counted("displaced")


@IDENTITY.case("a peer that no membership names is not refused", "6.4.5")
async def _unnamed(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed_as_peer() as peer:
        await _is_served(peer)


@IDENTITY.case("too many strangers are refused with overloaded", "6.4.4")
async def _crowd(target: LinkTarget) -> None:
    async with target.reached(max_connections=3) as node, AsyncExitStack() as connections:
        for _ in range(3):
            await connections.enter_async_context(node.agreed())
        await node.is_refused("overloaded")
        await node.is_refused("overloaded", **_peer())


@IDENTITY.case("a peer that is known is let in, however many strangers there are", "6.4.4")
async def _known(target: LinkTarget) -> None:
    async with target.reached(max_connections=3) as node, AsyncExitStack() as connections:
        assert node.network is not None
        # Somewhere it may dial in vain: it is called otherwise than the one it looks for there.
        node.network.set_addresses(PEER, [node.address])
        for _ in range(3):
            await connections.enter_async_context(node.agreed())
        async with node.dialed() as stranger:
            answer = await stranger.say_hello(codecs=list(target.codecs), **_peer())
            assert answer["answer"] == "accepted", f"a peer that is known was crowded out: {answer}"


def _peer() -> dict[str, str]:
    """The hello of a sound peer of our own node, which has no room left to be asked who it is."""
    return {"role": "peer", "cluster_id": OWN.cluster_id, "node_id": PEER, "target_id": OWN.node_id}


# -- roles


@IDENTITY.case("what the other role asks is answered wrong_identity, and the connection lives", "6.6.2")
async def _roles(target: LinkTarget) -> None:
    handler = None if target.live else Canned()
    async with target.reached(handler) as node:
        async with node.agreed() as client:
            await client.is_denied(vote(), "wrong_identity")
            await client.asks_status(2)
        async with node.agreed_as_peer() as peer:
            requests: list[Message] = [StatusRequest(), ProposeRequest(command=b""), QueryRequest(query=b"")]
            for call_id, request in enumerate(requests, start=1):
                await peer.is_denied(request, "wrong_identity", call_id)
        if handler is not None and handler.delivered != [StatusRequest()]:
            raise AssertionError(f"delivered all the same: {handler.delivered}")


@IDENTITY.case("a request in another node's name is answered wrong_identity, and not delivered", "6.6.3")
async def _other_name(target: LinkTarget) -> None:
    append = AppendEntriesRequest(
        term=1, leader_id="somebody-else", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=[]
    )
    handler = None if target.live else Canned()
    async with target.reached(handler) as node, node.agreed_as_peer() as peer:
        await peer.is_denied(append, "wrong_identity", 1)
        await peer.is_denied(vote("somebody-else"), "wrong_identity", 2)
        await _is_served(peer)
    if handler is not None and handler.delivered:
        raise AssertionError(f"delivered all the same: {handler.delivered}")
