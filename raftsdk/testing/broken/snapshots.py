"""Stores that keep the contract about snapshots but for one clause. The docstring of each says which."""

from dataclasses import dataclass, field
from hashlib import sha256

from msgspec.structs import replace

from raftsdk.errors import SnapshotDamaged
from raftsdk.ports import SnapshotSink, SnapshotSource
from raftsdk.storage.memory import MemoryStorage
from raftsdk.types import EntryId, Identity, LogIndex, Member, Membership, Recovered, SnapshotMeta, Term, Write


@dataclass
class _Sink:
    """A good sink, to be spoilt. Keeps what was written, for those that spoil it at the end."""

    inner: SnapshotSink
    data: bytes = b""

    @property
    def offset(self) -> int:
        return self.inner.offset

    async def write(self, data: bytes) -> None:
        self.data += data
        await self.inner.write(data)

    async def finish(self) -> SnapshotMeta:
        return await self.inner.finish()

    async def abort(self) -> None:
        await self.inner.abort()


@dataclass
class _Source:
    """A good source, to be spoilt."""

    inner: SnapshotSource

    @property
    def meta(self) -> SnapshotMeta:
        return self.inner.meta

    async def read(self, offset: int, max_bytes: int) -> bytes:
        return await self.inner.read(offset, max_bytes)

    async def aclose(self) -> None:
        await self.inner.aclose()


class _Store:
    """A good store, to be spoilt by replacing one of the five methods at the end."""

    def __init__(self, inner: MemoryStorage) -> None:
        self._inner = inner

    async def load(self, identity: Identity) -> Recovered:
        return await self._load(identity)

    async def persist(self, write: Write) -> None:
        await self._persist(write)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def create_snapshot(self, index: LogIndex, term: Term, membership: Membership) -> SnapshotSink:
        return await self._create(index, term, membership)

    async def receive_snapshot(self, meta: SnapshotMeta) -> SnapshotSink:
        return await self._receive(meta)

    async def open_snapshot(self, meta: SnapshotMeta) -> SnapshotSource:
        return await self._open(meta)

    async def _load(self, identity: Identity) -> Recovered:
        return await self._inner.load(identity)

    async def _persist(self, write: Write) -> None:
        await self._inner.persist(write)

    async def _create(self, index: LogIndex, term: Term, membership: Membership) -> SnapshotSink:
        return await self._inner.create_snapshot(index, term, membership)

    async def _receive(self, meta: SnapshotMeta) -> SnapshotSink:
        return await self._inner.receive_snapshot(meta)

    async def _open(self, meta: SnapshotMeta) -> SnapshotSource:
        return await self._inner.open_snapshot(meta)


# -- written and read


class LosesTheLastPiece(_Store):
    """Never writes what it still buffers when the snapshot ends."""

    @dataclass
    class _Buffering(_Sink):
        held: bytes = b""

        @property
        def offset(self) -> int:
            return self.inner.offset + len(self.held)

        async def write(self, data: bytes) -> None:
            await self.inner.write(self.held)
            self.held = data

    async def _create(self, index: LogIndex, term: Term, membership: Membership) -> SnapshotSink:
        return self._Buffering(await self._inner.create_snapshot(index, term, membership))


class DigestsOnePiece(_Store):
    """Says the SHA-256 of the last piece for that of the whole."""

    @dataclass
    class _Forgetful(_Sink):
        digests: dict[SnapshotMeta, SnapshotMeta] = field(default_factory=dict)

        async def write(self, data: bytes) -> None:
            await super().write(data)
            self.data = data

        async def finish(self) -> SnapshotMeta:
            meta = await super().finish()
            said = replace(meta, digest=sha256(self.data).digest())
            self.digests[said] = meta
            return said

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self._digests: dict[SnapshotMeta, SnapshotMeta] = {}

    async def _create(self, index: LogIndex, term: Term, membership: Membership) -> SnapshotSink:
        return self._Forgetful(await self._inner.create_snapshot(index, term, membership), digests=self._digests)

    async def _open(self, meta: SnapshotMeta) -> SnapshotSource:
        return await self._inner.open_snapshot(self._digests.get(meta, meta))


