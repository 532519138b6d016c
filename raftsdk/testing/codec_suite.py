"""What every codec must do, whatever its format: the contract of `raftsdk.ports.Codec`, sentence by sentence.

The suite knows no format. Hostile bytes are made by damaging what the codec itself wrote, and chance comes from fixed
seeds, so a failure repeats. A codec's own tests are ten lines:

    @pytest.mark.parametrize("case", codec_suite.SUITE.cases, ids=str)
    async def test_my_codec(case):
        await case.run(MyCodec())
"""

import asyncio
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Final

import msgspec

from raftsdk.errors import DecodeError
from raftsdk.messages import (
    DIGEST_BYTES,
    MAX_ADDRESSES,
    MAX_ENTRIES,
    MAX_MEMBERS,
    MAX_TEXT_BYTES,
    MESSAGE_KINDS,
    MESSAGE_TYPES,
    AppendEntriesRequest,
    AppendEntriesResponse,
    Consistency,
    ErrorCode,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Message,
    MessageKind,
    PeerStatus,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusRequest,
    StatusResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
    check,
)
from raftsdk.ports.codec import Codec
from raftsdk.testing.suite import Suite
from raftsdk.types import MAX_ID_CHARS, MAX_INTEGER, Entry, Member, Membership, Suffrage

SUITE: Suite[Codec] = Suite("codec")

BOUNDARY_INTEGERS: Final = (0, 1, 2**31, 2**32, 2**53 - 1, 2**53, 2**53 + 1, MAX_INTEGER)
"""Where formats change their mind about integers: 32 bits, a double's precision, the ceiling."""

ALL_BYTES: Final = bytes(range(256))
UNICODE_TEXT: Final = 'ünï \U0001f98b 日本 "quoted" back\\slash \n\t\x00 end'

_LONGEST_DAMAGED_BYTES: Final = 600  # each position of a text this long is damaged, of a longer one a sample
_RANDOM_INPUTS: Final = 300
_RANDOM_MESSAGES_TRIED: Final = 2_000
_MAX_ERROR_CHARS: Final = 1_024  # what may end up in one line of a log
_DAMAGED_PLACES: Final = 12  # of each of the largest messages
_REPEATED_PIECES: Final = 12
_MAX_DECODE_S: Final = 0.5  # of a mebibyte: ten times what is wanted, so that only what hangs or is quadratic fails
_MIB: Final = 1024 * 1024


# -- messages


def sample_messages() -> list[Message]:
    """Messages of every kind: every integer at its boundaries, lists empty and not, bytes and texts of all sorts."""
    return [
        *(message for number in BOUNDARY_INTEGERS for message in _messages_about(number)),
        *(message for data in (b"", b"\x00", ALL_BYTES) for message in _messages_with(data)),
        *_messages_with_text(),
        *_messages_of_zeros(),
    ]


def _messages_about(number: int) -> list[Message]:
    """Messages of each kind that has integers, all of them `number` or the nearest that an honest node could send."""
    term = max(number, 1)
    entries = [Entry(1, 0, b""), Entry(term, number, b"data")]
    peer = _peer_status(number)
    return [
        AppendEntriesRequest(
            term=term, leader_id="n1", prev_log_index=number, prev_log_term=number, leader_commit=number, entries=[]
        ),
        AppendEntriesRequest(
            term=term, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=2, entries=entries
        ),
        AppendEntriesResponse(term=number, success=True),
        AppendEntriesResponse(term=number, success=False, conflict_index=number, conflict_term=number),
        RequestVoteRequest(term=max(number, 2), candidate_id="n1", last_log_index=number, last_log_term=min(number, 1)),
        RequestVoteRequest(
            term=max(number, 2), candidate_id="n1", last_log_index=1, last_log_term=max(number, 2) - 1, pre_vote=True
        ),
        RequestVoteResponse(term=number, vote_granted=True),
        RequestVoteResponse(term=number, vote_granted=False),
        _snapshot_piece(number, b"data"),
        InstallSnapshotResponse(term=number, next_offset=number, installed=False),
        InstallSnapshotResponse(term=number, next_offset=0, installed=True),
        TimeoutNowRequest(term=term, leader_id="n1"),
        TimeoutNowResponse(term=number),
        ProposeResponse(index=number, result=b"result"),
        QueryResponse(applied_index=number, result=b"result"),
        _status(number, []),
        _status(number, [peer, peer]),
        ErrorResponse(code=ErrorCode.OVERLOADED.value, retry_after_ms=number),
    ]


