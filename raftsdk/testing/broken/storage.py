"""Stores that keep the contract but for one clause. The docstring of each says which."""

from msgspec.structs import replace

from raftsdk.errors import StorageRefused
from raftsdk.ports import Storage
from raftsdk.types import Entry, HardState, Identity, Recovered, Write


class _Wrapped:
    """A good store, to be spoilt by replacing one of the three methods at the end."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner

    async def load(self, identity: Identity) -> Recovered:
        return await self._load(identity)

    async def persist(self, write: Write) -> None:
        await self._persist(write)

    async def aclose(self) -> None:
        await self._close()

    async def _load(self, identity: Identity) -> Recovered:
        return await self._inner.load(identity)

    async def _persist(self, write: Write) -> None:
        await self._inner.persist(write)

    async def _close(self) -> None:
        await self._inner.aclose()


class _ChangesHardState(_Wrapped):
    async def _persist(self, write: Write) -> None:
        changed = None if write.hard_state is None else self._change(write.hard_state)
        await self._inner.persist(replace(write, hard_state=changed))

    def _change(self, hard_state: HardState) -> HardState:
        return hard_state


class _ChangesEntries(_Wrapped):
    async def _persist(self, write: Write) -> None:
        await self._inner.persist(replace(write, entries=[self._change(entry) for entry in write.entries]))

    def _change(self, entry: Entry) -> Entry:
        return entry


class ForgetsTheVote(_ChangesHardState):
    """Keeps the term, but not whom it voted for: after a restart it votes again in the same term."""

    def _change(self, hard_state: HardState) -> HardState:
        return replace(hard_state, voted_for=None)


class ForgetsTheTerm(_ChangesHardState):
    """Keeps the vote, but not its term."""

    def _change(self, hard_state: HardState) -> HardState:
        return replace(hard_state, term=0)


class LosesTheCommitIndex(_ChangesHardState):
    """Starts over applying from nothing."""

    def _change(self, hard_state: HardState) -> HardState:
        return replace(hard_state, commit_index=0)


class ForgetsTheIncarnation(_ChangesHardState):
    """Does not know any more whose data it holds."""

    def _change(self, hard_state: HardState) -> HardState:
        return replace(hard_state, incarnation=0)


class NeverWithdrawsAVote(_ChangesHardState):
    """Takes "no vote" for "the vote is unchanged", although the term is a new one."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._voted_for: str | None = None

    def _change(self, hard_state: HardState) -> HardState:
        self._voted_for = hard_state.voted_for or self._voted_for
        return replace(hard_state, voted_for=self._voted_for)


class ClearsTheHardState(_Wrapped):
    """Takes "no hard state in this write" for an empty one."""

    async def _persist(self, write: Write) -> None:
        await self._inner.persist(replace(write, hard_state=write.hard_state or HardState()))


class RoundsTerms(_ChangesEntries):
    """Passes terms through a double, which has 53 bits."""

    def _change(self, entry: Entry) -> Entry:
        return replace(entry, term=min(int(float(entry.term)), 2**63 - 1))


class DropsUnknownKinds(_ChangesEntries):
    """Knows three kinds, and makes a noop of every other."""

    def _change(self, entry: Entry) -> Entry:
        return entry if entry.kind <= 2 else replace(entry, kind=0)


class CutsLargeEntries(_ChangesEntries):
    """Has a length field of 16 bits."""

    def _change(self, entry: Entry) -> Entry:
        return replace(entry, data=entry.data[: 2**16 - 1])


class EndsDataAtAZeroByte(_ChangesEntries):
    """Keeps data as a C string."""

    def _change(self, entry: Entry) -> Entry:
        return replace(entry, data=entry.data.partition(b"\0")[0])


class DropsTheLastOfABatch(_Wrapped):
    """Counts a batch one short."""

    async def _persist(self, write: Write) -> None:
        await self._inner.persist(
            replace(write, entries=write.entries[:-1] if len(write.entries) > 1 else write.entries)
        )


