"""A node's data directory: who holds it, whose it is, and whether everything in it belongs together.

    lock          held by the process that uses the directory; its text is that process's id
    guard         the identity, and how often a node has started here: what tells a lost database from a new node
    raft.sqlite   the log and the hard state; beside it, while in use, its write-ahead log `raft.sqlite-wal`
    snapshots/    the snapshot that the database names, and such as are being made; see `raftsdk.storage.snapshots`

A node that forgot its vote votes twice, and one that forgot its log breaks the majority that counted on it. So a
database that is missing or older than its guard is refused: `starts` is in both, written to the guard *after* the
database and before anything is promised. Whatever a crash leaves:

    guard     database        what happened, and what is done
    -         -               nothing yet: a new node
    0         -, empty, 0     the first start was cut short before any promise: it is done again
    n         n               a start was completed
    n         n+1             a start was cut short before any promise: it is done again
    n         other, or none  something was lost or put back: refused
    -         any             refused

Two fields of the guard tell more. `in_use`: the write-ahead log exists, durably, so its absence is a loss.
`closed_with`: the checksum of the state at an orderly end, which tells apart a copy of the database from earlier in
that run. What no file can tell is that *all* of them were put back from an older copy: never do that, restore the node
as a new member.

Data of an older format become the present format with a start, which writes both records anyway.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from raftsdk.errors import StorageRefused
from raftsdk.storage.database import Database
from raftsdk.storage.files import make_directory, replace_file
from raftsdk.storage.records import FORMAT, Damaged, Format, Ownership, seal, unseal
from raftsdk.storage.snapshots import SnapshotFolder
from raftsdk.storage.wal import check_wal
from raftsdk.types import Identity, Recovered, Write

LOCK_FILE: Final = "lock"
GUARD_FILE: Final = "guard"
DATABASE_FILE: Final = "raft.sqlite"
WAL_FILE: Final = DATABASE_FILE + "-wal"
SNAPSHOT_FOLDER: Final = "snapshots"

REJOIN: Final = (
    "Do not repair or delete anything by hand: the others may count on what is lost. "
    "Keep this directory for inspection and restore this node as a new member, with a new id and an empty directory"
)


class Guard(Struct, frozen=True):
    """What must agree with the database; see the table above."""

    format: int
    cluster_id: str
    node_id: str
    starts: int = 0
    in_use: bool = False
    closed_with: int | None = None


class Directory:
    """The blocking half of `SqliteStorage`. Used from one thread; `snapshots` from another, gone before `close`."""

    def __init__(self, path: Path) -> None:
        self.snapshots = SnapshotFolder(path / SNAPSHOT_FOLDER)
        self._path = path
        self._lock: int | None = None
        self._guard: Guard | None = None
        self._database: Database | None = None

    def load(self, identity: Identity) -> Recovered:
        """Take the directory, or refuse it and leave it as it was."""
        if self._path.exists() and not self._path.is_dir():
            raise StorageRefused(f"{self._path} is no directory: name one, or a place where one can be made")
        make_directory(self._path)
        self._lock = lock_directory(self._path)
        self._guard = self._admit(identity)
        self._check_files(self._guard)
        self._database = Database(self._path / DATABASE_FILE)
        self._database.open()
        recovered = self._load_database(self._guard, self._database)
        if recovered.snapshot is not None:
            self.snapshots.check(recovered.snapshot)
        self._begin(self._guard, self._database)
        self.snapshots.keep_only(recovered.snapshot)
        return recovered

    def write(self, write: Write) -> None:
        """Make the write durable. What a snapshot in it replaces is still there."""
        assert self._database is not None
        if write.snapshot is not None:
            self.snapshots.check(write.snapshot)
        self._database.write(write)

    def tidy(self) -> bool:
        """Remove some of what was compacted away. Returns whether there may be more."""
        return self._database is not None and self._database.tidy()

    def close(self, *, orderly: bool) -> None:
        """Let everything go. `orderly` says that what the database holds now is exactly what was acknowledged."""
        self.snapshots.close()
        if self._guard is not None and self._database is not None:
            self._close_database(self._guard, self._database, orderly=orderly)
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._guard = self._database = None

    def _admit(self, identity: Identity) -> Guard:
        path = self._path / GUARD_FILE
        if path.exists():
            return self._check_guard(path.read_bytes(), identity)
        if any((self._path / name).exists() for name in (DATABASE_FILE, WAL_FILE)):
            raise Damaged(f"{GUARD_FILE} is missing beside {DATABASE_FILE}")
        guard = Guard(FORMAT, identity.cluster_id, identity.node_id)
        self._write_guard(guard)
        return guard

    def _check_guard(self, sealed: bytes, identity: Identity) -> Guard:
        self._check_format(unseal(sealed, Format, GUARD_FILE).format)
        guard = unseal(sealed, Guard, GUARD_FILE)
        owner = Identity(guard.cluster_id, guard.node_id)
        if owner != identity:
            raise StorageRefused(
                f"{self._path} belongs to node {owner.node_id} of cluster {owner.cluster_id}, and this is node "
                f"{identity.node_id} of cluster {identity.cluster_id}: give each node a directory of its own"
            )
        return guard

    def _check_format(self, version: int) -> None:
        if version > FORMAT:
            raise StorageRefused(
                f"{self._path} has data of format {version}, and this software reads format {FORMAT} and older: "
                "start it with the version of the software that wrote it"
            )

    def _check_files(self, guard: Guard) -> None:
        if guard.starts > 0 and not (self._path / DATABASE_FILE).exists():
            raise Damaged(f"{DATABASE_FILE} is missing: this node has lost data")
        wal = self._path / WAL_FILE
        if guard.in_use:
            if not (wal.exists() and wal.stat().st_size > 0):
                raise Damaged(f"{WAL_FILE} is missing or empty after a crash: this node has lost data")
            check_wal(wal)

    def _load_database(self, guard: Guard, database: Database) -> Recovered:
        if guard.starts == 0 and database.is_empty():
            database.create(_ownership(guard, starts=0))
        found = database.ownership()
        self._check_format(found.format)
        if replace(found, format=FORMAT) not in (
            _ownership(guard, starts=guard.starts),
            _ownership(guard, starts=guard.starts + 1),
        ):
            raise Damaged(f"{_difference(found, guard)}: this node has lost data, or files of two copies were mixed")
        recovered = database.load()
        if guard.closed_with not in (None, crc32(database.sealed_state)):
            raise Damaged(f"{DATABASE_FILE} is not the one that was last closed here: this node has lost data")
        return recovered

    def _begin(self, guard: Guard, database: Database) -> None:
        starts = guard.starts + 1
        database.take(_ownership(guard, starts=starts))
        self._write_guard(replace(guard, format=FORMAT, starts=starts, in_use=True, closed_with=None))

    def _close_database(self, guard: Guard, database: Database, *, orderly: bool) -> None:
        if orderly:
            # Before SQLite removes its write-ahead log: a crash in between must not look like a loss.
            with suppress(OSError):
                self._write_guard(replace(guard, in_use=False, closed_with=crc32(database.sealed_state)))
        database.close()
        if self._guard is guard and guard.in_use and not (self._path / WAL_FILE).exists():
            # After a failure; also on a full disk, where the guard can only be written once SQLite has made room.
            with suppress(OSError):
                self._write_guard(replace(guard, in_use=False))

    def _write_guard(self, guard: Guard) -> None:
        replace_file(self._path / GUARD_FILE, seal(guard))
        self._guard = guard


def lock_directory(path: Path) -> int:
    """Hold the directory until the returned descriptor is closed, or the process ends in whatever way."""
    lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise StorageRefused(
            f"{path} is in use by process {holder}: stop that one first, or give this node a directory of its own"
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, b"%d\n" % os.getpid())
    return lock


def _ownership(guard: Guard, *, starts: int) -> Ownership:
    return Ownership(FORMAT, guard.cluster_id, guard.node_id, starts)


def _difference(found: Ownership, guard: Guard) -> str:
    if Identity(found.cluster_id, found.node_id) != Identity(guard.cluster_id, guard.node_id):
        return f"{DATABASE_FILE} is node {found.node_id}'s of cluster {found.cluster_id}"
    return f"{DATABASE_FILE} is from start {found.starts} and {GUARD_FILE} from start {guard.starts}"
