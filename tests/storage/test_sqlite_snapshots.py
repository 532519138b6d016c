"""Snapshot files beside the log: nothing half done is ever used, nothing in use is ever lost, and no write waits."""

import asyncio
import errno
import os
import shutil
import threading
import tracemalloc
from functools import partial
from pathlib import Path
from random import Random

import pytest
from sqlite_places import (
    IDENTITY,
    MEMBERS,
    after,
    append,
    entry_id,
    fill,
    filled,
    last_index,
    load,
    numbered,
    read,
    receive,
    take,
)

from raftsdk.errors import SnapshotDamaged, StorageFailed, StorageRefused
from raftsdk.storage import database
from raftsdk.storage.database import TIDY_BYTES
from raftsdk.storage.directory import SNAPSHOT_FOLDER, Directory
from raftsdk.storage.records import Damaged
from raftsdk.storage.snapshots import CHUNK_BYTES, SYNC_BYTES, SnapshotDraft, SnapshotFolder, file_name
from raftsdk.storage.sqlite import SqliteStorage
from raftsdk.types import EntryId, HardState, Recovered, SnapshotMeta, Write

FLIPS = 100
DATA = Random(1).randbytes(3 * CHUNK_BYTES + 5)


def compacted(path: Path, *, writes: int = 3) -> Recovered:
    """A directory closed in good order, of a log of which all but four entries are compacted; what is in it."""
    directory = Directory(path)
    log = Recovered(HardState(1, "n2", writes * 4 - 4), 1, fill(directory, writes=writes))
    last = entry_id(log, last_index(log) - 4)
    write = Write(1, None, None, 1, [], take(directory, last, DATA), last)
    directory.write(write)
    directory.close(orderly=True)
    return after(log, write)


def names(path: Path) -> set[str]:
    return {file.name for file in (path / SNAPSHOT_FOLDER).iterdir()}


def snapshot_file(path: Path) -> Path:
    (file,) = (path / SNAPSHOT_FOLDER).iterdir()
    return file


async def opened(path: Path) -> SqliteStorage:
    storage = SqliteStorage(path)
    await storage.load(IDENTITY)
    return storage


# -- what the database names


@pytest.mark.parametrize(("size", "reason"), [(None, "is missing"), (0, "has 0 bytes and should have"), (9, "has 9 ")])
def test_a_snapshot_that_is_missing_or_cut_is_refused_at_the_start(
    tmp_path: Path, size: int | None, reason: str
) -> None:
    compacted(tmp_path / "n1")
    file = snapshot_file(tmp_path / "n1")
    file.unlink() if size is None else os.truncate(file, size)
    for _ in range(2):
        with pytest.raises(Damaged, match=reason):
            load(tmp_path / "n1")


async def test_the_refusal_says_what_to_do(tmp_path: Path) -> None:
    compacted(tmp_path / "n1")
    snapshot_file(tmp_path / "n1").unlink()
    storage = SqliteStorage(tmp_path / "n1")
    with pytest.raises(StorageRefused, match=r"this node has lost data.*restore this node as a new member"):
        await storage.load(IDENTITY)
    await storage.aclose()


def test_what_an_earlier_run_left_is_removed_at_a_start_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    kept = compacted(path)
    assert kept.snapshot is not None
    directory = Directory(path)
    directory.load(IDENTITY)
    take(directory, EntryId(1, 99), b"never named")
    directory.snapshots.create(100, 1, MEMBERS).write(b"begun")
    directory.snapshots.receive(SnapshotMeta(101, 1, MEMBERS, 9, bytes(32))).write(b"arriving")
    (path / SNAPSHOT_FOLDER / "notes.txt").write_text("an operator's")
    shutil.copytree(path, tmp_path / "copy")
    directory.close(orderly=True)
    assert len(names(tmp_path / "copy")) == 5
    assert load(tmp_path / "copy") == kept
    assert names(tmp_path / "copy") == {file_name(kept.snapshot), "notes.txt"}