def _messages_with(data: bytes) -> list[Message]:
    return [
        AppendEntriesRequest(
            term=3,
            leader_id="n1",
            prev_log_index=7,
            prev_log_term=1,
            leader_commit=9,
            entries=[Entry(2, 1, data), Entry(3, 2, data)],
        ),
        _snapshot_piece(1_000, data),
        ProposeRequest(command=data),
        ProposeResponse(index=1, result=data),
        QueryRequest(query=data, consistency=Consistency.LOCAL),
        QueryResponse(applied_index=1, result=data),
    ]


def _messages_with_text() -> list[Message]:
    longest_id = "a" * MAX_ID_CHARS
    return [
        RequestVoteRequest(term=1, candidate_id=longest_id, last_log_index=0, last_log_term=0),
        ErrorResponse(
            code=ErrorCode.NOT_LEADER.value,
            message=UNICODE_TEXT,
            leader_id=longest_id,
            leader_addresses=["tcp://[::1]:7001", "unix:/ü", *[""] * (MAX_ADDRESSES - 2)],
        ),
        StatusResponse(
            node_id="n1",
            cluster_id=UNICODE_TEXT,
            role="leader",
            term=1,
            leader_id="",
            last_log_index=4,
            durable_index=3,
            commit_index=2,
            applied_index=1,
            peers=[_peer_status(5)],
        ),
        msgspec.structs.replace(
            _snapshot_piece(9, b"x"),
            membership=Membership(
                members=(
                    Member("n1", ("tcp://[::1]:7001", UNICODE_TEXT), Suffrage.VOTER),
                    Member(longest_id, (), Suffrage.LEARNER),
                ),
                outgoing=("n1", longest_id),
            ),
        ),
    ]


def _messages_of_zeros() -> list[Message]:
    """Messages that may be nothing but zeros; a format that leaves out zeros writes nothing at all for them."""
    return [
        AppendEntriesResponse(term=0, success=False),
        RequestVoteResponse(term=0, vote_granted=False),
        InstallSnapshotResponse(term=0, next_offset=0, installed=False),
        TimeoutNowResponse(term=0),
        ProposeRequest(command=b""),
        ProposeResponse(index=0, result=b""),
        QueryRequest(query=b""),
        QueryResponse(applied_index=0, result=b""),
        StatusRequest(),
        ErrorResponse(code=""),
    ]


def _snapshot_piece(number: int, data: bytes) -> InstallSnapshotRequest:
    total_bytes = max(number, len(data))
    return InstallSnapshotRequest(
        term=max(number, 1),
        leader_id="n1",
        last_included_index=max(number, 1),
        last_included_term=max(number, 1),
        membership=Membership(members=(Member("n1", ("tcp://127.0.0.1:7001",)), Member("n2"))),
        total_bytes=total_bytes,
        digest=ALL_BYTES[:DIGEST_BYTES],
        offset=total_bytes - len(data),
        data=data,
    )


def _peer_status(number: int) -> PeerStatus:
    return PeerStatus(
        node_id="n2",
        addresses=["tcp://127.0.0.1:7002", UNICODE_TEXT],
        state="replicate",
        match_index=number,
        next_index=number,
        outstanding_calls=number,
        connected=True,
        codec="json",
        transport="tcp",
    )


def _status(number: int, peers: list[PeerStatus]) -> StatusResponse:
    return StatusResponse(
        node_id="n1",
        cluster_id="c",
        role="follower",
        term=number,
        leader_id="n2",
        last_log_index=number,
        durable_index=number,
        commit_index=number,
        applied_index=number,
        peers=peers,
    )


