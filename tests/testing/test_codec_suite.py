"""The codec suite says yes to what is right and no, with the right sentence, to what is wrong."""

from random import Random

import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import MESSAGE_KINDS, MessageKind
from raftsdk.ports import Codec
from raftsdk.testing.broken import codec as broken
from raftsdk.testing.broken.codec import BROKEN_CODECS, BrokenCodec
from raftsdk.testing.codec_suite import SUITE, dishonest_messages, largest_messages, random_message, sample_messages

ROUND_TRIP = "every message comes back exactly as it went"

CAUGHT_BY: dict[type[BrokenCodec], str] = {
    broken.ShoutsItsName: "its name is lower case and it has both methods",
    broken.RoundsTerms: "integers keep every one of 63 bits",
    broken.DropsTheLastEntry: "a batch of 512 entries of 256 bytes comes back exactly",
    broken.SwapsIndexAndTerm: ROUND_TRIP,
    broken.LosesPreVote: ROUND_TRIP,
    broken.TurnsNothingIntoNone: "bytes keep every byte, from none to a megabyte",
    broken.WritesAByteArray: "encode returns bytes",
    broken.ReadsOnlyBytes: "decode reads bytes and memoryview alike",
    broken.LendsOutTheBuffer: "what was decoded stays as it is when the buffer is used again",
    broken.RemembersTheBuffer: "the same buffer with other contents gives another message",
    broken.LeaksItsLibrarysErrors: "a message cut short is refused or still an honest one",
    broken.QuotesTheWholeInput: "a message with one bit flipped is refused or still an honest one",
    broken.IgnoresTheKind: "the kind asked for decides what is read",
    broken.AcceptsTrailingBytes: "bytes after the end of a message are refused",
    broken.ReservesWhatIsClaimed: (
        "damage in the first bytes of a large message costs no more memory than a few times its length"
    ),
    broken.TakesNothingForAMessage: ("no bytes at all are no message, unless that is how the codec writes one"),
    broken.TakesZerosForAHeartbeat: "zero bytes are no AppendEntries, and otherwise refused or an honest message",
    broken.NeverChecks: "what no honest node sends is refused",
    broken.StumblesAfterARefusal: "a refusal leaves nothing behind",
    broken.ForgetsAKind: ROUND_TRIP,
    broken.KeepsBothForms: (
        "the most that a message may hold comes back exactly, for four times its bytes and a mebibyte"
    ),
    broken.DumpsWhatItRefuses: "damage to the largest messages costs no more memory than reading them",
    broken.TakesTheBytesApart: (
        "a mebibyte made of one piece of a message costs no more memory than four times that and another"
    ),
    broken.ShiftsItsBuffer: "a mebibyte of anything is read or refused in half a second",
}


def test_every_broken_codec_has_its_sentence() -> None:
    assert set(CAUGHT_BY) == set(BROKEN_CODECS)


@pytest.mark.parametrize("codec_type", BROKEN_CODECS, ids=lambda codec_type: codec_type.__name__)
async def test_each_broken_codec_is_caught_by_its_sentence(codec_type: type[BrokenCodec]) -> None:
    (case,) = (case for case in SUITE.cases if case.sentence == CAUGHT_BY[codec_type])
    # Over MessagePack, what this one reserves takes half a minute to reserve.
    right = JsonCodec() if codec_type is broken.ReservesWhatIsClaimed else MsgpackCodec()
    with pytest.raises((AssertionError, DecodeError, TypeError)):
        await case.run(codec_type(right))


@pytest.mark.parametrize("right", [JsonCodec(), MsgpackCodec(), BrokenCodec(MsgpackCodec())], ids=lambda c: c.name)
async def test_a_codec_that_is_right_passes_every_sentence(right: Codec) -> None:
    assert await SUITE.failures(right) == {}


def test_every_sample_is_a_message_an_honest_node_could_send() -> None:
    for message in [*sample_messages(), *largest_messages()]:
        check(message)


def test_every_random_message_is_one_an_honest_node_could_send() -> None:
    chance = Random(1)
    for _ in range(2_000):
        check(random_message(chance))


def test_every_dishonest_message_is_refused_by_the_check() -> None:
    for message in dishonest_messages():
        with pytest.raises(DecodeError):
            check(message)


async def test_a_kind_of_message_without_a_sample_fails_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [message for message in sample_messages() if MESSAGE_KINDS[type(message)] is not MessageKind.ERROR]
    monkeypatch.setattr("raftsdk.testing.codec_suite.sample_messages", lambda: samples)
    (case,) = (case for case in SUITE.cases if case.sentence == "there are samples of every kind of message")
    with pytest.raises(AssertionError, match="ERROR"):
        await case.run(MsgpackCodec())