def test_an_orderly_end_removes_what_is_not_whole(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path)
    folder.create(1, 1, MEMBERS).write(b"begun")
    folder.receive(SnapshotMeta(2, 1, MEMBERS, 9, bytes(32))).write(b"arriving")
    assert len(list(tmp_path.iterdir())) == 2
    folder.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_snapshot_that_was_replaced_is_removed_at_once(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "n1")
    await storage.persist(append(1, numbered(1, 4)))
    for index in (2, 3):
        sink = await storage.create_snapshot(index, 1, MEMBERS)
        meta = await sink.finish()
        await storage.persist(Write(1, None, None, 1, [], meta, EntryId(1, index)))
    source = await storage.open_snapshot(meta)  # behind the removal, on the same thread
    await source.aclose()
    assert names(tmp_path / "n1") == {file_name(meta)}
    await storage.aclose()


def test_a_finished_snapshot_of_a_later_index_outlives_a_write_that_names_an_earlier_one(tmp_path: Path) -> None:
    """A snapshot arrives while a write with this node's own is still under way."""
    directory = Directory(tmp_path / "n1")
    log = fill(directory, writes=3)
    own = take(directory, EntryId(1, 5), b"own")
    received = receive(directory, EntryId(2, 50), b"received")
    directory.write(Write(1, None, None, 1, [], own, EntryId(1, 5)))
    directory.snapshots.remove_before(own.index)
    directory.write(Write(1, None, 6, 51, [], received, EntryId(2, 50)))
    directory.snapshots.remove_before(received.index)
    assert read(directory, received) == b"received"
    directory.close(orderly=True)
    assert len(log) == 12
    assert load(tmp_path / "n1") == Recovered(HardState(1, "n2", 8), 51, [], prev_term=2, snapshot=received)


# -- a write that no snapshot allows


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (Write(1, None, None, 1, [], None, EntryId(1, 9)), "cannot be compacted up to 9"),
        (Write(1, None, None, 1, [], None, EntryId(1, 7)), "cannot be compacted up to 7"),
        (Write(1, None, 8, 1, []), "there is no index 8 to truncate from"),
        (Write(1, None, None, 1, [], SnapshotMeta(12, 1, MEMBERS, 1, bytes(32))), "is missing"),
    ],
)
def test_a_write_that_would_lose_what_no_snapshot_covers_is_refused(tmp_path: Path, write: Write, reason: str) -> None:
    expected = compacted(tmp_path / "n1")
    assert expected.first_index == 9
    directory = Directory(tmp_path / "n1")
    directory.load(IDENTITY)
    with pytest.raises((StorageFailed, Damaged), match=reason):
        directory.write(write)
    directory.close(orderly=False)
    assert load(tmp_path / "n1") == expected


def test_an_older_snapshot_than_the_one_in_use_is_refused(tmp_path: Path) -> None:
    expected = compacted(tmp_path / "n1")
    directory = Directory(tmp_path / "n1")
    directory.load(IDENTITY)
    with pytest.raises(StorageFailed, match="a snapshot up to index 3 is older than 8"):
        directory.write(Write(1, None, None, 1, [], take(directory, EntryId(1, 3), b"old")))
    directory.close(orderly=False)
    assert load(tmp_path / "n1") == expected


# -- bytes that changed


def test_a_flipped_byte_anywhere_in_a_snapshot_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    expected = compacted(path)
    assert expected.snapshot is not None
    file = snapshot_file(path)
    sound = file.read_bytes()
    directory = Directory(path)
    directory.load(IDENTITY)
    random = Random(3)
    for _ in range(FLIPS):
        position = random.randrange(len(sound))
        spoilt = bytearray(sound)
        spoilt[position] ^= random.randrange(1, 256)
        file.write_bytes(spoilt)
        with pytest.raises(StorageFailed, match=f"is damaged in the {CHUNK_BYTES} bytes from"):
            read(directory, expected.snapshot)
    file.write_bytes(sound)
    assert read(directory, expected.snapshot) == DATA
    directory.close(orderly=True)


def test_chunks_that_changed_places_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    expected = compacted(path)
    assert expected.snapshot is not None
    file = snapshot_file(path)
    sound = file.read_bytes()
    size = CHUNK_BYTES + 4
    file.write_bytes(sound[size : 2 * size] + sound[:size] + sound[2 * size :])
    directory = Directory(path)
    directory.load(IDENTITY)
    with pytest.raises(StorageFailed, match="is damaged"):
        read(directory, expected.snapshot)
    directory.close(orderly=True)


