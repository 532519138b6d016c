"""The thirty bugs fit the code, and some that are found at once are. `make mutants` hunts them all."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "mutants"))  # scripts, and no package

from mutant_run import PACKAGE, hunt, mutants, table


def test_there_are_thirty_and_each_fits_the_code() -> None:
    assert [mutant.number for mutant in mutants()] == list(range(1, 31))
    assert [misfit for mutant in mutants() for misfit in mutant.misfits(PACKAGE)] == []


@pytest.mark.parametrize("number", [3, 7, 13, 22])
def test_a_bug_that_is_put_into_a_copy_is_found(number: int) -> None:
    mutant = mutants()[number - 1]
    found = hunt(mutant, seeds=20, events=10_000)
    assert found.failure
    assert f"| {number} | {mutant.bug} |" in "\n".join(table([(mutant, found)]))
