"""What the tests of the SQLite store share: data to keep, and directories in the states a crash leaves."""

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from raftsdk.storage.directory import Directory
from raftsdk.types import Entry, HardState, Identity, LogIndex, Recovered, Write

IDENTITY = Identity("orchard", "n1")


def numbered(first_index: LogIndex, count: int, *, term: int = 1, data_bytes: int = 200) -> list[Entry]:
    """Entries that say where they belong."""
    return [Entry(term, 1, b"%d." % index * (data_bytes // 4)) for index in range(first_index, first_index + count)]


def append(first_index: LogIndex, entries: Sequence[Entry], hard_state: HardState | None = None) -> Write:
    return Write(1, hard_state, None, first_index, entries)


def fill(directory: Directory, *, writes: int, batch: int = 4) -> list[Entry]:
    """Load, and write so many batches; returns the whole log."""
    log = directory.load(IDENTITY).entries
    for _ in range(writes):
        entries = numbered(len(log) + 1, batch)
        directory.write(append(len(log) + 1, entries, HardState(1, "n2", len(log))))
        log += entries
    return log


def filled(path: Path, *, writes: int, batch: int = 4) -> list[Entry]:
    """A directory that was closed in good order; returns its log."""
    directory = Directory(path)
    log = fill(directory, writes=writes, batch=batch)
    directory.close(orderly=True)
    return log


def crashed(path: Path, *, writes: int, batch: int = 4) -> list[Entry]:
    """A directory as SIGKILL leaves it, write-ahead log and all; returns its log."""
    running = path.with_name(path.name + "-running")
    directory = Directory(running)
    log = fill(directory, writes=writes, batch=batch)
    shutil.copytree(running, path)
    directory.close(orderly=True)
    return log


def load(path: Path, identity: Identity = IDENTITY) -> Recovered:
    """What a start finds; raises what it raises."""
    with closing(_Loaded(path, identity)) as loaded:
        return loaded.recovered


class _Loaded:
    def __init__(self, path: Path, identity: Identity) -> None:
        self._directory = Directory(path)
        try:
            self.recovered = self._directory.load(identity)
        except BaseException:
            self._directory.close(orderly=False)
            raise

    def close(self) -> None:
        self._directory.close(orderly=True)