class ReadsWholePieces(_Store):
    """Reads in pieces of its own size, whatever was asked for."""

    @dataclass
    class _Generous(_Source):
        async def read(self, offset: int, max_bytes: int) -> bytes:
            return await self.inner.read(offset, max(max_bytes, 65_536))

    async def _open(self, meta: SnapshotMeta) -> SnapshotSource:
        return self._Generous(await self._inner.open_snapshot(meta))


class ReadsRoundAndRound(_Store):
    """Begins again at the end."""

    @dataclass
    class _Circular(_Source):
        async def read(self, offset: int, max_bytes: int) -> bytes:
            return await self.inner.read(offset % max(self.meta.total_bytes, 1), max_bytes)

    async def _open(self, meta: SnapshotMeta) -> SnapshotSource:
        return self._Circular(await self._inner.open_snapshot(meta))


class WritesInPlace(_Store):
    """Writes under the final name from the beginning."""

    @dataclass
    class _Hasty(_Sink):
        store: MemoryStorage = field(default_factory=MemoryStorage)
        place: tuple[LogIndex, Term, Membership] = (0, 0, Membership(()))

        async def write(self, data: bytes) -> None:
            await super().write(data)
            copy = await self.store.create_snapshot(*self.place)
            await copy.write(self.data)
            await copy.finish()

    async def _create(self, index: LogIndex, term: Term, membership: Membership) -> SnapshotSink:
        inner = await self._inner.create_snapshot(index, term, membership)
        return self._Hasty(inner, store=self._inner, place=(index, term, membership))


class CannotAbort(_Store):
    """Goes on after it was told to stop."""

    @dataclass
    class _Stubborn(_Sink):
        async def abort(self) -> None:
            """Nothing."""

    async def _create(self, index: LogIndex, term: Term, membership: Membership) -> SnapshotSink:
        return self._Stubborn(await self._inner.create_snapshot(index, term, membership))


class AbortsWhatIsFinished(_Store):
    """Removes a whole snapshot when its sink is let go."""

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self.gone: set[SnapshotMeta] = set()

    @dataclass
    class _Thorough(_Sink):
        gone: set[SnapshotMeta] = field(default_factory=set)
        meta: SnapshotMeta | None = None

        async def finish(self) -> SnapshotMeta:
            self.meta = await super().finish()
            return self.meta

        async def abort(self) -> None:
            await super().abort()
            if self.meta is not None:
                self.gone.add(self.meta)

    async def _create(self, index: LogIndex, term: Term, membership: Membership) -> SnapshotSink:
        return self._Thorough(await self._inner.create_snapshot(index, term, membership), gone=self.gone)

    async def _open(self, meta: SnapshotMeta) -> SnapshotSource:
        if meta in self.gone:
            raise SnapshotDamaged("removed")
        return await self._inner.open_snapshot(meta)


# -- whose it is


class ForgetsTheSnapshot(_Store):
    """Keeps the bytes, and does not say after a restart that it has them."""

    async def _load(self, identity: Identity) -> Recovered:
        return replace(await self._inner.load(identity), snapshot=None)


class KeepsOnlyTheNames(_Store):
    """Keeps of the members who they are, and not what."""

    async def _load(self, identity: Identity) -> Recovered:
        recovered = await self._inner.load(identity)
        if recovered.snapshot is None:
            return recovered
        members = tuple(Member(member.id) for member in recovered.snapshot.membership.members)
        return replace(recovered, snapshot=replace(recovered.snapshot, membership=Membership(members)))


