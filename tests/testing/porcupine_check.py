"""Builds and asks `interop/go/porcupine`: a checker of linearizability that others wrote."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

SOURCE = Path(__file__).parents[2] / "interop" / "go" / "porcupine"
BUILD_TIMEOUT_S = 300
CHECK_TIMEOUT_S = 120

Porcupine: TypeAlias = Callable[[Sequence[Path]], list[str]]
"""Says of each file of a history what it is, in the words of `raftsdk.testing.checkers.Answer`."""


def build_porcupine(folder: Path) -> Porcupine:
    """Build the program in `folder`. Where there is no Go the test is skipped, except in CI."""
    if shutil.which("go") is None and os.environ.get("CI") != "true":
        pytest.skip("there is no go here: install Go 1.18 or newer, from https://go.dev/dl or as the package golang")
    program = str(folder / "porcupine-check")
    _run(["go", "build", "-mod=readonly", "-o", program, "."], BUILD_TIMEOUT_S)

    def verdicts(paths: Sequence[Path]) -> list[str]:
        lines = _run([program, *(str(path.absolute()) for path in paths)], CHECK_TIMEOUT_S).splitlines()
        assert len(lines) == len(paths)
        return [line.split("\t")[0] for line in lines]

    return verdicts


def _run(command: Sequence[str], timeout_s: float) -> str:
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
