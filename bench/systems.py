"""What is compared, and for each what survives a power cut: a figure without that line means nothing."""

from collections.abc import Collection

from msgspec import Struct

MODULES = {"raftsdk": "bench.raftsdk_node", "pysyncobj": "bench.pysyncobj_node"}
"""By peer: the module that is one node of it."""


class System(Struct, frozen=True):
    """One contestant: a Raft library with settings and a place for its log."""

    name: str
    peer: str  #: A key of `MODULES`.
    storage: str  #: "memory" or "sqlite", the group that `--storage` picks it by.
    synced: str  #: What is on the disk when a write is acknowledged.
    variant: str = ""  #: Settings, for the node's program.


BASELINE = "PySyncObj, tuned"

SYSTEMS = (
    System("raftsdk, memory", "raftsdk", "memory", "nothing", "memory"),
    System("raftsdk, SQLite", "raftsdk", "sqlite", "every write, by fsync, on a majority", "sqlite"),
    System("PySyncObj, defaults", "pysyncobj", "memory", "nothing", "defaults"),
    System(BASELINE, "pysyncobj", "memory", "nothing", "tuned"),
    System("PySyncObj, tuned, journal", "pysyncobj", "sqlite", "nothing: memory-mapped, never flushed", "journal"),
)


def chosen(peers: Collection[str], storage: Collection[str]) -> list[System]:
    """The contestants of those peers and that storage, in the order they take turns."""
    return [system for system in SYSTEMS if system.peer in peers and system.storage in storage]
