"""Whose directory it is, and what a crash or a hand in the wrong place does to it."""

import pathlib
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from sqlite_places import IDENTITY, after, append, crashed, entry_id, fill, filled, load, numbered, read, take

import raftsdk.storage
from raftsdk.errors import StorageFailed, StorageRefused
from raftsdk.storage.database import CHECKPOINT_PAGES, Database
from raftsdk.storage.directory import DATABASE_FILE, GUARD_FILE, WAL_FILE, Directory, Guard
from raftsdk.storage.records import FORMAT, Damaged, LogState, Ownership, seal, unseal
from raftsdk.storage.sqlite import SqliteStorage
from raftsdk.types import Entry, EntryId, HardState, Identity, Recovered, Write

OTHER_STATE = seal(LogState(HardState(1, "n2", 8), 12, compacted=EntryId(1, 9), snapshot_index=8))
TRACED = (str(Path(raftsdk.storage.__file__).parent), pathlib.__file__)
FORMAT_1 = Path(__file__).with_name("format_1")
MANY_WRITES = 400
WAL_FRAME_BYTES = 4096 + 24


async def refusal(path: Path, identity: Identity = IDENTITY) -> str:
    """What the store says instead of loading."""
    storage = SqliteStorage(path)
    with pytest.raises(StorageRefused) as refused:
        await storage.load(identity)
    await storage.aclose()
    return str(refused.value)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file()}


# -- whose it is


