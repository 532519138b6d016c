"""The snapshot files of one node, in a folder of their own. Everything here blocks, and is used from one thread.

    <index>-<digest>.snapshot   a snapshot that is whole: up to which index, and how its SHA-256 begins
    created.draft               the one of this node's own state, while it is written
    received.draft              the one that another node sends, while it arrives

A file is the snapshot in chunks of 64 KiB, the last one shorter, each behind its CRC-32. The sum begins with the
snapshot's index and term and the number of the chunk, so a chunk that ended up in another place does not pass either.
Where a byte stands follows from its offset, and the length of the file from that of the snapshot.

A draft is synced, then renamed, then the folder is synced; only after that does a write to the log name it. So what the
database names is there, whatever a crash leaves, and everything else is in nobody's way: the next start removes it.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from shutil import disk_usage
from struct import Struct as Layout
from typing import Final
from zlib import crc32

from raftsdk.errors import SnapshotDamaged, StorageFailed
from raftsdk.storage.files import make_directory, put_in_place, sync
from raftsdk.storage.records import Damaged
from raftsdk.types import LogIndex, Membership, SnapshotMeta, Term

CHUNK_BYTES: Final = 64 * 1024
CHECKSUM_BYTES: Final = 4
SYNC_BYTES: Final = 4 * 1024 * 1024
"""After so many bytes a draft is synced. A file system may make the log's sync wait for all that was written to other
files and not synced yet. Beside a snapshot of 1 GiB, the slowest write of the log took 200 ms where the snapshot was
synced at its end only, 25 ms where it is synced so, and 15 ms without any snapshot (ext4, two shared CPUs).
"""

_PLACE: Final = Layout(">QQQ")
_DIGEST_CHARS: Final = 16
_FILE_NAME: Final = re.compile(rf"[0-9]+-[0-9a-f]{{{_DIGEST_CHARS}}}\.snapshot")
_CREATED, _RECEIVED = _DRAFTS = ("created.draft", "received.draft")


class SnapshotFolder:
    """What the module says. At the most one draft of each kind is open at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._created: SnapshotDraft | None = None
        self._received: SnapshotDraft | None = None

    def create(self, index: LogIndex, term: Term, membership: Membership) -> "SnapshotDraft":
        """Begin a snapshot of this node's own state; an unfinished one is removed. Raises `StorageFailed`."""
        if self._created is not None:
            self._created.abort()
        with _failing(f"begin a snapshot up to index {index}"):
            make_directory(self._path)
            self._created = SnapshotDraft(self._path / _CREATED, index, term, membership)
        return self._created

    def receive(self, meta: SnapshotMeta) -> "SnapshotDraft":
        """Begin to receive a snapshot, or go on with this very one. Raises `StorageFailed`, also for want of room."""
        if self._received is not None:
            if self._received.is_open and self._received.expected == meta:
                return self._received
            self._received.abort()
        with _failing(f"receive the snapshot up to index {meta.index}"):
            make_directory(self._path)
            free_bytes = disk_usage(self._path).free
            if file_bytes(meta.total_bytes) > free_bytes:
                raise StorageFailed(
                    f"the snapshot up to index {meta.index} has {meta.total_bytes} bytes, and {self._path} has room "
                    f"for {free_bytes}: make room"
                )
            self._received = SnapshotDraft(self._path / _RECEIVED, meta.index, meta.term, meta.membership, meta)
        return self._received

    def open(self, meta: SnapshotMeta) -> "SnapshotReader":
        """Open one that is whole. Raises `StorageFailed` when it is not there or of another length."""
        with _failing(f"open the snapshot up to index {meta.index}"):
            try:
                self.check(meta)
            except Damaged as damaged:
                raise StorageFailed(str(damaged)) from damaged
            return SnapshotReader(self._path / file_name(meta), meta)

    def check(self, meta: SnapshotMeta) -> None:
        """Raise `Damaged` unless the file is there and has its length."""
        path = self._path / file_name(meta)
        if not path.is_file():
            raise Damaged(f"the snapshot {path.name} is missing: this node has lost data")
        found, expected = path.stat().st_size, file_bytes(meta.total_bytes)
        if found != expected:
            raise Damaged(f"the snapshot {path.name} has {found} bytes and should have {expected}")

    def keep_only(self, meta: SnapshotMeta | None) -> None:
        """At a start, remove what an earlier run left and the log does not name."""
        kept = None if meta is None else file_name(meta)
        self._remove(lambda name: name != kept)
        for name in _DRAFTS:
            (self._path / name).unlink(missing_ok=True)

    def remove_before(self, index: LogIndex) -> None:
        """Remove what can never be the store's again. Whoever reads it goes on; what cannot be removed now is later."""
        with suppress(OSError):
            self._remove(lambda name: int(name.partition("-")[0]) < index)

    def close(self) -> None:
        """Remove what is not whole."""
        for draft in (self._created, self._received):
            if draft is not None:
                draft.abort()

    def _remove(self, is_unwanted: Callable[[str], bool]) -> None:
        if self._path.is_dir():
            for path in self._path.iterdir():
                if _FILE_NAME.fullmatch(path.name) and is_unwanted(path.name):
                    path.unlink()


