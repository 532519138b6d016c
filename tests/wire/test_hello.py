"""The hello and its answer, without a connection."""

import re
from typing import Any

import msgspec
import pytest

from raftsdk.errors import Refused, WireError
from raftsdk.types import Identity
from raftsdk.wire.hello import (
    Hello,
    HelloAccepted,
    HelloRefused,
    ProtocolRange,
    Terms,
    accepted,
    check_certificate,
    decode_answer,
    decode_hello,
    encode_hello,
    make_hello,
    negotiate,
)


def terms(node_id: str = "n1", codecs: tuple[str, ...] = ("json", "msgpack"), **changes: Any) -> Terms:
    defaults: dict[str, Any] = {
        "identity": Identity(cluster_id="c", node_id=node_id),
        "codecs": codecs,
        "max_frame_bytes": 1000,
        "idle_timeout_ms": 60_000,
    }
    return Terms(**defaults | changes)


def said(**changes: Any) -> Hello:
    """The hello of n2 to n1, with changes."""
    return msgspec.structs.replace(make_hello(terms("n2"), "peer", "n1"), **changes)


def agreed(hello: Hello, mine: Terms) -> HelloAccepted:
    answer = negotiate(hello, mine)
    assert isinstance(answer, HelloAccepted), answer
    return answer


def refused(hello: Hello, mine: Terms) -> HelloRefused:
    answer = negotiate(hello, mine)
    assert isinstance(answer, HelloRefused), answer
    return answer


# -- what is chosen


@pytest.mark.parametrize(
    ("dialer", "listener", "chosen"),
    [
        ("json msgpack", "json msgpack", "json"),
        ("msgpack json", "msgpack json", "msgpack"),
        ("json msgpack", "msgpack json", "msgpack"),  # a tie: the listener's favourite
        ("msgpack json", "json msgpack", "json"),
        ("protobuf msgpack json", "json msgpack protobuf", "json"),  # sums 2, 2, 2
        ("msgpack protobuf json", "protobuf json msgpack", "protobuf"),  # sums 1 + 0, 2 + 1, 0 + 2
        ("json", "msgpack protobuf json", "json"),
        ("capnp json", "flatbuffers json", "json"),
        ("msgpack msgpack json", "json msgpack", "msgpack"),  # said twice: the first place counts
    ],
)
def test_the_codec_is_the_one_both_like_best(dialer: str, listener: str, chosen: str) -> None:
    assert agreed(said(codecs=dialer.split()), terms(codecs=tuple(listener.split()))).codec == chosen


@pytest.mark.parametrize(
    ("dialer", "listener", "version"),
    [((1, 1), (1, 1), 1), ((1, 3), (1, 2), 2), ((2, 5), (1, 9), 5), ((1, 4), (4, 6), 4)],
)
def test_the_version_is_the_highest_both_speak(
    dialer: tuple[int, int], listener: tuple[int, int], version: int
) -> None:
    mine = terms(protocol=ProtocolRange(*listener))
    assert agreed(said(protocol=ProtocolRange(*dialer)), mine).version == version


@pytest.mark.parametrize(("theirs", "ours", "chosen"), [(500, 1000, 500), (2000, 1000, 1000)])
def test_the_frame_limit_is_the_smaller_one(theirs: int, ours: int, chosen: int) -> None:
    assert agreed(said(max_frame_bytes=theirs), terms(max_frame_bytes=ours)).max_frame_bytes == chosen


def test_features_are_those_both_have_and_no_compression_is_chosen() -> None:
    answer = agreed(said(features=["b", "c"], compression=["zstd"]), terms(features=("a", "b")))
    assert (answer.features, answer.compression) == (["b"], "")


def test_the_answer_says_who_answers_and_how_long_a_dialer_may_be_silent() -> None:
    answer = agreed(said(), terms(idle_timeout_ms=7))
    assert (answer.cluster_id, answer.node_id, answer.idle_timeout_ms) == ("c", "n1", 7)


def test_a_client_needs_no_ids() -> None:
    agreed(said(role="client", cluster_id="", node_id="", target_id=""), terms())


def test_a_client_may_use_the_name_of_a_node_for_itself() -> None:
    agreed(said(role="client", node_id="n1"), terms())


def test_a_peer_that_no_configuration_names_is_let_in_because_membership_changes() -> None:
    agreed(said(node_id="n77"), terms())


# -- what is refused


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"protocol": ProtocolRange(2, 3)}, "version_mismatch", ["2 to 3", "1 to 1"]),
        ({"protocol": ProtocolRange(0, 0)}, "version_mismatch", ["0 to 0", "1 to 1"]),
        ({"protocol": ProtocolRange(9, 1)}, "version_mismatch", ["9 to 1"]),
        ({"cluster_id": "d"}, "wrong_cluster", ["cluster d", "to c"]),
        ({"role": "client", "cluster_id": "d"}, "wrong_cluster", ["cluster d"]),
        ({"node_id": "n1"}, "own_id", ["n1"]),
        ({"target_id": "n3"}, "wrong_target", ["n3", "n1"]),
        ({"role": "client", "target_id": "n3"}, "wrong_target", ["n3"]),
        ({"node_id": ""}, "bad_hello", ["node_id"]),
        ({"target_id": ""}, "bad_hello", ["target_id"]),
        ({"cluster_id": ""}, "bad_hello", ["cluster_id"]),
        ({"node_id": "../etc/passwd"}, "bad_hello", ["node_id"]),
        ({"role": "client", "node_id": "a\nb"}, "bad_hello", ["node_id"]),
        ({"codecs": ["capnp", "flatbuffers"]}, "no_common_codec", ["capnp, flatbuffers", "json, msgpack"]),
        ({"codecs": []}, "no_common_codec", ["none", "json, msgpack"]),
    ],
)
def test_a_hello_is_refused_with_a_reason_that_names_both_sides(
    changes: dict[str, Any], code: str, named: list[str]
) -> None:
    answer = refused(said(**changes), terms())
    assert answer.code == code
    assert [part for part in named if part not in answer.message] == []