def dishonest_messages() -> list[Message]:
    """Messages no honest node sends, each with one thing wrong: what `messages.check` is there to refuse."""
    honest = AppendEntriesRequest(
        term=5, leader_id="n1", prev_log_index=9, prev_log_term=3, leader_commit=9, entries=[Entry(4, 1, b"x")]
    )
    vote = RequestVoteRequest(term=5, candidate_id="n1", last_log_index=1, last_log_term=1)
    piece = _snapshot_piece(5, b"data")
    change = msgspec.structs.replace
    return [
        change(honest, term=0, prev_log_index=0, prev_log_term=0, entries=[]),
        change(honest, term=-1),
        change(honest, term=MAX_INTEGER + 1),
        change(honest, leader_id=""),
        change(honest, leader_id="../n1"),
        change(honest, leader_id="a" * (MAX_ID_CHARS + 1)),
        change(honest, prev_log_index=-1),
        change(honest, prev_log_index=0),
        change(honest, prev_log_index=MAX_INTEGER),
        change(honest, prev_log_term=6),
        change(honest, leader_commit=MAX_INTEGER + 1),
        change(honest, entries=[Entry(4, 1, b"x"), Entry(3, 1, b"goes back")]),
        change(honest, entries=[Entry(2, 1, b"before prev_log_term")]),
        change(honest, entries=[Entry(6, 1, b"exceeds the term")]),
        change(honest, entries=[Entry(4, -1, b"kind")]),
        change(honest, entries=[Entry(4, MAX_INTEGER + 1, b"kind")]),
        change(honest, prev_log_index=0, prev_log_term=0, entries=[Entry(0, 1, b"term 0")]),
        AppendEntriesResponse(term=-1, success=True),
        AppendEntriesResponse(term=1, success=False, conflict_index=MAX_INTEGER + 1),
        change(vote, term=0),
        change(vote, candidate_id="n 1"),
        change(vote, last_log_index=-1),
        change(vote, last_log_term=2**64 - 1),
        change(vote, last_log_term=5),
        change(vote, last_log_term=0),
        change(vote, last_log_index=0),
        RequestVoteResponse(term=-(2**63), vote_granted=True),
        change(piece, term=0),
        change(piece, term=4),
        change(piece, leader_id=""),
        change(piece, last_included_index=0),
        change(piece, last_included_term=0),
        change(piece, total_bytes=4),
        change(piece, total_bytes=MAX_INTEGER + 1),
        change(piece, offset=-1),
        change(piece, digest=b""),
        change(piece, digest=ALL_BYTES[: DIGEST_BYTES + 1]),
        change(piece, membership=Membership(members=(Member(""),))),
        change(piece, membership=Membership(members=(Member("n1"), Member("n1")))),
        change(piece, membership=Membership(members=(Member("n1", ("",) * (MAX_ADDRESSES + 1)),))),
        change(piece, membership=Membership(members=tuple(Member(f"n{i}") for i in range(MAX_MEMBERS + 1)))),
        change(piece, membership=Membership(members=(Member("n1"),), outgoing=("n 1",))),
        change(piece, membership=Membership(members=())),
        change(piece, membership=Membership(members=(Member("n1", (), Suffrage.LEARNER),))),
        change(piece, membership=Membership(members=(Member("n1", ("a" * MAX_TEXT_BYTES,)),))),
        InstallSnapshotResponse(term=1, next_offset=-1, installed=False),
        TimeoutNowRequest(term=0, leader_id="n1"),
        TimeoutNowRequest(term=1, leader_id="n\n1"),
        TimeoutNowResponse(term=MAX_INTEGER + 1),
        ProposeResponse(index=-1, result=b""),
        QueryResponse(applied_index=MAX_INTEGER + 1, result=b""),
        change(_status(1, []), node_id="\n"),
        change(_status(1, []), term=-1),
        _status(1, [change(_peer_status(1), match_index=-1)]),
        _status(1, [change(_peer_status(1), addresses=[""] * (MAX_ADDRESSES + 1))]),
        _status(1, [_peer_status(1)] * (MAX_MEMBERS + 1)),
        change(honest, entries=[Entry(4, 1, b"")] * (MAX_ENTRIES + 1)),
        ErrorResponse(code="", retry_after_ms=-1),
        ErrorResponse(code="", leader_addresses=[""] * (MAX_ADDRESSES + 1)),
        ErrorResponse(code="", message="a" * (MAX_TEXT_BYTES + 1)),
        ErrorResponse(code="", message="é" * (MAX_TEXT_BYTES // 2), leader_addresses=["b"]),
        _status(1, [change(_peer_status(1), codec="c" * MAX_TEXT_BYTES)]),
    ]


def large_message() -> AppendEntriesRequest:
    """What a busy leader sends: 512 entries of 256 random bytes."""
    chance = Random(512)
    entries = [Entry(9, 1, chance.randbytes(256)) for _ in range(512)]
    return AppendEntriesRequest(
        term=9, leader_id="n1", prev_log_index=1_000, prev_log_term=9, leader_commit=1_000, entries=entries
    )


def largest_messages() -> list[Message]:
    """The most that a message may hold, in every way there is: entries, members, peers, text, a mebibyte of payload."""
    change = msgspec.structs.replace
    batch, piece, payload = large_message(), _snapshot_piece(0, b""), Random(20).randbytes(_MIB)
    addresses = [f"tcp://host-{number}.example:7001" for number in range(MAX_ADDRESSES)]
    members = tuple(
        Member(f"n{number:0>{MAX_ID_CHARS - 1}}", tuple(addresses), Suffrage.LEARNER if number else Suffrage.VOTER)
        for number in range(MAX_MEMBERS)
    )
    peers = [change(_peer_status(MAX_INTEGER), node_id=member.id, addresses=addresses) for member in members]
    # Terms, kinds and payloads that all differ, and of which Python keeps none: every one is an object of its own.
    dearest = [Entry(300 + number, 400 + number, b"%04d" % number) for number in range(MAX_ENTRIES)]
    return [
        change(batch, entries=[Entry(9, 0, b"")] * MAX_ENTRIES),
        change(batch, term=dearest[-1].term, entries=dearest),
        change(batch, entries=[Entry(9, 1, payload)]),
        change(piece, membership=Membership(members, tuple(member.id for member in members))),
        change(piece, total_bytes=len(payload), data=payload),
        ProposeRequest(command=payload),
        QueryResponse(applied_index=MAX_INTEGER, result=payload),
        _status(MAX_INTEGER, peers),
        ErrorResponse(code="", message=UNICODE_TEXT * 1_200, leader_addresses=addresses),
    ]


def random_message(chance: Random) -> Message:
    """Any message an honest node could send: kind, numbers, lists and texts by chance, most of them near a boundary."""
    while True:
        message = chance.choice(_RANDOM_MESSAGES)(chance)
        with suppress(DecodeError):  # chance may have it that there is too much text, or no voter
            check(message)
            return message


def _random_number(chance: Random, low: int = 0) -> int:
    if chance.random() < 0.3:
        return max(low, chance.choice(BOUNDARY_INTEGERS))
    return max(low, chance.getrandbits(chance.randint(1, 63)))


def _random_bytes(chance: Random) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 2, 3, 31, 32, 255, 256, 300)))


