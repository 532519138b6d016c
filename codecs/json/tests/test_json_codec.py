"""The JSON codec keeps the contract of every codec, and the promises that only JSON can break."""

import base64
import json
import time
import tracemalloc
from enum import Enum
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftsdk_json import JsonCodec

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MAX_ADDRESSES,
    MAX_ENTRIES,
    MAX_TEXT_BYTES,
    MESSAGE_KINDS,
    AppendEntriesRequest,
    AppendEntriesResponse,
    Consistency,
    ErrorResponse,
    InstallSnapshotRequest,
    Message,
    MessageKind,
    ProposeRequest,
    QueryRequest,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusRequest,
)
from raftsdk.ports import Codec
from raftsdk.testing import codec_suite
from raftsdk.testing.suite import Case
from raftsdk.types import Entry, Suffrage

CODEC = JsonCodec()
MIB = 1024 * 1024
A_HANG_S = 0.5  # of the processor: ten times what a megabyte may take
FUZZED_INPUTS = 25_000
APPEND = MessageKind.APPEND_ENTRIES_REQUEST
RESPONSE = MessageKind.APPEND_ENTRIES_RESPONSE
SNAPSHOT = MessageKind.INSTALL_SNAPSHOT_REQUEST
STATUS = MessageKind.STATUS_RESPONSE


@pytest.mark.parametrize("case", codec_suite.SUITE.cases, ids=str)
async def test_json_keeps_the_contract_of_a_codec(case: Case[Codec]) -> None:
    await case.run(CODEC)


