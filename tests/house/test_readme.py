"""Prose that is not executed will lie: the Python of every README runs, as a reader would run it."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
READMES = sorted([ROOT / "README.md", *ROOT.glob("codecs/*/README.md"), *ROOT.glob("adapters/*/README.md")])
PROSE = [*READMES, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")]


def snippets(readme: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: str(readme.relative_to(ROOT)))
def test_every_readme_shows_how_it_is_used(readme: Path) -> None:
    assert snippets(readme)


SNIPPETS = [
    pytest.param(snippet, id=f"{readme.relative_to(ROOT)} {number}")
    for readme in READMES
    for number, snippet in enumerate(snippets(readme), 1)
]


def test_the_ten_lines_are_ten() -> None:
    (quickstart,) = snippets(ROOT / "README.md")
    assert len([line for line in quickstart.splitlines() if line and not line.strip().startswith("#>")]) == 10


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_of_a_readme_runs(snippet: str, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("prose", sorted(set(PROSE)), ids=lambda prose: str(prose.relative_to(ROOT)))
def test_every_path_that_is_linked_to_exists(prose: Path) -> None:
    named = set(re.findall(r"\]\(([^)#:]+)\)", prose.read_text(encoding="utf-8")))
    assert [path for path in sorted(named) if not (prose.parent / path).exists()] == []


def test_every_make_target_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)`", README)) <= targets
