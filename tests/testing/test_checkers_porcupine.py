"""The same histories, given to a checker that others wrote: `interop/go/porcupine` must say what ours say."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from chance_histories import any_history, served_history
from porcupine_check import Porcupine, build_porcupine

from raftsdk.testing.checkers import check
from raftsdk.testing.history import Operation, read_history, write_history

KEPT = sorted((Path(__file__).parents[1] / "faults" / "histories").rglob("*.jsonl"))
KINDS = (("read", "write"), ("read", "write", "cas"), ("append", "append", "list"), ("acquire", "release"))
ROUNDS = 20
SIZE = 40


@pytest.fixture(scope="module")
def porcupine(tmp_path_factory: pytest.TempPathFactory) -> Porcupine:
    return build_porcupine(tmp_path_factory.mktemp("porcupine"))


def kept_in(folder: Path, histories: Sequence[Sequence[Operation]]) -> list[Path]:
    paths = [folder / f"{number}.jsonl" for number in range(len(histories))]
    for path, history in zip(paths, histories, strict=True):
        write_history(path, history)
    return paths


def test_porcupine_says_of_every_kept_history_what_we_say(porcupine: Porcupine) -> None:
    ours = [str(check(read_history(path)).answer) for path in KEPT]
    assert porcupine(KEPT) == ours == [path.parent.name.replace("_", " ") for path in KEPT]


def test_porcupine_says_of_histories_by_chance_what_we_say(porcupine: Porcupine, tmp_path: Path) -> None:
    rng = Random(6)
    histories = [
        history
        for kinds in KINDS
        for _ in range(ROUNDS)
        for history in (
            served_history(rng, kinds, size=SIZE),
            served_history(rng, kinds, size=SIZE, lies=1),
            any_history(rng, kinds, size=8, unique=False),
        )
    ]
    ours = [str(check(history).answer) for history in histories]
    assert porcupine(kept_in(tmp_path, histories)) == ours
    assert min(ours.count("linearizable"), ours.count("not linearizable")) > len(ours) // 4


def test_porcupine_splits_a_history_by_key_as_we_do(porcupine: Porcupine, tmp_path: Path) -> None:
    rng = Random(7)
    histories = [
        [
            operation
            for number in range(12)
            for operation in served_history(
                rng, KINDS[number % len(KINDS)], size=SIZE, key=f"k{number}", lies=int(number == 7 and lying)
            )
        ]
        for lying in (False, True)
        for _ in range(10)
    ]
    ours = [str(check(history).answer) for history in histories]
    assert porcupine(kept_in(tmp_path, histories)) == ours
    assert set(ours) == {"linearizable", "not linearizable"}


@pytest.mark.parametrize(
    "line",
    ['{"kind":"increment"}', "{", '{"key":"x","kind":"read","input":null,"output":1,"invoked":1,"outcome":"ok"}'],
)
def test_the_program_refuses_what_is_no_history(porcupine: Porcupine, tmp_path: Path, line: str) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(AssertionError, match="line 1"):
        porcupine([path])
