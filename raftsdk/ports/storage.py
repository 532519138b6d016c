"""Where a node keeps what it must not forget."""

from typing import Protocol, runtime_checkable

from raftsdk.types import Identity, Recovered, Write


@runtime_checkable
class Storage(Protocol):
    """A durable log and hard state for one node. One that can keep snapshots too is a `SnapshotStore` besides.

    *Durable* means: survives the process being killed and the machine losing power, from the moment `persist` returned.
    *Atomic.* A crash leaves every part of a `Write` or none of it; a crash before `persist` returned may leave either.
    *Compaction.* A `Write` with `compacted` removes the log's beginning, up to any index that a snapshot of the store
    covers: within what was written together, at the log's end, or beyond it. The same write or an earlier one made that
    snapshot the store's. Only a `SnapshotStore` is ever asked for this.
    *Order.* The caller awaits one `persist` before it starts the next. Cancelling one only stops the waiting; `aclose`
    lets it finish.
    *Failure.* When `persist` raises, nothing may be assumed about this write; the node stops for good. An
    implementation never retries past a failed sync (the kernel may have dropped the dirty pages) and raises
    `StorageFailed` from then on.
    *Blocking.* Neither call blocks the event loop: slow work happens on a thread.
    """

    async def load(self, identity: Identity) -> Recovered:
        """Take possession and return all that is stored. Called once, first.

        A store that is new is marked as `identity`'s for ever. Raises `StorageRefused`, saying what is wrong, where,
        and what to do, when the data is another node's or cluster's, of a newer format, damaged, or in use by another
        process; nothing is changed then. Every entry returned has passed its checksum, and indexes have no gaps: they
        go on from `prev_term`'s entry, which is the last that was compacted away. `snapshot`, where there is one, is of
        the last `Write` that named one, and there to be opened.
        """
        ...

    async def persist(self, write: Write) -> None:
        """Make `write` durable, atomically. `write.number` is for the caller; a store need not keep it."""
        ...

    async def aclose(self) -> None:
        """Release everything, so that another process may open the data. May be called twice, also before `load`."""
        ...
