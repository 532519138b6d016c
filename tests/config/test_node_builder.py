"""Nodes from parts and names, and everything that can be wrong with them."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from raftsdk_json import JsonCodec
from raftsdk_tcp import TcpTransport

from raftsdk.builder import NodeBuilder
from raftsdk.cli.key_value import KeyValue, get_message, parse_value, put_command
from raftsdk.config import STORAGE, LinkConfig, NodeConfig, RaftConfig, node_config
from raftsdk.errors import ConfigError
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    Consistency,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftsdk.ports import LinkStatus, RaftHandler, RaftNetwork
from raftsdk.runtime.node import RaftNode
from raftsdk.types import NodeId, Suffrage

QUICK = RaftConfig(tick_interval_ms=1)

Install = Callable[..., None]


class NoNetwork:
    """A network for a node that is alone, without the methods that a network may lack."""

    async def start(self, handler: RaftHandler) -> None: ...

    async def request_vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        raise NotImplementedError

    async def append_entries(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        raise NotImplementedError

    def link(self, target: NodeId) -> LinkStatus:
        return LinkStatus()

    async def aclose(self) -> None: ...


def alone() -> NodeBuilder:
    return (
        NodeBuilder("n1")
        .cluster("demo")
        .voters("n1")
        .network(cast("RaftNetwork", NoNetwork()))
        .storage("memory")
        .config(QUICK)
    )


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def on_tcp() -> NodeBuilder:
    builder = NodeBuilder("n1").cluster("demo").members({"n1": "tcp://127.0.0.1:7001"}).listen(free_address())
    return builder.storage("memory").state_machine("key-value").config(QUICK)


def faults_of(builder: NodeBuilder) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        builder.build()
    return list(caught.value.faults)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 30 s")


async def serves(node: RaftNode) -> bool:
    """Whether the node, alone in its cluster, replicates and answers."""
    async with node, asyncio.timeout(20):
        for _ in range(10_000):
            if node.is_leader:
                break
            await asyncio.sleep(0.001)
        await node.propose(put_command("k", b"v"))
        return parse_value(await node.query(get_message("k"))) == b"v"


# -- what is sound


async def test_a_node_with_a_network_of_its_own_needs_no_codec_no_transport_and_no_address() -> None:
    assert await serves(alone().state_machine(KeyValue()).build())


async def test_a_node_is_built_from_names() -> None:
    assert await serves(on_tcp().codecs("json", "msgpack").transport("tcp").build())


async def test_a_node_is_built_from_objects() -> None:
    builder = on_tcp().codec(JsonCodec()).transport(TcpTransport()).state_machine(KeyValue())
    assert await serves(builder.link_config(LinkConfig(max_connections=5)).build())


async def test_a_node_is_built_from_what_a_file_says(tmp_path: Path) -> None:
    config = node_config(
        {
            "node_id": "n1",
            "cluster_id": "demo",
            "members": [{"id": "n1", "addresses": ["tcp://127.0.0.1:7001", f"unix://{tmp_path}/n1.sock"]}],
            "listen": [free_address(), f"unix://{tmp_path}/n1.sock"],
            "state_machine": "key-value",
            "storage": {"kind": "memory"},
            "raft": {"tick_interval_ms": 1},
        }
    )
    assert await serves(NodeBuilder.from_config(config).build())


def test_a_learner_may_be_added() -> None:
    on_tcp().member("n2", "tcp://127.0.0.1:7002", suffrage=Suffrage.LEARNER).check()


async def test_a_node_joins_a_cluster_that_runs_knowing_nothing_but_an_address_of_it() -> None:
    first, second = free_address(), free_address()
    founder = NodeBuilder("n1").cluster("demo").member("n1", first).storage("memory").state_machine("key-value")
    settings = {
        "node_id": "n2",
        "cluster_id": "demo",
        "members": [{"id": "n2", "addresses": [second]}],
        "join": [first],
        "state_machine": "key-value",
        "storage": {"kind": "memory"},
    }
    joiner = NodeBuilder.from_config(node_config(settings))
    async with asyncio.timeout(30), founder.build() as n1, joiner.build() as n2:
        await n1.leader()
        await n1.propose(put_command("k", b"v"))
        await until(lambda: n2.status().suffrage == "voter")
        assert [(peer.node_id, peer.addresses, peer.suffrage) for peer in n1.status().peers] == [
            ("n2", [second], "voter")
        ]
        fresh = await n2.query(get_message("k"), consistency=Consistency.FOLLOWER_LINEARIZABLE)
        assert parse_value(fresh) == b"v"


async def test_a_node_may_join_as_a_learner_and_stay_one() -> None:
    first, second = free_address(), free_address()
    founder = NodeBuilder("n1").cluster("demo").member("n1", first).storage("memory").state_machine("key-value")
    joiner = NodeBuilder("n2").cluster("demo").member("n2", second).join(first, suffrage=Suffrage.LEARNER)
    async with (
        asyncio.timeout(30),
        founder.build() as n1,
        joiner.storage("memory").state_machine("key-value").build() as n2,
    ):
        await until(lambda: n2.status().suffrage == "learner")
        await n1.propose(put_command("k", b"v"))
        fresh = await n2.query(get_message("k"), consistency=Consistency.FOLLOWER_LINEARIZABLE)
        assert parse_value(fresh) == b"v"
        assert n2.status().suffrage == "learner"


# -- what is not


def test_a_builder_told_nothing_asks_for_everything() -> None:
    assert faults_of(NodeBuilder("n1")) == [
        "cluster_id is missing: give a text. The cluster's name, alike on every member.",
        "state_machine is missing: give a text. A name of the entry-point group raftsdk.state_machines.",
        "storage is missing: give a table. Where this node keeps what it must not forget.",
        'node_id is "n1", which is not among the members (nobody): correct it, or add the member',
    ]


def test_every_fault_of_every_part_is_reported_at_once(install: Install) -> None:
    install("acme-disk", STORAGE, {"disk": "Disk"}, module="acme_disk_1", code="raise RuntimeError('no licence')")
    builder = (
        NodeBuilder("n4")
        .cluster("a b")
        .members({"n1": "tcp://127.0.0.1:7001", "n2": ["tcp://127.0.0.1"]})
        .member("n1", "tcp://127.0.0.1:7003")
        .codecs("msgpak", "asn1", JsonCodec())
        .transport("tpc")
        .storage("disk", path="data")
        .state_machine("key-values")
    )
    found = faults_of(builder)
    assert found[:-2] == [
        'members[1].addresses[0] is "tcp://127.0.0.1": give a host and a port from 1 to 65535',
        'cluster_id is "a b": give 1 to 128 of letters, digits, ".", "_", "-", a letter or digit first',
        'members[2].id is "n1", and so is members[0].id: give every member an id of its own',
        'node_id is "n4", which is not among the members (n1, n2, n1): correct it, or add the member',
        'state_machine is "key-values": no state machine has that name; did you mean "key-value"?',
        'codecs[0] is "msgpak": no codec has that name; did you mean "msgpack"?',
        'codecs[1] is "asn1": no codec has that name; there is: capnp, flatbuffers, json, msgpack, protobuf',
        'transports[0] is "tpc": no transport has that name; did you mean "tcp"?',
    ]
    assert found[-2] == (
        '"disk" (acme_disk_1:Disk of acme-disk 2.5) cannot be loaded: RuntimeError: no licence; mend or reinstall it'
    )


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda node: node.codec(JsonCodec), "JsonCodec is a class: give an object, JsonCodec(…)"),
        (lambda node: node.codec(7), "int is no Codec: it lacks name, encode, decode"),
        (lambda node: node.transport(object()), "object is no Transport: it lacks schemes, connect, listen"),
        (lambda node: node.storage(KeyValue()), "KeyValue is no Storage: it lacks load, persist, aclose"),
        (lambda node: node.state_machine(JsonCodec()), "JsonCodec is no StateMachine: it lacks apply, query"),
    ],
)
def test_an_object_that_is_not_what_it_should_be_is_refused(spoil: Callable[[Any], NodeBuilder], fault: str) -> None:
    assert fault in faults_of(spoil(on_tcp()))


def test_a_network_of_ones_own_that_lacks_calls_is_refused() -> None:
    incomplete: Any = KeyValue()
    (fault,) = faults_of(alone().state_machine(KeyValue()).network(incomplete))
    assert fault.startswith("KeyValue is no RaftNetwork: it lacks start, request_vote")


def test_a_part_written_for_another_version_of_its_port_is_refused() -> None:
    class Later(KeyValue):
        api_version = 2

    (fault,) = faults_of(on_tcp().state_machine(Later()))
    assert fault.startswith("Later is written for version 2 of StateMachine, and this raftsdk knows version 1")


def test_a_network_of_ones_own_beside_a_codec_is_refused() -> None:
    (fault,) = faults_of(alone().state_machine(KeyValue()).codec("json"))
    assert fault.startswith("a network of your own brings its own codecs, transports")


def test_a_network_of_ones_own_knows_no_address_to_join_at() -> None:
    (fault,) = faults_of(alone().state_machine(KeyValue()).join("tcp://127.0.0.1:7001"))
    assert "leave out codec, transport, listen, join" in fault


def test_a_network_of_ones_own_does_not_excuse_other_faults() -> None:
    found = faults_of(NodeBuilder("n1").voters("n2").network(cast("RaftNetwork", NoNetwork())).storage("memori"))
    assert [fault.split(" is ")[0] for fault in found] == ["cluster_id", "state_machine", "node_id", "storage.kind"]


def test_an_address_that_no_given_transport_speaks_is_refused() -> None:
    assert faults_of(on_tcp().member("n2", "ws://127.0.0.1:7002").transport("tcp")) == [
        'no transport given speaks "ws" (they speak tcp, tcp+tls, unix): add one, or correct the address'
    ]


def test_a_path_beside_a_store_given_as_an_object_is_refused(install: Install) -> None:
    code = "".join(f"    async def {name}(self, *_): ...\n" for name in ("load", "persist", "aclose"))
    install("acme-disk", STORAGE, {"disk": "Disk"}, module="acme_disk_2", code=f"class Disk:\n{code}")
    on_tcp().storage("disk").check()
    found = faults_of(on_tcp().storage("disk", path="data"))
    assert found == ['"disk" (acme_disk_2:Disk of acme-disk 2.5) cannot be made: TypeError: Disk() takes no arguments']
    store: Any = __import__("acme_disk_2").Disk()
    assert faults_of(on_tcp().storage(store, path="data")) == [
        "a path is for a store given by name: leave it out, or tell Disk itself"
    ]


def test_no_signature_repeats_the_settings() -> None:
    methods = [method for name, method in vars(NodeBuilder).items() if not name.startswith("_")]
    parameters = {name for method in methods for name in getattr(method, "__annotations__", {})}
    assert parameters.isdisjoint({*RaftConfig.__struct_fields__, *LinkConfig.__struct_fields__})
    assert {"node_id", "cluster_id", "raft"} <= set(NodeConfig.__struct_fields__)
