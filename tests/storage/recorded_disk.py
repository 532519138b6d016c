"""A disk whose power is cut: all that was done to the files of one directory, and what may be left of it.

What POSIX promises, and no more: `fsync` of a file keeps its bytes and its length, `fsync` of a directory the names in
it. Of what was not synced, any part may be there and any other may not, in any order, down to sectors of 512 bytes.

The record is made where the operations are: of SQLite by a VFS (through apsw, which brings a SQLite of its own, since
the standard library's takes no VFS), of our own files by what `raftsdk.storage` calls of `os` and `pathlib`.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, TypeAlias
from unittest.mock import patch

import apsw

from raftsdk.storage import database

SECTOR_BYTES = 512
ROOT = 0
JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL


# -- operations; files and directories are numbers, because names change


@dataclass(frozen=True)
class Put:
    """Bytes into a file."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Resize:
    """A file to another length."""

    file: int
    size: int


@dataclass(frozen=True)
class Name:
    """A file or directory under a name, in place of what had it; a rename also takes the old name away."""

    directory: int
    name: str
    target: int
    old_name: str | None = None
    is_directory: bool = False


@dataclass(frozen=True)
class Unname:
    """A name away."""

    directory: int
    name: str


@dataclass(frozen=True)
class Sync:
    """All of a file, or all names in a directory, to the disk."""

    target: int


Operation: TypeAlias = Put | Resize | Name | Unname | Sync


