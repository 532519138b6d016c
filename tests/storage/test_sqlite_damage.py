"""Bytes that changed or went missing are noticed, or do no harm; a torn end costs only what was torn off."""

import shutil
from pathlib import Path
from random import Random

import pytest
from sqlite_places import IDENTITY, append, crashed, fill, filled, load, numbered, take

from raftsdk.errors import StorageRefused
from raftsdk.storage.directory import DATABASE_FILE, GUARD_FILE, WAL_FILE, Directory
from raftsdk.storage.records import Damaged
from raftsdk.storage.sqlite import SqliteStorage
from raftsdk.storage.wal import frames
from raftsdk.types import Entry, EntryId, Recovered, Write

FLIPS = 120
FIRST_FREE_PAGE_AT = 32  # in SQLite's header
WAL_HEADER_BYTES = 32
WAL_FRAME_BYTES = 24 + 4096


def flip(path: Path, position: int, bits: int = 0xFF) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= bits
    path.write_bytes(content)


def end_of_whole_frames(wal: Path) -> int:
    """Where the last commit ends; behind it may lie what was left from before the log was begun anew."""
    whole = sum(frame.is_whole for frame in frames(wal.read_bytes()))
    return WAL_HEADER_BYTES + whole * WAL_FRAME_BYTES


async def loaded_or_refused(path: Path) -> Recovered | None:
    """What a start finds, or None when it is refused. Any other outcome is an error of ours."""
    storage = SqliteStorage(path)
    try:
        return await storage.load(IDENTITY)
    except StorageRefused:
        return None
    finally:
        await storage.aclose()


async def test_a_flipped_byte_anywhere_in_the_database_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    log = filled(path, writes=40)
    directory = Directory(path)
    directory.load(IDENTITY)
    directory.write(Write(1, None, 101, 101, []))  # frees pages, which are in the file too
    directory.write(Write(1, None, None, 1, [], take(directory, EntryId(1, 30), b"thirty"), EntryId(1, 22)))
    directory.close(orderly=True)
    expected = load(path)
    assert expected.entries == log[22:100]
    assert expected.snapshot is not None

    random = Random(1)
    noticed = 0
    for number in range(FLIPS):
        copy = tmp_path / str(number)
        shutil.copytree(path, copy)
        flip(copy / DATABASE_FILE, random.randrange((copy / DATABASE_FILE).stat().st_size), random.randrange(1, 256))
        found = await loaded_or_refused(copy)
        if found is None:
            noticed += 1
            continue
        assert found == expected
        assert await loaded_or_refused(copy) == expected
    assert FLIPS / 4 < noticed < FLIPS  # the rest fell into unused space


async def test_a_flipped_byte_of_the_first_page_is_noticed_or_harmless(tmp_path: Path) -> None:
    """The page with SQLite's own header, the table's definition and the pointers to everything else."""
    path = tmp_path / "n1"
    filled(path, writes=40)
    expected = load(path)
    for position in range(124):
        copy = tmp_path / str(position)
        shutil.copytree(path, copy)
        flip(copy / DATABASE_FILE, position)
        assert await loaded_or_refused(copy) in (None, expected)


async def test_a_flipped_byte_anywhere_in_the_guard_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "n1", writes=3)
    guard = (tmp_path / "n1" / GUARD_FILE).read_bytes()
    for position in range(len(guard)):
        flip(tmp_path / "n1" / GUARD_FILE, position)
        assert await loaded_or_refused(tmp_path / "n1") is None
        (tmp_path / "n1" / GUARD_FILE).write_bytes(guard)
    assert await loaded_or_refused(tmp_path / "n1") is not None


async def test_a_list_of_free_pages_that_names_a_page_in_use_is_refused(tmp_path: Path) -> None:
    """Nothing read at a start goes through that list; the next write would overwrite part of the log."""
    directory = Directory(tmp_path / "n1")
    fill(directory, writes=40)
    directory.write(Write(1, None, 101, 101, []))
    directory.close(orderly=True)
    with (tmp_path / "n1" / DATABASE_FILE).open("r+b") as file:
        file.seek(FIRST_FREE_PAGE_AT)
        assert file.read(4) != bytes(4)
        file.seek(FIRST_FREE_PAGE_AT)
        file.write((3).to_bytes(4, "big"))
    with pytest.raises(Damaged, match="its structure is damaged"):
        load(tmp_path / "n1")