def _random_id(chance: Random) -> str:
    length = chance.choice((1, 2, MAX_ID_CHARS))
    return "n" + "".join(chance.choices("abcXYZ019._-", k=length - 1))


def _random_text(chance: Random) -> str:
    alphabet = (*UNICODE_TEXT, "a", "\x7f", "\u2028", "\ufffd", "\U0010ffff")
    return "".join(chance.choices(alphabet, k=chance.choice((0, 1, 5, 31, 32, 300))))


def _random_addresses(chance: Random) -> list[str]:
    return [_random_text(chance) for _ in range(chance.randint(0, MAX_ADDRESSES))]


def _random_append_entries(chance: Random) -> Message:
    terms = sorted(_random_number(chance, low=1) for _ in range(chance.choice((1, 2, 3, 17))))
    prev_log_index = chance.choice((0, _random_number(chance) >> 5))
    prev_log_term = 0 if prev_log_index == 0 else terms[0]
    return AppendEntriesRequest(
        term=terms[-1],
        leader_id=_random_id(chance),
        prev_log_index=prev_log_index,
        prev_log_term=prev_log_term,
        leader_commit=_random_number(chance),
        entries=[Entry(term, _random_number(chance), _random_bytes(chance)) for term in terms[1:]],
    )


def _random_status(chance: Random) -> Message:
    return msgspec.structs.replace(
        _status(_random_number(chance), [_random_peer(chance) for _ in range(chance.choice((0, 1, 4, 16)))]),
        node_id=_random_id(chance),
        cluster_id=_random_text(chance),
        term=_random_number(chance),
    )


def _random_peer(chance: Random) -> PeerStatus:
    return msgspec.structs.replace(
        _peer_status(_random_number(chance)),
        node_id=_random_id(chance),
        addresses=_random_addresses(chance),
        connected=chance.random() < 0.5,
        codec=_random_text(chance),
    )


def _random_vote(chance: Random) -> Message:
    last_log_term = chance.choice((0, _random_number(chance) >> 1))
    return RequestVoteRequest(
        term=max(_random_number(chance), last_log_term + 1),
        candidate_id=_random_id(chance),
        last_log_index=_random_number(chance, low=1) if last_log_term else 0,
        last_log_term=last_log_term,
        pre_vote=chance.random() < 0.5,
    )


