"""Real processes: killed, competing for one directory, on a full disk and on one that does not sync."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from sqlite_places import IDENTITY, load, numbered

from raftsdk.errors import StorageRefused
from raftsdk.storage.sqlite import SqliteStorage

CHILD = Path(__file__).with_name("sqlite_child.py")
KILLS = 8


@contextmanager
def child(mode: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(CHILD), mode, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str]) -> Iterator[list[str]]:
    assert process.stdout is not None
    return (line.split(maxsplit=1) for line in process.stdout)


def test_no_acknowledged_write_is_lost_to_sigkill(tmp_path: Path) -> None:
    random = Random(2)
    acknowledged = 0
    for _ in range(KILLS):
        with child("write", tmp_path / "n1") as process:
            output = lines(process)
            word, index = next(output)
            assert word == "loaded"
            assert int(index) >= acknowledged
            kill_at = int(index) + random.randrange(1, 60)
            for word, index in output:  # also what it said before it died
                assert word == "wrote"
                acknowledged = int(index)
                if acknowledged == kill_at:
                    process.kill()
    found = load(tmp_path / "n1").entries
    assert acknowledged >= KILLS
    assert len(found) in (acknowledged, acknowledged + 1)
    assert found == numbered(1, len(found))


async def test_a_directory_in_use_is_refused_with_the_holders_process_id(tmp_path: Path) -> None:
    with child("hold", tmp_path / "n1") as process:
        assert next(lines(process)) == ["loaded"]
        rival = SqliteStorage(tmp_path / "n1")
        with pytest.raises(StorageRefused, match=f"is in use by process {process.pid}: "):
            await rival.load(IDENTITY)
        await rival.aclose()
        process.communicate("")
    assert load(tmp_path / "n1").entries == []


def test_a_killed_process_holds_its_directory_no_longer(tmp_path: Path) -> None:
    with child("hold", tmp_path / "n1") as process:
        next(lines(process))
        process.kill()
        process.wait()
        assert load(tmp_path / "n1").entries == []


@pytest.mark.parametrize("mode", ["full", "unsynced"])
def test_after_one_failed_write_nothing_is_acknowledged_and_nothing_acknowledged_is_lost(
    tmp_path: Path, mode: str
) -> None:
    with child("write", tmp_path / "n1") as process:
        output = lines(process)
        for _ in range(10):
            next(output)
    with child(mode, tmp_path / "n1") as process:
        said = list(lines(process))
        assert process.wait() == 0
    words = [word for word, *_ in said]
    acknowledged = int(said[-4][1])
    assert words == ["loaded"] + ["wrote"] * (len(said) - 4) + ["failed", "failed", "closed"]
    assert said[-3] == said[-2]
    found = load(tmp_path / "n1").entries
    assert len(found) in (acknowledged, acknowledged + 1)
    assert found == numbered(1, len(found))
