"""The kit fails on every broken link, in the sentence that it breaks; and there is a broken one for every clause."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport
from raftsdk_websocket import WebSocketTransport

from raftsdk.ports import Codec, Credentials, Transport
from raftsdk.testing.broken import (
    dialer,
    link,
    link_calls,
    link_frames,
    link_groups,
    link_hellos,
    link_packing,
    link_terms,
    stream,
)
from raftsdk.testing.broken.transport import BrokenTransport
from raftsdk.testing.conformance import links, trial
from raftsdk.testing.conformance.links import own, stranger
from raftsdk.testing.conformance.links.subject import LinkTarget
from raftsdk.testing.conformance.trial import Outcome, Trial
from raftsdk.testing.memory import MemoryTransport

BY_LISTENING: dict[type[BrokenTransport], str] = {
    link_frames.IgnoresTheChecksum: "3.9.3 a byte changed anywhere in a frame closes",
    link_frames.TakesEveryVersion: "3.3.3 another version than was agreed on closes",
    link_frames.JudgesTheChecksumFirst: "3.3.2 the version is looked at before the checksum and everything behind it",
    link_frames.AnswersNoOtherVersion: "3.3.3 another version in the first frame is refused with version_mismatch",
    link_frames.IgnoresUnknownFlags: "3.5.2 flags that are not allowed close",
    link_frames.RefusesTheReservedByte: "3.6.1 the reserved byte is ignored",
    link_frames.TakesEveryGroup: "3.7.1 another group than 0 closes where none was agreed on",
    link_groups.AnswersFromGroup1: "3.7.2 group 0 is served as it is without groups",
    link_groups.WantsNoGroupInKeepAlives: "3.7.2 the group of a keep-alive is ignored",
    link_groups.AnswersFromGroup0: "3.7.3 a response has the group of its request",
    link_groups.ServesEveryGroup: (
        "3.7.5 a request for a group that is not served is answered unknown_group, and the connection lives"
    ),
    link_groups.JudgesTheBodyFirst: (
        "3.7.5 the group is judged behind the limit of unanswered requests, and before the decoding"
    ),
    link_packing.LosesTheLast: "3.11.1 each message of a packed request is answered under its own call id",
    link_packing.AnswersAllUnderTheFirstId: (
        "3.11.1 each message of a packed request is answered under its own call id"
    ),
    link_packing.TakesPacksBackToFront: ("3.11.1 packed requests are delivered in their order, each with its own body"),
    link_packing.PacksForGroup0: "3.11.1 the messages of a packed request are for its group, each of them",
    link_packing.HasRoomForAThousandAndTwentyThree: "3.11.3 1 message in a pack is served, and so are 1,024",
    link_packing.TakesPacksOfAnyLength: (
        "3.11.3 a pack of more than 1,024 messages closes, and nothing of it is delivered"
    ),
    link_packing.EndsOneIdTooSoon: "3.11.3 call ids of a pack may end at 4,294,967,295",
    link_packing.CountsOnFromZero: (
        "3.11.3 a pack whose call ids go beyond 4,294,967,295 closes, and nothing of it is delivered"
    ),
    link_packing.IgnoresEmptyPacks: "3.11.4 a pack without a message closes",
    link_packing.TakesWhatIsWhole: (
        "3.11.4 a pack that breaks off, or has bytes left over, closes, and nothing of it is delivered"
    ),
    link_packing.DeliversBeforeItJudges: (
        "3.11.4 a pack that breaks off, or has bytes left over, closes, and nothing of it is delivered"
    ),
    link_packing.JudgesTheKindFirst: "3.9.4 what is packed is judged before the kind",
    link_packing.TakesPacksThatNobodyAgreedOn: "3.5.2 a packed frame closes where packing was not agreed on",
    link_packing.TakesEveryFlagOfAPack: "3.5.2 flags beside PACKED that are not allowed without it close, too",
    link_packing.AnswersPacksInOrder: (
        "3.11.4 answers to packed requests find their calls, whatever frames they come in"
    ),
    link_packing.AnswersUnknownPacksOnce: (
        "3.11.4 an unknown kind that comes packed is answered unsupported for each, and the connection lives"
    ),
    link_packing.CountsPacksAsOne: ("3.11.4 a pack counts message by message against the limit of unanswered requests"),
    link_packing.ForgetsIdsOfPacks: "3.11.4 a message of a pack whose id is that of an unanswered request closes",
    link_packing.StopsAtABadBody: (
        "3.11.4 of packed requests one that cannot be decoded is answered bad_request, and the others served"
    ),
    link_packing.ClosesOnPackedKeepAlives: "3.11.4 packed keep-alives are ignored like one alone",
    link_packing.IgnoresPackedResponses: ("3.11.4 a packed response, or a packed hello, where requests are due closes"),
    link_frames.JudgesTheGroupFirst: "3.9.4 the checksum is judged before flags and group, and flags before the group",
    link_frames.AnswersAnotherCall: "3.8.1 a response carries its request's call id, whichever it is",
    link_frames.WantsNoIdInTheHello: "3.8.2 the call id of a hello is ignored",
    link_frames.DropsCall0: "3.8.3 a request of id 0 is answered like any other",
    link_frames.ForgetsTheAgreedLimit: "3.2.2 a body of just the agreed length is taken, and one byte more closes",
    link_frames.IsOneByteShort: "3.2.2 a body of just the agreed length is taken, and one byte more closes",
    link_frames.DropsWhatCameBefore: "3.2.3 whole frames before one that is too long count",
    link_frames.SendsMoreThanWasAgreed: "3.2.4 a response that would be longer than was agreed is replaced by an error",
    link_hellos.SpeaksFirst: "4.1.2 the listener says nothing before the hello",
    link_hellos.AnswersTheHelloTwice: "4.1.2 the hello is answered once",
    link_hellos.TakesEverythingForAHello: "4.1.3 a first frame that is no hello closes",
    link_hellos.TakesEveryEncoding: "4.1.4 a body that is no JSON object closes, with bad_hello if anything is said",
    link_hellos.TakesNullForAbsent: "4.1.5 null, in place of a field that may be absent, is no hello",
    link_hellos.TakesTheLastOfTwo: "4.1.5 a name that occurs twice is no hello",
    link_hellos.RoundsNumbers: (
        "4.1.5 a field that is missing, of another type or out of bounds closes, with bad_hello if anything is said"
    ),
    link_hellos.ReadsBeyondItsBounds: (
        "4.1.5 a field that is missing, of another type or out of bounds closes, with bad_hello if anything is said"
    ),
    link_hellos.TakesPeersWithoutNames: "4.2.2 a peer must give all three ids",
    link_hellos.WantsClientsToHaveNames: "4.2.2 a client may leave each id empty, and gives real ones otherwise",
    link_hellos.LeavesTheIdleTimeOut: "4.3.1 an acceptance names one of each, from what was offered",
    link_hellos.HidesItsVersions: "4.4.1 a refusal names its code and the versions spoken, and closes",
    link_hellos.StaysAfterARefusal: "4.4.1 a refusal names its code and the versions spoken, and closes",
    link_hellos.JudgesCodecsFirst: "4.4.2 of several reasons to refuse, the first in the table is told",
    link_hellos.RepeatsWhatItRefuses: "4.4.5 an id that is none is not repeated in the refusal",
    link_hellos.TakesAHelloOfAnyLength: "4.5.4 a hello of 16,384 bytes is taken, and a longer one is not",
    link_hellos.TakesShortHellosOnly: "4.5.4 a hello of 16,384 bytes is taken, and a longer one is not",
    link_hellos.WaitsForEver: "4.5.1 a stranger who says nothing is closed",
    link_hellos.HasRoomForAll: "4.5.3 of too many connections without a hello, the oldest gives way",
    link_hellos.ComplainsOfEnds: "4.5.5 a connection that ends before its hello is complete is no violation",
    link_hellos.WantsNoUnknownFields: "4.6.1 unknown fields are ignored, of any type",
    link_hellos.WantsNoUnknownNames: "4.6.2 unknown names among the offers are ignored",
    link_terms.ChoosesTheLowestVersion: "5.1.1 the highest common version is chosen",
    link_terms.IgnoresTheRange: "5.1.1 ranges of versions that do not meet are refused",
    link_terms.FavoursTheDialer: "5.2.1 a codec with the lowest sum of places is chosen: every line of the table",
    link_terms.HasOneCodecForAll: "5.2.3 each connection is negotiated by itself",
    link_terms.AcceptsACompression: "5.3.1 no compression is agreed on, whatever is offered",
    link_terms.GrantsEveryFeature: "5.5.1 a feature that the listener does not have is not in force",
    link_terms.InsistsOnItsLimit: "5.4.1 the smaller frame limit is in force",
    link_terms.TakesEveryId: "6.1.1 a peer with an id that is none is refused with bad_hello",
    link_terms.WantsShortIds: "6.1.1 an id of 128 characters is one",
    link_terms.TakesEveryCluster: "6.2.1 another cluster is refused, for peers and clients alike",
    link_terms.IgnoresCase: "6.2.1 the letters' case of a cluster's name matters",
    link_terms.TakesEveryTarget: "6.3.1 a dialer that looks for another node is refused",
    link_terms.TakesItsOwnId: "6.4.1 a peer that goes by the node's own id is refused",
    link_terms.HasOneConnectionAPeer: "6.4.2 a peer may have four connections at a time",
    link_terms.DisplacesNobody: "6.4.2 a peer's newest connections win, and the oldest is closed",
    link_terms.RefusesWhomItDoesNotKnow: "6.4.5 a peer that no membership names is not refused",
    link_terms.RefusesNobody: "6.4.4 too many strangers are refused with overloaded",
    link_terms.ServesEveryRole: "6.6.2 what the other role asks is answered wrong_identity, and the connection lives",
    link_terms.BelievesEveryName: (
        "6.6.3 a request in another node's name is answered wrong_identity, and not delivered"
    ),
    link_terms.WantsClientsToBeNobody: "6.6.4 a client may go by the id of a node",
    link_calls.AnswersTwice: "7.1.2 every request is answered once, in this codec",
    link_calls.GrantsEveryVote: "7.1.2 a vote is answered in this codec, and refused to whom no membership names",
    link_calls.LosesLongRequests: "7.1.2 64 entries are answered in this codec",
    link_calls.SharesCallIds: "7.2.1 calls of several connections have nothing to do with each other",
    link_calls.TakesEveryCallId: "7.2.2 the id of a request that is still unanswered closes",
    link_calls.RemembersEveryCall: "7.2.2 the id of a request that was answered may be used again",
    link_calls.DeliversBackToFront: "7.3.1 requests of one connection are delivered in their order",
    link_calls.AnswersInOrder: "7.3.1 answers find their calls in whatever order they come",
    link_calls.NeverTiresOfSilence: "7.6.1 a connection that brings no whole frame for idle_timeout_ms is closed",
    link_calls.AnswersKeepAlives: "7.6.2 a keep-alive is not answered, whatever is in it",
    link_calls.IgnoresKeepAlives: "7.6.2 keep-alives keep a connection up for as long as they come",
    link_calls.TakesEveryCall: "7.7.1 too many unanswered requests are answered overloaded, and the connection lives",
    link_calls.KeepsEveryResponse: "7.7.2 a stranger who does not read its responses is closed",
    link_calls.ClosesOnUnknownKinds: "7.8.1 a kind that nobody knows is answered unsupported, and the connection lives",
    link_calls.IgnoresSecondHellos: "7.8.1 a hello, or an answer to one, where a request is due closes",
    link_calls.IgnoresResponses: "7.8.1 a response where a request is due closes, of whatever kind",
    link_calls.ClosesOnBadRequests: (
        "7.8.4 a request that cannot be decoded is answered bad_request, and the connection lives"
    ),
    link_calls.JudgesItsLoadFirst: (
        "7.8.5 a request is judged by its call, its kind, its decoding and its sender, in this order"
    ),
    link_calls.TakesTurns: "7.7.3 connections that say nothing delay no other",
}
"""Whom a broken listener fails by: the sentence that is named for it."""

OVER_TCP: dict[type[BrokenTransport], str] = {
    link_frames.WaitsForTheBody: "3.2.3 a body length above the limit closes, from the header alone",
    link_calls.TakesTurns: "2.1.6 a connection that reads nothing delays no other",
    link_hellos.ComplainsOfEnds: "2.1.2 an incomplete frame at the end of a connection does nothing",
    stream.LosesSmallPieces: "3.10.1 a frame is found though its bytes come one by one",
    stream.AnswersOthersInWords: "3.2.6 what speaks another protocol is closed by its first four bytes",
}

OVER_TLS: dict[type[BrokenTransport], str | list[str]] = {
    link_terms.BelievesTheHello: [
        "6.5.2 a peer whose certificate does not carry its id is refused with wrong_identity",
        "6.5.4 nobody speaks without a certificate for a peer that is connected with one",
    ],
    link_terms.TakesWildcards: "6.5.1 a certificate's names are those behind its subject, not the subject",
    link_hellos.WaitsForEver: "2.5.1 a handshake that does not come, or trickles in, is closed",
    stream.AnswersOthersInWords: "2.5.1 what is sent in the clear, where TLS is spoken, closes",
    dialer.BelievesTheAnswer: (
        "6.5.3 a dialer says no hello to a node whose certificate is not that of the one it looks for"
    ),
    dialer.HasNoNamesForFaults: "2.5.3 a dialer that meets no TLS closes",
}

OVER_WEBSOCKET: dict[type[BrokenTransport], str | list[str]] = {
    link_frames.IgnoresTheBodyLength: [
        "3.2.5 a body length that is not the message's closes",
        "2.4.2 each frame is a message, each message a frame",
    ],
    link_hellos.WaitsForEver: "2.4.10 the hello falls under the handshake's time limit",
    link_calls.NeverTiresOfSilence: "2.4.9 pings end no silence",
    stream.NamesNoSubprotocol: "2.4.3 a handshake with the subprotocol is accepted, and the subprotocol is named",
    stream.AcceptsAnExtension: "2.4.4 no extension is accepted",
    stream.HasOneStatusForAll: "2.4.5 a wrong handshake is answered 400, and closed",
    stream.WantsNoQuery: "2.4.1 a query behind the path is ignored",
    stream.WantsNoBrowsers: "2.4.6 a node that was told no origins takes them all",
    stream.WantsNoFragments: "2.4.7 a message may come in fragments, and in bytes",
    stream.ClosesWithoutReason: "2.4.8 a text message is closed with 1003",
    stream.AlwaysGoesAway: "2.4.8 what clause 14 closes is closed with 1000, and so is a refusal",
    stream.AnswersNoPing: "2.4.9 a ping is answered by a pong with its bytes",
    stream.MasksWhatItSends: "2.4.8 nothing that the node sends is masked",
    dialer.HasNoNamesForFaults: "2.4.5 a dialer that is answered anything but 101 with that subprotocol closes",
}

BY_DIALING: dict[type[BrokenTransport], str] = {
    dialer.DoesNotWait: "4.1.1 a dialer says one hello, as 4.2 has it, and waits for the answer",
    dialer.GivesClientsAName: "4.2.2 a client's hello says so, and names nobody",
    dialer.TakesEverythingForAnAnswer: "4.1.3 a first frame that is no answer closes",
    dialer.TakesWhatItDidNotOffer: "4.3.2 an answer that chose what was not offered closes",
    dialer.FillsAnswersIn: "4.1.5 a body that is no answer closes",
    dialer.TakesTheLastOfTwo: "4.1.5 a name that occurs twice in an answer closes",
    dialer.WantsNoUnknownFields: "4.6.1 unknown fields of an answer are ignored, of any type",
    dialer.TakesShortAnswersOnly: "4.5.4 an answer of 16,384 bytes is taken, and a longer one closes",
    dialer.TakesAnAnswerOfAnyLength: "4.5.4 an answer of 16,384 bytes is taken, and a longer one closes",
    dialer.TakesRefusalsAmiss: (
        "4.4.3 a refusal, with a code that is known or not, is no violation, and the dialer comes again"
    ),
    dialer.WaitsForEver: "4.5.2 a listener that does not answer the hello is given up, and dialed again",
    dialer.IgnoresTheChecksum: "3.9.4 a frame that breaks clause 3 closes, for the reason of clause 14",
    link_groups.TakesEveryGroupsAnswers: "3.7.3 a response of another group than its call's closes, and is no outcome",
    link_groups.AssumesGroups: (
        "3.7.4 a request for another group than 0 fails where none was agreed on, and is not sent"
    ),
    link_packing.AssumesPacking: "3.11.1 nothing is packed where packing was not agreed on",
    link_packing.UnpacksWhateverComes: (
        "3.5.2 packed responses close where packing was not agreed on, and are no outcome"
    ),
    link_packing.AsksBackToFront: (
        "3.11.1 requests of the same moment are numbered on, packed or not, and sent in their order"
    ),
    link_packing.HearsTheFirstAlone: (
        "3.11.4 responses that come packed are the outcomes of their calls, and so are errors"
    ),
    link_packing.WantsAnswersAsItAsked: (
        "3.11.4 a response that comes alone is the outcome of a request that was packed"
    ),
    link_packing.TakesAnswersThatAreWhole: "3.11.4 packed responses that are no pack close, and are no outcome",
    dialer.ForgetsTheAgreedLimit: "3.2.3 a body longer than was agreed closes",
    dialer.SendsMoreThanWasAgreed: "3.2.4 a request longer than was agreed fails, and is not sent",
    dialer.NumbersByTwo: "7.2.1 requests are numbered 1, 2, 3 … on each connection",
    dialer.MatchesInOrder: "7.1.3 a response is matched by its call id, whatever the order",
    dialer.WantsEveryResponseToBeDue: (
        "7.1.3 a response to a call that nobody knows is ignored, whatever its kind and body"
    ),
    dialer.HangsUpOnErrors: "7.1.4 an error is an answer to any request",
    dialer.TakesEveryResponse: "7.1.4 a response of another kind than its call's closes, and is no outcome",
    dialer.DropsBadResponses: "7.1.4 a response that cannot be decoded closes, and is no outcome",
    dialer.PassesOverRequests: "7.8.3 a frame without the flag RESPONSE closes, of whatever kind",
    dialer.MakesAnswersUp: "7.4.1 what was asked when the connection ends has no outcome",
    dialer.SendsNoKeepAlives: "7.6.2 a dialer with nothing to ask sends keep-alives in time",
    dialer.WantsToBeSpokenTo: "7.6.3 a listener that has nothing to say is left alone",
    dialer.NeverGivesUp: ("7.6.4 a connection on which nothing at all is heard for the time of a call is closed"),
    dialer.NeverPauses: "7.9.1 a dialer comes again after every end, and pauses get longer",
    dialer.HasOneAddress: "7.9.2 of several addresses, each attempt takes the next",
}

_TABLES: dict[str, Mapping[type[BrokenTransport], str | list[str]]] = {
    "memory": {**BY_LISTENING, **BY_DIALING},
    "tcp": OVER_TCP,
    "tcp+tls": OVER_TLS,
    "ws": OVER_WEBSOCKET,
}
CAUGHT_BY = [
    (scheme, breaking, line)
    for scheme, table in _TABLES.items()
    for breaking, lines in table.items()
    for line in ([lines] if isinstance(lines, str) else lines)
]

WITHOUT_CERTIFICATES = [
    "2.5.2 a peer without a certificate is not let in",
    "2.5.3 a certificate of another authority is not believed",
    "2.5.3 a certificate that has run out is not believed",
    "2.5.3 a dialer does not believe a certificate of another authority",
]
"""By whom those are caught who ask for no certificate."""

# A dialer that queues would have to be another dialer; no connection can make one of ours.
BITTEN_BY_NOBODY = {"7.9.3"}


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of them are caught by waiting for what never comes."""
    monkeypatch.setattr(stranger, "PATIENCE_S", 0.6)
    monkeypatch.setattr(stranger, "CLOSING_S", 1.5)