class UsesWhatNobodyNamed(_Store):
    """Takes the newest whole snapshot for its own, whether a write named it or not."""

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self.newest: SnapshotMeta | None = None

    @dataclass
    class _Telling(_Sink):
        store: "UsesWhatNobodyNamed | None" = None

        async def finish(self) -> SnapshotMeta:
            meta = await super().finish()
            assert self.store is not None
            self.store.newest = meta
            return meta

    async def _load(self, identity: Identity) -> Recovered:
        return replace(await self._inner.load(identity), snapshot=self.newest)

    async def _create(self, index: LogIndex, term: Term, membership: Membership) -> SnapshotSink:
        return self._Telling(await self._inner.create_snapshot(index, term, membership), store=self)


class KeepsTheFirst(_Store):
    """Never lets a newer snapshot take the older one's place."""

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self._has_one = False

    async def _persist(self, write: Write) -> None:
        await self._inner.persist(replace(write, snapshot=None) if self._has_one else write)
        self._has_one = self._has_one or write.snapshot is not None


class ReadsByName(_Store):
    """Looks for the snapshot anew at each read, and finds it gone."""

    @dataclass
    class _Reopening(_Source):
        store: MemoryStorage

        async def read(self, offset: int, max_bytes: int) -> bytes:
            return await (await self.store.open_snapshot(self.meta)).read(offset, max_bytes)

    async def _open(self, meta: SnapshotMeta) -> SnapshotSource:
        return self._Reopening(await self._inner.open_snapshot(meta), store=self._inner)


class HasRoomForOne(_Store):
    """Removes the snapshot in use as soon as another one is begun."""

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self._begun = 0

    async def _create(self, index: LogIndex, term: Term, membership: Membership) -> SnapshotSink:
        self._begun = index
        return await self._inner.create_snapshot(index, term, membership)

    async def _open(self, meta: SnapshotMeta) -> SnapshotSource:
        if meta.index < self._begun:
            raise SnapshotDamaged("removed")
        return await self._inner.open_snapshot(meta)


# -- compaction


class NeverCompacts(_Store):
    """Takes the snapshot and keeps the whole log."""

    async def _persist(self, write: Write) -> None:
        await self._inner.persist(replace(write, compacted=None))


class ForgetsTheTermBefore(_Store):
    """Does not know of which term the last compacted entry was."""

    async def _load(self, identity: Identity) -> Recovered:
        return replace(await self._inner.load(identity), prev_term=0)


class CountsFromOneAgain(_Store):
    """Says that the first entry left has index 1."""

    async def _load(self, identity: Identity) -> Recovered:
        return replace(await self._inner.load(identity), first_index=1)


class CompactsWholeWrites(_Store):
    """Removes what was written together as a whole, because it never cuts a record apart."""

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self._ends: list[LogIndex] = []

    async def _persist(self, write: Write) -> None:
        last = write.compacted
        if last is not None:
            within = next((end for end in self._ends if end >= last.index), last.index)
            covering = write.snapshot
            assert covering is not None
            write = replace(write, compacted=EntryId(last.term, min(within, covering.index)))
        if write.entries:
            self._ends.append(write.first_index + len(write.entries) - 1)
        await self._inner.persist(write)


class CompactsUpToTheSnapshot(_Store):
    """Removes all that the snapshot covers, whatever it was told to keep."""

    async def _persist(self, write: Write) -> None:
        if write.snapshot is not None and write.compacted is not None:
            write = replace(write, compacted=write.snapshot.last_id)
        await self._inner.persist(write)


class LosesItsPlaceAtTheEnd(_Store):
    """Tells by the first entry where the log begins, and an empty log has none."""

    async def _load(self, identity: Identity) -> Recovered:
        recovered = await self._inner.load(identity)
        return recovered if recovered.entries else replace(recovered, first_index=1, prev_term=0)


class LosesEntriesBesideACompaction(_Store):
    """Has two kinds of writes, and takes each for one of them."""

    async def _persist(self, write: Write) -> None:
        await self._inner.persist(write if write.compacted is None else replace(write, entries=[]))


