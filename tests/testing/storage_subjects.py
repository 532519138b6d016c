"""Our two stores as the suites about storage ask for them."""

from collections.abc import Callable
from pathlib import Path

from raftsdk.ports import Storage
from raftsdk.storage.memory import MemoryStorage
from raftsdk.storage.sqlite import SqliteStorage


class OnSqlite:
    """A fresh directory for every store."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths: dict[int, Path] = {}
        self._stores: list[SqliteStorage] = []  # kept, so that no two of them ever have one id

    def open(self) -> Storage:
        return self._at(self._root / f"place-{len(self._stores)}")

    async def reopen(self, storage: Storage) -> Storage:
        await storage.aclose()
        return self.rival(storage)

    def rival(self, storage: Storage) -> Storage:
        return self._at(self._paths[id(storage)])

    def _at(self, path: Path) -> SqliteStorage:
        store = SqliteStorage(path)
        self._stores.append(store)
        self._paths[id(store)] = path
        return store


class InMemory:
    """Stores whose data lives as long as they do, spoilt by `spoil`."""

    def __init__(self, spoil: Callable[[MemoryStorage], Storage] = lambda storage: storage) -> None:
        self._spoil = spoil

    def open(self) -> Storage:
        return self._spoil(MemoryStorage())

    async def reopen(self, storage: Storage) -> Storage:
        await storage.aclose()
        return storage

    def rival(self, storage: Storage) -> Storage | None:
        return None
