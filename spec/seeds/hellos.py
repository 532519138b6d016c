"""Hellos, the terms of the node they reach, and what it answers."""

import json
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct


class Seed(Struct, frozen=True):
    """A hello, as text, to a node with these terms. The answer is what our own negotiation makes of it."""

    name: str
    clause: str
    node: dict[str, Any]
    hello: str


NODE: Final[dict[str, Any]] = {
    "cluster_id": "orders",
    "node_id": "n1",
    "codecs": ["msgpack", "json"],
    "max_frame_bytes": 8_388_608,
    "idle_timeout_ms": 60_000,
    "protocol": {"min": 1, "max": 1},
    "features": [],
}

PEER: Final[dict[str, Any]] = {
    "protocol": {"min": 1, "max": 1},
    "role": "peer",
    "codecs": ["msgpack", "json"],
    "max_frame_bytes": 8_388_608,
    "cluster_id": "orders",
    "node_id": "n2",
    "target_id": "n1",
    "compression": [],
    "features": [],
}

CLIENT: Final[dict[str, Any]] = {
    "protocol": {"min": 1, "max": 1},
    "role": "client",
    "codecs": ["json"],
    "max_frame_bytes": 8_388_608,
}


def _text(hello: dict[str, Any]) -> str:
    return json.dumps(hello, separators=(",", ":"))


def _said(name: str, clause: str, hello: dict[str, Any], **terms: Any) -> Seed:
    return Seed(name, clause, NODE | terms, _text(hello))


def seeds() -> Iterator[Seed]:
    """All of them."""
    yield from _accepted()
    yield from _refused()
    yield from _violations()


def _accepted() -> Iterator[Seed]:
    yield _said("a peer", "4.3", PEER)
    yield _said("a client that knows nobody", "4.2", CLIENT)
    yield _said(
        "a client that names everybody", "4.2", CLIENT | {"cluster_id": "orders", "node_id": "me", "target_id": "n1"}
    )
    yield _said("a client with the node's own id", "6.4", CLIENT | {"node_id": "n1"})
    yield _said("unknown fields", "4.6", PEER | {"zone": "a", "since": {"deep": [[1.5, None]]}})
    yield Seed("blanks, escapes and another order", "4.2", NODE, json.dumps(dict(reversed(PEER.items())), indent=2))
    for theirs, ours in (
        (["json", "msgpack"], ["msgpack", "json"]),
        (["json"], ["msgpack", "protobuf", "json"]),
        (["protobuf", "msgpack", "json"], ["json", "msgpack", "protobuf"]),
        (["msgpack", "protobuf", "json"], ["protobuf", "json", "msgpack"]),
        (["capnp", "flatbuffers", "json"], ["flatbuffers", "capnp", "json"]),
        (["x-their-own", "json"], ["json"]),
    ):
        name = f"codecs {' '.join(theirs)} to {' '.join(ours)}"
        yield _said(name, "5.2", PEER | {"codecs": theirs}, codecs=ours)
    for (low, high), (our_low, our_high) in (((1, 3), (1, 2)), ((2, 5), (1, 9)), ((1, 4), (4, 6))):
        yield _said(
            f"versions {low} to {high} to {our_low} to {our_high}",
            "5.1",
            PEER | {"protocol": {"min": low, "max": high}},
            protocol={"min": our_low, "max": our_high},
        )
    yield _said("a smaller frame limit", "5.4", PEER | {"max_frame_bytes": 1_000_000})
    yield _said("a larger frame limit", "5.4", PEER | {"max_frame_bytes": 2**32 - 1})
    yield _said("features both have", "5.5", PEER | {"features": ["b", "c"]}, features=["a", "b"])
    yield _said("a compression that nobody here has", "5.3", PEER | {"compression": ["zstd"]})
    yield _said("ids of 128 characters", "6.1", PEER | {"node_id": "n" * 128})


def _refused() -> Iterator[Seed]:
    yield _said("versions above ours", "5.1", PEER | {"protocol": {"min": 2, "max": 3}})
    yield _said("versions below ours", "5.1", PEER | {"protocol": {"min": 0, "max": 0}})
    yield _said("versions the wrong way round", "5.1", PEER | {"protocol": {"min": 9, "max": 1}})
    yield _said("another cluster", "6.2", PEER | {"cluster_id": "stock"})
    yield _said("a client of another cluster", "6.2", CLIENT | {"cluster_id": "stock"})
    yield _said("another target", "6.3", PEER | {"target_id": "n3"})
    yield _said("a client that looks for another", "6.3", CLIENT | {"target_id": "n3"})
    yield _said("the node's own id", "6.4", PEER | {"node_id": "n1"})
    yield _said("no codec in common", "5.2", PEER | {"codecs": ["capnp"]})
    yield _said("no codec at all", "5.2", PEER | {"codecs": []})
    for field in ("cluster_id", "node_id", "target_id"):
        yield _said(f"a peer without {field}", "4.2", PEER | {field: ""})
    for name, value in {
        "a path": "../n2",
        "a blank": "n 2",
        "a line break": "n2\n",
        "a letter beyond ASCII": "ñ2",
    }.items():
        yield _said(f"an id with {name}", "6.1", PEER | {"node_id": value})
    yield _said("a client's id with a path", "6.1", CLIENT | {"node_id": "../n2"})
    yield _said(
        "several reasons: the version comes first", "4.4", PEER | {"protocol": {"min": 9, "max": 9}, "cluster_id": "x"}
    )


def _violations() -> Iterator[Seed]:
    for name, text in {
        "nothing": "",
        "no JSON": "hello",
        "a list": "[]",
        "no fields": "{}",
        "cut short": _text(PEER)[:-1],
        "text behind it": _text(PEER) + "!",
        "deep nesting": '{"x":' + "[" * 10_000,
        "a lone surrogate": _text(PEER | {"node_id": "\ud800"}),
    }.items():
        yield Seed(name, "4.2", NODE, text)
    changes: dict[str, dict[str, Any]] = {
        "an unknown role": {"role": "spectator"},
        "a version that is no integer": {"protocol": {"min": 1.5, "max": 2}},
        "a version that is a boolean": {"protocol": {"min": True, "max": 1}},
        "a version below zero": {"protocol": {"min": -1, "max": 1}},
        "a version above 255": {"protocol": {"min": 1, "max": 256}},
        "no version": {"protocol": None},
        "codecs that are no list": {"codecs": "json"},
        "17 codecs": {"codecs": ["json"] * 17},
        "a codec's name of 33 letters": {"codecs": ["j" * 33]},
        "a codec's name in upper case": {"codecs": ["JSON"]},
        "a codec's name with a line break": {"codecs": ["json\n"]},
        "an id of 129 characters": {"node_id": "n" * 129},
        "an id that is a number": {"node_id": 2},
        "a frame limit of zero": {"max_frame_bytes": 0},
        "a frame limit of 2^32": {"max_frame_bytes": 2**32},
        "17 features": {"features": ["f"] * 17},
    }
    for name, change in changes.items():
        yield _said(name, "4.2", PEER | change)
    for field in ("protocol", "role", "codecs", "max_frame_bytes"):
        yield _said(f"without {field}", "4.2", {name: value for name, value in PEER.items() if name != field})