class CompactsAfterAppending(_Store):
    """Applies the parts of a write in the wrong order."""

    async def _persist(self, write: Write) -> None:
        if write.compacted is not None and write.entries:
            await self._inner.persist(replace(write, compacted=None, snapshot=None))
            write = replace(write, hard_state=None, truncate_from=None, entries=[])
        await self._inner.persist(write)


class ClearsTheHardStateWithTheLog(_Store):
    """Begins anew when it takes a snapshot, term and vote included."""

    async def _load(self, identity: Identity) -> Recovered:
        recovered = await self._inner.load(identity)
        return recovered if recovered.snapshot is None else replace(recovered, hard_state=type(recovered.hard_state)())


class TruncatesFromTheOldBeginning(_Store):
    """Takes the position in what is left of the log for the index."""

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self._compacted = 0

    async def _persist(self, write: Write) -> None:
        if write.truncate_from is not None:
            write = replace(write, truncate_from=write.truncate_from + self._compacted)
        self._compacted = self._compacted if write.compacted is None else write.compacted.index
        await self._inner.persist(write)


# -- received


class KeepsTheOldLog(_Store):
    """Installs a snapshot beside a log that contradicts it."""

    async def _persist(self, write: Write) -> None:
        await self._inner.persist(replace(write, truncate_from=None) if write.snapshot is not None else write)


class DropsWhatIsBehind(_Store):
    """Drops the whole log for any snapshot, also entries behind it that may have been acknowledged."""

    async def _persist(self, write: Write) -> None:
        if write.compacted is not None and write.truncate_from is None:
            write = replace(write, truncate_from=write.compacted.index + 1)
        await self._inner.persist(write)


class NeedsALog(_Store):
    """Finds no place for a snapshot in a store that is empty."""

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self._has_log = False

    async def _persist(self, write: Write) -> None:
        self._has_log = self._has_log or bool(write.entries)
        await self._inner.persist(write if self._has_log else replace(write, snapshot=None, compacted=None))


class StartsOver(_Store):
    """Receives from the beginning, whatever is there already."""

    async def _receive(self, meta: SnapshotMeta) -> SnapshotSink:
        await (await self._inner.receive_snapshot(meta)).abort()
        return await self._inner.receive_snapshot(meta)


class GoesOnWithAnyPieces(_Store):
    """Knows snapshots by index and term alone."""

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self._received: tuple[EntryId, SnapshotSink] | None = None

    async def _receive(self, meta: SnapshotMeta) -> SnapshotSink:
        if self._received is None or self._received[0] != meta.last_id:
            self._received = meta.last_id, await self._inner.receive_snapshot(meta)
        return self._received[1]


class BelievesTheSender(_Store):
    """Calls whatever arrived by the name it was announced under."""

    @dataclass
    class _Trusting(_Sink):
        meta: SnapshotMeta | None = None

        async def finish(self) -> SnapshotMeta:
            await super().finish()
            assert self.meta is not None
            return self.meta

    async def _receive(self, meta: SnapshotMeta) -> SnapshotSink:
        return self._Trusting(await self._inner.create_snapshot(meta.index, meta.term, meta.membership), meta=meta)


class CutsTheSurplus(_Store):
    """Takes the beginning of what is too long for the whole."""

    @dataclass
    class _Cutting(_Sink):
        max_bytes: int = 0

        async def write(self, data: bytes) -> None:
            await super().write(data[: self.max_bytes - self.offset])

    async def _receive(self, meta: SnapshotMeta) -> SnapshotSink:
        return self._Cutting(await self._inner.receive_snapshot(meta), max_bytes=meta.total_bytes)


class KeepsDamagedPieces(_Store):
    """Says that it is damaged, and offers to go on with it."""

    @dataclass
    class _Keeping(_Sink):
        async def finish(self) -> SnapshotMeta:
            if self.data == b"apPles":
                raise SnapshotDamaged("damaged")
            return await super().finish()

    async def _receive(self, meta: SnapshotMeta) -> SnapshotSink:
        return self._Keeping(await self._inner.receive_snapshot(meta))