def good(scheme: str, credentials: Credentials | None) -> Transport:
    match scheme:
        case "memory":
            return MemoryTransport()
        case "ws" | "wss":
            return WebSocketTransport(credentials=credentials)
        case _:
            return TcpTransport(credentials=credentials)


def target(scheme: str, breaking: Callable[[Transport], Transport] | None, settings: Any = ()) -> LinkTarget:
    codecs: dict[str, Codec] = {"json": JsonCodec(), "msgpack": MsgpackCodec()}

    def transport(credentials: Credentials | None) -> Transport:
        made = good(scheme, credentials)
        return breaking(made) if breaking else made

    return LinkTarget(scheme, codecs, transport, settings=dict(settings))


def trials(subject: LinkTarget) -> Iterator[Trial[Any]]:
    for made in links.about("broken", subject):
        if made.subject.codec in ("", "json"):
            yield made


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("scheme", "breaking", "line"), CAUGHT_BY, ids=lambda value: getattr(value, "__name__", None) or str(value)
)
def test_a_broken_link_fails_in_the_sentence_that_it_breaks(
    scheme: str, breaking: type[BrokenTransport], line: str
) -> None:
    subject = target(scheme, breaking, getattr(breaking, "settings", {}))
    [named] = [made for made in trials(subject) if str(made.case) == line]
    result = trial.run(named)
    assert result.outcome == Outcome.FAILED, f"{breaking.__name__} passed: {line}"