def _random_snapshot_piece(chance: Random) -> Message:
    members = tuple(
        Member(f"n{number}", tuple(_random_addresses(chance)), chance.choice(list(Suffrage)))
        for number in range(chance.choice((0, 1, 3, MAX_MEMBERS)))
    )
    return msgspec.structs.replace(
        _snapshot_piece(_random_number(chance), _random_bytes(chance)),
        leader_id=_random_id(chance),
        membership=Membership(members=members, outgoing=tuple(member.id for member in members[::2])),
        digest=chance.randbytes(DIGEST_BYTES),
    )


_RANDOM_MESSAGES: Final[tuple[Callable[[Random], Message], ...]] = (
    _random_append_entries,
    _random_status,
    lambda chance: AppendEntriesResponse(
        term=_random_number(chance),
        success=chance.random() < 0.5,
        conflict_index=_random_number(chance),
        conflict_term=_random_number(chance),
    ),
    _random_vote,
    lambda chance: RequestVoteResponse(term=_random_number(chance), vote_granted=chance.random() < 0.5),
    _random_snapshot_piece,
    lambda chance: InstallSnapshotResponse(
        term=_random_number(chance), next_offset=_random_number(chance), installed=chance.random() < 0.5
    ),
    lambda chance: TimeoutNowRequest(term=_random_number(chance, low=1), leader_id=_random_id(chance)),
    lambda chance: TimeoutNowResponse(term=_random_number(chance)),
    lambda chance: ProposeRequest(command=_random_bytes(chance)),
    lambda chance: ProposeResponse(index=_random_number(chance), result=_random_bytes(chance)),
    lambda chance: QueryRequest(query=_random_bytes(chance)),
    lambda chance: QueryResponse(applied_index=_random_number(chance), result=_random_bytes(chance)),
    lambda chance: ErrorResponse(
        code=_random_text(chance),
        message=_random_text(chance),
        leader_id=_random_text(chance),
        leader_addresses=_random_addresses(chance),
        retry_after_ms=_random_number(chance),
    ),
)


# -- looking at what comes back


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


def _expect_return(codec: Codec, message: Message) -> None:
    """`message` comes back as it went. `repr` too, because `1 == True` and `bytearray(b"x") == b"x"`."""
    back = codec.decode(MESSAGE_KINDS[type(message)], codec.encode(message))
    _expect(back == message and repr(back) == repr(message), f"{_brief(message)} came back as {_brief(back)}")


def _expect_honest(codec: Codec, kind: MessageKind, data: bytes) -> Message | None:
    """Decoding `data` gives a message of that kind that an honest node could have sent, or None: a `DecodeError`."""
    try:
        message = codec.decode(kind, data)
    except DecodeError as error:
        _expect(0 < len(str(error)) <= _MAX_ERROR_CHARS, f"a DecodeError with a text of {len(str(error))} characters")
        return None
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} instead of DecodeError for {kind.name} {_brief(data)}") from error
    _expect(type(message) is MESSAGE_TYPES[kind], f"asked for {kind.name}, got {_brief(message)}")
    _expect_well_typed(message)
    check(message)
    return message


def _expect_well_typed(message: Message) -> None:
    """Every field has the type it is declared with: found out by asking msgspec, which looks at each."""
    try:
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message))
    except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError, TypeError) as error:
        raise AssertionError(f"a field has not its type: {_brief(message)}") from error
    _expect(repr(again) == repr(message), f"a field has not its type: {_brief(message)}")


def _expect_refused(codec: Codec, kind: MessageKind, data: bytes, what: str) -> None:
    message = _expect_honest(codec, kind, data)
    _expect(message is None, f"{what} was read as {_brief(message)}")


def _encodings(codec: Codec) -> Iterator[tuple[MessageKind, bytes]]:
    for message in sample_messages():
        yield MESSAGE_KINDS[type(message)], codec.encode(message)


def _positions(data: bytes, chance: Random) -> Iterator[int]:
    """Every place in `data`, or as many as are affordable, chosen by chance."""
    count = len(data)
    yield from range(count) if count <= _LONGEST_DAMAGED_BYTES else chance.sample(range(count), _LONGEST_DAMAGED_BYTES)


def _with_byte(data: bytes, position: int, value: int) -> bytes:
    return data[:position] + bytes((value,)) + data[position + 1 :]


# -- what it is


