"""The snapshot suite passes both of our stores, and catches every broken one by the sentence it breaks."""

from collections.abc import Callable
from pathlib import Path

import pytest
from storage_subjects import InMemory, OnSqlite

from raftsdk.ports import Storage
from raftsdk.storage.memory import MemoryStorage
from raftsdk.testing.broken import snapshots as broken
from raftsdk.testing.snapshot_suite import SUITE
from raftsdk.testing.storage_suite import StorageSubject
from raftsdk.testing.suite import Case

CAUGHT_BY: dict[Callable[[MemoryStorage], Storage], str] = {
    broken.LosesTheLastPiece: "what was written into a snapshot, in whatever pieces, is read again byte for byte",
    broken.DigestsOnePiece: "a finished snapshot says its index, term, members, length and SHA-256",
    broken.ReadsWholePieces: "a snapshot can be read from any offset, and never more of it than was asked for",
    broken.ReadsRoundAndRound: "reading ends where the snapshot ends, also an empty one",
    broken.WritesInPlace: "nobody can open a snapshot before it is finished",
    broken.CannotAbort: "an aborted snapshot is gone and takes nothing more",
    broken.AbortsWhatIsFinished: "aborting a finished snapshot does nothing",
    broken.ForgetsTheSnapshot: "a snapshot that a write named is the store's after a restart, byte for byte",
    broken.KeepsOnlyTheNames: (
        "the members come back with the snapshot: learners, addresses, incarnations, the outgoing half"
    ),
    broken.UsesWhatNobodyNamed: "a snapshot that no write named is not the store's after a restart, and is gone",
    broken.KeepsTheFirst: "a newer snapshot takes the place of the older one",
    broken.HasRoomForOne: "the store's snapshot can be read while others are written and received beside it",
    broken.ReadsByName: (
        "a source that is open is read to its end, although another snapshot has taken the place of its own"
    ),
    broken.NeverCompacts: "a compaction removes the entries up to its index; the others keep index, term and data",
    broken.ForgetsTheTermBefore: (
        "a compaction removes the entries up to its index; the others keep index, term and data"
    ),
    broken.CountsFromOneAgain: "a compaction removes the entries up to its index; the others keep index, term and data",
    broken.CompactsWholeWrites: (
        "entries that were written together are cut apart where a compaction ends between them"
    ),
    broken.CompactsUpToTheSnapshot: "a snapshot may cover more entries than are compacted",
    broken.CompactsAfterAppending: (
        "a received snapshot takes the place of a whole log that contradicts it, in one write"
    ),
    broken.LosesEntriesBesideACompaction: "of a compaction and entries in one write, the compaction comes first",
    broken.ClearsTheHardStateWithTheLog: (
        "what was compacted once can be compacted further, and the hard state stays as it was"
    ),
    broken.TruncatesFromTheOldBeginning: (
        "a truncation of all that a compaction left leaves an empty log that goes on behind the compaction"
    ),
    broken.LosesItsPlaceAtTheEnd: "a log that was compacted to its end goes on behind it",
    broken.KeepsTheOldLog: "a received snapshot takes the place of a whole log that contradicts it, in one write",
    broken.DropsWhatIsBehind: "a received snapshot within a log that agrees with it leaves the entries behind it",
    broken.NeedsALog: "a new store may begin with a received snapshot",
    broken.StartsOver: "a snapshot whose sender was cut off goes on where it ended",
    broken.GoesOnWithAnyPieces: (
        "pieces of one snapshot are never gone on with as another, not even of the same index and term"
    ),
    broken.BelievesTheSender: "a received snapshot of another digest is refused as damaged, and nothing of it is kept",
    broken.KeepsDamagedPieces: "a received snapshot of another digest is refused as damaged, and nothing of it is kept",
    broken.CutsTheSurplus: "a received snapshot that is too short, or too long, is refused as damaged",
}


@pytest.mark.parametrize("case", SUITE.cases, ids=str)
async def test_memory_keeps_the_contract_about_snapshots(case: Case[StorageSubject]) -> None:
    await case.run(InMemory())


@pytest.mark.parametrize("case", SUITE.cases, ids=str)
async def test_sqlite_keeps_the_contract_about_snapshots(case: Case[StorageSubject], tmp_path: Path) -> None:
    await case.run(OnSqlite(tmp_path))


def test_no_broken_snapshot_store_is_left_out() -> None:
    written = {thing for name, thing in vars(broken).items() if isinstance(thing, type) and name[0] != "_"}
    assert {thing for thing in written if thing.__module__ == broken.__name__} == set(CAUGHT_BY)


def test_every_sentence_has_caught_something() -> None:
    together = {
        "a random sequence of writes, snapshots, compactions, installs and restarts finds what a plain list would"
    }
    assert set(CAUGHT_BY.values()) == {case.sentence for case in SUITE.cases} - together


@pytest.mark.parametrize("spoilt", CAUGHT_BY, ids=lambda spoilt: spoilt.__name__)
async def test_a_broken_snapshot_store_is_caught_by_name(spoilt: Callable[[MemoryStorage], Storage]) -> None:
    assert CAUGHT_BY[spoilt] in await SUITE.failures(InMemory(spoilt))
