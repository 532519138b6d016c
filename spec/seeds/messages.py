"""Messages: every field at its boundaries, lists from none to the most there may be, and what the samples add."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    DIGEST_BYTES,
    MAX_ADDRESSES,
    MAX_MEMBERS,
    MESSAGE_KINDS,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    Consistency,
    ErrorCode,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Message,
    MessageKind,
    OpenSessionRequest,
    OpenSessionResponse,
    PeerStatus,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusRequest,
    StatusResponse,
    TakeSnapshotRequest,
    TakeSnapshotResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
)
from raftsdk.testing.codec_samples import ALL_BYTES, BOUNDARY_INTEGERS, UNICODE_TEXT, sample_messages
from raftsdk.testing.conformance.clauses import clause_of
from raftsdk.types import MAX_ID_CHARS, MAX_INTEGER, Entry, EntryKind, Member, Membership, Suffrage, encode_membership


class Seed(Struct, frozen=True):
    """A message to be written in every codec; or in those alone for which somebody wrote its bytes by hand."""

    name: str  #: "": any that is free, for a message that no vector has yet.
    clause: str
    message: Message
    data: dict[str, bytes] = {}


IDS: Final = {"1 character": "n", "every sort of character": "N0.a_Z-9", "128 characters": "a" * MAX_ID_CHARS}
TEXTS: Final = {"empty": "", "text of many scripts": UNICODE_TEXT, "300 characters": "x" * 300}
PAYLOADS: Final = {"empty": b"", "one zero byte": b"\x00", "every byte": ALL_BYTES, "300 bytes": b"\xff" * 300}

MEMBERS: Final = (
    Member("n1", ("tcp://10.0.0.1:7001", "wss://n1.example:7101")),
    Member("n2", (), Suffrage.LEARNER),
    Member("n3", ("tcp://10.0.0.3:7001",)),
)
PEER: Final = PeerStatus(
    node_id="n2",
    addresses=["tcp://10.0.0.2:7001"],
    state="replicate",
    match_index=41,
    next_index=43,
    outstanding_calls=1,
    connected=True,
    codec="msgpack",
    transport="tcp",
)

ORDINARY: Final[tuple[Message, ...]] = (
    ErrorResponse(
        code=ErrorCode.NOT_LEADER,
        message="ask n2",
        leader_id="n2",
        leader_addresses=["tcp://10.0.0.2:7001", "unix:///run/n2"],
        retry_after_ms=100,
    ),
    AppendEntriesRequest(
        term=7,
        leader_id="n1",
        prev_log_index=41,
        prev_log_term=6,
        leader_commit=40,
        entries=[Entry(6, 1, b"set x 1"), Entry(7, 0, b""), Entry(7, 1, b"set y 2")],
    ),
    AppendEntriesResponse(term=7, success=False, conflict_index=12, conflict_term=5),
    RequestVoteRequest(term=8, candidate_id="n2", last_log_index=44, last_log_term=7, pre_vote=True),
    RequestVoteResponse(term=8, vote_granted=True),
    InstallSnapshotRequest(
        term=7,
        leader_id="n1",
        last_included_index=40,
        last_included_term=6,
        membership=Membership(MEMBERS, ("n1", "n3")),
        total_bytes=1_000,
        digest=ALL_BYTES[:DIGEST_BYTES],
        offset=100,
        data=b"a piece of a snapshot",
    ),
    InstallSnapshotResponse(term=7, next_offset=121, installed=False),
    TimeoutNowRequest(term=7, leader_id="n1"),
    TimeoutNowResponse(term=8),
    ProposeRequest(command=b"set x 1"),
    ProposeResponse(index=42, result=b"done"),
    QueryRequest(query=b"get x", consistency=Consistency.LOCAL),
    QueryResponse(applied_index=42, result=b"1"),
    StatusRequest(),
    StatusResponse(
        node_id="n1",
        cluster_id="orders",
        role="leader",
        term=7,
        leader_id="n1",
        last_log_index=44,
        durable_index=43,
        commit_index=42,
        applied_index=41,
        peers=[PEER, replace(PEER, node_id="n3", addresses=[], state="probe", connected=False, codec="", transport="")],
    ),
    ReadIndexRequest(term=7, node_id="n2"),
    ReadIndexResponse(term=7, read_index=42),
    ChangeMembershipRequest(
        members=[
            Member("n2", ("tcp://10.0.0.2:7001",), Suffrage.LEARNER, 4_711),
            Member("n4", ("tcp://10.0.0.4:7001",)),
        ],
        remove=["n3", "n5"],
    ),
    ChangeMembershipResponse(index=45, membership=Membership((*MEMBERS[:2], Member("n4", (), incarnation=4_712)))),
    TransferLeadershipRequest(target="n2"),
    TransferLeadershipResponse(leader_id="n2", term=8),
    OpenSessionRequest(),
    OpenSessionResponse(session_id=46),
    TakeSnapshotRequest(),
    TakeSnapshotResponse(last_included_index=41, total_bytes=1_000),
)
"""One message of every kind, without anything extreme in it."""

WITH_LATER_FIELDS: Final[dict[str, Message]] = {
    "asked by the leader": RequestVoteRequest(
        term=8, candidate_id="n2", last_log_index=44, last_log_term=7, leadership_transfer=True
    ),
    "in a session": ProposeRequest(command=b"set x 1", session_id=46, sequence=3, first_unanswered=2),
    "of bounded staleness": QueryRequest(query=b"get x", consistency=Consistency.BOUNDED_STALE, max_staleness_ms=500),
    "in joint consensus": StatusResponse(
        node_id="n1",
        cluster_id="orders",
        role="follower",
        term=7,
        leader_id="n2",
        last_log_index=44,
        durable_index=44,
        commit_index=44,
        applied_index=44,
        peers=[replace(PEER, state="snapshot", suffrage="learner")],
        suffrage="voter",
        membership_index=43,
        joint=True,
        first_log_index=31,
        snapshot_index=30,
    ),
    "asking to quiesce": AppendEntriesRequest(
        term=7, leader_id="n1", prev_log_index=44, prev_log_term=7, leader_commit=44, entries=[], quiesce=True
    ),
    "agreeing to quiesce": AppendEntriesResponse(term=7, success=True, quiesced=True),
}
"""Messages that use fields which were added to their kinds: the ordinary ones are older, and never change."""


def seeds() -> Iterator[Seed]:
    """All of them, in the order in which they are written."""
    for message in ORDINARY:
        yield _seed("ordinary", message)
        yield from _boundaries(message)
    yield from (_seed(name, message) for name, message in WITH_LATER_FIELDS.items())
    # Its later fields go together; those of the others have their boundaries in the ordinary ones already.
    yield from _boundaries(WITH_LATER_FIELDS["in a session"], "in a session, ")
    yield from _lists()
    yield from (_seed("", message) for message in sample_messages())


def _seed(name: str, message: Message) -> Seed:
    return Seed(name, clause_of(MESSAGE_KINDS[type(message)]), message)


def _boundaries(message: Message, prefix: str = "") -> Iterator[Seed]:
    """`message` with each of its fields, and each field of its first items, at each of its boundaries."""
    for path, told, value in _values(message):
        changed = _honest(message, path, value)
        if changed is not None and changed != message:
            yield _seed(f"{prefix}{_dotted(path)}={told}", changed)


Path = tuple[str | int, ...]


def _values(value: Any, path: Path = ()) -> Iterator[tuple[Path, str, Any]]:
    """For each field below `value`: its path, and a boundary in words and as a value."""
    match value:
        case StrEnum():
            yield from ((path, other.value, other) for other in type(value))
        case bool():
            yield from ((path, str(other).lower(), other) for other in (False, True))
        case int():
            yield from ((path, str(number), number) for number in BOUNDARY_INTEGERS)
        case str():
            named = IDS if _is_id(path) else TEXTS
            yield from ((path, told, text) for told, text in named.items())
        case bytes():
            yield from ((path, told, payload) for told, payload in PAYLOADS.items())
        case list() | tuple():
            yield path, "empty", type(value)()
            for first in value[:1]:
                yield from _values(first, (*path, 0))
        case Struct():
            for name in value.__struct_fields__:
                yield from _values(getattr(value, name), (*path, name))


def _is_id(path: Path) -> bool:
    name = next(part for part in reversed(path) if isinstance(part, str))
    return name in ("id", "node_id", "leader_id", "candidate_id", "outgoing", "target", "remove")


def _honest(message: Message, path: Path, value: Any) -> Message | None:
    """`message` with `value` at `path`; where that takes it, with the highest term there is, or with an empty log; None
    when nothing helps.
    """
    for candidate in (message, _with_highest_term(message), _with_empty_log(message), _without_answers(message)):
        changed: Message = _put(candidate, path, value)
        try:
            check(changed)
        except DecodeError:
            continue
        return changed
    return None


def _with_highest_term(message: Message) -> Message:
    match message:
        case AppendEntriesRequest():
            # The last entry's too, so that the first may have any.
            last = replace(message.entries[-1], term=MAX_INTEGER)
            return replace(
                message, term=MAX_INTEGER, prev_log_index=0, prev_log_term=0, entries=[*message.entries[:1], last]
            )
        case RequestVoteRequest():
            return replace(message, term=MAX_INTEGER)
        case InstallSnapshotRequest():
            return replace(message, term=MAX_INTEGER, total_bytes=MAX_INTEGER)
        case ProposeRequest() if message.session_id:
            return replace(message, sequence=MAX_INTEGER)
    return message


def _with_empty_log(message: Message) -> Message:
    if isinstance(message, RequestVoteRequest):
        return replace(message, last_log_index=0, last_log_term=0)
    return message


def _without_answers(message: Message) -> Message:
    """In a session's first command, whose client has had no result of it."""
    return replace(message, first_unanswered=0) if isinstance(message, ProposeRequest) else message