async def test_another_nodes_directory_is_refused_and_not_one_byte_of_it_changes(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    before = contents(tmp_path / "n1")
    text = await refusal(tmp_path / "n1", Identity("orchard", "n2"))
    assert "belongs to node n1 of cluster orchard, and this is node n2 of cluster orchard" in text
    assert contents(tmp_path / "n1") == before


async def test_another_clusters_directory_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    assert "and this is node n1 of cluster vineyard" in await refusal(tmp_path / "n1", Identity("vineyard", "n1"))


async def test_a_newer_format_is_refused_with_the_format_this_software_reads(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    (tmp_path / "n1" / GUARD_FILE).write_bytes(seal(Guard(FORMAT + 1, "orchard", "n1", 1)))
    before = contents(tmp_path / "n1")
    assert f"has data of format {FORMAT + 1}, and this software reads format {FORMAT}" in await refusal(tmp_path / "n1")
    assert contents(tmp_path / "n1") == before


async def test_a_directory_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot be opened" in await refusal(tmp_path / "file" / "n1")
    assert "is no directory: name one" in await refusal(tmp_path / "file")


async def test_a_second_load_of_one_store_is_refused(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "n1")
    await storage.load(IDENTITY)
    with pytest.raises(StorageRefused, match="loaded already"):
        await storage.load(IDENTITY)
    await storage.aclose()


async def test_a_write_before_loading_or_after_closing_is_refused(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "n1")
    write = append(1, numbered(1, 1))
    with pytest.raises(StorageFailed, match="load it before"):
        await storage.persist(write)
    await storage.load(IDENTITY)
    await storage.aclose()
    with pytest.raises(StorageFailed, match="load it before"):
        await storage.persist(write)


def test_durability_rests_on_settings_that_are_in_force(tmp_path: Path) -> None:
    database = Database(tmp_path / DATABASE_FILE)
    database.open()
    connection = database._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


# -- what a crash leaves


@pytest.mark.parametrize("starts", [1, 2])
def test_a_process_killed_at_any_line_of_our_code_leaves_a_directory_that_starts(tmp_path: Path, starts: int) -> None:
    """Copies the directory before every line; each copy is what SIGKILL at that line would have left."""
    path, acknowledged = tmp_path / "n1", list[Entry]()
    for _ in range(1, starts):
        acknowledged = filled(path, writes=2)
    copies: dict[str, tuple[Path, list[Entry]]] = {}

    def copy() -> None:
        state = f"{len(acknowledged)} {contents(path) if path.exists() else None}"
        if state not in copies:
            copies[state] = (tmp_path / f"copy-{len(copies)}", acknowledged.copy())
            if path.exists():
                shutil.copytree(path, copies[state][0])

    with each_line_of_storage(copy):
        directory = Directory(path)
        directory.load(IDENTITY)
        for _ in range(2):
            entries = numbered(len(acknowledged) + 1, 2)
            directory.write(append(len(acknowledged) + 1, entries))
            acknowledged += entries
        final = [*acknowledged[:-1], *numbered(1, 1, term=3)]
        directory.write(Write(1, HardState(3, "n2", 1), len(final), len(final), final[-1:]))
        acknowledged = final
        directory.close(orderly=True)

    assert len(copies) > 12
    for copied, acknowledged_then in copies.values():
        found = load(copied).entries
        assert found in (acknowledged_then, final) or found[:-2] == acknowledged_then


def test_a_process_killed_at_any_line_while_a_snapshot_takes_the_place_of_another_leaves_one_of_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "n1"
    directory = Directory(path)
    log = Recovered(HardState(1, "n2", 16), 1, fill(directory, writes=5))
    states = [(log, b"")]
    copies: dict[str, tuple[Path, int]] = {}

    def copy() -> None:
        state = f"{len(states)} {contents(path)}"
        if state not in copies:
            copies[state] = (tmp_path / f"copy-{len(copies)}", len(states))
            shutil.copytree(path, copies[state][0])

    with each_line_of_storage(copy):
        for index, data in ((6, b"six" * 50_000), (15, b"fifteen" * 20_000)):
            last = entry_id(log, index)
            write = Write(1, None, None, 1, [], take(directory, last, data), last)
            directory.write(write)
            states.append((after(states[-1][0], write), data))
            directory.snapshots.remove_before(index)
            while directory.tidy():
                pass
        directory.close(orderly=True)

    assert len(copies) > 15
    for copied, acknowledged in copies.values():
        directory = Directory(copied)
        found = directory.load(IDENTITY)
        data = b"" if found.snapshot is None else read(directory, found.snapshot)
        assert (found, data) in states[acknowledged - 1 : acknowledged + 1]
        assert len(list(copied.glob("snapshots/*"))) == (found.snapshot is not None)
        directory.close(orderly=True)


@contextmanager
def each_line_of_storage(report: Callable[[], None]) -> Iterator[None]:
    """Meanwhile, calls `report` before every line of `raftsdk.storage` and of what it does to paths."""

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(TRACED):
            return None
        if event == "line":
            sys.settrace(None)  # the report uses paths too
            report()
            sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def test_a_crash_is_followed_by_a_start_that_finds_every_acknowledged_entry(tmp_path: Path) -> None:
    log = crashed(tmp_path / "n1", writes=20)
    found = load(tmp_path / "n1")
    assert found.entries == log
    assert found.hard_state == HardState(1, "n2", len(log) - 4)


# -- what was lost or put back


async def test_a_deleted_database_is_refused_as_lost_data(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    (tmp_path / "n1" / DATABASE_FILE).unlink()
    text = await refusal(tmp_path / "n1")
    assert "raft.sqlite is missing: this node has lost data" in text
    assert "restore this node as a new member" in text
    assert await refusal(tmp_path / "n1") == text


async def test_a_deleted_guard_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    (tmp_path / "n1" / GUARD_FILE).unlink()
    assert "guard is missing beside raft.sqlite" in await refusal(tmp_path / "n1")


async def test_an_emptied_database_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    (tmp_path / "n1" / DATABASE_FILE).write_bytes(b"")
    assert "its tables are not the ones this software made" in await refusal(tmp_path / "n1")


@pytest.mark.parametrize("content", [None, b""])
async def test_a_write_ahead_log_lost_after_a_crash_is_refused(tmp_path: Path, content: bytes | None) -> None:
    crashed(tmp_path / "n1", writes=20)
    wal = tmp_path / "n1" / WAL_FILE
    wal.unlink() if content is None else wal.write_bytes(content)
    assert "raft.sqlite-wal is missing or empty after a crash: this node has lost data" in await refusal(
        tmp_path / "n1"
    )


async def test_a_database_from_an_earlier_start_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    shutil.copy(tmp_path / "n1" / DATABASE_FILE, tmp_path / "backup")
    filled(tmp_path / "n1", writes=3)
    shutil.copy(tmp_path / "backup", tmp_path / "n1" / DATABASE_FILE)
    assert "raft.sqlite is from start 1 and guard from start 2" in await refusal(tmp_path / "n1")


async def test_a_guard_from_an_earlier_start_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    shutil.copy(tmp_path / "n1" / GUARD_FILE, tmp_path / "backup")
    for _ in range(2):
        filled(tmp_path / "n1", writes=3)
    shutil.copy(tmp_path / "backup", tmp_path / "n1" / GUARD_FILE)
    assert "raft.sqlite is from start 3 and guard from start 1" in await refusal(tmp_path / "n1")


async def test_a_database_copied_while_the_node_ran_is_refused_in_place_of_the_one_closed(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    crashed(tmp_path / "n2", writes=MANY_WRITES)
    directory = Directory(tmp_path / "n1")
    directory.load(IDENTITY)
    shutil.copytree(tmp_path / "n1", tmp_path / "backup")
    directory.write(append(13, numbered(13, 1)))
    directory.close(orderly=True)
    for name in (DATABASE_FILE, WAL_FILE):
        shutil.copy(tmp_path / "backup" / name, tmp_path / "n1" / name)
    assert "raft.sqlite is not the one that was last closed here" in await refusal(tmp_path / "n1")


async def test_another_nodes_database_beside_our_guard_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    other = Directory(tmp_path / "n2")
    other.load(Identity("orchard", "n2"))
    other.close(orderly=True)
    shutil.copy(tmp_path / "n2" / DATABASE_FILE, tmp_path / "n1" / DATABASE_FILE)
    assert "raft.sqlite is node n2's of cluster orchard" in await refusal(tmp_path / "n1")


# -- damage that passes SQLite's own checks


def alter(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    connection = sqlite3.connect(path / DATABASE_FILE)
    for statement, parameters in statements:
        connection.execute(statement, parameters)
    connection.commit()
    connection.close()


def with_snapshot(path: Path) -> None:
    """Closed in good order: entries 1–8 in a snapshot, 1–6 compacted away, 12 the last."""
    directory = Directory(path)
    log = Recovered(HardState(), 1, fill(directory, writes=3))
    meta = take(directory, entry_id(log, 8), b"eight")
    directory.write(Write(1, None, None, 1, [], meta, entry_id(log, 6)))
    directory.close(orderly=True)


@pytest.mark.parametrize(
    ("statement", "parameters", "reason"),
    [
        ("DELETE FROM records WHERE key = ?", (-2,), "the record of the snapshot is of index 0 and should be of 8"),
        ("UPDATE records SET data = ? WHERE key = -2", (b"short",), "the record of the snapshot does not match its"),
        ("UPDATE records SET data = ? WHERE key = 0", (OTHER_STATE,), "up to index 8 does not meet the log behind 9"),
        ("DELETE FROM records WHERE key = ?", (7,), "the log continues at index 9 after index 6"),
    ],
)
async def test_damage_around_a_snapshot_is_refused_and_named(
    tmp_path: Path, statement: str, parameters: tuple[object, ...], reason: str
) -> None:
    with_snapshot(tmp_path / "n1")
    alter(tmp_path / "n1", (statement, parameters))
    assert reason in await refusal(tmp_path / "n1")


@pytest.mark.parametrize(
    ("statement", "parameters", "reason"),
    [
        ("DELETE FROM records WHERE key = ?", (5,), "the log continues at index 9 after index 4"),
        ("DELETE FROM records WHERE key = ?", (9,), "the log ends at index 8 and should end at 12"),
        ("DELETE FROM records WHERE key = ?", (0,), "the term, vote and end of the log is missing"),
        ("DELETE FROM records WHERE key = ?", (-1,), "the ownership is missing"),
        ("UPDATE records SET data = ? WHERE key = 5", ("text",), "the entries from index 5 are no bytes"),
        ("UPDATE records SET data = ? WHERE key = 5", (b"short",), "the entry at index 5 is cut short"),
        ("CREATE TABLE other (a) -- ?", (), "its tables are not the ones this software made"),
    ],
)
async def test_damage_is_refused_and_named(
    tmp_path: Path, statement: str, parameters: tuple[object, ...], reason: str
) -> None:
    filled(tmp_path / "n1", writes=3)
    alter(tmp_path / "n1", (statement, parameters))
    text = await refusal(tmp_path / "n1")
    assert reason in text
    assert "restore this node as a new member" in text


async def test_a_damaged_vote_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    alter(tmp_path / "n1", ("UPDATE records SET data = CAST(replace(data, ?, ?) AS BLOB) WHERE key = 0", ("n2", "n3")))
    assert "the term, vote and end of the log does not match its checksum" in await refusal(tmp_path / "n1")


async def test_terms_that_go_back_are_refused(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "n1")
    directory.load(IDENTITY)
    directory.write(append(1, [*numbered(1, 2, term=5), *numbered(3, 1, term=4)]))
    directory.close(orderly=True)
    assert "the term goes back from 5 to 4 at index 3" in await refusal(tmp_path / "n1")


@pytest.mark.parametrize("first_index", [3, 12, 14])
async def test_entries_in_the_wrong_place_are_refused_before_they_overwrite_anything(
    tmp_path: Path, first_index: int
) -> None:
    log = filled(tmp_path / "n1", writes=3)
    storage = SqliteStorage(tmp_path / "n1")
    await storage.load(IDENTITY)
    for _ in range(2):
        with pytest.raises(StorageFailed, match=f"entries from index {first_index} do not follow index 12"):
            await storage.persist(append(first_index, numbered(first_index, 1)))
    await storage.aclose()
    assert load(tmp_path / "n1").entries == log


async def test_a_truncation_from_0_is_refused(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "n1")
    await storage.load(IDENTITY)
    with pytest.raises(StorageFailed, match="there is no index 0"):
        await storage.persist(Write(1, None, 0, 1, []))
    await storage.aclose()
    assert load(tmp_path / "n1").entries == []


# -- the write-ahead log stays small


def test_the_write_ahead_log_does_not_grow_with_the_number_of_writes(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "n1")
    directory.load(IDENTITY)
    data = bytes(64 * 1024)
    largest = 0
    for index in range(1, 401):
        directory.write(append(index, [Entry(1, 1, data)]))
        largest = max(largest, (tmp_path / "n1" / WAL_FILE).stat().st_size)
    directory.close(orderly=True)
    assert 400 * len(data) > 2 * largest
    assert largest < (CHECKPOINT_PAGES[1] + 50) * WAL_FRAME_BYTES


def test_the_guard_counts_the_starts(tmp_path: Path) -> None:
    for starts in (1, 2, 3):
        filled(tmp_path / "n1", writes=1)
        assert unseal((tmp_path / "n1" / GUARD_FILE).read_bytes(), Guard, GUARD_FILE).starts == starts


def test_a_database_that_is_not_ours_has_no_ownership(tmp_path: Path) -> None:
    database = Database(tmp_path / DATABASE_FILE)
    database.open()
    with pytest.raises(Damaged, match="its tables"):
        database.ownership()
    database.create(Ownership(1, "orchard", "n1", 0))
    assert database.ownership() == Ownership(1, "orchard", "n1", 0)
    database.close()


# -- what an earlier version wrote


@pytest.mark.parametrize("end", ["closed", "crashed"])
def test_a_directory_of_format_1_is_read_and_becomes_one_of_the_present_format(tmp_path: Path, end: str) -> None:
    """Both were written by version 0.1.0 before it knew snapshots, and hold what `fill` writes."""
    path = tmp_path / "n1"
    shutil.copytree(FORMAT_1 / end, path)
    directory = Directory(path)
    found = directory.load(IDENTITY)
    assert found == Recovered(HardState(1, "n2", 8), 1, numbered(1, 12))
    directory.write(append(13, numbered(13, 1), HardState(2, None, 9, 77)))
    directory.close(orderly=True)
    assert load(path) == Recovered(HardState(2, None, 9, 77), 1, numbered(1, 13))
    assert unseal((path / GUARD_FILE).read_bytes(), Guard, GUARD_FILE).format == FORMAT


def test_a_crash_while_a_directory_of_format_1_is_taken_over_leaves_one_that_starts(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    shutil.copytree(FORMAT_1 / "closed", path)
    copies: list[Path] = []

    def copy() -> None:
        copies.append(tmp_path / f"copy-{len(copies)}")
        shutil.copytree(path, copies[-1])

    with each_line_of_storage(copy):
        directory = Directory(path)
        directory.load(IDENTITY)
    directory.close(orderly=True)
    formats = {unseal((copied / GUARD_FILE).read_bytes(), Guard, GUARD_FILE).format for copied in copies}
    assert formats == {1, FORMAT}
    for copied in copies[:: len(copies) // 40]:
        assert load(copied).entries == numbered(1, 12)


async def test_a_database_of_a_newer_format_beside_an_older_guard_is_refused(tmp_path: Path) -> None:
    """A newer version's first start on this directory was cut short between the two."""
    filled(tmp_path / "n1", writes=3)
    newer = seal(Ownership(FORMAT + 1, "orchard", "n1", 2))
    alter(tmp_path / "n1", ("UPDATE records SET data = ? WHERE key = -1", (newer,)))
    assert f"has data of format {FORMAT + 1}" in await refusal(tmp_path / "n1")
