"""The JSON codec keeps the contract of every codec, and the promises that only JSON can break."""

import base64
import json
import tracemalloc
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftsdk_json import JsonCodec

from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MESSAGE_KINDS,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    Message,
    MessageKind,
    ProposeRequest,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusRequest,
)
from raftsdk.ports import Codec
from raftsdk.testing import codec_suite
from raftsdk.testing.suite import Case
from raftsdk.types import Entry

CODEC = JsonCodec()
MIB = 1024 * 1024
RESPONSE = MessageKind.APPEND_ENTRIES_RESPONSE


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
    (ProposeRequest(command=b"\xff\xef\x00"), b'{"command":"/+8A"}'),
    (RequestVoteResponse(term=2**53 - 1, vote_granted=False), b'{"term":9007199254740991,"vote_granted":false}'),
    (RequestVoteResponse(term=2**53, vote_granted=True), b'{"term":"9007199254740992","vote_granted":true}'),
    (
        RequestVoteRequest(term=7, candidate_id="n1", last_log_index=2**63 - 1, last_log_term=6, pre_vote=True),
        b'{"term":7,"candidate_id":"n1","last_log_index":"9223372036854775807","last_log_term":6,"pre_vote":true}',
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
        b'{"term":6,"kind":"9007199254740992","data":""},{"term":7,"kind":1,"data":"eA=="}]}',
    ),
    (
        ErrorResponse(code="not_leader", message='é"\n', leader_id="n2", leader_addresses=["tcp://h:1"]),
        '{"code":"not_leader","message":"é\\"\\n","leader_id":"n2","leader_addresses":["tcp://h:1"],'
        '"retry_after_ms":0}'.encode(),
    ),
]


@pytest.mark.parametrize(("message", "text"), GOLDEN, ids=lambda value: type(value).__name__)
def test_a_message_is_written_as_these_bytes_for_ever(message: Message, text: bytes) -> None:
    assert CODEC.encode(message) == text
    assert CODEC.decode(MESSAGE_KINDS[type(message)], text) == message


@pytest.mark.parametrize("message", codec_suite.sample_messages(), ids=lambda message: type(message).__name__)
def test_the_standard_library_reads_the_same_values(message: Message) -> None:
    assert plain(json.loads(CODEC.encode(message))) == plain(fields(message))


def fields(value: Any) -> Any:
    """A message as the plain values its JSON should have, integers as text."""
    if isinstance(value, list):
        return [fields(item) for item in value]
    if hasattr(value, "__struct_fields__"):
        return {name: fields(getattr(value, name)) for name in value.__struct_fields__}
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


def test_unknown_fields_are_ignored_and_missing_ones_get_their_default() -> None:
    text = b'{"new":{"term":"x","list":[1.5,null,{"term":2}]},"term":1,"success":true,"newer":":,\\"term\\":"}'
    assert CODEC.decode(RESPONSE, text) == AppendEntriesResponse(term=1, success=True)


def test_unknown_fields_of_entries_are_ignored() -> None:
    entries = [Entry(1, 1, b"abc")] * 4_000
    message = AppendEntriesRequest(
        term=1, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=entries
    )
    text = CODEC.encode(message).replace(b'"kind":1', b'"new":[0],"kind":1')
    assert CODEC.decode(MessageKind.APPEND_ENTRIES_REQUEST, text) == message


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
        CODEC.decode(MessageKind.APPEND_ENTRIES_REQUEST, append_entries(entry))


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
    with pytest.raises(DecodeError, match="twice"):
        CODEC.decode(RESPONSE, text)


