"""The share of the fuzzing that every change must pass, and proof that the fuzzer would find something."""

from random import Random

import pytest
from fuzz_mutator import MAX_INPUT_BYTES, mutations
from fuzz_run import Outcome, fuzz, try_one
from fuzz_targets import AGREEMENT, Target, names, target
from raftsdk_json import JsonCodec

from raftsdk.ports import Codec
from raftsdk.testing.broken.codec import BrokenCodec, LeaksItsLibrarysErrors, NeverChecks, QuotesTheWholeInput

INPUTS = 100_000
INPUTS_FOR_ALL_CODECS_TOGETHER = 10_000  # each is written and read by all of them


@pytest.mark.parametrize("name", names())
def test_damaged_inputs_break_nothing(name: str) -> None:
    inputs = INPUTS_FOR_ALL_CODECS_TOGETHER if name == AGREEMENT else INPUTS
    outcome = fuzz(name, inputs, seed=1)
    assert outcome.failures == []
    assert outcome.inputs >= inputs


def test_the_same_seed_makes_the_same_inputs_and_none_is_endless() -> None:
    first, second = (mutations([b"seed", b"another" * 100], Random(7)) for _ in range(2))
    lengths = set()
    for _ in range(2_000):
        data = next(first)
        assert data == next(second)
        lengths.add(len(data))
    assert len(lengths) > 100
    assert max(lengths) <= MAX_INPUT_BYTES


def test_a_reader_that_fails_on_one_byte_value_is_found() -> None:
    def fragile(data: bytes) -> None:
        assert b"\xfe\xfd" not in data

    outcome = Outcome("fragile")
    subject = Target("fragile", fragile, (b"sound" * 10,))
    tried = mutations(subject.seeds, Random(1))
    while not outcome.failures and outcome.inputs < 200_000:
        try_one(subject, next(tried), outcome)
    assert outcome.failures


def fails(subject: Target) -> list[str]:
    """What the first failure says, if there is one within so many inputs."""
    outcome, tried = Outcome(subject.name), mutations(subject.seeds, Random(1))
    while not outcome.failures and outcome.inputs < 20_000:
        try_one(subject, next(tried), outcome)
    return [why for _, why in outcome.failures]


@pytest.mark.parametrize("broken", [LeaksItsLibrarysErrors, NeverChecks, QuotesTheWholeInput])
def test_a_codec_that_breaks_its_contract_is_found(broken: type[BrokenCodec]) -> None:
    assert fails(target("broken", {"broken": broken(JsonCodec())}))


def test_codecs_that_disagree_are_found() -> None:
    codecs: dict[str, Codec] = {"json": JsonCodec(), "broken": NeverChecks(JsonCodec())}
    assert "the codecs disagree" in fails(target("agreement", codecs))[0]