class SnapshotDraft:
    """A snapshot that is being written."""

    def __init__(
        self, path: Path, index: LogIndex, term: Term, membership: Membership, expected: SnapshotMeta | None = None
    ) -> None:
        self.expected = expected  #: What it must turn out to be; None for one of this node's own state.
        self.offset = 0  #: How many bytes of it were given.
        self.is_open = True
        self._path = path
        self._index, self._term, self._membership = index, term, membership
        self._digest = sha256()
        self._tail = bytearray()  # less than a chunk
        self._chunks = 0
        self._unsynced_bytes = 0
        self._file = path.open("wb")

    def write(self, data: bytes) -> None:
        """Append. Raises `StorageFailed`, and then the draft is gone."""
        self._check_open()
        self.offset += len(data)
        if self.expected is not None and self.offset > self.expected.total_bytes:
            return  # `finish` will refuse it: what a sender says without end takes no room
        self._digest.update(data)
        self._tail += data
        whole = len(self._tail) - len(self._tail) % CHUNK_BYTES
        with self._giving_up():
            for start in range(0, whole, CHUNK_BYTES):
                self._write_chunk(bytes(self._tail[start : start + CHUNK_BYTES]))
        del self._tail[:whole]

    def finish(self) -> SnapshotMeta:
        """Make it durable under its final name. Raises `SnapshotDamaged` or `StorageFailed`, and then it is gone."""
        self._check_open()
        meta = SnapshotMeta(self._index, self._term, self._membership, self.offset, self._digest.digest())
        if self.expected not in (None, meta):
            self.abort()
            raise SnapshotDamaged(
                f"the snapshot up to index {self._index} is not the one that was sent: nothing of it is kept"
            )
        with self._giving_up():
            if self._tail:
                self._write_chunk(bytes(self._tail))
            self._sync()
            self._file.close()
            put_in_place(self._path, self._path.with_name(file_name(meta)))
        self.is_open = False
        return meta

    def abort(self) -> None:
        """Remove it, unless it is finished."""
        if self.is_open:
            self.is_open = False
            with suppress(OSError):  # a full disk also fails to write what the file still buffers
                self._file.close()
            with suppress(OSError):  # on a disk that takes nothing any more, the next start removes it
                self._path.unlink(missing_ok=True)

    def _write_chunk(self, chunk: bytes) -> None:
        self._file.write(checksum(self._index, self._term, self._chunks, chunk) + chunk)
        self._chunks += 1
        self._unsynced_bytes += len(chunk)
        if self._unsynced_bytes >= SYNC_BYTES:
            self._sync()

    def _sync(self) -> None:
        self._file.flush()
        sync(self._file.fileno())
        self._unsynced_bytes = 0

    def _check_open(self) -> None:
        if not self.is_open:
            raise StorageFailed(f"the snapshot up to index {self._index} has ended: begin it again")

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        # After a failed sync nobody knows what reached the disk. And a full disk is needed by the log.
        try:
            with _failing(f"write the snapshot up to index {self._index}"):
                yield
        except StorageFailed:
            self.abort()
            raise


class SnapshotReader:
    """A snapshot that is whole, open for reading, whatever becomes of its name."""

    def __init__(self, path: Path, meta: SnapshotMeta) -> None:
        self.meta = meta
        self._name = path.name
        self._file = path.open("rb", buffering=0)

    def read(self, offset: int, max_bytes: int) -> bytes:
        """See `ports.SnapshotSource`. Reads and checks whole chunks: pieces of some of them are read once only."""
        end = min(offset + max_bytes, self.meta.total_bytes)
        if offset >= end:
            return b""
        first, start = divmod(offset, CHUNK_BYTES)
        chunks = b"".join(self._chunk(number) for number in range(first, -(-end // CHUNK_BYTES)))
        return chunks[start : start + end - offset]

    def close(self) -> None:
        """Let it go. May be called twice."""
        self._file.close()

    def _chunk(self, number: int) -> bytes:
        with _failing(f"read the snapshot {self._name}"):
            sealed = os.pread(
                self._file.fileno(), CHECKSUM_BYTES + CHUNK_BYTES, number * (CHECKSUM_BYTES + CHUNK_BYTES)
            )
        chunk = sealed[CHECKSUM_BYTES:]
        expected_bytes = min(CHUNK_BYTES, self.meta.total_bytes - number * CHUNK_BYTES)
        is_whole = len(chunk) == expected_bytes
        if not is_whole or sealed[:CHECKSUM_BYTES] != checksum(self.meta.index, self.meta.term, number, chunk):
            raise StorageFailed(
                f"the snapshot {self._name} is damaged in the {CHUNK_BYTES} bytes from {number * CHUNK_BYTES} on"
            )
        return chunk


def file_name(meta: SnapshotMeta) -> str:
    """What the file of a whole snapshot is called."""
    return f"{meta.index}-{meta.digest.hex()[:_DIGEST_CHARS]}.snapshot"


def file_bytes(total_bytes: int) -> int:
    """How long the file of a snapshot of so many bytes is."""
    return total_bytes + CHECKSUM_BYTES * -(-total_bytes // CHUNK_BYTES)


def checksum(index: LogIndex, term: Term, number: int, chunk: bytes) -> bytes:
    """What stands before a chunk."""
    return crc32(chunk, crc32(_PLACE.pack(index, term, number))).to_bytes(CHECKSUM_BYTES, "big")


@contextmanager
def _failing(purpose: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"cannot {purpose}: {error}") from error
