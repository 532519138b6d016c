"""The clauses of `spec/wire.md`: their order and their titles, for reports that do not have the text at hand."""

from typing import Final

from raftsdk.messages import MESSAGE_TYPES, MessageKind

TITLES: Final = {
    "2": "Transports",
    "2.1": "What a transport provides",
    "2.2": "Addresses",
    "2.3": "TCP and Unix sockets",
    "2.4": "WebSocket",
    "2.5": "TLS",
    "3": "Frames",
    "3.1": "Layout",
    "3.2": "Body length",
    "3.3": "Version",
    "3.4": "Kind",
    "3.5": "Flags",
    "3.6": "Reserved byte",
    "3.7": "Group",
    "3.8": "Call id",
    "3.9": "Checksum",
    "3.10": "Splitting a stream",
    "3.11": "Packed frames",
    "4": "Hello",
    "4.1": "Who speaks first",
    "4.2": "The hello's fields",
    "4.3": "Accepted",
    "4.4": "Refused",
    "4.5": "Time limit and size",
    "4.6": "Unknown fields",
    "5": "Negotiation",
    "5.1": "Version",
    "5.2": "Codec",
    "5.3": "Compression",
    "5.4": "Frame limit",
    "5.5": "Features",
    "5.6": "Rolling changes",
    "6": "Identity",
    "6.1": "Ids",
    "6.2": "Cluster id",
    "6.3": "Target id",
    "6.4": "Own and duplicate ids",
    "6.5": "Certificates",
    "6.6": "Roles",
    "7": "Calls",
    "7.1": "Requests and responses",
    "7.2": "Call ids",
    "7.3": "Order",
    "7.4": "Outcomes and retries",
    "7.5": "Several connections",
    "7.6": "Keep-alive",
    "7.7": "Back-pressure",
    "7.8": "Unknown kinds",
    "7.9": "Connecting again",
    "8": "Values",
    "8.1": "Integers",
    "8.2": "Bytes",
    "8.3": "Text",
    "8.4": "Booleans",
    "8.5": "Lists and their limits",
    "8.6": "Absent fields",
    "8.7": "Unknown fields",
    "8.8": "Duplicates and trailing bytes",
    "8.9": "Enumerations",
    "8.10": "Order of entries",
    "9": "Messages",
    "9.1": "Error",
    "9.2": "AppendEntriesRequest",
    "9.3": "AppendEntriesResponse",
    "9.4": "RequestVoteRequest",
    "9.5": "RequestVoteResponse",
    "9.6": "InstallSnapshotRequest",
    "9.7": "InstallSnapshotResponse",
    "9.8": "TimeoutNowRequest",
    "9.9": "TimeoutNowResponse",
    "9.10": "ProposeRequest",
    "9.11": "ProposeResponse",
    "9.12": "QueryRequest",
    "9.13": "QueryResponse",
    "9.14": "StatusRequest",
    "9.15": "StatusResponse",
    "9.16": "Records",
    "9.17": "ReadIndexRequest",
    "9.18": "ReadIndexResponse",
    "9.19": "ChangeMembershipRequest",
    "9.20": "ChangeMembershipResponse",
    "9.21": "TransferLeadershipRequest",
    "9.22": "TransferLeadershipResponse",
    "9.23": "OpenSessionRequest",
    "9.24": "OpenSessionResponse",
    "9.25": "TakeSnapshotRequest",
    "9.26": "TakeSnapshotResponse",
    "10": "Error codes",
    "10.1": "The table of codes",
    "10.2": "Rules",
    "11": "Codecs",
    "11.1": "Common rules",
    "11.2": "JSON",
    "11.3": "MessagePack",
    "11.4": "protobuf",
    "11.5": "Cap'n Proto",
    "11.6": "FlatBuffers",
    "12": "Snapshot transfer",
    "12.1": "Session",
    "12.2": "Resume",
    "12.3": "Digest",
    "12.4": "Wrong pieces",
    "12.5": "Of one's own state",
    "13": "Limits",
    "14": "Violations",
    "15": "Evolution",
    "16": "Vectors",
    "16.1": "Files",
    "16.2": "Messages",
    "16.3": "Hostile bytes",
    "16.4": "Frames",
    "16.5": "Hellos",
    "16.6": "Packed frames",
    "17": "Sessions",
    "17.1": "Entries",
    "17.2": "What is applied",
    "17.3": "What a client does",
}

_BY_TITLE: Final = {title: clause for clause, title in TITLES.items()}


def title(clause: str) -> str:
    """What a clause is about; of one that was added below a known one, what that is about.

    >>> title("8.5"), title("8.5.2")
    ('Lists and their limits', 'Lists and their limits')
    """
    while clause and clause not in TITLES:
        clause = clause.rpartition(".")[0]
    return TITLES.get(clause, "")


def order(clause: str) -> tuple[int, ...]:
    """Sorts clauses as the specification has them: 9.2 before 9.10."""
    return tuple(int(number) for number in clause.split(".") if number)


def section(clause: str) -> str:
    """The clause's chapter: "9" of "9.2"."""
    return clause.partition(".")[0]


def clause_of(kind: MessageKind) -> str:
    """The clause that describes a message: it has the message's name for a title.

    >>> clause_of(MessageKind.ERROR), clause_of(MessageKind.STATUS_RESPONSE), clause_of(MessageKind.READ_INDEX_REQUEST)
    ('9.1', '9.15', '9.17')
    """
    return _BY_TITLE["Error" if kind is MessageKind.ERROR else MESSAGE_TYPES[kind].__name__]
