"""The suites: what is measured beside what."""

from functools import partial

from msgspec.structs import replace

from bench.growth import suites as growth
from bench.rows import Load
from bench.systems import (
    ETCD,
    HASHICORP,
    HASHICORP_BOLT,
    OPENRAFT,
    OPENRAFT_GROUPED,
    PYSYNCOBJ,
    PYSYNCOBJ_JOURNAL,
    PYSYNCOBJ_TUNED,
    RAFTSDK,
    RAFTSDK_CLIENTS,
    RAFTSDK_SQLITE,
    RAFTSDK_SQLITE_CLIENTS,
    System,
)
from bench.turns import Lineup, Suite

KIB = 1024


WRITES = Lineup(
    "Writers in the leader's process",
    "× hashicorp/raft",
    {
        RAFTSDK: HASHICORP,
        HASHICORP: HASHICORP,
        OPENRAFT: HASHICORP,
        PYSYNCOBJ: HASHICORP,
        PYSYNCOBJ_TUNED: HASHICORP,
        RAFTSDK_SQLITE: HASHICORP_BOLT,
        HASHICORP_BOLT: HASHICORP_BOLT,
        OPENRAFT_GROUPED: HASHICORP_BOLT,
        PYSYNCOBJ_JOURNAL: HASHICORP_BOLT,
        ETCD: HASHICORP_BOLT,
    },
    tuple(Load(writers) for writers in (1, 64, 256, 1024, 4096)),
)

VALUES = replace(
    WRITES,
    title="Sizes of values",
    beside={system: beside for system, beside in WRITES.beside.items() if system is not PYSYNCOBJ},
    loads=tuple(Load(256, size_bytes) for size_bytes in (16, 4 * KIB, 64 * KIB)),
)

CLIENTS = Lineup(
    "Writers in a client's process",
    "× etcd",
    dict.fromkeys((RAFTSDK_CLIENTS, RAFTSDK_SQLITE_CLIENTS, ETCD), ETCD),
    tuple(Load(in_flight) for in_flight in (1, 64, 256)),
)

READS = Lineup(
    "Linearizable reads",
    "× etcd",
    dict.fromkeys(
        (RAFTSDK_SQLITE, RAFTSDK_SQLITE_CLIENTS, HASHICORP_BOLT, OPENRAFT, ETCD),
        ETCD,
    ),
    (Load(256, reads=True),),
)


def _wired(name: str, codec: str = "msgpack", transport: str = "tcp") -> System:
    return replace(RAFTSDK, name=name, codec=codec, transport=transport)


MSGPACK_TCP = _wired("MessagePack over TCP")

WIRES = Lineup(
    "Codecs and transports of raftsdk, in memory",
    "× MessagePack over TCP",
    dict.fromkeys(
        (
            MSGPACK_TCP,
            _wired("JSON over TCP", "json"),
            _wired("protobuf over TCP", "protobuf"),
            _wired("Cap'n Proto over TCP", "capnp"),
            _wired("FlatBuffers over TCP", "flatbuffers"),
            _wired("MessagePack over WebSocket", transport="ws"),
            _wired("MessagePack over Unix sockets", transport="unix"),
        ),
        MSGPACK_TCP,
    ),
    (Load(256),),
)


def _sizes(system: System) -> dict[System, System]:
    by_size = [replace(system, name=f"{system.name}, {nodes} nodes", nodes=nodes) for nodes in (3, 5, 7)]
    return dict.fromkeys(by_size, by_size[0])


NODES = Lineup(
    "Nodes",
    "× 3 nodes",
    _sizes(RAFTSDK) | _sizes(HASHICORP) | _sizes(RAFTSDK_SQLITE) | _sizes(HASHICORP_BOLT),
    (Load(256),),
)

LINEUPS = {"writes": WRITES, "values": VALUES, "clients": CLIENTS, "reads": READS, "wires": WIRES, "nodes": NODES}

SIDE_BY_SIDE = {name: Suite(lineup.run, lineup.steps) for name, lineup in LINEUPS.items()}
GROWTH = {name: Suite(run, partial(growth.steps, name)) for name, run in growth.SUITES.items()}
SUITES = SIDE_BY_SIDE | GROWTH
