"""The kit over codecs: silent about those that are right; of each that is wrong it names the clause."""

from itertools import permutations
from typing import Any

import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec

from raftsdk import plugins
from raftsdk.config import CODECS
from raftsdk.errors import ConfigError
from raftsdk.messages import Message, MessageKind, RequestVoteResponse
from raftsdk.testing.broken import codec as broken
from raftsdk.testing.broken.codec import BROKEN_CODECS, BrokenCodec
from raftsdk.testing.codec_suite import SUITE
from raftsdk.testing.conformance import codecs
from raftsdk.testing.conformance.clauses import TITLES, section
from raftsdk.testing.conformance.codecs.contract import CLAUSES
from raftsdk.testing.conformance.plan import Order, plan
from raftsdk.testing.conformance.trial import Outcome, Result, Trial, run

INSTALLED = plugins.names()[CODECS]
CONTRACT = {case.sentence for case in SUITE.cases}
EXAMPLES = 25


def failures(trials: list[Trial[Any]]) -> list[str]:
    results = [run(trial) for trial in trials]
    return [f"{result.line}: {result.message}" for result in results if result.outcome is not Outcome.PASSED]


@pytest.mark.parametrize("name", INSTALLED)
def test_an_installed_codec_conforms(name: str) -> None:
    trials = codecs.trials(plugins.make(CODECS, name), EXAMPLES)
    # The sentences of the contract are in the codec's own tests already.
    assert failures([trial for trial in trials if trial.case.sentence not in CONTRACT]) == []


@pytest.mark.parametrize(("writer", "reader"), list(permutations(INSTALLED, 2)))
def test_what_one_codec_wrote_goes_on_in_another(writer: str, reader: str) -> None:
    assert failures(codecs.pair_trials(plugins.make(CODECS, writer), plugins.make(CODECS, reader), EXAMPLES)) == []


# -- the kit bites

CAUGHT_IN: dict[type[BrokenCodec], tuple[str, str]] = {
    broken.ShoutsItsName: ("5.2", "its name is lower case"),
    broken.RoundsTerms: ("9.3", "append_entries_response/term=9007199254740993 is read"),
    broken.DropsTheLastEntry: ("9.2", "append_entries_request/ordinary is read"),
    broken.SwapsIndexAndTerm: ("9.4", "request_vote_request made by chance"),
    broken.LosesPreVote: ("9.4", "request_vote_request/ordinary is read"),
    broken.TurnsNothingIntoNone: ("9.10", "propose_request/command=empty is read"),
    broken.WritesAByteArray: ("11.1", "encode returns bytes"),
    broken.ReadsOnlyBytes: ("11.1", "decode reads bytes and memoryview alike"),
    broken.LendsOutTheBuffer: ("11.1", "what was decoded stays as it is"),
    broken.RemembersTheBuffer: ("11.1", "the same buffer with other contents"),
    broken.LeaksItsLibrarysErrors: ("8.1", "append_entries_response, true as a term, is refused"),
    broken.QuotesTheWholeInput: ("11.3", "append_entries_response, 64 zero bytes, is refused"),
    broken.IgnoresTheKind: ("3.4", "the kind asked for decides what is read"),
    broken.AcceptsTrailingBytes: ("8.8", "bytes after the end of a message are refused"),
    broken.ReservesWhatIsClaimed: ("8.5", "damage in the first bytes of a large message"),
    broken.TakesNothingForAMessage: ("8.6", "no bytes at all are no message"),
    broken.TakesZerosForAHeartbeat: ("9.2", "zero bytes are no AppendEntries"),
    broken.NeverChecks: ("11.1", "what no honest node sends is refused"),
    broken.StumblesAfterARefusal: ("11.1", "a refusal leaves nothing behind"),
    broken.ForgetsAKind: ("9.14", "status_request/ordinary is read"),
    broken.KeepsBothForms: ("8.5", "the most that a message may hold"),
    broken.DumpsWhatItRefuses: ("8.5", "damage to the largest messages"),
    broken.TakesTheBytesApart: ("8.5", "a mebibyte made of one piece"),
    broken.ShiftsItsBuffer: ("8.5", "a mebibyte of anything is read or refused"),
}


def test_every_broken_codec_has_its_clause() -> None:
    assert set(CAUGHT_IN) == set(BROKEN_CODECS)


class Renamed(BrokenCodec):
    """What is wrong with the codec it is made of, under the name of the codec that one is made of."""

    name = "msgpack"


@pytest.mark.parametrize("codec_type", CAUGHT_IN, ids=lambda codec_type: codec_type.__name__)
def test_each_broken_codec_fails_in_its_clause(codec_type: type[BrokenCodec]) -> None:
    clause, sentence = CAUGHT_IN[codec_type]
    # Not MessagePack for the one that makes 64 MiB of a few bytes: reading those takes its codec half a minute.
    codec = codec_type(JsonCodec() if codec_type is broken.ReservesWhatIsClaimed else MsgpackCodec())
    if codec_type is not broken.ShoutsItsName:
        codec = Renamed(codec)  # so that it gets the golden and the hostile bytes of MessagePack
    (trial,) = (trial for trial in codecs.trials(codec, EXAMPLES) if sentence in trial.case.sentence)
    result = run(trial)
    assert (result.outcome, result.clause) == (Outcome.FAILED, clause)


