"""Bytes that a codec must refuse."""

from msgspec import Struct

from raftsdk.messages import MessageKind

APPEND = MessageKind.APPEND_ENTRIES_REQUEST
APPENDED = MessageKind.APPEND_ENTRIES_RESPONSE
VOTE = MessageKind.REQUEST_VOTE_REQUEST
VOTED = MessageKind.REQUEST_VOTE_RESPONSE
PROPOSE = MessageKind.PROPOSE_REQUEST
QUERY = MessageKind.QUERY_REQUEST
SNAPSHOT = MessageKind.INSTALL_SNAPSHOT_REQUEST
STATUS = MessageKind.STATUS_RESPONSE
TIMEOUT = MessageKind.TIMEOUT_NOW_REQUEST
CHANGE = MessageKind.CHANGE_MEMBERSHIP_REQUEST
OPEN_SESSION = MessageKind.OPEN_SESSION_REQUEST
TAKE_SNAPSHOT = MessageKind.TAKE_SNAPSHOT_REQUEST
ERROR = MessageKind.ERROR

MIB = 1024 * 1024

Parts = tuple[tuple[bytes, int], ...]


class Seed(Struct, frozen=True):
    """`data`, or `parts` of it, each so many times, where it is long and dull."""

    name: str
    clause: str
    kind: MessageKind
    data: bytes
    why: str
    parts: Parts = ()


def filled(before: bytes, item: bytes, after: bytes) -> Parts:
    """A megabyte of `item`."""
    return (before, 1), (item, (MIB - len(before) - len(after)) // len(item)), (after, 1)
