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
from sqlite_places import IDENTITY, append, crashed, filled, load, numbered

import raftsdk.storage
from raftsdk.errors import StorageFailed, StorageRefused
from raftsdk.storage.database import CHECKPOINT_PAGES, Database
from raftsdk.storage.directory import DATABASE_FILE, GUARD_FILE, WAL_FILE, Directory, Guard
from raftsdk.storage.records import Damaged, Ownership, seal, unseal
from raftsdk.storage.sqlite import SqliteStorage
from raftsdk.types import Entry, HardState, Identity, Write

TRACED = (str(Path(raftsdk.storage.__file__).parent), pathlib.__file__)
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
    return {file.name: file.read_bytes() for file in path.iterdir()}


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
    (tmp_path / "n1" / GUARD_FILE).write_bytes(seal(Guard(2, "orchard", "n1", 1)))
    before = contents(tmp_path / "n1")
    assert "has data of format 2, and this software reads format 1" in await refusal(tmp_path / "n1")
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
    assert largest < (CHECKPOINT_PAGES + 50) * WAL_FRAME_BYTES


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