def test_a_file_cut_while_it_is_open_is_noticed(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path)
    draft = folder.create(1, 1, MEMBERS)
    draft.write(DATA)
    meta = draft.finish()
    reader = folder.open(meta)
    os.truncate(tmp_path / file_name(meta), CHUNK_BYTES)
    with pytest.raises(StorageFailed, match="is damaged"):
        reader.read(0, 10)
    reader.close()


# -- disks that fail


async def test_a_snapshot_there_is_no_room_for_is_refused_before_it_begins(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "n1")
    with pytest.raises(StorageFailed, match=r"and .* has room for \d+: make room"):
        await storage.receive_snapshot(SnapshotMeta(1, 1, MEMBERS, 2**60, bytes(32)))
    assert names(tmp_path / "n1") == set()
    await storage.aclose()


@pytest.mark.parametrize("size", [10, 2 * SYNC_BYTES])
async def test_a_disk_that_is_full_costs_the_snapshot_and_not_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The draft is removed at once, to make room for the log; another attempt begins anew."""
    storage = await opened(tmp_path / "n1")
    sink = await storage.create_snapshot(1, 1, MEMBERS)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def write_all() -> SnapshotMeta:
        await sink.write(bytes(size))
        return await sink.finish()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageFailed, match=r"cannot write the snapshot up to index 1: .*No space left"):
            await write_all()
    assert names(tmp_path / "n1") == set()
    for call in (partial(sink.write, b"more"), sink.finish):
        with pytest.raises(StorageFailed, match="has ended: begin it again"):
            await call()
    await storage.persist(append(1, numbered(1, 1)))
    sink = await storage.create_snapshot(1, 1, MEMBERS)
    assert (await write_all()).total_bytes == size
    await storage.aclose()


async def test_a_place_where_no_folder_can_be_made_costs_the_snapshot_and_not_the_log(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "n1")
    (tmp_path / "n1" / SNAPSHOT_FOLDER).write_text("in the way")
    with pytest.raises(StorageFailed, match="cannot begin a snapshot up to index 1"):
        await storage.create_snapshot(1, 1, MEMBERS)
    await storage.persist(append(1, numbered(1, 1)))
    await storage.aclose()


# -- threads and ends


async def test_a_write_does_not_wait_for_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    write_chunk = SnapshotDraft._write_chunk

    def wait_and_write(draft: SnapshotDraft, chunk: bytes) -> None:
        begun.set()
        go_on.wait()
        write_chunk(draft, chunk)

    monkeypatch.setattr(SnapshotDraft, "_write_chunk", wait_and_write)
    storage = await opened(tmp_path / "n1")
    sink = await storage.create_snapshot(1, 1, MEMBERS)
    writing = asyncio.create_task(sink.write(DATA))
    await asyncio.to_thread(begun.wait)
    await storage.persist(append(1, numbered(1, 1)))
    assert not writing.done()
    go_on.set()
    await writing
    await storage.aclose()


async def test_a_piece_whose_sender_was_cut_off_meanwhile_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelling only stops the waiting: the offset that is told next includes the piece."""
    storage = await opened(tmp_path / "n1")
    meta = SnapshotMeta(1, 1, MEMBERS, len(DATA), bytes(32))
    sink = await storage.receive_snapshot(meta)
    writing = asyncio.create_task(sink.write(DATA[:1_000]))
    await asyncio.sleep(0)
    writing.cancel()
    assert (await storage.receive_snapshot(meta)).offset == 1_000
    await storage.aclose()


async def test_a_store_that_is_closed_makes_and_reads_no_snapshots(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "n1")
    sink = await storage.create_snapshot(1, 1, MEMBERS)
    await sink.write(DATA)
    meta = await sink.finish()
    source = await storage.open_snapshot(meta)
    unfinished = await storage.create_snapshot(2, 1, MEMBERS)
    await storage.aclose()
    assert names(tmp_path / "n1") == {file_name(meta)}
    for call in (
        partial(unfinished.write, b""),
        unfinished.finish,
        partial(source.read, 0, 1),
        partial(storage.open_snapshot, meta),
        partial(storage.create_snapshot, 3, 1, MEMBERS),
        partial(storage.receive_snapshot, meta),
    ):
        with pytest.raises(StorageFailed, match="is not open"):
            await call()
    await unfinished.abort()
    await source.aclose()


