"""What is compared, and for each what survives a power cut: a figure without that line means nothing."""

import sys
from pathlib import Path

from msgspec import Struct

BUILT = Path(__file__).parents[1] / ".bench" / "bin"
"""Where the set-up puts the programs that are compiled."""


def module(name: str) -> tuple[str, ...]:
    """The command line of a program in Python."""
    return (sys.executable, "-m", name)


def built(name: str) -> tuple[str, ...]:
    """The command line of a program that was compiled."""
    return (str(BUILT / name),)


class System(Struct, frozen=True):
    """One contestant: a Raft library with settings and a place for its log."""

    name: str
    peer: str  #: Whose it is: `--peers` picks by it.
    durable: bool  #: Keeps its log in files, be they synced or not.
    synced: str  #: What is on the disk when a write is acknowledged.
    program: tuple[str, ...]  #: The command line of a node, without its `Spec`; empty for an etcd server.
    variant: str = ""  #: Settings, for the programs.
    codec: str = "msgpack"
    transport: str = "tcp"
    nodes: int = 3
    #: The command line of the process that has the writers; empty: they are in the leader's.
    client: tuple[str, ...] = ()


_NOTHING = "nothing"
_EVERY_WRITE = "every write, by fsync, on a majority"
_RAFTSDK = module("bench.raftsdk_node")
_PYSYNCOBJ = module("bench.pysyncobj_node")

RAFTSDK = System("raftsdk, memory", "raftsdk", False, _NOTHING, _RAFTSDK, "memory")
RAFTSDK_SQLITE = System("raftsdk, SQLite", "raftsdk", True, _EVERY_WRITE, _RAFTSDK, "sqlite")
PYSYNCOBJ = System("PySyncObj, defaults", "pysyncobj", False, _NOTHING, _PYSYNCOBJ, "defaults")
PYSYNCOBJ_TUNED = System("PySyncObj, tuned", "pysyncobj", False, _NOTHING, _PYSYNCOBJ, "tuned")
PYSYNCOBJ_JOURNAL = System(
    "PySyncObj, tuned, journal", "pysyncobj", True, "nothing: memory-mapped, never flushed", _PYSYNCOBJ, "journal"
)
HASHICORP = System("hashicorp/raft, memory", "hashicorp", False, _NOTHING, built("hashicorp"), "memory")
HASHICORP_BOLT = System("hashicorp/raft, Bolt", "hashicorp", True, _EVERY_WRITE, built("hashicorp"), "bolt")
OPENRAFT = System("openraft, memory", "openraft", False, _NOTHING, built("openraft"), "memory")
OPENRAFT_FILE = System("openraft, file", "openraft", True, _EVERY_WRITE, built("openraft"), "durable")
OPENRAFT_GROUPED = System(
    "openraft, file, grouped before it", "openraft", True, _EVERY_WRITE, built("openraft"), "grouped"
)
ETCD = System("etcd, clients", "etcd", True, _EVERY_WRITE, (), client=built("etcd-client"))

_CLIENTS = module("bench.raftsdk_clients")
RAFTSDK_CLIENTS = System("raftsdk, memory, clients", "raftsdk", False, _NOTHING, _RAFTSDK, "memory", client=_CLIENTS)
RAFTSDK_SQLITE_CLIENTS = System(
    "raftsdk, SQLite, clients", "raftsdk", True, _EVERY_WRITE, _RAFTSDK, "sqlite", client=_CLIENTS
)

PEERS = ("raftsdk", "pysyncobj", "hashicorp", "openraft", "etcd")
