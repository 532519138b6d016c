"""What every `ports.SnapshotStore` must do, as sentences, beside those of `storage_suite` about `ports.Storage`.

A snapshot, once finished, is bytes that never change; the log is cut with the write that makes the snapshot the
store's, never before. The subjects are those of `storage_suite`.
"""

from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from random import Random

from raftsdk.errors import SnapshotDamaged, StorageFailed
from raftsdk.ports import SnapshotSink, SnapshotSource, SnapshotStore
from raftsdk.testing import storage_suite
from raftsdk.testing.storage_suite import NOTHING_COMPACTED, StorageSubject, commands
from raftsdk.testing.suite import Suite
from raftsdk.types import Entry, EntryId, HardState, LogIndex, Member, Membership, SnapshotMeta, Suffrage, Term

MEMBERS = Membership((Member("n1"), Member("n2"), Member("n3")))
PIECE_BYTES = 100_000  # no power of two, so that no store finds it comfortable
LARGE_BYTES = 3 * 1024 * 1024 + 17
RANDOM_STEPS = 300

SUITE: Suite[StorageSubject] = Suite("snapshot store")


class _Place(storage_suite.Place):
    """The same, with a store that can keep snapshots."""

    @property
    def store(self) -> SnapshotStore:
        assert isinstance(self.storage, SnapshotStore), "the store lacks methods of `ports.SnapshotStore`"
        return self.storage

    async def take(
        self, data: bytes, index: LogIndex, term: Term = 1, membership: Membership = MEMBERS
    ) -> SnapshotMeta:
        """Write a snapshot of this node's own state, and finish it."""
        sink = await self.store.create_snapshot(index, term, membership)
        await _write(sink, data)
        return await sink.finish()

    async def read(self, meta: SnapshotMeta) -> bytes:
        source = await self.store.open_snapshot(meta)
        try:
            return await _read(source)
        finally:
            await source.aclose()

    async def expect_no_snapshot(self, meta: SnapshotMeta) -> None:
        """That it cannot be opened."""
        try:
            source = await self.store.open_snapshot(meta)
        except StorageFailed:
            return
        await source.aclose()
        raise AssertionError(f"the snapshot up to index {meta.index} can be opened")


async def _write(sink: SnapshotSink, data: bytes) -> None:
    for start in range(0, len(data), PIECE_BYTES):
        await sink.write(data[start : start + PIECE_BYTES])


async def _read(source: SnapshotSource, offset: int = 0) -> bytes:
    pieces: list[bytes] = []
    while piece := await source.read(offset, PIECE_BYTES):
        pieces.append(piece)
        offset += len(piece)
        assert offset <= source.meta.total_bytes, f"{offset} bytes of a snapshot of {source.meta.total_bytes} were read"
    return b"".join(pieces)


async def _is_damaged(sink: SnapshotSink) -> None:
    try:
        await sink.finish()
    except SnapshotDamaged:
        return
    raise AssertionError("a snapshot that is not the one that was sent was finished")


def _described(data: bytes, index: LogIndex, term: Term = 1, membership: Membership = MEMBERS) -> SnapshotMeta:
    return SnapshotMeta(index, term, membership, len(data), sha256(data).digest())