@pytest.fixture
def _own_credentials() -> Iterator[None]:
    """Some that nobody has seen, and nobody sees again."""
    own.own_credentials.cache_clear()
    yield
    own.own_credentials.cache_clear()


@pytest.mark.usefixtures("_impatient", "_own_credentials")
@pytest.mark.parametrize("line", WITHOUT_CERTIFICATES)
def test_who_asks_for_no_certificate_is_caught(line: str) -> None:
    def transport(credentials: Credentials | None) -> Transport:
        assert credentials is not None
        return TcpTransport(credentials=link_terms.AsksForNoCertificate(credentials))

    subject = LinkTarget("tcp+tls", {"json": JsonCodec()}, transport)
    [named] = [made for made in trials(subject) if str(made.case) == line]
    assert trial.run(named).outcome == Outcome.FAILED


class _PacksNothing(link.BrokenLink):
    """Has not heard of packing, which is no fault."""

    def of_hello(self, end: link.End, hello: dict[str, Any]) -> None:
        hello["features"] = [name for name in hello.get("features", []) if name != "packing"]


def test_a_link_that_packs_nothing_is_sound_and_is_not_asked_what_it_makes_of_packs() -> None:
    about_packs = [
        made
        for made in trials(target("memory", _PacksNothing))
        if made.case.clause.startswith("3.11") and not made.subject.codec
    ]
    found = [trial.run(made) for made in about_packs]
    assert {result.message for result in found if result.outcome == Outcome.SKIPPED} == {"it packs nothing"}
    assert [result.line for result in found if result.outcome == Outcome.FAILED] == []


