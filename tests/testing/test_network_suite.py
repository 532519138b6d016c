"""The network suite: our own network passes it, and every wrong one fails the sentence that is about it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from raftsdk.config import LinkConfig
from raftsdk.errors import RaftError
from raftsdk.ports import Codec, RaftNetwork
from raftsdk.testing.broken import network as broken
from raftsdk.testing.network_suite import NODE_IDS, SUITE, NetworkSubject, cases
from raftsdk.testing.suite import Case
from raftsdk.types import Identity, NodeId
from raftsdk.wire.rpc import RpcNetwork
from raftsdk.wire.snapshot import PIECE_TIMEOUTS, STALL_TIMEOUTS

CALL_TIMEOUT_S = 0.5

CAUGHT_BY: dict[Callable[[RaftNetwork], RaftNetwork], str | list[str]] = {
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
    broken.AsksN2: [
        "timeout_now returns the response of the node it was sent to",
        "read_index returns the response of the node it was sent to",
    ],
    broken.AgreesForTheUnwilling: [
        "an ErrorResponse to timeout_now raises Refused, with its code",
        "an ErrorResponse to read_index raises Refused, with its code",
    ],
    broken.AgreesForTheSilent: [
        "timeout_now without an answer raises Unreachable within the deadline",
        "read_index without an answer raises Unreachable within the deadline",
    ],
    broken.LendsItsName: [
        "timeout_now in the name of another node is not delivered",
        "read_index in the name of another node is not delivered",
    ],
    broken.OneAtATimeForAll: [
        "timeout_now is answered while calls with entries wait for their answers",
        "read_index is answered while calls with entries wait for their answers",
        "entries and heartbeats are answered while the pieces of a snapshot are not",
    ],
    broken.MixesPiecesUp: "a snapshot arrives whole, in pieces that repeat what the request says, each once",
    broken.StartsOver: [
        "a snapshot goes on where the node says",
        "of a snapshot that was given up, a later call sends the rest",
    ],
    broken.GivesUpSnapshotsForGood: (
        "a snapshot reaches a node that came back meanwhile, with a later call at the latest"
    ),
    broken.MakesSure: "an answer that it is installed ends a snapshot, and nothing is sent behind it",
    broken.HearsOfNoLaterTerm: "an answer of a later term ends a snapshot, and is returned",
    broken.CallsEverythingInstalled: [
        "a snapshot that arrived with another digest raises",
        "an ErrorResponse to a piece raises Refused, with its code",
    ],
    broken.WaitsForSnapshots: "a snapshot of which nothing arrives raises Unreachable in the end",
    broken.RemembersEverybody: "a node that is no member any more is not reached, and others are",
    broken.TakesNobodyBack: "a node that is a member again is reached again",
    broken.StartsAfresh: "addresses that are given again change nothing",
    broken.MissesEverybody: [
        "a node that watches back is not lost, though nobody calls anybody",
        "a node that calls is not lost, though it watches nobody",
        "a node that is gone is lost, once, and one that lives is not",
    ],
    broken.NeverMissesAnybody: [
        "a node that is gone is lost, once, and one that lives is not",
        "a node that was never heard is lost in the end, and not at once",
    ],
    broken.MissesTwice: "a node that is gone is lost, once, and one that lives is not",
    broken.HasNoPatience: "a node that is back before the silence is over is not lost",
    broken.MissesStrangersAtOnce: "a node that was never heard is lost in the end, and not at once",
    broken.MissesOnce: "a node that is watched again, by whoever is told that it was lost, is lost again",
    broken.WatchesOnForGood: [
        "watching others takes the place of what was watched",
        "a node that is watched no more is not lost",
    ],
}
CAUGHT = [
    (wrong, line) for wrong, lines in CAUGHT_BY.items() for line in ([lines] if isinstance(lines, str) else lines)
]


def addresses_in(folder: Path) -> dict[NodeId, list[str]]:
    return {node_id: [f"unix://{folder}/{node_id}.sock"] for node_id in NODE_IDS}


def subject(
    folder: Path, codecs: list[Codec], wrap: Callable[[RaftNetwork], RaftNetwork] = lambda network: network
) -> NetworkSubject:
    addresses = addresses_in(folder)

    def network(node_id: NodeId) -> RaftNetwork:
        return wrap(
            RpcNetwork(
                identity=Identity(cluster_id="suite", node_id=node_id),
                addresses=addresses,
                listen=addresses[node_id],
                codecs=codecs,
                transports=[TcpTransport()],
                config=LinkConfig(call_timeout_ms=int(CALL_TIMEOUT_S * 1000), snapshot_piece_bytes=100_000),
            )
        )

    return NetworkSubject(
        network=network,
        call_timeout_s=CALL_TIMEOUT_S,
        stall_timeout_s=(STALL_TIMEOUTS + PIECE_TIMEOUTS) * CALL_TIMEOUT_S,
        addresses=addresses,
    )


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()], ids=lambda codec: codec.name)
@pytest.mark.parametrize("case", cases(), ids=str)
async def test_our_own_network_keeps_the_contract(case: Case[NetworkSubject], codec: Codec, tmp_path: Path) -> None:
    await case.run(subject(tmp_path, [codec]))


class OfGroup7:
    """A network whose only group is number 7, which alone names others."""

    api_version = 1

    def __init__(self, addresses: Mapping[NodeId, Sequence[str]], network: RaftNetwork) -> None:
        assert isinstance(network, RpcNetwork)
        self._network = network
        self._group = network.group(7)
        for node_id, several in addresses.items():
            self._group.set_addresses(node_id, several)
            network.set_addresses(node_id, ())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._group, name)

    async def aclose(self) -> None:
        await self._group.aclose()
        await self._network.aclose()


@pytest.mark.parametrize("case", cases(), ids=str)
async def test_each_of_many_groups_has_a_network_that_keeps_the_contract(
    case: Case[NetworkSubject], tmp_path: Path
) -> None:
    await case.run(subject(tmp_path, [MsgpackCodec()], wrap=partial(OfGroup7, addresses_in(tmp_path))))


@pytest.mark.parametrize(("wrong", "line"), CAUGHT, ids=lambda value: getattr(value, "__name__", None) or str(value))
async def test_a_wrong_network_fails_the_sentence_about_its_fault(
    wrong: Callable[[RaftNetwork], RaftNetwork], line: str, tmp_path: Path
) -> None:
    (case,) = (case for case in cases() if case.sentence == line)
    with pytest.raises((AssertionError, RaftError, RuntimeError, TimeoutError)):
        await case.run(subject(tmp_path, [MsgpackCodec()], wrap=wrong))


def test_what_a_network_may_lack_is_not_asked_of_one_without_it() -> None:
    lacking = cases(without=["install_snapshot", "timeout_now", "read_index", "set_addresses", "watch"])
    assert lacking == SUITE.cases
    assert not [case for case in cases(without=["install_snapshot"]) if "snapshot" in case.sentence]
    with pytest.raises(ValueError, match="no network may be without append_entries"):
        cases(without=["append_entries"])


def test_every_wrong_network_is_in_the_table() -> None:
    wrong = {each for each in vars(broken).values() if isinstance(each, type) and issubclass(each, broken._Wrapped)}
    assert wrong - {broken._Wrapped} == set(CAUGHT_BY)


def test_for_every_sentence_about_a_method_that_may_be_lacking_there_is_a_wrong_network() -> None:
    later = {case.sentence for case in cases()} - {case.sentence for case in SUITE.cases}
    assert later - {line for _, line in CAUGHT} == set()