@SUITE.case("its name is lower case and it has both methods")
async def _name(codec: Codec) -> None:
    _expect(isinstance(codec, Codec), "not a Codec: name, encode and decode are needed")
    _expect(re.fullmatch(r"[a-z][a-z0-9._-]*", codec.name) is not None, f"the name is {codec.name!r}")


@SUITE.case("there are samples of every kind of message")
async def _every_kind(codec: Codec) -> None:
    sampled = {MESSAGE_KINDS[type(message)] for message in sample_messages()}
    missing = [kind.name for kind in MessageKind if kind not in sampled]
    _expect(not missing, f"no sample_messages() of {', '.join(missing)}: this suite would say nothing about them")


# -- exact


@SUITE.case("every message comes back exactly as it went")
async def _round_trip(codec: Codec) -> None:
    for message in sample_messages():
        _expect_return(codec, message)


@SUITE.case("messages made by chance come back exactly as they went")
async def _random_round_trip(codec: Codec) -> None:
    chance = Random(6)
    for _ in range(_RANDOM_MESSAGES_TRIED):
        _expect_return(codec, random_message(chance))


@SUITE.case("encode returns bytes")
async def _returns_bytes(codec: Codec) -> None:
    for message in sample_messages():
        data = codec.encode(message)
        _expect(type(data) is bytes, f"encode returned {type(data).__name__}")


@SUITE.case("integers keep every one of 63 bits")
async def _integers(codec: Codec) -> None:
    for bit in range(63):
        for number in (2**bit, MAX_INTEGER - 2**bit):
            _expect_return(
                codec,
                AppendEntriesResponse(term=number, success=False, conflict_index=number, conflict_term=number),
            )
            _expect_return(
                codec,
                AppendEntriesRequest(
                    term=max(number, 1),
                    leader_id="n1",
                    prev_log_index=0,
                    prev_log_term=0,
                    leader_commit=number,
                    entries=[Entry(max(number, 1), number, b"")],
                ),
            )


@SUITE.case("bytes keep every byte, from none to a megabyte")
async def _bytes(codec: Codec) -> None:
    megabyte = Random(20).randbytes(_MIB)
    for data in (b"", b"\x00", b"\x00" * 1_000, b"\xff" * 1_000, ALL_BYTES, megabyte):
        _expect_return(codec, ProposeRequest(command=data))
        _expect_return(codec, QueryResponse(applied_index=1, result=data))


@SUITE.case("a batch of 512 entries of 256 bytes comes back exactly")
async def _large(codec: Codec) -> None:
    _expect_return(codec, large_message())


@SUITE.case("as many empty entries as a message may carry come back exactly")
async def _many_entries(codec: Codec) -> None:
    entries = [Entry(term, 0, b"") for term in range(1, MAX_ENTRIES + 1)]
    _expect_return(
        codec,
        msgspec.structs.replace(large_message(), term=MAX_ENTRIES, prev_log_index=0, prev_log_term=0, entries=entries),
    )


@SUITE.case("decode reads bytes and memoryview alike")
async def _memoryview(codec: Codec) -> None:
    for kind, data in _encodings(codec):
        inside = memoryview(b"before" + data + b"after")[len(b"before") :][: len(data)]
        from_bytes, from_view = codec.decode(kind, data), codec.decode(kind, inside)
        _expect(
            repr(from_view) == repr(from_bytes), f"{_brief(from_view)} from a memoryview, else {_brief(from_bytes)}"
        )


@SUITE.case("what was decoded stays as it is when the buffer is used again")
async def _keeps_no_reference(codec: Codec) -> None:
    for message in [*sample_messages(), large_message()]:
        buffer = bytearray(codec.encode(message))
        back = codec.decode(MESSAGE_KINDS[type(message)], memoryview(buffer))
        buffer[:] = b"\xaa" * len(buffer)
        _expect(repr(back) == repr(message), f"{_brief(message)} became {_brief(back)}")


@SUITE.case("the same buffer with other contents gives another message")
async def _reads_anew(codec: Codec) -> None:
    first, second = (codec.encode(ProposeRequest(command=command)) for command in (b"first!", b"second"))
    _expect(len(first) == len(second), "two commands of one length have encodings of two lengths")
    buffer = bytearray(first)
    view = memoryview(buffer)
    codec.decode(MessageKind.PROPOSE_REQUEST, view)
    buffer[:] = second
    back = codec.decode(MessageKind.PROPOSE_REQUEST, view)
    _expect(back == ProposeRequest(command=b"second"), f"the second message was read as {_brief(back)}")


