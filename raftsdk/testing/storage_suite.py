"""What every `ports.Storage` must do, as sentences. Any failure names the one that does not hold.

Each case asks the subject for a fresh place, so a subject is cheap to make and keeps no store of its own. What stores
that can keep snapshots must do besides is in `snapshot_suite`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Protocol, Self

from raftsdk.errors import StorageRefused
from raftsdk.ports import Storage
from raftsdk.testing.suite import Suite
from raftsdk.types import (
    MAX_INTEGER,
    Entry,
    EntryId,
    EntryKind,
    HardState,
    Identity,
    LogIndex,
    Recovered,
    SnapshotMeta,
    Write,
)

IDENTITY = Identity("orchard", "n1")
NOTHING_COMPACTED = EntryId(0, 0)
RANDOM_WRITES = 300
RESTART_CHANCE = 0.1


class StorageSubject(Protocol):
    """How the suite gets hold of the stores under test. None of those handed out has been loaded."""

    def open(self) -> Storage:
        """A store in a place nothing was ever kept in."""
        ...

    async def reopen(self, storage: Storage) -> Storage:
        """Close the store, and a store on the same data: what a restarted process would have."""
        ...

    def rival(self, storage: Storage) -> Storage | None:
        """A second store on the same data while the first is in use; None where there can be no such thing."""
        ...


SUITE: Suite[StorageSubject] = Suite("storage")


@dataclass
class Place:
    """One place to keep things in, and whichever store is open on it now. A context manager that loads and closes."""

    subject: StorageSubject
    storage: Storage = field(init=False)
    writes: int = 0

    async def __aenter__(self) -> Self:
        self.storage = self.subject.open()
        await self.storage.load(IDENTITY)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.storage.aclose()

    async def persist(
        self,
        hard_state: HardState | None = None,
        *,
        truncate_from: LogIndex | None = None,
        first_index: LogIndex = 1,
        entries: Sequence[Entry] = (),
        snapshot: SnapshotMeta | None = None,
        compacted: EntryId | None = None,
    ) -> None:
        """One write."""
        self.writes += 1
        write = Write(self.writes, hard_state, truncate_from, first_index, entries, snapshot, compacted)
        await self.storage.persist(write)

    async def restart(self, identity: Identity = IDENTITY) -> Recovered:
        """What a restarted node finds."""
        self.storage = await self.subject.reopen(self.storage)
        return await self.storage.load(identity)

    async def expect(
        self,
        hard_state: HardState,
        entries: Sequence[Entry],
        *,
        compacted: EntryId = NOTHING_COMPACTED,
        snapshot: SnapshotMeta | None = None,
    ) -> None:
        """That a restarted node finds exactly this, the entries behind `compacted`."""
        check(await self.restart(), hard_state, entries, compacted=compacted, snapshot=snapshot)


def check(
    found: Recovered,
    hard_state: HardState,
    entries: Sequence[Entry],
    *,
    compacted: EntryId = NOTHING_COMPACTED,
    snapshot: SnapshotMeta | None = None,
) -> None:
    """That exactly this was found, the entries behind `compacted`."""
    assert found.hard_state == hard_state, f"hard state {found.hard_state}, persisted {hard_state}"
    first_index = compacted.index + 1
    assert found.first_index == first_index, f"first index {found.first_index} of a log that begins at {first_index}"
    assert len(found.entries) == len(entries), f"{len(found.entries)} entries, persisted {len(entries)}"
    for index, (entry, persisted) in enumerate(zip(found.entries, entries, strict=True), first_index):
        assert entry == persisted, f"entry {index} is {_brief(entry)}, persisted {_brief(persisted)}"
    assert found.prev_term == compacted.term, f"term {found.prev_term} before the first entry, it was {compacted.term}"
    assert found.snapshot == snapshot, f"snapshot {found.snapshot}, persisted {snapshot}"


def _brief(entry: Entry) -> str:
    return f"term {entry.term} kind {entry.kind} data {entry.data[:16]!r} of {len(entry.data)} bytes"


def commands(term: int, *texts: str) -> list[Entry]:
    """An entry for each text."""
    return [Entry(term, EntryKind.COMMAND, text.encode()) for text in texts]


async def _is_refused(storage: Storage, identity: Identity) -> None:
    try:
        await storage.load(identity)
    except StorageRefused:
        return
    finally:
        await storage.aclose()
    raise AssertionError(f"{identity} was let in")


# -- the hard state


@SUITE.case("a new store has nothing: no term, no vote, no entries, and its log starts at 1")
async def _new(subject: StorageSubject) -> None:
    storage = subject.open()
    found = await storage.load(IDENTITY)
    await storage.aclose()
    check(found, HardState(), [])


@SUITE.case("a new store that was closed unused is still new")
async def _new_after_restart(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.expect(HardState(), [])


@SUITE.case("a vote survives a restart")
async def _vote(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(3, "n2", 0))
        assert (await place.restart()).hard_state.voted_for == "n2"


@SUITE.case("a term survives a restart")
async def _term(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(3, None, 0))
        assert (await place.restart()).hard_state.term == 3


@SUITE.case("a commit index survives a restart")
async def _commit_index(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(1, None, 2), entries=commands(1, "a", "b"))
        assert (await place.restart()).hard_state.commit_index == 2


@SUITE.case("an incarnation survives a restart")
async def _incarnation(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(1, None, 0, MAX_INTEGER))
        assert (await place.restart()).hard_state.incarnation == MAX_INTEGER


@SUITE.case("the newest hard state replaces the older ones, a withdrawn vote included")
async def _newest_hard_state(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(3, "n2", 0))
        await place.persist(HardState(4, None, 0))
        await place.expect(HardState(4, None, 0), [])


@SUITE.case("a write without a hard state leaves the stored one")
async def _no_hard_state(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(3, "n2", 0))
        await place.persist(entries=commands(3, "a"))
        await place.expect(HardState(3, "n2", 0), commands(3, "a"))


@SUITE.case("a hard state without entries leaves the log")
async def _only_hard_state(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b"))
        await place.persist(HardState(2, "n3", 1))
        await place.expect(HardState(2, "n3", 1), commands(1, "a", "b"))


@SUITE.case("a term and a commit index of 63 bits keep every bit")
async def _large_numbers(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        largest = HardState(MAX_INTEGER, "n2", MAX_INTEGER)
        await place.persist(largest, entries=[Entry(MAX_INTEGER - 1, 1, b"a"), Entry(MAX_INTEGER, 1, b"b")])
        await place.expect(largest, [Entry(MAX_INTEGER - 1, 1, b"a"), Entry(MAX_INTEGER, 1, b"b")])


@SUITE.case("an id of 128 characters is kept whole")
async def _long_id(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(1, "n" * 128, 0))
        await place.expect(HardState(1, "n" * 128, 0), [])


# -- entries


@SUITE.case("every entry of a batch survives a restart, in order")
async def _batch(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b", "c"))
        await place.expect(HardState(), commands(1, "a", "b", "c"))


@SUITE.case("the write acknowledged last is there after a restart")
async def _last_write(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(entries=commands(1, "a"))
        await place.persist(first_index=2, entries=commands(1, "b"))
        await place.expect(HardState(), commands(1, "a", "b"))


@SUITE.case("writes go on after a restart where they ended before it")
async def _go_on(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(1, "n1", 0), entries=commands(1, "a", "b"))
        await place.restart()
        await place.persist(HardState(2, "n1", 1), first_index=3, entries=commands(2, "c"))
        await place.expect(HardState(2, "n1", 1), commands(1, "a", "b") + commands(2, "c"))


@SUITE.case("an entry without data is kept")
async def _empty_data(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(entries=[Entry(1, EntryKind.NOOP, b""), *commands(1, "a")])
        await place.expect(HardState(), [Entry(1, EntryKind.NOOP, b""), *commands(1, "a")])


@SUITE.case("data is kept byte for byte, whatever the bytes")
async def _any_bytes(subject: StorageSubject) -> None:
    entries = [Entry(1, 1, bytes(range(256))), Entry(1, 1, b"\0" * 5), Entry(1, 1, b"'; DROP TABLE\r\n\xff\xfe")]
    async with Place(subject) as place:
        await place.persist(entries=entries)
        await place.expect(HardState(), entries)


@SUITE.case("an entry of 4 MiB is kept whole, and so are its neighbours")
async def _big_entry(subject: StorageSubject) -> None:
    big = Entry(1, 1, Random(7).randbytes(4 * 1024 * 1024))
    async with Place(subject) as place:
        await place.persist(entries=[*commands(1, "before"), big, *commands(1, "after")])
        await place.expect(HardState(), [*commands(1, "before"), big, *commands(1, "after")])


@SUITE.case("entries of a kind nobody knows are kept as they are")
async def _unknown_kind(subject: StorageSubject) -> None:
    entries = [Entry(1, 77, b"of the future"), Entry(1, MAX_INTEGER, b"of the far future")]
    async with Place(subject) as place:
        await place.persist(entries=entries)
        await place.expect(HardState(), entries)


@SUITE.case("one write of 5,000 entries and 200 writes of one make one log")
async def _many(subject: StorageSubject) -> None:
    entries = commands(1, *(str(number) for number in range(5_200)))
    async with Place(subject) as place:
        await place.persist(entries=entries[:5_000])
        for index in range(5_001, 5_201):
            await place.persist(HardState(1, None, index), first_index=index, entries=entries[index - 1 : index])
        await place.expect(HardState(1, None, 5_200), entries)


# -- truncation


@SUITE.case("a truncation alone removes the entry it names and everything after")
async def _truncate(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b", "c"))
        await place.persist(truncate_from=2)
        await place.expect(HardState(), commands(1, "a"))


@SUITE.case("of a truncation and entries in one write, the truncation comes first")
async def _truncate_then_append(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b", "c"))
        await place.persist(HardState(2, "n2", 1), truncate_from=2, first_index=2, entries=commands(2, "B", "C"))
        await place.expect(HardState(2, "n2", 1), commands(1, "a") + commands(2, "B", "C"))


@SUITE.case("nothing of a longer old tail comes back behind a shorter new one")
async def _shorter_tail(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b", "c", "d", "e"))
        await place.persist(truncate_from=2, first_index=2, entries=commands(2, "B"))
        await place.expect(HardState(), commands(1, "a") + commands(2, "B"))


@SUITE.case("a truncation from 1 empties the log and leaves the hard state")
async def _truncate_all(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(1, "n2", 0), entries=commands(1, "a"))
        await place.persist(first_index=2, entries=commands(1, "b"))
        await place.persist(truncate_from=1)
        await place.expect(HardState(1, "n2", 0), [])


@SUITE.case("a truncation beyond the end removes nothing")
async def _truncate_beyond(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b"))
        await place.persist(truncate_from=3)
        await place.persist(truncate_from=99, first_index=3, entries=commands(1, "c"))
        await place.expect(HardState(), commands(1, "a", "b", "c"))


@SUITE.case("entries written after a truncation take the place of the old ones, over several writes")
async def _overwrite(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        for index, text in enumerate("abcd", 1):
            await place.persist(first_index=index, entries=commands(1, text))
        await place.persist(truncate_from=3)
        await place.persist(first_index=3, entries=commands(2, "C"))
        await place.persist(first_index=4, entries=commands(2, "D", "E"))
        await place.expect(HardState(), commands(1, "a", "b") + commands(2, "C", "D", "E"))


# -- whose list it is


@SUITE.case("what the caller does with its list after the write changes nothing")
async def _callers_list(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        entries = commands(1, "a", "b")
        await place.persist(entries=entries)
        entries[:] = commands(9, "x")
        await place.expect(HardState(), commands(1, "a", "b"))


@SUITE.case("what the caller does with the loaded list changes nothing")
async def _loaded_list(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(entries=commands(1, "a", "b"))
        (await place.restart()).entries.clear()
        await place.expect(HardState(), commands(1, "a", "b"))


# -- possession


@SUITE.case("another node's data is refused, and is unchanged")
async def _other_node(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(1, "n2", 0), entries=commands(1, "a"))
        place.storage = await subject.reopen(place.storage)
        await _is_refused(place.storage, Identity(IDENTITY.cluster_id, "n2"))
        await place.expect(HardState(1, "n2", 0), commands(1, "a"))


@SUITE.case("another cluster's data is refused, and is unchanged")
async def _other_cluster(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(HardState(1, "n2", 0), entries=commands(1, "a"))
        place.storage = await subject.reopen(place.storage)
        await _is_refused(place.storage, Identity("vineyard", IDENTITY.node_id))
        await place.expect(HardState(1, "n2", 0), commands(1, "a"))


@SUITE.case("a store is its first node's even if nothing was written")
async def _marked_at_once(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        place.storage = await subject.reopen(place.storage)
        await _is_refused(place.storage, Identity("vineyard", IDENTITY.node_id))


@SUITE.case("a second store on data in use is refused, and the first goes on")
async def _rival(subject: StorageSubject) -> None:
    async with Place(subject) as place:
        await place.persist(entries=commands(1, "a"))
        rival = subject.rival(place.storage)
        if rival is None:
            return
        await _is_refused(rival, IDENTITY)
        await place.persist(first_index=2, entries=commands(1, "b"))
        await place.expect(HardState(), commands(1, "a", "b"))


@SUITE.case("closing twice, or before loading, is harmless")
async def _close_twice(subject: StorageSubject) -> None:
    await subject.open().aclose()
    async with Place(subject) as place:
        await place.persist(entries=commands(1, "a"))
        await place.storage.aclose()
        await place.storage.aclose()
        await place.expect(HardState(), commands(1, "a"))


# -- all of it together


@SUITE.case("a random sequence of writes and restarts always finds what a plain list would hold")
async def _random_sequence(subject: StorageSubject) -> None:
    random = Random(20_140_619)
    hard_state, log = HardState(1), list[Entry]()
    async with Place(subject) as place:
        for _ in range(RANDOM_WRITES):
            if random.random() < RESTART_CHANCE:
                await place.expect(hard_state, log)
            new_state, truncate_from, entries = _random_write(random, hard_state, log)
            if truncate_from is not None:
                del log[truncate_from - 1 :]
            await place.persist(new_state, truncate_from=truncate_from, first_index=len(log) + 1, entries=entries)
            hard_state, log = new_state or hard_state, log + entries
        await place.expect(hard_state, log)


def _random_write(
    random: Random, hard_state: HardState, log: Sequence[Entry]
) -> tuple[HardState | None, LogIndex | None, list[Entry]]:
    """A write such as a node could ask for: terms never go back."""
    term = hard_state.term
    new_state = None
    if random.random() < 0.5:
        term += random.randrange(3)
        new_state = HardState(term, random.choice(("n1", "n2", None)), random.randrange(len(log) + 1))
    truncate_from = random.randrange(1, len(log) + 3) if random.random() < 0.2 else None
    sizes = [random.choice((0, 1, 100, 5_000)) for _ in range(random.choice((0, 1, 2, 20)))]
    return new_state, truncate_from, [Entry(term, random.randrange(4), random.randbytes(size)) for size in sizes]
