"""Messages by chance, for codecs, fuzzing and whatever else wants many."""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

import msgspec

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    DIGEST_BYTES,
    MAX_ADDRESSES,
    MAX_MEMBERS,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    Consistency,
    ErrorResponse,
    InstallSnapshotResponse,
    Message,
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
    TakeSnapshotResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
)
from raftsdk.testing.codec_samples import (
    BOUNDARY_INTEGERS,
    UNICODE_TEXT,
    peer_status,
    snapshot_piece,
    status_response,
)
from raftsdk.types import MAX_ID_CHARS, Entry, Member, Membership, Suffrage


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
        quiesce=chance.random() < 0.5,
    )


def _random_status(chance: Random) -> Message:
    return msgspec.structs.replace(
        status_response(_random_number(chance), [_random_peer(chance) for _ in range(chance.choice((0, 1, 4, 16)))]),
        node_id=_random_id(chance),
        cluster_id=_random_text(chance),
        term=_random_number(chance),
        suffrage=_random_text(chance),
        membership_index=_random_number(chance),
        joint=chance.random() < 0.5,
        first_log_index=_random_number(chance),
        snapshot_index=_random_number(chance),
    )


def _random_peer(chance: Random) -> PeerStatus:
    return msgspec.structs.replace(
        peer_status(_random_number(chance)),
        node_id=_random_id(chance),
        addresses=_random_addresses(chance),
        connected=chance.random() < 0.5,
        codec=_random_text(chance),
        suffrage=_random_text(chance),
    )


def _random_vote(chance: Random) -> Message:
    last_log_term = chance.choice((0, _random_number(chance) >> 1))
    return RequestVoteRequest(
        term=max(_random_number(chance), last_log_term + 1),
        candidate_id=_random_id(chance),
        last_log_index=_random_number(chance, low=1) if last_log_term else 0,
        last_log_term=last_log_term,
        pre_vote=chance.random() < 0.5,
        leadership_transfer=chance.random() < 0.5,
    )


def _random_members(chance: Random) -> list[Member]:
    return [
        Member(f"n{number}", tuple(_random_addresses(chance)), chance.choice(list(Suffrage)), _random_number(chance))
        for number in range(chance.choice((0, 1, 3, MAX_MEMBERS)))
    ]


def _random_membership(chance: Random) -> Membership:
    members = tuple(_random_members(chance))
    return Membership(members=members, outgoing=tuple(member.id for member in members[::2]))


def _random_snapshot_piece(chance: Random) -> Message:
    return msgspec.structs.replace(
        snapshot_piece(_random_number(chance), _random_bytes(chance)),
        leader_id=_random_id(chance),
        membership=_random_membership(chance),
        digest=chance.randbytes(DIGEST_BYTES),
    )


def _random_proposal(chance: Random) -> Message:
    sequence = chance.choice((0, _random_number(chance, low=1)))
    return ProposeRequest(
        command=_random_bytes(chance),
        session_id=_random_number(chance, low=1) if sequence else 0,
        sequence=sequence,
        first_unanswered=min(sequence, _random_number(chance)),
    )


def _random_change(chance: Random) -> Message:
    members = _random_members(chance)
    return ChangeMembershipRequest(members=members[1:], remove=[member.id for member in members[:1]])


_RANDOM_MESSAGES: Final[tuple[Callable[[Random], Message], ...]] = (
    _random_append_entries,
    _random_status,
    lambda chance: AppendEntriesResponse(
        term=_random_number(chance),
        success=chance.random() < 0.5,
        conflict_index=_random_number(chance),
        conflict_term=_random_number(chance),
        quiesced=chance.random() < 0.5,
    ),
    _random_vote,
    lambda chance: RequestVoteResponse(term=_random_number(chance), vote_granted=chance.random() < 0.5),
    _random_snapshot_piece,
    lambda chance: InstallSnapshotResponse(
        term=_random_number(chance), next_offset=_random_number(chance), installed=chance.random() < 0.5
    ),
    lambda chance: TimeoutNowRequest(term=_random_number(chance, low=1), leader_id=_random_id(chance)),
    lambda chance: TimeoutNowResponse(term=_random_number(chance)),
    _random_proposal,
    lambda chance: ProposeResponse(index=_random_number(chance), result=_random_bytes(chance)),
    lambda chance: QueryRequest(
        query=_random_bytes(chance),
        consistency=chance.choice(list(Consistency)),
        max_staleness_ms=_random_number(chance),
    ),
    lambda chance: QueryResponse(applied_index=_random_number(chance), result=_random_bytes(chance)),
    lambda chance: ErrorResponse(
        code=_random_text(chance),
        message=_random_text(chance),
        leader_id=_random_text(chance),
        leader_addresses=_random_addresses(chance),
        retry_after_ms=_random_number(chance),
    ),
    lambda chance: ReadIndexRequest(term=_random_number(chance, low=1), node_id=_random_id(chance)),
    lambda chance: ReadIndexResponse(term=_random_number(chance), read_index=_random_number(chance)),
    _random_change,
    lambda chance: ChangeMembershipResponse(index=_random_number(chance), membership=_random_membership(chance)),
    lambda chance: TransferLeadershipRequest(target=chance.choice(("", _random_id(chance)))),
    lambda chance: TransferLeadershipResponse(leader_id=_random_id(chance), term=_random_number(chance)),
    lambda chance: OpenSessionResponse(session_id=_random_number(chance, low=1)),
    lambda chance: TakeSnapshotResponse(
        last_included_index=_random_number(chance, low=1), total_bytes=_random_number(chance)
    ),
)