@given(st.randoms(use_true_random=False))
def test_any_honest_message_comes_back_exactly(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    assert repr(CODEC.decode(MESSAGE_KINDS[type(message)], CODEC.encode(message))) == repr(message)


# -- what it writes

GOLDEN: list[tuple[Message, bytes]] = [
    (StatusRequest(), b"{}"),
    (
        ProposeRequest(command=b"\xff\xef\x00", session_id=46, sequence=3, first_unanswered=2),
        b'{"command":"/+8A","session_id":46,"sequence":3,"first_unanswered":2}',
    ),
    (RequestVoteResponse(term=2**53 - 1, vote_granted=False), b'{"term":9007199254740991,"vote_granted":false}'),
    (RequestVoteResponse(term=2**53, vote_granted=True), b'{"term":"9007199254740992","vote_granted":true}'),
    (
        RequestVoteRequest(term=7, candidate_id="n1", last_log_index=2**63 - 1, last_log_term=6, pre_vote=True),
        b'{"term":7,"candidate_id":"n1","last_log_index":"9223372036854775807","last_log_term":6,"pre_vote":true,'
        b'"leadership_transfer":false}',
    ),
    (
        AppendEntriesRequest(
            term=7,
            leader_id="n1",
            prev_log_index=4,
            prev_log_term=6,
            leader_commit=3,
            entries=[Entry(6, 2**53, b""), Entry(7, 1, b"x")],
        ),
        b'{"term":7,"leader_id":"n1","prev_log_index":4,"prev_log_term":6,"leader_commit":3,"entries":['
        b'{"term":6,"kind":"9007199254740992","data":""},{"term":7,"kind":1,"data":"eA=="}],'
        b'"quiesce":false}',
    ),
    (
        AppendEntriesRequest(
            term=7, leader_id="n1", prev_log_index=4, prev_log_term=6, leader_commit=4, entries=[], quiesce=True
        ),
        b'{"term":7,"leader_id":"n1","prev_log_index":4,"prev_log_term":6,"leader_commit":4,"entries":[],'
        b'"quiesce":true}',
    ),
    (
        AppendEntriesResponse(term=7, success=True, quiesced=True),
        b'{"term":7,"success":true,"conflict_index":0,"conflict_term":0,"quiesced":true}',
    ),
    (
        ErrorResponse(code="not_leader", message='é"\n', leader_id="n2", leader_addresses=["tcp://h:1"]),
        '{"code":"not_leader","message":"é\\"\\n","leader_id":"n2","leader_addresses":["tcp://h:1"],'
        '"retry_after_ms":0}'.encode(),
    ),
]


@pytest.mark.parametrize(("message", "text"), GOLDEN, ids=lambda value: type(value).__name__)
def test_a_message_is_written_as_these_bytes(message: Message, text: bytes) -> None:
    assert CODEC.encode(message) == text
    assert CODEC.decode(MESSAGE_KINDS[type(message)], text) == message


@pytest.mark.parametrize("message", codec_suite.sample_messages(), ids=lambda message: type(message).__name__)
def test_the_standard_library_reads_the_same_values(message: Message) -> None:
    assert plain(json.loads(CODEC.encode(message))) == plain(fields(message))


def fields(value: Any) -> Any:
    """A message as the plain values its JSON should have."""
    if isinstance(value, list | tuple):
        return [fields(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return {name: fields(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Enum):
        return value.value
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def plain(value: Any) -> Any:
    """The same with every integer as decimal text, as proto3 JSON has them."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if type(value) is int else value


def test_no_number_in_any_message_is_beyond_a_doubles_precision() -> None:
    def exact(digits: str) -> int:
        assert int(digits) < 2**53
        return int(digits)

    chance = Random(1)
    for message in [*codec_suite.sample_messages(), *(codec_suite.random_message(chance) for _ in range(1_000))]:
        json.loads(CODEC.encode(message), parse_int=exact)


# -- what it reads


@pytest.mark.parametrize("message", codec_suite.sample_messages(), ids=lambda message: type(message).__name__)
def test_proto3_json_with_every_integer_in_quotes_is_read(message: Message) -> None:
    text = json.dumps(plain(fields(message)), indent=2, sort_keys=True, ensure_ascii=True).encode()
    assert CODEC.decode(MESSAGE_KINDS[type(message)], text) == message


def test_large_integers_are_read_as_numbers_too() -> None:
    text = b'{"term":9223372036854775807,"vote_granted":true}'
    assert CODEC.decode(MessageKind.REQUEST_VOTE_RESPONSE, text) == RequestVoteResponse(
        term=2**63 - 1, vote_granted=True
    )


def test_unknown_fields_are_ignored() -> None:
    text = b'{"new":{"term":"x","list":[1.5,null,{"term":2}]},"term":1,"success":true,"newer":":,\\"term\\":"}'
    assert CODEC.decode(RESPONSE, text) == AppendEntriesResponse(term=1, success=True)


def test_unknown_fields_of_entries_are_ignored() -> None:
    entries = [Entry(1, 1, b"abc")] * 4_000
    message = AppendEntriesRequest(
        term=1, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=entries
    )
    text = CODEC.encode(message).replace(b'"kind":1', b'"new":[0],"kind":1')
    assert CODEC.decode(APPEND, text) == message


def test_a_long_text_in_a_message_in_our_own_words_may_hold_anything_that_names_are_made_of() -> None:
    message = ErrorResponse(code='{"":,' * (MAX_TEXT_BYTES // 5))
    assert len(CODEC.encode(message)) > MAX_TEXT_BYTES
    assert CODEC.decode(MessageKind.ERROR, CODEC.encode(message)) == message


@pytest.mark.parametrize("first", ["", "\U0001f98b"], ids=["narrow", "wide"])
@pytest.mark.parametrize("characters", ["\U0001f98b", "\u65e5", "\xe9", "\x00", '"', "\\", "\\\x00", "\\u"], ids=ascii)
def test_as_much_text_as_may_be_is_read_and_no_more_however_it_is_escaped(first: str, characters: str) -> None:
    repeated, rest = divmod(MAX_TEXT_BYTES - len(first.encode()), len(characters.encode()))
    longest = ErrorResponse(code=first + characters * repeated + "a" * rest)
    too_long = msgspec.structs.replace(longest, leader_addresses=["b"])
    for written in (CODEC.encode, lambda message: json.dumps(fields(message)).encode()):
        assert CODEC.decode(MessageKind.ERROR, written(longest)) == longest
        with pytest.raises(DecodeError, match="65537 bytes of text, and at most 65536 allowed"):
            CODEC.decode(MessageKind.ERROR, written(too_long))


# -- absent fields


def without_zeros(value: Any) -> Any:
    """The same values from an encoder that leaves out what is zero, as those of proto3 JSON do."""
    if isinstance(value, dict):
        shorter = {name: without_zeros(item) for name, item in value.items()}
        return {name: item for name, item in shorter.items() if item not in (0, "0", "", [], {}, "voter", "local")}
    return [without_zeros(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("integers", [plain, lambda value: value], ids=["quoted", "numbers"])
@pytest.mark.parametrize("message", codec_suite.sample_messages(), ids=lambda message: type(message).__name__)
def test_a_field_that_is_absent_is_zero(message: Message, integers: Any) -> None:
    text = json.dumps(without_zeros(integers(fields(message)))).encode()
    assert repr(CODEC.decode(MESSAGE_KINDS[type(message)], text)) == repr(message)


@given(st.randoms(use_true_random=False))
def test_any_message_is_read_as_a_library_of_proto3_json_writes_it(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    text = json.dumps(without_zeros(plain(fields(message))), ensure_ascii=chance.random() < 0.5).encode()
    assert CODEC.decode(MESSAGE_KINDS[type(message)], text) == message


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (APPEND, "AppendEntriesRequest.term: 0 is not in 1"),
        (MessageKind.REQUEST_VOTE_REQUEST, "RequestVoteRequest.term"),
        (SNAPSHOT, "InstallSnapshotRequest.term"),
        (MessageKind.TIMEOUT_NOW_REQUEST, "TimeoutNowRequest.term"),
        (STATUS, "StatusResponse.node_id"),
        (MessageKind.READ_INDEX_REQUEST, "ReadIndexRequest.term"),
        (MessageKind.CHANGE_MEMBERSHIP_RESPONSE, "ChangeMembershipResponse.membership"),
        (MessageKind.TRANSFER_LEADERSHIP_RESPONSE, "TransferLeadershipResponse.leader_id"),
        (MessageKind.OPEN_SESSION_RESPONSE, "OpenSessionResponse.session_id"),
        (MessageKind.TAKE_SNAPSHOT_RESPONSE, "TakeSnapshotResponse.last_included_index"),
    ],
)
def test_zeros_that_no_honest_node_sends_are_refused(kind: MessageKind, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        CODEC.decode(kind, b"{}")


def test_everything_else_may_be_absent() -> None:
    assert CODEC.decode(RESPONSE, b"{}") == AppendEntriesResponse(term=0, success=False)
    assert CODEC.decode(MessageKind.PROPOSE_REQUEST, b"{}") == ProposeRequest(command=b"")
    assert CODEC.decode(MessageKind.ERROR, b" { } ") == ErrorResponse(code="")


def snapshot_of(member: str) -> bytes:
    return (
        '{"term":1,"leader_id":"n1","last_included_index":1,"last_included_term":1,'
        f'"digest":"{base64.b64encode(bytes(32)).decode()}","membership":{{"members":[{member}]}}}}'
    ).encode()


def test_the_empty_text_is_the_first_value_of_an_enumeration() -> None:
    query = CODEC.decode(MessageKind.QUERY_REQUEST, b'{"query":"","consistency":""}')
    assert query == QueryRequest(query=b"", consistency=Consistency.LOCAL)
    snapshot = CODEC.decode(SNAPSHOT, snapshot_of('{"id":"n","suffrage":""}'))
    assert isinstance(snapshot, InstallSnapshotRequest)
    assert snapshot.membership.members[0].suffrage is Suffrage.VOTER
    with pytest.raises(DecodeError, match=r"members\[0\].suffrage"):
        CODEC.decode(SNAPSHOT, snapshot_of('{"id":"n","suffrage":"x"}'))


# -- what it refuses


@pytest.mark.parametrize(
    "value",
    [
        *("NaN", "Infinity", "-Infinity", "1e999", "1e2", "1.0", "-1", "-0.0", "01", "+1", "0x1", "1_0"),
        *("true", "null", "[1]", "{}", "[]", '""', '"a"', '" 1"', '"1 "', '"+1"', '"-1"', '"01"', '"1.0"', '"1e2"'),
        *('"\\u0031"', '"٣"', '"true"'),
        *(f"{number}" for number in (2**63, 2**64 - 1, 2**64)),
        "9" * 5_000,
        *(f'"{number}"' for number in (2**63, 2**64, 10**19)),
        f'"{"9" * 5_000}"',
    ],
    ids=lambda value: value[:24],
)
def test_what_is_no_integer_in_range_is_refused_as_a_term(value: str) -> None:
    with pytest.raises(DecodeError, match="AppendEntriesResponse"):
        CODEC.decode(RESPONSE, f'{{"term":{value},"success":true}}'.encode())
    entry = f'{{"term":{value},"kind":1,"data":""}}'
    with pytest.raises(DecodeError, match="AppendEntriesRequest"):
        CODEC.decode(APPEND, append_entries(entry))


def append_entries(entries: str) -> bytes:
    return (
        '{"term":9223372036854775807,"leader_id":"n1","prev_log_index":0,"prev_log_term":0,"leader_commit":0,'
        f'"entries":[{entries}]}}'
    ).encode()


@pytest.mark.parametrize(
    "text",
    [
        b'{"term":1,"success":true,"term":2}',
        b'{"term":1,"success":true,"term":1}',
        b'{"term":1,"success":true,"term":1,"conflict_index":0}',
        b'{"term":"1","success":true,"term":1}',
        b'{"term":1,"success":true,"t\\u0065rm":1}',
        b'{"term":1,"success":true,"conflict_index":0,"conflict_term":0,"conflict_index":0}',
        b'{"new":1,"new":2,"term":1,"success":true}',
        b'{"new":[{"a":1,"a":1}],"term":1,"success":true}',
    ],
)
def test_a_name_that_occurs_twice_is_refused(text: bytes) -> None:
    with pytest.raises(DecodeError, match=r"[a-z]: the name .* occurs twice"):
        CODEC.decode(RESPONSE, text)


@pytest.mark.parametrize(
    "text", [b'{"term":1,"term":2}', b'{"term":"1","term":"1"}', b'{"vote_granted":true,"vote_granted":true}']
)
def test_a_name_that_occurs_twice_is_refused_also_where_another_is_absent(text: bytes) -> None:
    """There are just as many colons as in a message that is whole."""
    with pytest.raises(DecodeError, match=r"[a-z]: the name .* occurs twice"):
        CODEC.decode(MessageKind.REQUEST_VOTE_RESPONSE, text)


@pytest.mark.parametrize(
    "member",
    [
        '{"id":"n","id":"n"}',
        '{"id":"n"},{"id":"m","new":1,"n\\u0065w":1}',
        '{"id":"n"}]},"membership":{"members":[{"id":"n"}',
    ],
)
def test_a_name_that_occurs_twice_in_a_record_is_refused(member: str) -> None:
    with pytest.raises(DecodeError, match=r"[a-z]: the name .* occurs twice"):
        CODEC.decode(SNAPSHOT, snapshot_of(member))


@pytest.mark.parametrize(
    "text",
    [
        '{"command":"eA==","command":"eQ==","session_id":0,"sequence":0}',
        '{"command":"eA==","session_id":1,"sequence":1,"sequence":2}',
        # As many colons as there are fields, and the end of a name that looks like the field which is not there.
        '{"command":"eA==","command":"eQ==","session_id":0,"a\\"sequence":1}',
        '{"command":"eA==","session_id":1,"session_id":1,"sequence":1,"a\\"first_unanswered":1}',
    ],
)
def test_a_name_that_occurs_twice_in_a_proposal_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match=r"[a-z]: the name .* occurs twice"):
        CODEC.decode(MessageKind.PROPOSE_REQUEST, text.encode())


def test_a_proposal_of_an_older_client_is_read() -> None:
    assert CODEC.decode(MessageKind.PROPOSE_REQUEST, b'{"command":"eA=="}') == ProposeRequest(command=b"x")


@pytest.mark.parametrize("entries", ["", '{"term":6,"kind":1,"data":"eA=="}'], ids=["a heartbeat", "an entry"])
@pytest.mark.parametrize(
    "more",
    [
        ',"quiesce":true,"quiesce":true',
        ',"quiesce":true,"quiesc\\u0065":true',
        ',"entries":[],"quiesce":true',
        # As many colons as there are fields, whether the newest is there or not.
        ',"leader_commit":0',
        ',"leader_commit":0,"a\\"quiesce":true',
    ],
)
def test_a_name_that_occurs_twice_beside_the_entries_is_refused(entries: str, more: str) -> None:
    text = append_entries(entries)[:-1] + more.encode() + b"}"
    with pytest.raises(DecodeError, match=r"[a-z]: the name .* occurs twice"):
        CODEC.decode(APPEND, text)


@pytest.mark.parametrize("entries", [[], [Entry(6, 1, b"x")] * 64], ids=["a heartbeat", "entries"])
def test_a_batch_of_an_older_leader_does_not_ask_to_quiesce(entries: list[Entry]) -> None:
    message = AppendEntriesRequest(
        term=7, leader_id="n1", prev_log_index=4, prev_log_term=6, leader_commit=4, entries=entries
    )
    older = CODEC.encode(message).replace(b',"quiesce":false', b"")
    assert CODEC.decode(APPEND, older) == message


def test_one_name_may_occur_in_several_objects() -> None:
    text = b'{"new":{"term":{"term":[{"term":1},{"term":2}]}},"term":1}'
    assert CODEC.decode(RESPONSE, text) == AppendEntriesResponse(term=1, success=False)


def test_names_and_texts_of_unknown_fields_have_bounds() -> None:
    with pytest.raises(DecodeError, match="a name of 1025 bytes"):
        CODEC.decode(RESPONSE, b'{"%s":1}' % (b"a" * 1_025))
    with pytest.raises(DecodeError, match="more unknown fields"):
        CODEC.decode(RESPONSE, b'{"new":[%s""]}' % (b'"",' * 16_384))
    assert CODEC.decode(RESPONSE, b'{"%s":[%s0]}' % (b"a" * 1_024, b"0," * 100_000)) is not None


@pytest.mark.parametrize(
    "entries",
    [
        '{"term":1,"kind":1,"data":"","data":"eA=="}',
        '{"term":"1","kind":1,"data":"","data":"eA=="}',
        '{"term":"1","kind":1,"kind":1}',
        '{"term":1,"kind":1,"data":""},{"term":1,"kind":1,"kind":1,"data":""}',
        '{"term":1,"kind":1,"data":""}],"entries":[',
    ],
)
def test_a_name_that_occurs_twice_in_a_batch_is_refused(entries: str) -> None:
    with pytest.raises(DecodeError, match=r"[a-z]: the name .* occurs twice"):
        CODEC.decode(APPEND, append_entries(entries))


@pytest.mark.parametrize(
    "value", ["_-8A", "/+8", "/+8A\\n", " /+8A", "A", "A===", "====", "é===", "%%%%", "/+8A=", "AB=="]
)
def test_bytes_in_other_than_padded_standard_base64_are_refused(value: str) -> None:
    text = f'{{"command":"{value}"}}'.encode()
    if value == "AB==":
        # Its last bits are not zero; every common reader drops them, so this one spelling is let through.
        assert CODEC.decode(MessageKind.PROPOSE_REQUEST, text) == ProposeRequest(command=b"\x00")
        return
    with pytest.raises(DecodeError, match="command"):
        CODEC.decode(MessageKind.PROPOSE_REQUEST, text)


@pytest.mark.parametrize("value", [b'"\\ud800"', b'"\xff"', b'"\xed\xa0\x80"', b'"a\x00"', b'"\\u0000"', b"1", b"null"])
def test_what_is_no_id_in_utf8_is_refused_as_a_candidate(value: bytes) -> None:
    text = b'{"term":1,"candidate_id":%s,"last_log_index":0,"last_log_term":0}' % value
    with pytest.raises(DecodeError, match="RequestVoteRequest"):
        CODEC.decode(MessageKind.REQUEST_VOTE_REQUEST, text)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b" ", b"null", b"[]", b"1", b'"{}"', b"{", b"{}{}", b"\xef\xbb\xbf{}"),
        *(b'{"term":1,"success":true}x', b'{"term":1,"success":true}{}', b'{"term":1,"success":true,}'),
        *(b'{"term":1,"success":1}', b'{"term":1,"success":"true"}', b'{"term":1,"success":true,"new":NaN}'),
        *(b'{"term":1,"success":true,"new":"\xff"}', b'{"term":1,"success":true,"\xff":1}'),
        *(b'{"term":1,"success":true,"new":"\xed\xa0\x80"}', b'{"term":1,"success":true,"new":"\\ud800"}'),
        '{"term":1,"success":true}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_message_is_refused(text: bytes) -> None:
    with pytest.raises(DecodeError, match="AppendEntriesResponse"):
        CODEC.decode(RESPONSE, text)


@pytest.mark.parametrize("depth", [900, 5_000, 100_000])
@pytest.mark.parametrize("bracket", ["[]", "{}"])
def test_deep_nesting_is_a_decode_error_and_leaves_the_stack_intact(depth: int, bracket: str) -> None:
    opening = bracket[0] if bracket == "[]" else '{"a":'
    nested = opening * depth + "0" + bracket[1] * depth
    with pytest.raises(DecodeError):
        CODEC.decode(RESPONSE, f'{{"term":{nested},"success":true}}'.encode())
    if depth >= 5_000:
        with pytest.raises(DecodeError, match="recursion"):
            CODEC.decode(RESPONSE, f'{{"term":1,"success":true,"new":{nested}}}'.encode())


def test_an_error_names_the_field_and_stays_short() -> None:
    with pytest.raises(DecodeError, match=r"entries\[1\]\.kind"):
        CODEC.decode(
            APPEND,
            append_entries('{"term":1,"kind":1,"data":""},{"term":1,"kind":"x","data":""}'),
        )
    with pytest.raises(DecodeError) as caught:
        CODEC.decode(MessageKind.QUERY_REQUEST, b'{"query":"","consistency":"%s"}' % (b"a" * MIB))
    assert len(str(caught.value)) < 400


# -- what hostile text costs


def filled(before: str, item: str, after: str) -> bytes:
    """A megabyte of `item`."""
    room = MIB - len(before.encode()) - len(after.encode())
    return (before + item * (room // len(item.encode())) + after).encode()


def batch(entry: str) -> bytes:
    return append_entries(",".join([entry] * MAX_ENTRIES))


SIXTEEN_ADDRESSES = ",".join(['"ab"'] * MAX_ADDRESSES)
PEER = (
    f'{{"node_id":"n2","addresses":[{SIXTEEN_ADDRESSES}],"state":"","match_index":0,"next_index":0,'
    '"outstanding_calls":0,"connected":true,"codec":"","transport":""}'
)
PEERS = (
    '{"node_id":"n1","cluster_id":"","role":"","term":0,"leader_id":"","last_log_index":0,"durable_index":0,'
    '"commit_index":0,"applied_index":0,"peers":['
)
MEMBERS = snapshot_of("").decode()[:-3]
ADDRESSES = '{"code":"","leader_addresses":['
NEW = '{"term":1,"success":true,"new":'
HOSTILE = {
    "empty entries": (APPEND, filled(append_entries("")[:-2].decode(), "{},", "{}]}")),
    "entries of a term": (APPEND, filled(append_entries("")[:-2].decode(), '{"term":"300"},', '{"term":1}]}')),
    "smallest entries": (
        APPEND,
        filled(append_entries("")[:-2].decode(), '{"term":1,"kind":1,"data":""},', '{"term":1,"kind":1,"data":""}]}'),
    ),
    "dearest entries": (
        APPEND,
        filled(append_entries("")[:-2].decode(), '{"term":300,"kind":300,"data":"QUE="},', "{}]}"),
    ),
    "empty lists in an unknown field": (RESPONSE, filled(NEW + "[", "[],", "[]]}")),
    "empty objects in an unknown field": (RESPONSE, filled(NEW + "[", "{},", "{}]}")),
    "numbers in an unknown field": (RESPONSE, filled(NEW + "[", "257,", "1]}")),
    "texts in an unknown field": (RESPONSE, filled(NEW + "[", '"ab",', '""]}')),
    "unknown fields": (RESPONSE, filled('{"term":1,"success":true', ',"ab":[]', "}")),
    "colons in an unknown text": (RESPONSE, filled(NEW + '"', ":", '"}')),
    "a long name": (RESPONSE, filled('{"success":true,"', "a", '":1}')),
    "a long name with escapes": (RESPONSE, filled('{"success":true,"', "\\u00e9", '":1}')),
    "a long name with a wide letter": (RESPONSE, filled('{"success":true,"\U0001f98b', "a", '":1}')),
    "a long text with a wide letter": (MessageKind.ERROR, filled('{"code":"\U0001f98b', "a", '"}')),
    "a long text with an escaped wide letter": (MessageKind.ERROR, filled('{"code":"\\ud83e\\udd8b', "a", '"}')),
    "a long id with a wide letter": (APPEND, filled('{"leader_id":"\U0001f98b', "a", '"}')),
    "long texts with wide letters": (MessageKind.ERROR, filled(ADDRESSES, f'"{"a" * 65_000}\U0001f98b",', '""]}')),
    "texts before a wide letter": (RESPONSE, filled(NEW + "[", '"",', '"\U0001f98b"]}')),
    "one term many times": (RESPONSE, filled('{"term":1,"success":true', ',"term":1', "}")),
    "quoted terms": (RESPONSE, filled('{"term":"1","success":true', ',"term":"1"', "}")),
    "names of which the last occurs twice": (
        RESPONSE,
        b"{" + b",".join(b'"%d":0' % (number % 8_000) for number in range(8_001)) + b"}",
    ),
    "addresses": (MessageKind.ERROR, filled(ADDRESSES, '"ab",', '"ab"]}')),
    "spaced addresses": (MessageKind.ERROR, filled(ADDRESSES, '"\\"" , ', '"ab"]}')),
    "opening brackets in a text": (MessageKind.ERROR, filled('{"code":"', '[\\"a\\",', '"}')),
    "peers": (STATUS, filled(PEERS, PEER + ",", PEER + "]}")),
    "empty peers": (STATUS, filled(PEERS, "{},", "{}]}")),
    "as many empty peers as are looked at": (STATUS, (PEERS + ",".join(["{}"] * 4_100) + "]}").encode()),
    "members": (SNAPSHOT, filled(MEMBERS, '{"id":"ab"},', "{}]}}")),
    "empty members": (SNAPSHOT, filled(MEMBERS, "{},", "{}]}}")),
    "addresses of a member": (SNAPSHOT, filled(MEMBERS + '{"addresses":[', '"ab",', '""]}]}}')),
    "digits": (RESPONSE, filled('{"success":true,"term":', "9", "}")),
    "quoted digits": (RESPONSE, filled('{"success":true,"term":"', "9", '"}')),
    "spaces": (RESPONSE, filled('{"success":true,"term"', " ", ':"1"}')),
    "opening brackets": (RESPONSE, filled('{"success":true,"term":', "[", "")),
    "backslashes": (MessageKind.ERROR, filled('{"code":"', "\\\\", '"}')),
    "a long text": (MessageKind.ERROR, filled('{"code":"', "ab", '"}')),
    "a long text in Latin-1": (MessageKind.ERROR, filled('{"code":"é', "a", '"}')),
    "escaped backslashes and letters beside a wide one": (
        MessageKind.ERROR,
        filled('{"code":"\U0001f98b', "\\\\u", '"}'),
    ),
}
MOST = {
    "entries": (APPEND, batch('{"term":300,"kind":300,"data":"QUE="}')),
    "entries with quoted integers": (APPEND, batch('{"term":"300","kind":"300","data":"QUE="}')),
    "entries of which all but a term is absent": (APPEND, batch('{"term":"300"}')),
    "a command": (MessageKind.PROPOSE_REQUEST, filled('{"command":"', "AAAA", '"}')),
    "a command with slashes escaped": (MessageKind.PROPOSE_REQUEST, filled('{"command":"', "\\/\\/\\/\\/", '"}')),
    "as long a text as may be": (MessageKind.ERROR, b'{"code":"%b"}' % (b"ab" * (MAX_TEXT_BYTES // 2))),
}


@pytest.mark.parametrize("name", HOSTILE | MOST)
def test_a_megabyte_of_anything_costs_at_most_four_of_memory_and_one(name: str) -> None:
    kind, text = (HOSTILE | MOST)[name]
    tracemalloc.start()
    try:
        outcome = decoded_or_refused(kind, memoryview(text))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 4 * len(text) + MIB, f"{peak / len(text):.1f} × the input, {outcome}"


@pytest.mark.parametrize("name", MOST)
def test_the_most_that_a_message_may_hold_is_read(name: str) -> None:
    assert decoded_or_refused(*MOST[name]) is not None


@pytest.mark.parametrize("name", HOSTILE | MOST)
def test_a_megabyte_of_anything_is_read_or_refused_in_no_time(name: str) -> None:
    started = time.process_time()
    decoded_or_refused(*(HOSTILE | MOST)[name])
    assert time.process_time() - started < A_HANG_S


def decoded_or_refused(kind: MessageKind, text: bytes | memoryview) -> Message | None:
    try:
        return CODEC.decode(kind, text)
    except DecodeError:
        return None


def test_mutated_messages_are_refused_or_honest() -> None:
    chance = Random(12)
    messages = [(MESSAGE_KINDS[type(message)], message) for message in codec_suite.sample_messages()]
    corpus = [(kind, CODEC.encode(message)) for kind, message in messages]
    corpus += [(kind, json.dumps(without_zeros(plain(fields(message)))).encode()) for kind, message in messages]
    for _ in range(FUZZED_INPUTS):
        kind, text = chance.choice(corpus)
        mutant = bytearray(text)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(mutant) + 1)
            mutant[place : place + chance.randint(0, 3)] = chance.choice(TOKENS)
        message = decoded_or_refused(kind, bytes(mutant))
        if message is not None:
            check(message)
            assert CODEC.decode(kind, CODEC.encode(message)) == message


TOKENS = [
    *(b"", b" ", b"0", b"9", b"-", b".", b"e9", b'"', b"\\", b"\\u0000", b"[", b"]", b"{", b"}", b",", b":", b"null"),
    *(b"true", b'"term":', b'"":1,', b'"1"', b"\xff", b"\xc3\xa9", b"9223372036854775808", b"\x00", b"\n"),
]
