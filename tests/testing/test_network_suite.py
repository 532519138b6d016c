"""The network suite: our own network passes it, and every wrong one fails the sentence that is about it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from raftsdk.config import LinkConfig
from raftsdk.errors import RaftError
from raftsdk.ports import Codec, RaftNetwork
from raftsdk.testing.broken import network as broken
from raftsdk.testing.network_suite import NODE_IDS, SUITE, NetworkSubject
from raftsdk.testing.suite import Case
from raftsdk.types import Identity, NodeId
from raftsdk.wire.rpc import RpcNetwork

CALL_TIMEOUT_S = 1.0

CAUGHT_BY: dict[Callable[[RaftNetwork], RaftNetwork], str] = {
    broken.AnswersForTheSilent: "a call that is never answered raises Unreachable within the deadline",
    broken.HidesRefusals: "an ErrorResponse raises Refused, with its code",
    broken.NeverGivesUp: "a call to a node that is down raises Unreachable",
    broken.AnswersInOrder: "answers given in reverse order reach the calls they belong to",
    broken.Overtakes: "calls with entries reach a node in the order they were started",
    broken.OvertakesVotes: "votes and heartbeats reach a node in the order they were started",
    broken.SuspendsFirst: "a call that is cancelled after its first step still reaches the node",
    broken.OneAtATime: "a node that hangs delays no call to another",
    broken.HeartbeatsQueue: "a heartbeat is answered while calls with entries wait for their answers",
    broken.CancelsAll: "cancelling a call disturbs no other",
    broken.RoundsNumbers: "a request arrives as it was sent, every bit of every number and byte of it",
    broken.SignsForAnyone: "a request that speaks for another node is not delivered",
    broken.AsksAnyone: "a call returns the response of the node it was sent to",
    broken.GivesUpForGood: "a node that was down is reached again once it is back",
    broken.AlwaysConnected: "link() says whether a node is connected",
    broken.ClosesOnce: "a network may be closed twice",
    broken.ListensOnFaith: "start raises OSError when another network has the address",
}


def subject(
    folder: Path, codecs: list[Codec], wrap: Callable[[RaftNetwork], RaftNetwork] = lambda network: network
) -> NetworkSubject:
    addresses = {node_id: [f"unix://{folder}/{node_id}.sock"] for node_id in NODE_IDS}

    def network(node_id: NodeId) -> RaftNetwork:
        return wrap(
            RpcNetwork(
                identity=Identity(cluster_id="suite", node_id=node_id),
                addresses=addresses,
                listen=addresses[node_id],
                codecs=codecs,
                transports=[TcpTransport()],
                config=LinkConfig(call_timeout_ms=int(CALL_TIMEOUT_S * 1000)),
            )
        )

    return NetworkSubject(network=network, call_timeout_s=CALL_TIMEOUT_S)


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()], ids=lambda codec: codec.name)
@pytest.mark.parametrize("case", SUITE.cases, ids=str)
async def test_our_own_network_keeps_the_contract(case: Case[NetworkSubject], codec: Codec, tmp_path: Path) -> None:
    await case.run(subject(tmp_path, [codec]))


@pytest.mark.parametrize("wrong", CAUGHT_BY, ids=lambda wrong: wrong.__name__)
async def test_a_wrong_network_fails_the_sentence_about_its_fault(
    wrong: Callable[[RaftNetwork], RaftNetwork], tmp_path: Path
) -> None:
    (case,) = (case for case in SUITE.cases if case.sentence == CAUGHT_BY[wrong])
    with pytest.raises((AssertionError, RaftError, RuntimeError)):
        await case.run(subject(tmp_path, [MsgpackCodec()], wrap=wrong))


def test_every_wrong_network_is_in_the_table() -> None:
    wrong = {each for each in vars(broken).values() if isinstance(each, type) and issubclass(each, broken._Wrapped)}
    assert wrong - {broken._Wrapped} == set(CAUGHT_BY)