class Recorder:
    """Notes what is done below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.operations: list[Operation] = []
        self._numbers: dict[Path, int] = {root: ROOT}
        self._count = ROOT

    def begin_with(self, files: dict[str, bytes]) -> None:
        """Put these files there, as if all of them had been on the disk before."""
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if path.parent != self.root:
                self.number(path.parent, is_directory=True)
            self.note(Put(self.number(path), 0, content))
        for number in self._numbers.values():
            self.note(Sync(number))

    def covers(self, path: Path) -> bool:
        return path == self.root or self.root in path.parents

    def number(self, path: Path, *, is_directory: bool = False) -> int:
        """Of a file or directory that is there, or is made now."""
        if path not in self._numbers:
            self._count += 1
            self._numbers[path] = self._count
            self.note(Name(self._numbers[path.parent], path.name, self._count, is_directory=is_directory))
        return self._numbers[path]

    def note(self, operation: Operation) -> None:
        self.operations.append(operation)

    def remove(self, path: Path) -> None:
        if self._numbers.pop(path, None) is not None:
            self.note(Unname(self._numbers[path.parent], path.name))

    def rename(self, old: Path, new: Path) -> None:
        self._numbers[new] = self._numbers.pop(old)
        self.note(Name(self._numbers[new.parent], new.name, self._numbers[new], old.name))

    def sync(self, path: Path) -> None:
        self.note(Sync(self._numbers[path]))


# -- SQLite's files


class _Vfs(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        super().__init__("recording", "")

    def xOpen(self, name: Any, flags: list[int]) -> "_VfsFile":  # noqa: N802 (SQLite's name)
        return _VfsFile(self._recorder, name, flags)

    def xDelete(self, name: str, sync_directory: bool) -> None:  # noqa: N802
        super().xDelete(name, sync_directory)
        self._recorder.remove(Path(name))
        if sync_directory:
            self._recorder.sync(Path(name).parent)


class _VfsFile(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._recorder = recorder
        self._path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        self._number = recorder.number(self._path)
        # What SQLite's own `unixSync` does: the first sync of a journal also keeps its name.
        self._name_is_unsynced = bool(flags[0] & JOURNALS)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._recorder.note(Put(self._number, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._recorder.note(Resize(self._number, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._recorder.note(Sync(self._number))
        if self._name_is_unsynced:
            self._name_is_unsynced = False
            self._recorder.sync(self._path.parent)


# -- our files


class _File(io.FileIO):
    def __init__(self, recorder: Recorder, path: Path, mode: str) -> None:
        self._recorder = recorder
        self._number = recorder.number(path)
        self._offset = 0
        super().__init__(path, mode)
        recorder.note(Resize(self._number, 0))

    def write(self, data: Any) -> int:
        written = super().write(data)
        self._recorder.note(Put(self._number, self._offset, bytes(data[:written])))
        self._offset += written
        return written


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Meanwhile, everything that `raftsdk.storage` does to files below the recorder's root is noted."""
    open_file, replace, unlink, mkdir, fsync = Path.open, Path.replace, Path.unlink, Path.mkdir, os.fsync

    def recorded_open(path: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "wb" and recorder.covers(path):
            return io.BufferedWriter(_File(recorder, path, mode))
        return open_file(path, mode, **options)

    def recorded_replace(path: Path, target: Path) -> Path:
        recorder.rename(path, target)
        return replace(path, target)

    def recorded_unlink(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        recorder.remove(path)

    def recorded_mkdir(path: Path, **options: Any) -> None:
        mkdir(path, **options)
        if recorder.covers(path):
            recorder.number(path, is_directory=True)

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if recorder.covers(path):
            recorder.sync(path)

    vfs = _Vfs(recorder)
    sqlite = SimpleNamespace(
        sqlite_version=apsw.sqlite_lib_version(),
        connect=lambda path, **_: apsw.Connection(str(path), vfs="recording"),
    )
    with (
        patch.object(database, "sqlite3", sqlite),
        patch.object(Path, "open", recorded_open),
        patch.object(Path, "replace", recorded_replace),
        patch.object(Path, "unlink", recorded_unlink),
        patch.object(Path, "mkdir", recorded_mkdir),
        patch.object(os, "fsync", recorded_fsync),
    ):
        yield
    vfs.unregister()


# -- what is left


Keeps: TypeAlias = Callable[[Operation, int], bool]
"""Whether the disk has kept the part of an operation that was not synced which lies in the sector of that number."""


@dataclass
class Disk:
    """What is on the disk, and what was done since and may be on it."""

    contents: dict[int, bytearray] = field(default_factory=dict)
    names: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    unsynced: list[Operation] = field(default_factory=list)

    def do(self, operation: Operation) -> None:
        if not isinstance(operation, Sync):
            self.unsynced.append(operation)
            return
        waiting, self.unsynced = self.unsynced, []
        for each in waiting:
            if _target(each) == operation.target:
                _apply(each, self.contents, self.names, lambda _operation, _sector: True)
            else:
                self.unsynced.append(each)

    def after_power_cut(self, keeps: Keeps) -> dict[str, bytes]:
        """The files that are found then, by name."""
        contents = {file: content.copy() for file, content in self.contents.items()}
        names = {directory: named.copy() for directory, named in self.names.items()}
        for operation in self.unsynced:
            _apply(operation, contents, names, keeps)
        return dict(_files(ROOT, "", contents, names))


def _target(operation: Operation) -> int:
    match operation:
        case Put(file=target) | Resize(file=target) | Name(directory=target) | Unname(directory=target) | Sync(target):
            return target


def _apply(
    operation: Operation, contents: dict[int, bytearray], names: dict[int, dict[str, int]], keeps: Keeps
) -> None:
    match operation:
        case Put(file, offset, data):
            content = contents.setdefault(file, bytearray())
            for sector in range(offset // SECTOR_BYTES, -(-(offset + len(data)) // SECTOR_BYTES)):
                if keeps(operation, sector):
                    start, end = sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES
                    part = data[max(start - offset, 0) : end - offset]
                    at = max(start, offset)
                    content.extend(bytes(max(at - len(content), 0)))
                    content[at : at + len(part)] = part
        case Resize(file, size) if keeps(operation, 0):
            content = contents.setdefault(file, bytearray())
            content.extend(bytes(max(size - len(content), 0)))
            del content[size:]
        case Name(directory, name, target, old_name, is_directory) if keeps(operation, 0):
            if is_directory:
                names.setdefault(target, {})
            named = names.setdefault(directory, {})
            if old_name is not None and named.get(old_name) == target:
                del named[old_name]
            named[name] = target
        case Unname(directory, name) if keeps(operation, 0):
            names.setdefault(directory, {}).pop(name, None)


def _files(
    directory: int, prefix: str, contents: dict[int, bytearray], names: dict[int, dict[str, int]]
) -> Iterator[tuple[str, bytes]]:
    for name, target in names.get(directory, {}).items():
        if target in names:
            yield from _files(target, f"{prefix}{name}/", contents, names)
        else:
            yield f"{prefix}{name}", bytes(contents.get(target, b""))


# -- chance


def all_is_kept(_random: Random) -> Keeps:
    """As if only the process had been killed."""
    return lambda _operation, _sector: True


def nothing_is_kept(_random: Random) -> Keeps:
    """Whatever was not synced is gone."""
    return lambda _operation, _sector: False


def some_is_kept(random: Random) -> Keeps:
    """Each operation wholly or not at all, whichever came first."""
    kept: dict[int, bool] = {}
    return lambda operation, _sector: kept.setdefault(id(operation), random.random() < 0.5)


def sectors_are_kept(random: Random) -> Keeps:
    """Each sector of each operation or not."""
    return lambda _operation, _sector: random.random() < 0.5


CHANCES = (all_is_kept, nothing_is_kept, some_is_kept, sectors_are_kept)