def _classes(module: ModuleType) -> set[type]:
    bases = {link.BrokenLink, dialer.BrokenDialer, stream.BrokenStream, BrokenTransport}
    return {
        each
        for name, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, BrokenTransport) and each.__module__ == module.__name__ and not name.startswith("_")
    } - bases


@pytest.mark.parametrize(
    "module",
    [link, link_frames, link_groups, link_hellos, link_packing, link_terms, link_calls, dialer, stream],
    ids=lambda module: str(module.__name__).rpartition(".")[2],
)
def test_every_broken_link_is_in_the_list(module: ModuleType) -> None:
    assert _classes(module) <= {breaking for _, breaking, _ in CAUGHT_BY}


@pytest.mark.parametrize("scheme", ["memory", "tcp", "tcp+tls", "ws"])
def test_for_every_clause_that_has_a_case_somebody_breaks_it(scheme: str) -> None:
    asked = {made.case.clause for made in trials(target(scheme, None)) if not made.case.sentence.startswith(_VECTORS)}
    lines = [*WITHOUT_CERTIFICATES, *(line for _, _, line in CAUGHT_BY)]
    bitten = {line.partition(" ")[0] for line in lines}
    assert asked - bitten - BITTEN_BY_NOBODY == set()


_VECTORS = ("frame: ", "hello: ", "pack: ")  # whose clauses have cases of their own
