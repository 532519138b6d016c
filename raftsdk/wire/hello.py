"""The hello: who speaks, and how both sides will speak from then on.

Whoever opens a connection sends one hello; whoever accepted it answers once, with one choice of everything or with a
named reason. Both are JSON, whatever codec follows, in a frame of version 1, whatever version follows: so two sides
that share nothing else still understand why.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from raftsdk.errors import Refused, WireError
from raftsdk.messages import ErrorCode
from raftsdk.types import Identity, NodeId, is_identifier

Role: TypeAlias = Literal["peer", "client"]

# What a stranger may make us read: short names from a small alphabet, and few of them.
_Name: TypeAlias = Annotated[str, Meta(max_length=32, pattern=r"^[a-z0-9][a-z0-9._-]*\Z")]
_Names: TypeAlias = Annotated[list[_Name], Meta(max_length=16)]
_Id: TypeAlias = Annotated[str, Meta(max_length=128)]
_U32: TypeAlias = Annotated[int, Meta(ge=1, le=2**32 - 1)]
_Version: TypeAlias = Annotated[int, Meta(ge=0, le=255)]

GROUPS: Final = "groups"
"""The feature of both sides that frames may be for other groups than 0."""

PACKING: Final = "packing"
"""The feature of both sides that a frame may hold several messages."""

FEATURES: Final = (GROUPS, PACKING)
"""Those this package has."""

_MAX_QUOTE_CHARS: Final = 300
_MAX_LISTED_NAMES: Final = 5


class ProtocolRange(Struct, frozen=True):
    """The versions of the wire a side speaks, both ends included."""

    min: _Version
    max: _Version


PROTOCOL: Final = ProtocolRange(min=1, max=1)


class Hello(Struct, frozen=True, kw_only=True):
    """What the dialer says first. Lists are in order of preference. A client may leave all three ids empty."""

    protocol: ProtocolRange
    role: Role
    codecs: _Names
    max_frame_bytes: _U32
    cluster_id: _Id = ""
    node_id: _Id = ""
    target_id: _Id = ""  #: The node the dialer believes it reached.
    compression: _Names = []
    features: _Names = []


class HelloAccepted(Struct, frozen=True, kw_only=True, tag_field="answer", tag="accepted"):
    """One of each, in force from the next frame on."""

    version: _Version
    codec: _Name
    max_frame_bytes: _U32  #: The longest body either side may send.
    cluster_id: _Id
    node_id: _Id
    idle_timeout_ms: _U32  #: A dialer that sends no frame for so long is closed; see `WireKind.KEEP_ALIVE`.
    compression: Annotated[str, Meta(max_length=32)] = ""
    features: _Names = []


class HelloRefused(Struct, frozen=True, kw_only=True, tag_field="answer", tag="refused"):
    """Why not. `protocol` is what the listener speaks, for the sake of `version_mismatch`."""

    code: Annotated[str, Meta(max_length=64)]
    message: Annotated[str, Meta(max_length=2048)] = ""
    protocol: ProtocolRange = PROTOCOL


HelloAnswer: TypeAlias = HelloAccepted | HelloRefused


class Terms(Struct, frozen=True, kw_only=True):
    """What this side brings to a negotiation."""

    identity: Identity
    codecs: tuple[str, ...]
    max_frame_bytes: int
    idle_timeout_ms: int
    protocol: ProtocolRange = PROTOCOL
    features: tuple[str, ...] = ()


_hello_decoder: Final = msgspec.json.Decoder(Hello)
_answer_decoder: Final[msgspec.json.Decoder[HelloAnswer]] = msgspec.json.Decoder(HelloAccepted | HelloRefused)
encode_hello: Final = msgspec.json.Encoder().encode


def decode_hello(body: memoryview) -> Hello:
    """The hello in `body`. Raises `WireError("bad_hello")`, and nothing else, whatever the bytes."""
    try:
        hello = _hello_decoder.decode(body)
        _refuse_repeated_names(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError("bad_hello", f"not a hello: {str(error)[:_MAX_QUOTE_CHARS]}") from None
    return hello


def decode_answer(body: memoryview) -> HelloAnswer:
    """The answer in `body`. Raises `WireError("bad_answer")`, and nothing else, whatever the bytes."""
    try:
        answer = _answer_decoder.decode(body)
        _refuse_repeated_names(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError("bad_answer", f"not an answer to a hello: {str(error)[:_MAX_QUOTE_CHARS]}") from None
    return answer


def _refuse_repeated_names(body: memoryview) -> None:
    """Raise `ValueError` for a name that occurs twice in one object: of two values the typed decoder takes the last in
    silence, and another implementation the first.
    """
    json.loads(bytes(body), object_pairs_hook=_refuse_repeated)


def _refuse_repeated(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice in one object")


# -- the listener's side


def negotiate(hello: Hello, mine: Terms, certified_names: frozenset[str] | None = None) -> HelloAnswer:
    """The listener's answer to `hello`: the highest common version, the codec both like best, the smaller frame limit.

    `certified_names` are those the dialer has proven (see `ports.Connection`); None leaves its word for who it is.

    >>> def terms(node_id, *codecs):
    ...     identity = Identity(cluster_id="c", node_id=node_id)
    ...     return Terms(identity=identity, codecs=codecs, max_frame_bytes=1024, idle_timeout_ms=60_000)
    >>> negotiate(make_hello(terms("n1", "json", "msgpack"), "peer", "n2"), terms("n2", "msgpack", "json")).codec
    'msgpack'
    """
    return _refusal(hello, mine, certified_names) or HelloAccepted(
        version=min(hello.protocol.max, mine.protocol.max),
        codec=_preferred(hello.codecs, mine.codecs),
        max_frame_bytes=min(hello.max_frame_bytes, mine.max_frame_bytes),
        cluster_id=mine.identity.cluster_id,
        node_id=mine.identity.node_id,
        idle_timeout_ms=mine.idle_timeout_ms,
        features=[feature for feature in mine.features if feature in hello.features],
    )


def _refusal(hello: Hello, mine: Terms, certified_names: frozenset[str] | None) -> HelloRefused | None:
    ours, theirs = mine.protocol, hello.protocol
    if max(ours.min, theirs.min) > min(ours.max, theirs.max):
        return HelloRefused(
            code="version_mismatch",
            message=f"you speak versions {theirs.min} to {theirs.max}, this node {ours.min} to {ours.max}",
            protocol=ours,
        )
    found = _identity_refusal(hello, mine.identity, certified_names)
    if found is None and not set(hello.codecs).intersection(mine.codecs):
        found = "no_common_codec", f"you speak {', '.join(hello.codecs) or 'none'}; this node {', '.join(mine.codecs)}"
    return HelloRefused(code=found[0], message=found[1], protocol=ours) if found else None


def _identity_refusal(hello: Hello, mine: Identity, certified_names: frozenset[str] | None) -> tuple[str, str] | None:
    for field in ("cluster_id", "node_id", "target_id"):
        value = getattr(hello, field)
        if not is_identifier(value) and (value or hello.role == "peer"):
            return "bad_hello", f"{field} is not an id (1 to 128 of letters, digits, '.', '_', '-')"
    if certified_names is not None and hello.node_id and hello.node_id not in certified_names:
        certified = listed(certified_names)
        return ErrorCode.WRONG_IDENTITY, f"you call yourself {hello.node_id}; your certificate is that of {certified}"
    if hello.cluster_id and hello.cluster_id != mine.cluster_id:
        return "wrong_cluster", f"you belong to cluster {hello.cluster_id}, this node to {mine.cluster_id}"
    if hello.target_id and hello.target_id != mine.node_id:
        return "wrong_target", f"you look for {hello.target_id}; this is {mine.node_id}: correct the address"
    if hello.role == "peer" and hello.node_id == mine.node_id:
        return "own_id", f"you call yourself {hello.node_id}, and so does this node: give every node its own id"
    return None


def _preferred(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """The common name with the lowest sum of places in both lists; of equals, the one we prefer."""
    return min((name for name in ours if name in theirs), key=lambda name: ours.index(name) + theirs.index(name))


def listed(names: frozenset[str]) -> str:
    """Names from a certificate as a sentence may have them: not all, if somebody was certified as a hundred."""
    return ", ".join(sorted(names)[:_MAX_LISTED_NAMES])[:_MAX_QUOTE_CHARS] or "nobody"


# -- the dialer's side


def check_certificate(node_id: NodeId, certified_names: frozenset[str] | None) -> None:
    """Raise `WireError("wrong_identity")` when the listener has proven names, and `node_id` is not among them."""
    if certified_names is not None and node_id not in certified_names:
        raise WireError(
            ErrorCode.WRONG_IDENTITY, f"{node_id} is expected, and the certificate is that of {listed(certified_names)}"
        )


def make_hello(mine: Terms, role: Role, target_id: str) -> Hello:
    """What to say to `target_id` ("" when any node will do)."""
    return Hello(
        protocol=mine.protocol,
        role=role,
        codecs=list(mine.codecs),
        max_frame_bytes=mine.max_frame_bytes,
        cluster_id=mine.identity.cluster_id,
        node_id=mine.identity.node_id,
        target_id=target_id,
        features=list(mine.features),
    )


def accepted(answer: HelloAnswer, hello: Hello) -> HelloAccepted:
    """`answer`, when it is a choice from what `hello` offered.

    Raises `Refused` with the listener's code, or `WireError("bad_answer")` when it chose what was not on offer.
    """
    if isinstance(answer, HelloRefused):
        raise Refused(answer.code, answer.message)
    on_offer = (
        hello.protocol.min <= answer.version <= hello.protocol.max
        and answer.codec in hello.codecs
        and answer.max_frame_bytes <= hello.max_frame_bytes
        and answer.compression in ("", *hello.compression)
        and set(answer.features) <= set(hello.features)
        and hello.cluster_id in ("", answer.cluster_id)
        and hello.target_id in ("", answer.node_id)
    )
    if not on_offer:
        raise WireError("bad_answer", f"it chose what the hello did not offer: {str(answer)[:_MAX_QUOTE_CHARS]}")
    return answer