async def test_a_snapshot_may_be_aborted_while_its_store_is_closed(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "n1")
    sink = await storage.create_snapshot(1, 1, MEMBERS)
    await sink.write(DATA)
    closing = asyncio.create_task(storage.aclose())
    await asyncio.sleep(0)
    await sink.abort()
    await closing
    assert names(tmp_path / "n1") == set()


async def test_a_snapshot_takes_no_more_memory_than_its_pieces(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "n1")
    piece = bytes(CHUNK_BYTES)
    tracemalloc.start()
    sink = await storage.create_snapshot(1, 1, MEMBERS)
    for _ in range(512):
        await sink.write(piece)
    source = await storage.open_snapshot(await sink.finish())
    for offset in range(0, source.meta.total_bytes, CHUNK_BYTES):
        assert await source.read(offset, CHUNK_BYTES) == piece
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await source.aclose()
    await storage.aclose()
    assert peak_bytes < source.meta.total_bytes / 16


async def test_what_a_sender_says_beyond_the_length_it_announced_takes_no_room(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "n1")
    sink = await storage.receive_snapshot(SnapshotMeta(1, 1, MEMBERS, 10, bytes(32)))
    for _ in range(20):
        await sink.write(DATA)
    assert snapshot_file(tmp_path / "n1").stat().st_size == 0
    with pytest.raises(SnapshotDamaged, match="is not the one that was sent"):
        await sink.finish()
    await storage.aclose()


# -- what was compacted away goes little by little


def records(directory: Directory) -> object:
    assert directory._database is not None
    return directory._database._value("SELECT count(*) FROM records WHERE key > 0")


def test_what_was_compacted_is_removed_in_pieces_between_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Directory(tmp_path / "n1")
    log = Recovered(HardState(), 1, fill(directory, writes=25, batch=1))
    directory.write(Write(1, None, None, 1, [], take(directory, entry_id(log, 25), b""), EntryId(1, 23)))
    monkeypatch.setattr(database, "TIDY_RECORDS", 10)
    left = [records(directory)]
    while directory.tidy():
        left.append(records(directory))
    assert left == [25, 15, 5, 2]
    directory.close(orderly=True)
    assert load(tmp_path / "n1").entries == numbered(24, 2)


def test_large_records_are_removed_one_by_one(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "n1")
    directory.load(IDENTITY)
    for index in (1, 2, 3):
        directory.write(append(index, numbered(index, 1, data_bytes=2 * TIDY_BYTES)))
    directory.write(Write(1, None, None, 1, [], take(directory, EntryId(1, 2), b""), EntryId(1, 2)))
    left = [records(directory)]
    while directory.tidy():
        left.append(records(directory))
    assert left == [3, 2, 1]
    directory.close(orderly=True)


async def test_a_start_goes_on_removing_what_was_compacted(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    expected = compacted(path)
    storage = SqliteStorage(path)
    assert await storage.load(IDENTITY) == expected
    await storage.persist(append(13, numbered(13, 1)))  # behind the removal, on the same thread
    await storage.aclose()
    directory = Directory(path)
    directory.load(IDENTITY)
    assert records(directory) == 2
    directory.close(orderly=True)


def test_a_log_that_a_snapshot_replaces_is_left_to_be_removed_in_pieces_too(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=9)
    directory = Directory(tmp_path / "n1")
    directory.load(IDENTITY)
    meta = receive(directory, EntryId(2, 30), DATA)
    directory.write(Write(1, None, 1, 31, numbered(31, 1, term=2), meta, EntryId(2, 30)))
    assert records(directory) == 9
    while directory.tidy():
        assert records(directory) == 1
    directory.close(orderly=True)
    assert load(tmp_path / "n1").entries == numbered(31, 1, term=2)
