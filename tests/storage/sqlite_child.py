"""A process of its own on a data directory: `sqlite_child.py MODE PATH`. Prints what was acknowledged, line by line."""

import asyncio
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from sqlite_places import IDENTITY, append, numbered

from raftsdk.errors import StorageFailed
from raftsdk.storage.directory import WAL_FILE
from raftsdk.storage.sqlite import SqliteStorage
from raftsdk.types import HardState

MAX_WRITES = 2_000


def say(*words: object) -> None:
    """One line, at once: the reader may kill this process on it."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def write(path: Path, prepare: Callable[[Path], None]) -> None:
    """Append one entry after another, until killed or refused; then once more, to see that it stays refused."""
    storage = SqliteStorage(path)
    index = len((await storage.load(IDENTITY)).entries)
    say("loaded", index)
    prepare(path)
    failures = 0
    while failures < 2 and index < MAX_WRITES:
        try:
            await storage.persist(append(index + 1, numbered(index + 1, 1), HardState(1, "n2", index)))
        except StorageFailed as failed:
            failures += 1
            say("failed", failed)
        else:
            index += 1
            say("wrote", index)
    await storage.aclose()
    say("closed")


async def write_on(path: Path) -> None:
    """With nothing in the way."""
    await write(path, lambda _: None)


async def write_on_full_disk(path: Path) -> None:
    """Until no file may grow any more."""
    await write(path, limit_files)


async def write_unsynced(path: Path) -> None:
    """To a disk that takes every write and no sync."""
    await write(path, fail_syncs)


async def hold(path: Path) -> None:
    """Keep the directory until standard input ends."""
    storage = SqliteStorage(path)
    await storage.load(IDENTITY)
    say("loaded")
    await asyncio.to_thread(sys.stdin.read)
    await storage.aclose()


def limit_files(path: Path) -> None:
    """As on a full disk: no file may grow much beyond what it is now."""
    bytes_now = (path / WAL_FILE).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_now + 200_000, resource.RLIM_INFINITY))


def fail_syncs(path: Path) -> None:
    """Put a device that takes every write and no sync in the place of the open write-ahead log."""
    for descriptor in os.listdir("/proc/self/fd"):
        link = f"/proc/self/fd/{descriptor}"
        if os.path.exists(link) and os.readlink(link) == str(path / WAL_FILE):
            os.dup2(os.open("/dev/null", os.O_RDWR), int(descriptor))


MODES = {"hold": hold, "write": write_on, "full": write_on_full_disk, "unsynced": write_unsynced}

if __name__ == "__main__":
    asyncio.run(MODES[sys.argv[1]](Path(sys.argv[2])))