@pytest.mark.parametrize("codec_type", [broken.LosesPreVote, broken.DropsTheLastEntry, broken.RoundsTerms])
def test_a_broken_codec_fails_in_a_pair_too(codec_type: type[BrokenCodec]) -> None:
    codec = codec_type(MsgpackCodec())
    assert failures(codecs.pair_trials(codec, JsonCodec(), EXAMPLES))
    assert failures(codecs.pair_trials(JsonCodec(), codec, EXAMPLES))


# -- what a failure shows


def failed(codec: BrokenCodec, sentence: str) -> Result:
    (trial,) = (trial for trial in codecs.trials(codec, EXAMPLES) if sentence in trial.case.sentence)
    result = run(trial)
    assert result.outcome is Outcome.FAILED
    return result


def test_a_failure_names_the_field_and_shows_both_messages_and_the_bytes() -> None:
    result = failed(broken.LosesPreVote(MsgpackCodec()), "request_vote_request/ordinary")
    assert result.message == "pre_vote is False and should be True, in what it wrote itself"
    assert result.exhibit
    assert '"pre_vote":true' in result.exhibit.expected
    assert '"pre_vote":false' in result.exhibit.found
    assert result.exhibit.data
    assert b"pre_vote\xc2" in bytes.fromhex(result.exhibit.data.hex)


def test_a_failure_of_the_contract_shows_the_damaged_byte_beside_the_honest_one() -> None:
    result = failed(broken.LeaksItsLibrarysErrors(MsgpackCodec()), "one byte replaced")
    shown = result.exhibit
    assert shown
    assert shown.data
    assert shown.reference
    assert shown.differs_at is not None
    place = shown.differs_at - shown.data.offset
    assert bytes.fromhex(shown.data.hex)[:place] == bytes.fromhex(shown.reference.hex)[:place]
    assert bytes.fromhex(shown.data.hex)[place] != bytes.fromhex(shown.reference.hex)[place]


class CountsToTen(BrokenCodec):
    """Takes ten and everything above it for ten."""

    def encode(self, message: Message) -> bytes:
        if isinstance(message, RequestVoteResponse):
            message = RequestVoteResponse(term=min(message.term, 10), vote_granted=message.vote_granted)
        return self.right.encode(message)


class QuotesWhatItCannotRead(BrokenCodec):
    """Lets an error out whose text no UTF-8 can hold."""

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        raise ValueError(f"{kind.name}: \ud800")


def test_an_error_that_no_report_could_write_is_told_all_the_same() -> None:
    result = failed(QuotesWhatItCannotRead(JsonCodec()), "status_request/ordinary")
    assert result.message == "ValueError: STATUS_REQUEST: ?"


def test_chance_finds_the_smallest_message_that_fails_and_finds_it_again() -> None:
    first, second = (
        failed(CountsToTen(JsonCodec()), "request_vote_response made by chance comes back exactly") for _ in range(2)
    )
    assert first.message == "term is 10 and should be 11, in what it wrote itself"
    assert first.exhibit == second.exhibit


# -- plans


def test_a_plan_is_the_same_every_time_and_has_every_codec_and_every_pair() -> None:
    order = Order(tier="codecs")
    lines = [str(trial) for trial in plan(order)]
    assert lines == [str(trial) for trial in plan(order)]
    assert len(set(lines)) == len(lines)
    subjects = {line.partition(" ")[0] for line in lines}
    assert subjects == {*INSTALLED, *(f"{writer}->{reader}" for writer, reader in permutations(INSTALLED, 2))}


def test_one_codec_is_tried_alone_and_in_its_pairs() -> None:
    subjects = {trial.subject.name for trial in plan(Order(tier="codecs", codecs=["json"]))}
    others = [name for name in INSTALLED if name != "json"]
    assert subjects == {"json", *(f"json->{other}" for other in others), *(f"{other}->json" for other in others)}


def test_a_class_stands_for_an_installed_codec_of_its_name() -> None:
    trials = plan(Order(tier="codecs", codecs=["raftsdk_json:JsonCodec"]))
    assert "json->json" not in {trial.subject.name for trial in trials}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (["jsn"], 'did you mean "json"'),
        (["nowhere.to_be_found:Codec"], "No module named 'nowhere'"),
        (["raftsdk_json:Nothing"], "has no attribute 'Nothing'"),
        (["builtins:dict"], "dict is no codec"),
        (["json", "raftsdk_json:JsonCodec"], "two of the codecs to try are called 'json'"),
        (["raftsdk.testing.broken.codec:BrokenCodec"], "missing 1 required positional argument"),
    ],
)
def test_a_name_that_leads_to_no_codec_is_refused_with_the_reason(named: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(Order(tier="codecs", codecs=named))


def test_an_installed_codec_that_cannot_be_loaded_is_a_failure_and_the_others_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raftsdk.plugins.names", lambda: {CODECS: ["json", "rusty"]})
    trials = plan(Order(tier="codecs"))
    (lost,) = (trial for trial in trials if trial.subject.name == "rusty")
    assert "rusty" in run(lost).message
    assert {trial.subject.name for trial in trials} == {"json", "rusty"}


def test_every_case_has_a_clause_of_the_specification_and_a_sentence_on_one_line() -> None:
    for trial in plan(Order(tier="codecs")):
        assert trial.case.clause in TITLES
        assert section(trial.case.clause) in TITLES
        assert trial.case.sentence == " ".join(trial.case.sentence.split())


def test_no_clause_is_kept_for_a_sentence_that_the_contract_no_longer_has() -> None:
    assert CLAUSES.keys() <= CONTRACT