# -- closed


@SUITE.case("the kind asked for decides what is read")
async def _kinds(codec: Codec) -> None:
    for _, data in _encodings(codec):
        for kind in MESSAGE_TYPES:
            _expect_honest(codec, kind, data)


@SUITE.case("a message cut short is refused or still an honest one")
async def _truncation(codec: Codec) -> None:
    chance = Random(1)
    for kind, data in _encodings(codec):
        for length in _positions(data, chance):
            _expect_honest(codec, kind, data[:length])


@SUITE.case("a message with one bit flipped is refused or still an honest one")
async def _bit_flips(codec: Codec) -> None:
    chance = Random(2)
    for kind, data in _encodings(codec):
        for position in _positions(data, chance):
            _expect_honest(codec, kind, _with_byte(data, position, data[position] ^ 1 << chance.randrange(8)))


@SUITE.case("a message with one byte replaced is refused or still an honest one")
async def _byte_replacements(codec: Codec) -> None:
    chance = Random(3)
    for kind, data in _encodings(codec):
        for position in _positions(data, chance):
            for value in (0x00, 0xFF, chance.randrange(256)):
                _expect_honest(codec, kind, _with_byte(data, position, value))


@SUITE.case("every bit of a small message may be flipped")
async def _every_bit_flip(codec: Codec) -> None:
    for kind, data in _encodings(codec):
        if len(data) <= _LONGEST_DAMAGED_BYTES // 4:
            for place in range(8 * len(data)):
                _expect_honest(codec, kind, _with_byte(data, place // 8, data[place // 8] ^ 1 << place % 8))


@SUITE.case("a message with a piece repeated or removed is refused or still an honest one")
async def _pieces(codec: Codec) -> None:
    chance = Random(4)
    for kind, data in _encodings(codec):
        for _ in range(20):
            start, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
            _expect_honest(codec, kind, data[:end] + data[start:])
            _expect_honest(codec, kind, data[:start] + data[end:])


@SUITE.case("bytes after the end of a message are refused")
async def _trailing(codec: Codec) -> None:
    for kind, data in _encodings(codec):
        for extra in (b"\x00", b"\x00" * 64, b"\xff" * 16):
            _expect_refused(codec, kind, data + extra, f"{kind.name} with {len(extra)} bytes after its end")


@SUITE.case("random bytes are refused or an honest message")
async def _random(codec: Codec) -> None:
    chance = Random(5)
    for length in range(_RANDOM_INPUTS):
        data = chance.randbytes(length)
        for kind in MESSAGE_TYPES:
            _expect_honest(codec, kind, data)


@SUITE.case("no bytes at all are no message, unless that is how the codec writes one")
async def _empty(codec: Codec) -> None:
    zeros = _messages_of_zeros() if any(not data for _, data in _encodings(codec)) else []
    for kind in MESSAGE_TYPES:
        message = _expect_honest(codec, kind, b"")
        _expect(message is None or message in zeros, f"nothing, as {kind.name}, was read as {_brief(message)}")


@SUITE.case("zero bytes are no AppendEntries, and otherwise refused or an honest message")
async def _zeros(codec: Codec) -> None:
    for length in (1, 8, 64, 4_096):
        zeros = bytes(length)
        _expect_refused(codec, MessageKind.APPEND_ENTRIES_REQUEST, zeros, f"{length} zero bytes")
        for kind in MESSAGE_TYPES:
            _expect_honest(codec, kind, zeros)


@SUITE.case("what no honest node sends is refused")
async def _dishonest(codec: Codec) -> None:
    for message in dishonest_messages():
        try:
            data = codec.encode(message)
        except Exception:  # noqa: S112 - it may be beyond the format, and `encode` promises nothing about it
            continue
        _expect_refused(codec, MESSAGE_KINDS[type(message)], data, f"{_brief(message)}, dishonest,")


@SUITE.case("a refusal leaves nothing behind")
async def _refusal_leaves_nothing(codec: Codec) -> None:
    for message in sample_messages():
        kind, data = MESSAGE_KINDS[type(message)], codec.encode(message)
        _expect_honest(codec, kind, data[: len(data) // 2])
        _expect_return(codec, message)


# -- bounded


@SUITE.case("damage in the first bytes of a large message costs no more memory than a few times its length")
async def _memory(codec: Codec) -> None:
    data = codec.encode(large_message())
    kind = MessageKind.APPEND_ENTRIES_REQUEST
    for position in range(min(len(data), 200)):
        _expect_little_memory(codec, kind, _with_byte(data, position, 0xFF), f"byte {position} being 0xff")


@SUITE.case("the most that a message may hold comes back exactly, for four times its bytes and a mebibyte")
async def _largest(codec: Codec) -> None:
    for message in largest_messages():
        _expect_return(codec, message)
        _expect_little_memory(codec, MESSAGE_KINDS[type(message)], codec.encode(message), _brief(message))


@SUITE.case("damage to the largest messages costs no more memory than reading them")
async def _largest_damaged(codec: Codec) -> None:
    chance = Random(7)
    for message in largest_messages():
        kind, data = MESSAGE_KINDS[type(message)], codec.encode(message)
        for _ in range(_DAMAGED_PLACES):
            # Most of the places at the beginning, where lengths and counts are.
            position = chance.randrange(chance.choice((100, len(data))))
            _expect_little_memory(codec, kind, data[:position], f"{type(message).__name__} cut at {position}")
            flipped = _with_byte(data, position, data[position] ^ 1 << chance.randrange(8))
            _expect_little_memory(codec, kind, flipped, f"{type(message).__name__} damaged at {position}")


@SUITE.case("a mebibyte made of one piece of a message costs no more memory than four times that and another")
async def _repeated_pieces_memory(codec: Codec) -> None:
    for kind, data, what in _repeated_pieces(codec):
        _expect_little_memory(codec, kind, data, what)


@SUITE.case("a mebibyte of anything is read or refused in half a second")
async def _repeated_pieces_time(codec: Codec) -> None:
    largest = [(MESSAGE_KINDS[type(message)], codec.encode(message), _brief(message)) for message in largest_messages()]
    for kind, data, what in (*largest, *_repeated_pieces(codec)):
        seconds = min(_decode_s(codec, kind, data), _decode_s(codec, kind, data))
        _expect(seconds <= _MAX_DECODE_S, f"{seconds:.1f} s for {len(data)} bytes, {what}")


def _repeated_pieces(codec: Codec) -> Iterator[tuple[MessageKind, bytes, str]]:
    """Messages with lists, a piece of each so often that a mebibyte is full: some are lists without end."""
    chance = Random(8)
    entries = [Entry(1, 0, b""), Entry(2, 300, b"ab")]
    for message in (
        msgspec.structs.replace(large_message(), prev_log_index=0, prev_log_term=0, entries=entries),
        _status(1, [_peer_status(300)] * 2),
        _snapshot_piece(300, b"data"),
        ErrorResponse(code="", leader_addresses=["", "ab"]),
        TimeoutNowResponse(term=300),
    ):
        data = codec.encode(message)
        for _ in range(_REPEATED_PIECES):
            start = chance.randrange(len(data))
            end = min(len(data), start + chance.choice((1, 2, 4, 8, chance.randint(1, 100))))
            middle = data[start:end] * ((_MIB - len(data)) // (end - start))
            yield MESSAGE_KINDS[type(message)], data[:end] + middle + data[end:], f"{_brief(data[start:end])} repeated"


def _expect_little_memory(codec: Codec, kind: MessageKind, data: bytes, what: str) -> None:
    peak = _peak_bytes(codec, kind, data)
    _expect(peak <= 4 * len(data) + _MIB, f"{peak} bytes of memory for {len(data)}: {kind.name}, {what}")


def _decode_s(codec: Codec, kind: MessageKind, data: bytes) -> float:
    started = time.process_time()
    _decode_or_refuse(codec, kind, data)
    return time.process_time() - started


def _peak_bytes(codec: Codec, kind: MessageKind, data: bytes) -> int:
    """The most memory that one decoding holds at a time. An error's traceback is no part of it."""
    already_tracing = tracemalloc.is_tracing()
    if not already_tracing:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        _decode_or_refuse(codec, kind, data)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not already_tracing:
            tracemalloc.stop()


def _decode_or_refuse(codec: Codec, kind: MessageKind, data: bytes) -> None:
    try:
        codec.decode(kind, data)
    except DecodeError:
        return


# -- independent


@SUITE.case("four threads at once do not disturb each other")
async def _threads(codec: Codec) -> None:
    messages = sample_messages()

    def work(seed: int) -> None:
        for message in Random(seed).sample(messages, len(messages)):
            _expect_return(codec, message)

    await asyncio.gather(*(asyncio.to_thread(work, seed) for seed in range(4)))