async def test_a_database_cut_short_is_refused(tmp_path: Path) -> None:
    log = filled(tmp_path / "n1", writes=40)
    database = (tmp_path / "n1" / DATABASE_FILE).read_bytes()
    for size in range(0, len(database), 4096 // 3):
        copy = tmp_path / str(size)
        shutil.copytree(tmp_path / "n1", copy)
        (copy / DATABASE_FILE).write_bytes(database[:size])
        assert await loaded_or_refused(copy) is None
    assert load(tmp_path / "n1").entries == log


# -- the write-ahead log


async def test_a_write_ahead_log_cut_anywhere_keeps_what_was_persisted_before_the_cut(tmp_path: Path) -> None:
    running = tmp_path / "running"
    directory = Directory(running)
    directory.load(IDENTITY)
    wal = running / WAL_FILE
    ends = [end_of_whole_frames(wal)]
    log = numbered(1, 15)
    for index in range(1, 16):
        directory.write(append(index, log[index - 1 : index]))
        ends.append(end_of_whole_frames(wal))
    for size in [*range(0, ends[-1], 2_011), *ends, *(end - 1 for end in ends)]:
        copy = tmp_path / f"cut-{size}"
        if not copy.exists():
            shutil.copytree(running, copy)
            (copy / WAL_FILE).write_bytes(wal.read_bytes()[:size])
            before_the_cut = sum(end <= size for end in ends) - 1
            found = await loaded_or_refused(copy)
            assert found is None if before_the_cut < 0 else found is not None
            assert found is None or found.entries == log[:before_the_cut]
    directory.close(orderly=True)


async def test_a_last_write_torn_at_any_sector_is_cut_off_and_the_rest_is_kept(tmp_path: Path) -> None:
    running = tmp_path / "running"
    directory = Directory(running)
    log = fill(directory, writes=5)
    wal = running / WAL_FILE
    end = end_of_whole_frames(wal)
    directory.write(append(len(log) + 1, numbered(len(log) + 1, 50)))
    for sector in range(end, wal.stat().st_size - 512, 512):
        copy = tmp_path / f"torn-{sector}"
        shutil.copytree(running, copy)
        with (copy / WAL_FILE).open("r+b") as file:
            file.seek(sector)
            file.write(b"\xaa" * 512)
        found = await loaded_or_refused(copy)
        assert found is not None
        assert found.entries == log
    directory.close(orderly=True)


async def test_rot_in_the_write_ahead_log_is_refused_unless_it_could_be_a_torn_last_write(tmp_path: Path) -> None:
    log = crashed(tmp_path / "n1", writes=12, batch=1)
    frame_count = (tmp_path / "n1" / WAL_FILE).stat().st_size // WAL_FRAME_BYTES
    outcomes = []
    for frame in range(frame_count):
        copy = tmp_path / f"rot-{frame}"
        shutil.copytree(tmp_path / "n1", copy)
        flip(copy / WAL_FILE, WAL_HEADER_BYTES + frame * WAL_FRAME_BYTES + 24 + 1_000)
        found = await loaded_or_refused(copy)
        outcomes.append(None if found is None else len(found.entries))
        assert await loaded_or_refused(copy) == found  # no refusal is forgotten at the second attempt
    assert outcomes == [None] * (frame_count - 1) + [len(log) - 1]


@pytest.mark.parametrize("position", range(0, WAL_HEADER_BYTES, 3))
async def test_a_damaged_header_of_the_write_ahead_log_is_refused(tmp_path: Path, position: int) -> None:
    crashed(tmp_path / "n1", writes=12)
    flip(tmp_path / "n1" / WAL_FILE, position)
    with pytest.raises(Damaged, match="the write-ahead log has a damaged header"):
        load(tmp_path / "n1")


async def test_frames_left_from_before_the_write_ahead_log_began_anew_are_no_rot(tmp_path: Path) -> None:
    """After a checkpoint the log is written again from its beginning, over the older frames."""
    running = tmp_path / "running"
    directory = Directory(running)
    log = directory.load(IDENTITY).entries
    wal_header = (running / WAL_FILE).read_bytes()[:WAL_HEADER_BYTES]
    for _ in range(100):
        entries = numbered(len(log) + 1, 8, data_bytes=16_000)
        directory.write(append(len(log) + 1, entries))
        log += entries
    with (running / WAL_FILE).open("rb") as file:
        assert file.read(WAL_HEADER_BYTES) != wal_header
    shutil.copytree(running, tmp_path / "n1")
    directory.close(orderly=True)
    assert load(tmp_path / "n1").entries == log


def tear(wal: Path, at: int) -> None:
    """Lose one sector of the write that begins at `at`; its last frame, the commit, reached the disk all the same."""
    with wal.open("r+b") as file:
        file.seek(at + 24 + 512)
        file.write(b"\xaa" * 512)


async def test_a_torn_write_after_an_earlier_torn_write_is_no_rot(tmp_path: Path) -> None:
    """The next run writes over the torn end; what lies behind that must not count as a commit of the next run's log."""
    log: list[Entry] = []
    for run in range(4):
        running, copy = tmp_path / f"running-{run}", tmp_path / f"torn-{run}"
        if run:
            shutil.copytree(tmp_path / f"torn-{run - 1}", running)
        directory = Directory(running)
        assert directory.load(IDENTITY).entries == log
        if run == 0:
            kept = numbered(1, 3)
            directory.write(append(1, kept))
            log += kept
        end = end_of_whole_frames(running / WAL_FILE)
        # Each run's write is shorter than the one before, so that it cannot cover all that the tear left.
        directory.write(append(len(log) + 1, numbered(len(log) + 1, 1, data_bytes=80_000 - 20_000 * run)))
        shutil.copytree(running, copy)
        directory.close(orderly=True)
        tear(copy / WAL_FILE, end)
    assert load(tmp_path / "torn-3").entries == log