class IgnoresALoneTruncation(_Wrapped):
    """Truncates only to make room for entries."""

    async def _persist(self, write: Write) -> None:
        await self._inner.persist(replace(write, truncate_from=write.truncate_from if write.entries else None))


class TruncatesAfterAppending(_Wrapped):
    """Applies the parts of a write in the wrong order, and so removes what it has just stored."""

    async def _persist(self, write: Write) -> None:
        await self._inner.persist(write if write.truncate_from is None else replace(write, entries=[]))


class KeepsTheOldTail(_Wrapped):
    """Overwrites in place: a shorter new tail leaves the rest of the old one behind it."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._log: list[Entry] = []

    async def _persist(self, write: Write) -> None:
        entries = list(write.entries)
        if write.truncate_from is not None:
            if entries:
                entries += self._log[write.truncate_from - 1 + len(entries) :]
            del self._log[write.truncate_from - 1 :]
        self._log += entries
        await self._inner.persist(replace(write, entries=entries))


class AcknowledgesEarly(_Wrapped):
    """Makes each write durable only when the next one comes."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._held: Write | None = None

    async def _load(self, identity: Identity) -> Recovered:
        self._held = None
        return await self._inner.load(identity)

    async def _persist(self, write: Write) -> None:
        held, self._held = self._held, write
        if held is not None:
            await self._inner.persist(held)


class RemembersByReference(_Wrapped):
    """Holds on to the caller's list, and looks into it only later."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._held: list[Write] = []

    async def _load(self, identity: Identity) -> Recovered:
        for write in self._held:
            await self._inner.persist(write)
        self._held.clear()
        return await self._inner.load(identity)

    async def _persist(self, write: Write) -> None:
        self._held.append(write)


class HandsOutItsOwnList(_Wrapped):
    """Loads once and returns the same list again, whatever was done to it."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._cached: Recovered | None = None

    async def _load(self, identity: Identity) -> Recovered:
        recovered = await self._inner.load(identity)
        self._cached = self._cached or recovered
        return self._cached

    async def _persist(self, write: Write) -> None:
        self._cached = None
        await self._inner.persist(write)


class ForgetsOnRestart(_Wrapped):
    """Starts over empty each time."""

    async def _load(self, identity: Identity) -> Recovered:
        await self._inner.load(identity)
        return Recovered(HardState(), 1, [])


class CountsFromZero(_Wrapped):
    """Says that the first entry has index 0."""

    async def _load(self, identity: Identity) -> Recovered:
        return replace(await self._inner.load(identity), first_index=0)


class IgnoresTheNode(_Wrapped):
    """Looks at the cluster's id alone."""

    async def _load(self, identity: Identity) -> Recovered:
        return await self._inner.load(Identity(identity.cluster_id, "anyone"))


class IgnoresTheCluster(_Wrapped):
    """Looks at the node's id alone."""

    async def _load(self, identity: Identity) -> Recovered:
        return await self._inner.load(Identity("any", identity.node_id))


class MovesIn(_Wrapped):
    """Refuses a stranger, but has put the stranger's name on the door by then, and lost what it had."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._owner: Identity | None = None
        self._spoilt = False

    async def _load(self, identity: Identity) -> Recovered:
        self._owner = self._owner or identity
        if identity != self._owner:
            self._spoilt = True
            raise StorageRefused(f"this belongs to {self._owner}")
        recovered = await self._inner.load(identity)
        return Recovered(HardState(), 1, []) if self._spoilt else recovered


class ClosesOnlyOnce(_Wrapped):
    """Fails when it is closed again."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._is_open = True

    async def _load(self, identity: Identity) -> Recovered:
        self._is_open = True
        return await super()._load(identity)

    async def _close(self) -> None:
        if not self._is_open:
            raise RuntimeError("closed already")
        self._is_open = False
        await super()._close()
