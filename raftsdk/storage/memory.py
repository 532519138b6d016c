"""A store that forgets when its object goes: for tests, examples and caches that may be rebuilt."""

from raftsdk.errors import StorageRefused
from raftsdk.types import Entry, HardState, Identity, Recovered, Write


class MemoryStorage:
    """Keeps everything in the object. `aclose` keeps it too, so a node may be restarted on the same object.

    Not durable: it satisfies `ports.Storage` only for as long as the process lives.
    """

    def __init__(self) -> None:
        self._identity: Identity | None = None
        self._hard_state = HardState()
        self._entries: list[Entry] = []

    async def load(self, identity: Identity) -> Recovered:
        """All that was persisted so far; the list is the caller's own. Raises `StorageRefused` for another identity."""
        if self._identity not in (None, identity):
            raise StorageRefused(f"this memory belongs to {self._identity}, not to {identity}: give each node its own")
        self._identity = identity
        return Recovered(self._hard_state, 1, self._entries.copy())

    async def persist(self, write: Write) -> None:
        """Take the write at once, keeping references to its entries."""
        if write.hard_state is not None:
            self._hard_state = write.hard_state
        if write.truncate_from is not None:
            assert write.truncate_from > 0, f"there is no index {write.truncate_from} to truncate from"
            del self._entries[write.truncate_from - 1 :]
        if write.entries:
            last_index = len(self._entries)
            assert write.first_index == last_index + 1, f"entries from {write.first_index} do not follow {last_index}"
            self._entries += write.entries

    async def aclose(self) -> None:
        """Nothing to release."""
