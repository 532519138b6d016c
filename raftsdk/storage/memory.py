"""A store that forgets when its object goes: for tests, examples and caches that may be rebuilt."""

from hashlib import sha256

from raftsdk.errors import SnapshotDamaged, StorageFailed, StorageRefused
from raftsdk.storage.contents import Contents
from raftsdk.types import Identity, LogIndex, Membership, Recovered, SnapshotMeta, Term, Write


class MemoryStorage:
    """Keeps everything in the object. `aclose` keeps it too, so a node may be restarted on the same object.

    Not durable: it satisfies `ports.Storage` and `ports.SnapshotStore` only for as long as the process lives.
    """

    def __init__(self) -> None:
        self._identity: Identity | None = None
        self._contents = Contents()
        self._finished: dict[SnapshotMeta, bytearray] = {}
        self._received: MemorySink | None = None

    async def load(self, identity: Identity) -> Recovered:
        """All that was persisted so far; the list is the caller's own. Raises `StorageRefused` for another identity."""
        if self._identity not in (None, identity):
            raise StorageRefused(f"this memory belongs to {self._identity}, not to {identity}: give each node its own")
        self._identity = identity
        # A new dict: a sink of an earlier run that is still held somewhere finishes into the old one.
        in_use = self._contents.snapshot
        self._finished = {meta: data for meta, data in self._finished.items() if meta == in_use}
        self._received = None
        return self._contents.recovered()

    async def persist(self, write: Write) -> None:
        """Take the write at once, keeping references to its entries. Raises `StorageFailed` when it does not fit."""
        if write.snapshot is not None and write.snapshot not in self._finished:
            raise StorageFailed(f"the snapshot up to index {write.snapshot.index} was not finished")
        self._contents.persist(write)
        if write.snapshot is not None:
            for meta in [meta for meta in self._finished if meta.index < write.snapshot.index]:
                del self._finished[meta]

    async def aclose(self) -> None:
        """Nothing to release."""

    async def create_snapshot(self, index: LogIndex, term: Term, membership: Membership) -> "MemorySink":
        """Begin a snapshot of this node's own state."""
        return MemorySink(self._finished, index, term, membership)

    async def receive_snapshot(self, meta: SnapshotMeta) -> "MemorySink":
        """Begin to receive a snapshot, or go on with this very one."""
        if self._received is None or self._received.has_ended or self._received.expected != meta:
            if self._received is not None:
                await self._received.abort()
            self._received = MemorySink(self._finished, meta.index, meta.term, meta.membership, meta)
        return self._received

    async def open_snapshot(self, meta: SnapshotMeta) -> "MemorySource":
        """Open a snapshot that is finished. Raises `StorageFailed` when it is not there."""
        if meta not in self._finished:
            raise StorageFailed(f"there is no snapshot up to index {meta.index} of this digest")
        return MemorySource(meta, self._finished[meta])


class MemorySink:
    """A snapshot on its way into a `MemoryStorage`; see `ports.SnapshotSink`."""

    def __init__(
        self,
        finished: dict[SnapshotMeta, bytearray],
        index: LogIndex,
        term: Term,
        membership: Membership,
        expected: SnapshotMeta | None = None,
    ) -> None:
        self.expected = expected  #: What it must turn out to be; None for one of this node's own state.
        self.has_ended = False
        self.offset = 0  #: How many bytes there are.
        self._finished = finished
        self._index, self._term, self._membership = index, term, membership
        self._data = bytearray()
        self._digest = sha256()  # as it grows: over a gigabyte at once, the event loop would stand still for seconds

    async def write(self, data: bytes) -> None:
        """Append `data`."""
        self._check_open()
        self._data += data
        self._digest.update(data)
        self.offset += len(data)

    async def finish(self) -> SnapshotMeta:
        """Say what it is; `open_snapshot` finds it from here on. Raises `SnapshotDamaged` as the port says."""
        self._check_open()
        data, digest = self._data, self._digest.digest()
        self._end()
        meta = SnapshotMeta(self._index, self._term, self._membership, len(data), digest)
        if self.expected not in (None, meta):
            raise SnapshotDamaged(f"the snapshot up to index {self._index} is not the one that was sent")
        self._finished[meta] = data
        return meta

    async def abort(self) -> None:
        """Forget it, unless it is finished."""
        self._end()

    def _end(self) -> None:
        self.has_ended = True
        self._data = bytearray()

    def _check_open(self) -> None:
        if self.has_ended:
            raise StorageFailed(f"the snapshot up to index {self._index} has ended: begin it again")


class MemorySource:
    """A snapshot of a `MemoryStorage`, open for reading; see `ports.SnapshotSource`."""

    def __init__(self, meta: SnapshotMeta, data: bytearray) -> None:
        self._meta = meta
        self._data = data

    @property
    def meta(self) -> SnapshotMeta:
        """What it is."""
        return self._meta

    async def read(self, offset: int, max_bytes: int) -> bytes:
        """The bytes from `offset` on."""
        return bytes(memoryview(self._data)[offset : offset + max_bytes])

    async def aclose(self) -> None:
        """Nothing to release."""