@pytest.mark.parametrize(
    "entries",
    [
        '{"term":1,"kind":1,"data":"","data":"eA=="}',
        '{"term":1,"kind":1,"data":""},{"term":1,"kind":1,"kind":1,"data":""}',
        '{"term":1,"kind":1,"data":""}],"entries":[',
    ],
)
def test_a_name_that_occurs_twice_in_a_batch_is_refused(entries: str) -> None:
    with pytest.raises(DecodeError, match="twice"):
        CODEC.decode(MessageKind.APPEND_ENTRIES_REQUEST, append_entries(entries))


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
        *(b"", b" ", b"null", b"[]", b"1", b'"{}"', b"{", b"{}", b"{}{}", b"\xef\xbb\xbf{}"),
        *(b'{"term":1,"success":true}x', b'{"term":1,"success":true}{}', b'{"term":1,"success":true,}'),
        *(b'{"term":1,"success":1}', b'{"term":1,"success":"true"}', b'{"term":1,"success":true,"new":NaN}'),
        *(b'{"term":1,"success":true,"new":"\xff"}', b'{"term":1,"success":true,"\xff":1}'),
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
            MessageKind.APPEND_ENTRIES_REQUEST,
            append_entries('{"term":1,"kind":1,"data":""},{"term":1,"kind":"x","data":""}'),
        )
    with pytest.raises(DecodeError) as caught:
        CODEC.decode(MessageKind.QUERY_REQUEST, b'{"query":"","consistency":"%s"}' % (b"a" * MIB))
    assert len(str(caught.value)) < 400


def filled(before: str, item: str, after: str) -> bytes:
    """A megabyte of `item`."""
    return (before + item * ((MIB - len(before) - len(after)) // len(item)) + after).encode()


HOSTILE = {
    "empty entries": (
        MessageKind.APPEND_ENTRIES_REQUEST,
        filled(append_entries("")[:-2].decode(), '{"term":1,"kind":1,"data":""},', '{"term":1,"kind":1,"data":""}]}'),
    ),
    "small entries": (
        MessageKind.APPEND_ENTRIES_REQUEST,
        filled(
            append_entries("")[:-2].decode(),
            '{"term":300,"kind":300,"data":"QUE="},',
            '{"term":300,"kind":300,"data":"QUE="}]}',
        ),
    ),
    "empty lists in an unknown field": (RESPONSE, filled('{"term":1,"success":true,"new":[', "[],", "[]]}")),
    "numbers in an unknown field": (RESPONSE, filled('{"term":1,"success":true,"new":[', "257,", "1]}")),
    "texts in an unknown field": (RESPONSE, filled('{"term":1,"success":true,"new":[', '"ab",', '""]}')),
    "unknown fields": (RESPONSE, filled('{"term":1,"success":true', ',"ab":[]', "}")),
    "colons in an unknown text": (RESPONSE, filled('{"term":1,"success":true,"new":"', ":", '"}')),
    "one term many times": (RESPONSE, filled('{"term":1,"success":true', ',"term":1', "}")),
    "quoted terms": (RESPONSE, filled('{"term":"1","success":true', ',"term":"1"', "}")),
    "addresses": (MessageKind.ERROR, filled('{"code":"","leader_addresses":[', '"ab",', '"ab"]}')),
    "spaced addresses": (MessageKind.ERROR, filled('{"code":"","leader_addresses":[', '"\\"" , ', '"ab"]}')),
    "opening brackets in a text": (MessageKind.ERROR, filled('{"code":"', '[\\"a\\",', '"}')),
    "digits": (RESPONSE, filled('{"success":true,"term":', "9", "}")),
    "quoted digits": (RESPONSE, filled('{"success":true,"term":"', "9", '"}')),
    "spaces": (RESPONSE, filled('{"success":true,"term"', " ", ':"1"}')),
    "opening brackets": (RESPONSE, filled('{"success":true,"term":', "[", "")),
    "backslashes": (MessageKind.ERROR, filled('{"code":"', "\\\\", '"}')),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_hostile_json_costs_at_most_four_of_memory_and_one(name: str) -> None:
    kind, text = HOSTILE[name]
    tracemalloc.start()
    try:
        outcome = decoded_or_refused(kind, text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 4 * len(text) + MIB, f"{peak / len(text):.1f} × the input, {outcome}"


def decoded_or_refused(kind: MessageKind, text: bytes) -> Message | None:
    try:
        return CODEC.decode(kind, text)
    except DecodeError:
        return None
