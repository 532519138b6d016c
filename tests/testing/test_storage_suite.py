"""The storage suite passes both of our stores, and catches every broken one by the sentence it breaks."""

from collections.abc import Callable
from pathlib import Path

import pytest
from storage_subjects import InMemory, OnSqlite

from raftsdk.ports import Storage
from raftsdk.testing.broken import storage as broken
from raftsdk.testing.storage_suite import SUITE, StorageSubject
from raftsdk.testing.suite import Case

CAUGHT_BY: dict[Callable[[Storage], Storage], str] = {
    broken.ForgetsTheVote: "a vote survives a restart",
    broken.ForgetsTheTerm: "a term survives a restart",
    broken.LosesTheCommitIndex: "a commit index survives a restart",
    broken.ForgetsTheIncarnation: "an incarnation survives a restart",
    broken.NeverWithdrawsAVote: "the newest hard state replaces the older ones, a withdrawn vote included",
    broken.ClearsTheHardState: "a write without a hard state leaves the stored one",
    broken.RoundsTerms: "a term and a commit index of 63 bits keep every bit",
    broken.DropsUnknownKinds: "entries of a kind nobody knows are kept as they are",
    broken.CutsLargeEntries: "an entry of 4 MiB is kept whole, and so are its neighbours",
    broken.EndsDataAtAZeroByte: "data is kept byte for byte, whatever the bytes",
    broken.DropsTheLastOfABatch: "every entry of a batch survives a restart, in order",
    broken.IgnoresALoneTruncation: "a truncation alone removes the entry it names and everything after",
    broken.TruncatesAfterAppending: "of a truncation and entries in one write, the truncation comes first",
    broken.KeepsTheOldTail: "nothing of a longer old tail comes back behind a shorter new one",
    broken.AcknowledgesEarly: "the write acknowledged last is there after a restart",
    broken.RemembersByReference: "what the caller does with its list after the write changes nothing",
    broken.HandsOutItsOwnList: "what the caller does with the loaded list changes nothing",
    broken.ForgetsOnRestart: "writes go on after a restart where they ended before it",
    broken.CountsFromZero: "a new store has nothing: no term, no vote, no entries, and its log starts at 1",
    broken.IgnoresTheNode: "another node's data is refused, and is unchanged",
    broken.IgnoresTheCluster: "another cluster's data is refused, and is unchanged",
    broken.MovesIn: "another node's data is refused, and is unchanged",
    broken.ClosesOnlyOnce: "closing twice, or before loading, is harmless",
}


class Unlocked(InMemory):
    """A store that lets a second process in."""

    def rival(self, storage: Storage) -> Storage | None:
        return storage


@pytest.mark.parametrize("case", SUITE.cases, ids=str)
async def test_memory_keeps_the_contract(case: Case[StorageSubject]) -> None:
    await case.run(InMemory())


@pytest.mark.parametrize("case", SUITE.cases, ids=str)
async def test_sqlite_keeps_the_contract(case: Case[StorageSubject], tmp_path: Path) -> None:
    await case.run(OnSqlite(tmp_path))


def test_no_broken_store_is_left_out() -> None:
    written = {thing for name, thing in vars(broken).items() if isinstance(thing, type) and name[0] != "_"}
    assert {thing for thing in written if thing.__module__ == broken.__name__} == set(CAUGHT_BY)


@pytest.mark.parametrize("spoil", CAUGHT_BY, ids=lambda spoil: spoil.__name__)
async def test_a_broken_store_is_caught_by_name(spoil: Callable[[Storage], Storage]) -> None:
    assert CAUGHT_BY[spoil] in await SUITE.failures(InMemory(spoil))


async def test_a_store_that_lets_two_processes_in_is_caught_by_name() -> None:
    assert list(await SUITE.failures(Unlocked())) == ["a second store on data in use is refused, and the first goes on"]
