"""What no honest node sends is refused with its name: memberships in entries, sessions, members."""

import json

import pytest
from msgspec.structs import replace

from raftsdk.checks import check, check_memberships
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MAX_ADDRESSES,
    MAX_MEMBERS,
    MAX_TEXT_BYTES,
    AppendEntriesRequest,
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    Message,
    OpenSessionResponse,
    ProposeRequest,
    ReadIndexRequest,
    TakeSnapshotResponse,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
)
from raftsdk.types import MAX_INTEGER, Entry, EntryKind, Member, Membership, Suffrage, encode_membership

VOTERS = Membership((Member("n1", ("tcp://h:1",), incarnation=7), Member("n2", (), Suffrage.LEARNER)), ("n1", "n3"))


def batch(*entries: Entry) -> AppendEntriesRequest:
    return AppendEntriesRequest(
        term=1, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=[*entries]
    )


def listed(*members: object, **fields: object) -> bytes:
    return json.dumps({"members": members, **fields}).encode()


N1 = {"id": "n1"}

# -- memberships in entries


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "truncated"),
        (b"\xff", "malformed"),
        (b"{}", "members"),
        (b"[]", "Expected `object`"),
        (listed(N1) + b"!", "trailing"),
        (b'{"new":' * 100_000, "recursion depth"),
        (listed(), "none of them is a voter"),
        (listed({"id": "n1", "suffrage": "learner"}), "none of them is a voter"),
        (listed({"id": "n1", "suffrage": "king" * 1_000}), "Invalid enum value"),
        (listed(N1, N1), "an id occurs twice"),
        (listed({"id": "n 1"}), "an id occurs twice, or is none"),
        (listed({"id": ""}), "an id occurs twice, or is none"),
        (listed(N1, outgoing=["n1", "n1"]), "outgoing: an id occurs twice"),
        (listed(N1, outgoing=["../n1"]), "outgoing: an id occurs twice, or is none"),
        (listed({"id": "n1", "incarnation": -1}), ">= 0"),
        (listed({"id": "n1", "incarnation": MAX_INTEGER + 1}), "<= 9223372036854775807"),
        (listed({"id": "n1", "incarnation": "1"}), "Expected `int`"),
        (listed({"id": "n1", "addresses": [""] * (MAX_ADDRESSES + 1)}), "length <= 16"),
        (listed(*({"id": f"n{number}"} for number in range(MAX_MEMBERS + 1))), "length <= 64"),
        (listed({"id": "n1", "addresses": ["x" * MAX_TEXT_BYTES]}), "bytes of text"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_entry_of_kind_membership_that_holds_none_is_refused(data: bytes, problem: str) -> None:
    good = Entry(1, EntryKind.MEMBERSHIP, encode_membership(VOTERS))
    with pytest.raises(DecodeError, match=problem) as caught:
        check_memberships(batch(good, Entry(1, EntryKind.COMMAND, data), Entry(1, EntryKind.MEMBERSHIP, data)))
    assert len(str(caught.value)) < 500


def test_an_entry_of_kind_membership_may_say_less_or_more_than_we_write() -> None:
    written = encode_membership(VOTERS)
    newer = listed({"id": "n1", "zone": {"term": 1}}, outgoing=[], since=[1.5])
    check_memberships(batch(*(Entry(1, EntryKind.MEMBERSHIP, data) for data in (written, listed(N1), newer))))


@pytest.mark.parametrize("kind", [EntryKind.NOOP, EntryKind.COMMAND, EntryKind.SESSION_COMMAND, 5, MAX_INTEGER])
def test_the_data_of_other_kinds_is_not_looked_at(kind: int) -> None:
    check_memberships(batch(Entry(1, kind, b"{}")))


def test_a_codec_carries_any_data_of_any_kind() -> None:
    """There are vectors with such entries, and a vector never changes; it is the node that asks."""
    check(batch(Entry(1, EntryKind.MEMBERSHIP, b"")))


# -- sessions, members, leaders

COMMAND = ProposeRequest(command=b"x", session_id=46, sequence=3, first_unanswered=2)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (replace(COMMAND, session_id=0), "ProposeRequest.sequence: a session and its sequence are both 0, or neither"),
        (replace(COMMAND, sequence=0), "ProposeRequest.sequence: a session and its sequence are both 0, or neither"),
        (replace(COMMAND, first_unanswered=4), "ProposeRequest.first_unanswered: is beyond the sequence"),
        (ProposeRequest(command=b"", first_unanswered=1), "ProposeRequest.first_unanswered: is beyond the sequence"),
        (OpenSessionResponse(session_id=0), "OpenSessionResponse.session_id: 0 is not in 1"),
        (TakeSnapshotResponse(last_included_index=0, total_bytes=0), "TakeSnapshotResponse.last_included_index: 0"),
        (ReadIndexRequest(term=0, node_id="n1"), "ReadIndexRequest.term: 0 is not in 1"),
        (ReadIndexRequest(term=1, node_id="n 1"), "ReadIndexRequest.node_id: not an id"),
        (TransferLeadershipRequest(target="../n1"), "TransferLeadershipRequest.target: not an id"),
        (TransferLeadershipResponse(leader_id="", term=1), "TransferLeadershipResponse.leader_id: not an id"),
        (ChangeMembershipRequest(remove=["n1", "n1"]), "ChangeMembershipRequest.remove: an id occurs twice"),
        (ChangeMembershipRequest(members=[Member("n1", (), incarnation=-1)]), "members: an incarnation is not in 0"),
        (
            ChangeMembershipResponse(index=1, membership=Membership((Member("n1", (), Suffrage.LEARNER),))),
            "ChangeMembershipResponse.membership.members: none of them is a voter",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_no_honest_node_sends_is_refused_by_the_name_of_its_field(message: Message, problem: str) -> None:
    with pytest.raises(DecodeError) as caught:
        check(message)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        COMMAND,
        replace(COMMAND, sequence=1, first_unanswered=0),
        replace(COMMAND, first_unanswered=3),
        TransferLeadershipRequest(),
        ChangeMembershipRequest(),
        ChangeMembershipResponse(index=0, membership=VOTERS),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_an_honest_node_may_send_is_taken(message: Message) -> None:
    check(message)
