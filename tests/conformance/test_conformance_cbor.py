"""The codec that the documentation writes from nothing is as short as it says and passes all of tier T0."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from raftsdk import plugins
from raftsdk.config import CODECS
from raftsdk.ports import Codec
from raftsdk.testing.conformance import codecs
from raftsdk.testing.conformance.plan import Order, plan
from raftsdk.testing.conformance.trial import Outcome, Trial, run

FOLDER = Path(__file__).parents[2] / "examples" / "cbor_codec"
DOCUMENTATION = FOLDER.parents[1] / "docs" / "conformance.md"
SOURCE = (FOLDER / "cbor_codec.py").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def example_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, and in the process that measures its memory."""
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    monkeypatch.syspath_prepend(FOLDER)


def failures(trials: list[Trial[Any]]) -> list[str]:
    results = [run(trial) for trial in trials]
    return [f"{result.line}: {result.message}" for result in results if result.outcome is not Outcome.PASSED]


def new_codec() -> Codec:
    codec: Codec = importlib.import_module("cbor_codec").CborCodec()
    return codec


def test_it_has_fewer_than_80_lines_and_no_library_for_cbor() -> None:
    assert len(SOURCE.splitlines()) < 80
    imported = {
        line.split()[1].partition(".")[0] for line in SOURCE.splitlines() if line.startswith(("import", "from"))
    }
    assert imported == {"msgspec", "raftsdk", "typing"}


def test_the_documentation_shows_all_of_it() -> None:
    pieces = re.findall(r"```python cbor\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), flags=re.DOTALL)
    shown = "\n\n".join(pieces)
    lines = [line for line in SOURCE.splitlines() if line]
    assert [line for line in shown.splitlines() if line] == lines


def test_it_passes_every_case_about_one_codec() -> None:
    assert failures(codecs.trials(new_codec(), examples=10)) == []


@pytest.mark.parametrize("name", plugins.names()[CODECS])
def test_it_passes_every_case_about_a_pair(name: str) -> None:
    other = plugins.make(CODECS, name)
    assert failures(codecs.pair_trials(new_codec(), other, examples=10)) == []
    assert failures(codecs.pair_trials(other, new_codec(), examples=10)) == []


def test_the_command_finds_it_by_its_class() -> None:
    trials = plan(Order(tier="codecs", codecs=["cbor_codec:CborCodec"], clauses=["9.14"]))
    assert {trial.subject.codec for trial in trials} >= {"cbor", *plugins.names()[CODECS]}
    assert failures(trials) == []


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ("StatusRequest()", "a0"),
        ("RequestVoteResponse(term=7, vote_granted=True)", "a2 64 7465726d 07 6c 766f74655f6772616e746564 f5"),
        ("TimeoutNowResponse(term=23)", "a1 64 7465726d 17"),
        ("TimeoutNowResponse(term=24)", "a1 64 7465726d 1818"),
        ("TimeoutNowResponse(term=256)", "a1 64 7465726d 190100"),
        ("TimeoutNowResponse(term=65536)", "a1 64 7465726d 1a00010000"),
        ("TimeoutNowResponse(term=2**32)", "a1 64 7465726d 1b0000000100000000"),
        ("ProposeResponse(index=1, result=b'\\xff')", "a2 65 696e646578 01 66 726573756c74 41ff"),
    ],
)
def test_what_it_writes_is_cbor_as_the_rfc_has_it(message: str, data: str) -> None:
    """By the table of RFC 8949, appendix B."""
    from raftsdk import messages

    made = eval(message, vars(messages))
    assert new_codec().encode(made) == bytes.fromhex(data)
    assert new_codec().decode(messages.MESSAGE_KINDS[type(made)], bytes.fromhex(data)) == made
