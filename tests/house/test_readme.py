"""Prose that is not executed will lie: the README's Python runs, as a reader would run it."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_readme_has_a_quickstart() -> None:
    assert SNIPPETS


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_of_the_readme_runs(snippet: str, tmp_path: Path) -> None:
    """In a process and a folder of its own, like a reader's."""
    script = tmp_path / "snippet.py"
    with socket.create_server(("127.0.0.1", 0)) as free:  # a reader's machine has 7001 free, a busy one may not
        script.write_text(snippet.replace(":7001", f":{free.getsockname()[1]}"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = re.findall(r"#> (.*)", snippet)
    assert done.stdout.splitlines() == expected


def test_every_path_the_readme_names_exists() -> None:
    named = set(re.findall(r"\]\(([^)#:]+)\)", README))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_make_target_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)`", README)) <= targets