def _put(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    step, *rest = path
    if isinstance(step, str):
        return replace(value, **{step: _put(getattr(value, step), tuple(rest), new)})
    return type(value)([*value[:step], _put(value[step], tuple(rest), new), *value[step + 1 :]])


def _dotted(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _lists() -> Iterator[Seed]:
    """Lists of other lengths than two."""
    of_kind = {MESSAGE_KINDS[type(message)]: message for message in ORDINARY}
    error, batch, piece, status, change = (
        of_kind[kind]
        for kind in (
            MessageKind.ERROR,
            MessageKind.APPEND_ENTRIES_REQUEST,
            MessageKind.INSTALL_SNAPSHOT_REQUEST,
            MessageKind.STATUS_RESPONSE,
            MessageKind.CHANGE_MEMBERSHIP_REQUEST,
        )
    )
    many = tuple(Member(f"n{number}", ("tcp://h:1",) * (number % 3)) for number in range(MAX_MEMBERS))
    yield _seed("leader_addresses=one", replace(error, leader_addresses=["tcp://h:1"]))
    yield _seed(f"leader_addresses={MAX_ADDRESSES}", replace(error, leader_addresses=[""] * MAX_ADDRESSES))
    yield _seed("entries=one", replace(batch, entries=[Entry(7, 1, b"x")]))
    yield _seed("entries=64", replace(batch, entries=[Entry(7, 1, bytes((number,) * number)) for number in range(64)]))
    yield _seed("entries=every term", replace(batch, entries=[Entry(6 + number % 2, 5, b"") for number in (0, 1, 1)]))
    yield _seed("membership.members=one", replace(piece, membership=Membership(MEMBERS[:1])))
    yield _seed(
        f"membership.members={MAX_MEMBERS}", replace(piece, membership=Membership(many, tuple(m.id for m in many)))
    )
    yield _seed("data=none and offset at the end", replace(piece, offset=1_000, data=b""))
    yield _seed("peers=one", replace(status, peers=[PEER]))
    yield _seed(
        f"peers={MAX_MEMBERS}", replace(status, peers=[replace(PEER, node_id=f"n{n}") for n in range(MAX_MEMBERS)])
    )
    yield _seed(f"members={MAX_MEMBERS}", replace(change, members=list(many)))
    yield _seed(f"remove={MAX_MEMBERS}", replace(change, remove=[member.id for member in many]))
    yield _seed("entries=of every kind that is known", replace(batch, entries=[*_entries_of_every_kind()]))


def _entries_of_every_kind() -> Iterator[Entry]:
    log_time_ms, session_id, sequence, first_unanswered = 86_400_000, 46, 3, 2
    yield Entry(7, EntryKind.NOOP, b"")
    yield Entry(7, EntryKind.COMMAND, b"set x 1")
    yield Entry(7, EntryKind.MEMBERSHIP, encode_membership(Membership(MEMBERS, ("n1", "n3"))))
    yield Entry(7, EntryKind.OPEN_SESSION, log_time_ms.to_bytes(8))
    numbers = (log_time_ms, session_id, sequence, first_unanswered)
    yield Entry(7, EntryKind.SESSION_COMMAND, b"".join(number.to_bytes(8) for number in numbers) + b"set x 1")