def test_a_refusal_tells_which_versions_would_do() -> None:
    assert refused(said(protocol=ProtocolRange(7, 9)), terms()).protocol == ProtocolRange(1, 1)


def test_an_unwelcome_id_is_not_repeated_in_the_refusal() -> None:
    assert "passwd" not in refused(said(node_id="../etc/passwd"), terms()).message


# -- certificates


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, None),
        ({}, {"n2"}),
        ({}, {"host.example", "n2"}),
        ({"role": "client", "node_id": ""}, set()),
        ({"role": "client", "node_id": ""}, {"alice"}),
        ({"role": "client", "node_id": "alice"}, {"alice"}),
    ],
)
def test_whoever_has_proven_its_name_or_gives_none_as_a_client_is_let_in(
    changes: dict[str, Any], names: set[str] | None
) -> None:
    assert isinstance(
        negotiate(said(**changes), terms(), frozenset(names) if names is not None else None), HelloAccepted
    )


@pytest.mark.parametrize(
    ("changes", "names", "certified"),
    [
        ({}, set(), "nobody"),
        ({}, {"n3"}, "n3"),
        ({}, {"N2", "n2.example", "*"}, r"\*, N2, n2\.example"),
        ({"role": "client", "node_id": "alice"}, set(), "nobody"),
        ({"node_id": "n1"}, {"n2"}, "n2"),
        ({"cluster_id": "d", "target_id": "n9"}, {"n3"}, "n3"),
    ],
)
def test_whoever_has_not_is_refused_and_learns_nothing_else(
    changes: dict[str, Any], names: set[str], certified: str
) -> None:
    answer = negotiate(said(**changes), terms(), frozenset(names))
    assert isinstance(answer, HelloRefused)
    assert answer.code == "wrong_identity"
    assert re.fullmatch(
        f"you call yourself {said(**changes).node_id}; your certificate is that of {certified}", answer.message
    )


def test_a_dialer_checks_the_name_of_the_listener_only_where_names_are_proven() -> None:
    check_certificate("n1", None)
    check_certificate("n1", frozenset({"n1", "n1.example"}))
    for names in ({"n2"}, set()):
        with pytest.raises(WireError, match=r"n1 is expected, and the certificate is that of (n2|nobody)") as caught:
            check_certificate("n1", frozenset(names))
        assert caught.value.reason == "wrong_identity"


# -- bytes


def hello_bytes(**changes: Any) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(said()) | changes)


def test_a_hello_and_both_answers_survive_their_bytes() -> None:
    assert decode_hello(memoryview(encode_hello(said()))) == said()
    for answer in (agreed(said(), terms()), refused(said(cluster_id="d"), terms())):
        assert decode_answer(memoryview(encode_hello(answer))) == answer


def test_fields_that_a_newer_dialer_adds_are_ignored() -> None:
    assert decode_hello(memoryview(hello_bytes(zone="a", deep=[[1]]))) == said()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"x":' + b"[" * 16_000,
        b'{"role":"\xff"}',
        hello_bytes() + b"!",
        hello_bytes(role="spectator"),
        hello_bytes(protocol={"min": -1, "max": 1}),
        hello_bytes(protocol={"min": True, "max": 1}),
        hello_bytes(protocol={"min": 1.0, "max": 256}),
        hello_bytes(max_frame_bytes=0),
        hello_bytes(max_frame_bytes=2**32),
        hello_bytes(node_id="n" * 129),
        hello_bytes(codecs=["json"] * 17),
        hello_bytes(codecs=["j" * 33]),
        hello_bytes(codecs=["no\nlines"]),
        hello_bytes(codecs=["json\n"]),
        hello_bytes().replace(b'"role"', b'"role":"peer","role"'),
        hello_bytes(later=[{"deep": 1}]).replace(b'"deep"', b'"deep":0,"deep"'),
        hello_bytes(codecs="json"),
    ],
)
def test_what_is_no_hello_is_refused_and_nothing_else_is_raised(body: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode_hello(memoryview(body))
    assert caught.value.reason == "bad_hello"
    with pytest.raises(WireError) as caught:
        decode_answer(memoryview(body))
    assert caught.value.reason == "bad_answer"


# -- the dialer judges the answer


def test_an_answer_that_chose_from_the_offer_is_taken() -> None:
    answer = agreed(said(), terms())
    assert accepted(answer, said()) is answer


def test_a_refusal_raises_refused_with_its_code() -> None:
    with pytest.raises(Refused, match="wrong_cluster: you belong to cluster d"):
        accepted(refused(said(cluster_id="d"), terms()), said(cluster_id="d"))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"codec": "capnp"},
        {"max_frame_bytes": 1001},
        {"compression": "zstd"},
        {"features": ["groups"]},
        {"cluster_id": "d"},
        {"node_id": "n3"},
    ],
)
def test_an_answer_that_chose_what_was_not_offered_is_a_violation(changes: dict[str, Any]) -> None:
    answer = msgspec.structs.replace(agreed(said(), terms()), **changes)
    with pytest.raises(WireError) as caught:
        accepted(answer, said())
    assert caught.value.reason == "bad_answer"


def test_a_client_without_ids_takes_whoever_answers() -> None:
    hello = said(role="client", cluster_id="", node_id="", target_id="")
    assert accepted(agreed(hello, terms()), hello).node_id == "n1"