def _random_bytes(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


# -- written and read


@SUITE.case("what was written into a snapshot, in whatever pieces, is read again byte for byte")
async def _bytes(subject: StorageSubject) -> None:
    data = _random_bytes(LARGE_BYTES)
    async with _Place(subject) as place:
        sink = await place.store.create_snapshot(1, 1, MEMBERS)
        written = 0
        for size in (0, 1, 65_535, 65_536, 65_537, 1_000_000, LARGE_BYTES):
            await sink.write(data[written : written + size])
            written = min(written + size, LARGE_BYTES)
            assert sink.offset == written, f"offset {sink.offset} after {written} bytes"
        assert await place.read(await sink.finish()) == data


@SUITE.case("a finished snapshot says its index, term, members, length and SHA-256")
async def _meta(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        for data in (b"", b"apples", _random_bytes(LARGE_BYTES)):
            meta = await place.take(data, 7, 3)
            assert meta == _described(data, 7, 3), f"a snapshot of {len(data)} bytes is said to be {meta}"
            source = await place.store.open_snapshot(meta)
            assert source.meta == meta
            await source.aclose()


@SUITE.case("a snapshot can be read from any offset, and never more of it than was asked for")
async def _offsets(subject: StorageSubject) -> None:
    data = _random_bytes(200_000)
    random = Random(2)
    async with _Place(subject) as place:
        source = await place.store.open_snapshot(await place.take(data, 1))
        for _ in range(100):
            offset, max_bytes = random.randrange(len(data)), random.choice((1, 100, 65_536, 150_000))
            piece = await source.read(offset, max_bytes)
            assert piece == data[offset : offset + max_bytes], f"{len(piece)} wrong bytes at {offset} of {max_bytes}"
        await source.aclose()


@SUITE.case("reading ends where the snapshot ends, also an empty one")
async def _end(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        for data in (b"", b"apples"):
            source = await place.store.open_snapshot(await place.take(data, 1))
            assert await source.read(len(data), 10) == b""
            assert await source.read(0, 10) == data
            await source.aclose()
            await source.aclose()


@SUITE.case("nobody can open a snapshot before it is finished")
async def _unfinished(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        sink = await place.store.create_snapshot(1, 1, MEMBERS)
        await sink.write(b"apples")
        await place.expect_no_snapshot(_described(b"apples", 1))
        assert await place.read(await sink.finish()) == b"apples"


@SUITE.case("an aborted snapshot is gone and takes nothing more")
async def _aborted(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        sink = await place.store.create_snapshot(1, 1, MEMBERS)
        await sink.write(b"apples")
        await sink.abort()
        await sink.abort()
        for go_on in (partial(sink.write, b"pears"), sink.finish):
            try:
                await go_on()
            except StorageFailed:
                continue
            raise AssertionError("a snapshot that was aborted went on")
        await place.expect_no_snapshot(_described(b"apples", 1))


@SUITE.case("aborting a finished snapshot does nothing")
async def _aborted_late(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        sink = await place.store.create_snapshot(1, 1, MEMBERS)
        await sink.write(b"apples")
        meta = await sink.finish()
        await sink.abort()
        assert await place.read(meta) == b"apples"


# -- whose it is


@SUITE.case("a snapshot that a write named is the store's after a restart, byte for byte")
async def _named(subject: StorageSubject) -> None:
    data = _random_bytes(LARGE_BYTES)
    async with _Place(subject) as place:
        await place.persist(HardState(1, "n1", 2), entries=commands(1, "a", "b"))
        meta = await place.take(data, 2)
        await place.persist(snapshot=meta)
        await place.expect(HardState(1, "n1", 2), commands(1, "a", "b"), snapshot=meta)
        assert await place.read(meta) == data


@SUITE.case("the members come back with the snapshot: learners, addresses, incarnations, the outgoing half")
async def _members(subject: StorageSubject) -> None:
    members = Membership(
        (
            Member("n1", ("tcp://10.0.0.1:7001", "ws://10.0.0.1:7002"), incarnation=2**63 - 1),
            Member("n2", (), Suffrage.LEARNER),
        ),
        outgoing=("n1", "n3"),
    )
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a"))
        meta = await place.take(b"apples", 1, 1, members)
        await place.persist(snapshot=meta, compacted=EntryId(1, 1))
        found = (await place.restart()).snapshot
        assert found is not None
        assert found.membership == members, f"{found.membership}, written {members}"


@SUITE.case("a snapshot that no write named is not the store's after a restart, and is gone")
async def _unnamed(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a"))
        meta = await place.take(b"apples", 1)
        await place.expect(HardState(), commands(1, "a"))
        await place.expect_no_snapshot(meta)


@SUITE.case("a newer snapshot takes the place of the older one")
async def _newer(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b"))
        older = await place.take(b"apples", 1)
        await place.persist(snapshot=older)
        newer = await place.take(b"pears", 2)
        await place.persist(snapshot=newer)
        await place.expect(HardState(), commands(1, "a", "b"), snapshot=newer)
        assert await place.read(newer) == b"pears"
        await place.expect_no_snapshot(older)


@SUITE.case("the store's snapshot can be read while others are written and received beside it")
async def _beside(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b", "c"))
        meta = await place.take(b"apples", 1)
        await place.persist(snapshot=meta)
        received = _described(b"plums", 3)
        created_sink = await place.store.create_snapshot(2, 1, MEMBERS)
        received_sink = await place.store.receive_snapshot(received)
        await created_sink.write(b"pears")
        await received_sink.write(b"plums")
        assert await place.read(meta) == b"apples"
        created = await created_sink.finish()
        assert await received_sink.finish() == received
        contents = [await place.read(each) for each in (meta, created, received)]
        assert contents == [b"apples", b"pears", b"plums"]


@SUITE.case("a source that is open is read to its end, although another snapshot has taken the place of its own")
async def _replaced(subject: StorageSubject) -> None:
    data = _random_bytes(LARGE_BYTES)
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b"))
        older = await place.take(data, 1)
        await place.persist(snapshot=older)
        source = await place.store.open_snapshot(older)
        begin = await source.read(0, PIECE_BYTES)
        await place.persist(snapshot=await place.take(b"pears", 2), compacted=EntryId(1, 2))
        assert begin + await _read(source, PIECE_BYTES) == data
        await source.aclose()


# -- compaction


@SUITE.case("a compaction removes the entries up to its index; the others keep index, term and data")
async def _compact(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        for index, text in enumerate("abcde", 1):
            await place.persist(first_index=index, entries=commands(index, text))
        meta = await place.take(b"abc", 3, 3)
        await place.persist(snapshot=meta, compacted=EntryId(3, 3))
        await place.expect(HardState(), commands(4, "d") + commands(5, "e"), compacted=EntryId(3, 3), snapshot=meta)


@SUITE.case("entries that were written together are cut apart where a compaction ends between them")
async def _compact_within(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b", "c", "d", "e"))
        meta = await place.take(b"abcd", 4)
        await place.persist(snapshot=meta, compacted=EntryId(1, 3))
        await place.persist(truncate_from=5, first_index=5, entries=commands(2, "E"))
        await place.expect(HardState(), commands(1, "d") + commands(2, "E"), compacted=EntryId(1, 3), snapshot=meta)


@SUITE.case("a snapshot may cover more entries than are compacted")
async def _trailing(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b", "c", "d"))
        meta = await place.take(b"abcd", 4)
        await place.persist(snapshot=meta, compacted=EntryId(1, 2))
        await place.expect(HardState(), commands(1, "c", "d"), compacted=EntryId(1, 2), snapshot=meta)


@SUITE.case("a log that was compacted to its end goes on behind it")
async def _compact_all(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(entries=commands(2, "a", "b"))
        meta = await place.take(b"ab", 2, 2)
        await place.persist(snapshot=meta, compacted=EntryId(2, 2))
        await place.expect(HardState(), [], compacted=EntryId(2, 2), snapshot=meta)
        await place.persist(first_index=3, entries=commands(2, "c"))
        await place.expect(HardState(), commands(2, "c"), compacted=EntryId(2, 2), snapshot=meta)


@SUITE.case("of a compaction and entries in one write, the compaction comes first")
async def _compact_then_append(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b"))
        meta = await place.take(b"ab", 2)
        state = HardState(2, "n2", 2)
        await place.persist(state, first_index=3, entries=commands(2, "c", "d"), snapshot=meta, compacted=EntryId(1, 2))
        await place.expect(state, commands(2, "c", "d"), compacted=EntryId(1, 2), snapshot=meta)


@SUITE.case("what was compacted once can be compacted further, and the hard state stays as it was")
async def _compact_again(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(HardState(3, "n2", 1), entries=commands(1, "a", "b", "c", "d", "e"))
        for index in (1, 2, 4):
            meta = await place.take(b"abcde"[:index], index)
            await place.persist(snapshot=meta, compacted=EntryId(1, index))
        await place.expect(HardState(3, "n2", 1), commands(1, "e"), compacted=EntryId(1, 4), snapshot=meta)


@SUITE.case("a truncation of all that a compaction left leaves an empty log that goes on behind the compaction")
async def _truncate_rest(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b", "c", "d"))
        meta = await place.take(b"ab", 2)
        await place.persist(snapshot=meta, compacted=EntryId(1, 2))
        await place.persist(truncate_from=3)
        await place.expect(HardState(), [], compacted=EntryId(1, 2), snapshot=meta)
        await place.persist(first_index=3, entries=commands(2, "C"))
        await place.expect(HardState(), commands(2, "C"), compacted=EntryId(1, 2), snapshot=meta)


# -- received


@SUITE.case("a received snapshot takes the place of a whole log that contradicts it, in one write")
async def _install(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(HardState(2, "n2", 0), entries=commands(1, *"axyzxyzxyz"))
        meta = _described(b"abcdefg", 7, 5)
        sink = await place.store.receive_snapshot(meta)
        await sink.write(b"abcdefg")
        assert await sink.finish() == meta
        state = HardState(5, None, 7)
        await place.persist(
            state,
            truncate_from=1,
            first_index=8,
            entries=commands(5, "h"),
            snapshot=meta,
            compacted=EntryId(5, 7),
        )
        await place.expect(state, commands(5, "h"), compacted=EntryId(5, 7), snapshot=meta)
        assert await place.read(meta) == b"abcdefg"


@SUITE.case("a received snapshot within a log that agrees with it leaves the entries behind it")
async def _install_within(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b", "c", "d"))
        meta = _described(b"ab", 2)
        sink = await place.store.receive_snapshot(meta)
        await sink.write(b"ab")
        await place.persist(snapshot=await sink.finish(), compacted=EntryId(1, 2))
        await place.expect(HardState(), commands(1, "c", "d"), compacted=EntryId(1, 2), snapshot=meta)


@SUITE.case("a new store may begin with a received snapshot")
async def _install_first(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        meta = _described(b"abc", 3, 2)
        sink = await place.store.receive_snapshot(meta)
        await sink.write(b"abc")
        await place.persist(HardState(2, None, 3), snapshot=await sink.finish(), compacted=EntryId(2, 3))
        await place.expect(HardState(2, None, 3), [], compacted=EntryId(2, 3), snapshot=meta)


@SUITE.case("a snapshot whose sender was cut off goes on where it ended")
async def _resume(subject: StorageSubject) -> None:
    data = _random_bytes(LARGE_BYTES)
    meta = _described(data, 9)
    async with _Place(subject) as place:
        written = 0
        for size in (1, 100_000, 65_536, 2_000_000, LARGE_BYTES):
            sink = await place.store.receive_snapshot(meta)
            assert sink.offset == written, f"{written} bytes had arrived, and {sink.offset} are said to be there"
            await sink.write(data[written : written + size])
            written = min(written + size, LARGE_BYTES)
        assert await sink.finish() == meta
        assert await place.read(meta) == data


@SUITE.case("pieces of one snapshot are never gone on with as another, not even of the same index and term")
async def _other_pieces(subject: StorageSubject) -> None:
    first, second = _described(b"apples", 2), _described(b"orange", 2)
    async with _Place(subject) as place:
        for meta, data in ((first, b"app"), (second, b"orange"), (first, b"apples")):
            sink = await place.store.receive_snapshot(meta)
            assert sink.offset == 0, f"{sink.offset} bytes of another snapshot were kept"
            await sink.write(data)
        assert await sink.finish() == first
        assert await place.read(first) == b"apples"


@SUITE.case("a received snapshot of another digest is refused as damaged, and nothing of it is kept")
async def _damaged(subject: StorageSubject) -> None:
    meta = _described(b"apples", 2)
    async with _Place(subject) as place:
        await place.persist(entries=commands(1, "a"))
        sink = await place.store.receive_snapshot(meta)
        await sink.write(b"apPles")
        await _is_damaged(sink)
        await place.expect_no_snapshot(meta)
        sink = await place.store.receive_snapshot(meta)
        assert sink.offset == 0, f"{sink.offset} bytes of a damaged snapshot were kept"
        await sink.write(b"apples")
        assert await sink.finish() == meta
        await place.expect(HardState(), commands(1, "a"))


@SUITE.case("a received snapshot that is too short, or too long, is refused as damaged")
async def _wrong_length(subject: StorageSubject) -> None:
    async with _Place(subject) as place:
        for pieces in ((), (b"apple",), (b"apples", b"!"), (b"apples and pears",)):
            sink = await place.store.receive_snapshot(_described(b"apples", 2))
            for piece in pieces:
                await sink.write(piece)
            await _is_damaged(sink)


# -- all of it together


@SUITE.case("a random sequence of writes, snapshots, compactions, installs and restarts finds what a plain list would")
async def _random_sequence(subject: StorageSubject) -> None:
    random = Random(20_130_520)
    model = _Model()
    async with _Place(subject) as place:
        await model.append(place, random)
        for _ in range(RANDOM_STEPS):
            await random.choice((model.append, model.append, model.truncate, model.compact, model.install))(
                place, random
            )
            if random.random() < 0.1:
                await model.check(place)
        await model.check(place)


class _Model:
    """What the store must find: terms never go back, as in a node's log."""

    def __init__(self) -> None:
        self.hard_state = HardState(1)
        self.compacted = NOTHING_COMPACTED
        self.entries: list[Entry] = []
        self.snapshot: SnapshotMeta | None = None
        self.data = b""

    @property
    def last_index(self) -> LogIndex:
        return self.compacted.index + len(self.entries)

    def term_at(self, index: LogIndex) -> Term:
        return (
            self.compacted.term
            if index == self.compacted.index
            else self.entries[index - self.compacted.index - 1].term
        )

    async def append(self, place: _Place, random: Random) -> None:
        self.hard_state = HardState(self.hard_state.term + random.randrange(2), random.choice(("n1", None)))
        await self._write(place, self._entries(random))

    async def truncate(self, place: _Place, random: Random) -> None:
        covered = max(self.compacted.index, self.snapshot.index if self.snapshot else 0)
        index = random.randrange(covered + 1, self.last_index + 2)
        del self.entries[index - self.compacted.index - 1 :]
        await self._write(place, self._entries(random), truncate_from=index)

    async def compact(self, place: _Place, random: Random) -> None:
        covered = max(self.compacted.index, self.snapshot.index if self.snapshot else 1)
        if covered > self.last_index:
            return
        index = random.randrange(covered, self.last_index + 1)
        self.data = random.randbytes(random.choice((0, 10, 70_000)))
        self.snapshot = await place.take(self.data, index, self.term_at(index))
        cut = random.randrange(self.compacted.index, index + 1)
        last = EntryId(self.term_at(cut), cut)
        del self.entries[: cut - self.compacted.index]
        self.compacted = last
        await self._write(place, self._entries(random), snapshot=self.snapshot, compacted=last)

    async def install(self, place: _Place, random: Random) -> None:
        index, first_index = self.last_index + random.randrange(1, 9), self.compacted.index + 1
        self.data = random.randbytes(random.choice((0, 10, 70_000)))
        self.snapshot = _described(self.data, index, self.hard_state.term)
        sink = await place.store.receive_snapshot(self.snapshot)
        await _write(sink, self.data)
        await sink.finish()
        self.entries, self.compacted = [], self.snapshot.last_id
        await self._write(
            place, self._entries(random), truncate_from=first_index, snapshot=self.snapshot, compacted=self.compacted
        )

    async def check(self, place: _Place) -> None:
        await place.expect(self.hard_state, self.entries, compacted=self.compacted, snapshot=self.snapshot)
        if self.snapshot is not None:
            assert await place.read(self.snapshot) == self.data

    def _entries(self, random: Random) -> list[Entry]:
        sizes = [random.choice((0, 10, 5_000)) for _ in range(random.choice((0, 1, 2, 9)))]
        return [Entry(self.hard_state.term, 1, random.randbytes(size)) for size in sizes]

    async def _write(
        self,
        place: _Place,
        entries: Sequence[Entry],
        *,
        truncate_from: LogIndex | None = None,
        snapshot: SnapshotMeta | None = None,
        compacted: EntryId | None = None,
    ) -> None:
        await place.persist(
            self.hard_state,
            truncate_from=truncate_from,
            first_index=self.last_index + 1,
            entries=entries,
            snapshot=snapshot,
            compacted=compacted,
        )
        self.entries += entries
