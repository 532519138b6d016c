"""Settings: what they are called, what they default to, and where they come from.

A node's settings come from three places, later ones winning: a TOML file, the environment, and explicit overrides.
In the environment a setting is its path in capitals after `RAFTSDK_`, with two underscores between the parts:

    RAFTSDK_NODE_ID=n2   RAFTSDK_RAFT__TICK_INTERVAL_MS=10   RAFTSDK_CODECS=json,msgpack

An override names the path with dots (`raft.tick_interval_ms`). In both, a text is taken as it is where a text is due,
split at commas where a list of texts is due, and read as a TOML value everywhere else.

Whatever is wrong is reported at once, in one `ConfigError`: every fault says where it is, what was found, and what to
give instead. Nothing here imports a plug-in: which names are installed is passed in (`raftsdk.plugins.names`).
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from inspect import cleandoc
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

from raftsdk.config import rules
from raftsdk.config.reading import Reader, Rules, merge, read_text
from raftsdk.errors import ConfigError
from raftsdk.messages import MAX_ENTRIES
from raftsdk.types import Member, NodeId, Suffrage

KIB = 1024
MIB = 1024 * KIB

DEFAULT_CODECS: Final = ("msgpack", "json")

ENVIRONMENT_PREFIX: Final = "RAFTSDK_"

_MAX_NUMBER: Final = 2**31 - 1  # Sizes and times beyond this do not fit a frame's header or the event loop's clock.


# -- the settings


class _Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen record that cannot exist with a fault in it, however it was made."""

    def __post_init__(self) -> None:
        found = faults(type(self), self)
        if found:
            raise ConfigError(found)


def _at_least_1(description: str) -> Meta:
    return Meta(ge=1, le=_MAX_NUMBER, description=description)


class RaftConfig(_Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one node runs the algorithm. All members should agree on the ticks; where they do not, elections come sooner
    or later, and reads by lease may be stale: a leader counts on its followers to wait as long as it would.

    Time inside the algorithm is counted in ticks of `tick_interval_ms`. A follower campaigns when it has heard no
    leader for a random time between one and two election timeouts (paper §5.2).
    """

    tick_interval_ms: Annotated[int, _at_least_1("Length of a tick, the unit of time inside the algorithm.")] = 20
    election_timeout_ticks: Annotated[int, _at_least_1("Shortest silence of the leader before an election.")] = 20
    heartbeat_interval_ticks: Annotated[int, _at_least_1("How often a leader is heard while nothing happens.")] = 3
    quiesce_interval_ticks: Annotated[
        int,
        Meta(
            ge=0,
            le=_MAX_NUMBER,
            description="How often a leader is heard while nothing is asked of its group at all; meanwhile nodes hear "
            "each other for all their groups at once. Not with lease_reads. 0: as often as ever.",
        ),
    ] = 500
    pre_vote: Annotated[bool, Meta(description="Ask whether an election could be won before holding one.")] = True
    check_quorum: Annotated[bool, Meta(description="A leader that hears no quorum steps down.")] = True
    lease_reads: Annotated[
        bool,
        Meta(
            description="Serve reads that ask for it on a lease, without asking a quorum. Needs clocks that run alike "
            "within max_clock_drift_percent; where they do not, such a read may be stale."
        ),
    ] = False
    max_clock_drift_percent: Annotated[
        int, Meta(ge=0, le=90, description="By how much two members' clocks may run apart: leases are so much shorter.")
    ] = 20
    campaign_delay_ticks: Annotated[
        int,
        Meta(
            ge=0,
            le=_MAX_NUMBER,
            description="Wait so much longer before an election: a node with more of it leads when others cannot.",
        ),
    ] = 0
    disk_timeout_ticks: Annotated[
        int, _at_least_1("A leader whose disk takes longer than this for a write steps down.")
    ] = 100
    snapshot_after_entries: Annotated[
        int,
        Meta(ge=0, le=_MAX_NUMBER, description="Take a snapshot after so many entries since the last one; 0: never."),
    ] = 100_000
    snapshot_after_bytes: Annotated[
        int, Meta(ge=0, le=2**40, description="Take a snapshot after commands of so many bytes; 0: never.")
    ] = 256 * MIB
    snapshot_trailing_entries: Annotated[
        int,
        Meta(ge=0, le=_MAX_NUMBER, description="Entries kept behind a snapshot, for followers that lag a little."),
    ] = 10_000
    max_outstanding_calls: Annotated[int, _at_least_1("AppendEntries calls to one peer without an answer yet.")] = 16
    max_batch_bytes: Annotated[int, _at_least_1("Commands in one AppendEntries call, unless one alone is larger.")] = (
        MIB
    )
    max_batch_entries: Annotated[int, Meta(ge=1, le=MAX_ENTRIES, description="Entries in one AppendEntries call.")] = (
        4096
    )
    max_uncommitted_bytes: Annotated[int, _at_least_1("Proposed and not yet committed; more is refused.")] = 64 * MIB
    max_command_bytes: Annotated[int, _at_least_1("The largest command that is accepted.")] = 4 * MIB
    max_pending_proposals: Annotated[int, _at_least_1("Proposals, or reads, without a result; more is refused.")] = (
        65_536
    )
    max_inbox_events: Annotated[int, _at_least_1("Events waiting for the algorithm; more is refused.")] = 16_384
    proposal_timeout_ms: Annotated[int, _at_least_1("After this a proposal's outcome is called unknown.")] = 10_000


class LinkConfig(_Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How connections between nodes, and from clients, behave."""

    connect_timeout_ms: Annotated[int, _at_least_1("To open a connection.")] = 1_000
    handshake_timeout_ms: Annotated[int, _at_least_1("From an open connection to a finished hello.")] = 5_000
    call_timeout_ms: Annotated[int, _at_least_1("From a request to its answer.")] = 2_000
    reconnect_min_ms: Annotated[int, _at_least_1("First pause before connecting again; it doubles from there.")] = 20
    reconnect_max_ms: Annotated[int, _at_least_1("Longest pause before connecting again.")] = 1_000
    max_frame_bytes: Annotated[int, _at_least_1("The longest message; a longer one ends its connection.")] = 8 * MIB
    max_hello_bytes: Annotated[int, _at_least_1("The longest hello.")] = 16 * KIB
    max_unsent_bytes: Annotated[int, _at_least_1("Waiting to be sent to one peer; more is refused.")] = 32 * MIB
    # Half of 1,024 open files, the usual limit of a process: peers that come back must find a descriptor.
    max_connections: Annotated[int, _at_least_1("Clients, and peers nobody named, at once; more are refused.")] = 512
    max_half_open_connections: Annotated[int, _at_least_1("Accepted and not through the hello yet.")] = 64
    max_calls_per_connection: Annotated[int, _at_least_1("Requests of one connection without an answer yet.")] = 4_096
    idle_timeout_ms: Annotated[int, _at_least_1("From one whole frame of an accepted connection to the next.")] = 60_000
    snapshot_piece_bytes: Annotated[
        int,
        Meta(ge=1, le=MIB, description="A piece of a snapshot on its way to a peer; less where frames are shorter."),
    ] = 256 * KIB
    max_snapshot_bytes_per_second: Annotated[
        int,
        Meta(ge=0, le=2**40, description="Of snapshots to all peers together, so that other traffic has room; 0: any."),
    ] = 32 * MIB


class Clients(StrEnum):
    """Who may use the client plane of a node that listens with TLS."""

    CERTIFICATE = "certificate"
    ANYONE = "anyone"


class TlsConfig(_Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With what a node proves who it is, and whom it believes. Files are in PEM, and read again when they change."""

    certificate: Annotated[
        str, Meta(description="File with this node's certificate, those that vouch for it behind it.")
    ] = ""
    key: Annotated[str, Meta(description="File with the private key of that certificate, without a passphrase.")] = ""
    authorities: Annotated[
        str, Meta(description="File with the certificates of those who may vouch for nodes and clients.")
    ] = ""
    clients: Annotated[
        Clients, Meta(description="Who may ask as a client: whoever has a certificate, or anyone (browsers).")
    ] = Clients.CERTIFICATE
    expiry_warning_days: Annotated[int, _at_least_1("How long before the certificate runs out it is warned of.")] = 14


class StorageConfig(_Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a node keeps what it must not forget."""

    kind: Annotated[str, Meta(description="A name of the entry-point group raftsdk.storage: sqlite, memory, …")] = (
        "sqlite"
    )
    path: Annotated[
        str, Meta(description="A directory of this node alone; relative to where the process starts, made if missing.")
    ] = ""


class MemberConfig(_Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node of one cluster, whatever carries its messages."""

    node_id: Annotated[NodeId, Meta(description="Who this node is; one of the members.")]
    cluster_id: Annotated[str, Meta(description="The cluster's name, alike on every member.")]
    members: Annotated[tuple[Member, ...], Meta(description="Every node of the cluster, this one too.")]
    state_machine: Annotated[str, Meta(description="A name of the entry-point group raftsdk.state_machines.")]
    storage: Annotated[StorageConfig, Meta(description="Where this node keeps what it must not forget.")]
    raft: Annotated[RaftConfig, Meta(description="How the algorithm runs.")] = field(default_factory=RaftConfig)


class NodeConfig(MemberConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All there is to say about one node that speaks our own wire.

    Names of codecs, transports, stores and state machines are those of entry points of installed distributions; a file
    can never have anything else imported.
    """

    listen: Annotated[
        tuple[str, ...], Meta(description="Addresses to accept connections at. Default: this member's own addresses.")
    ] = ()
    join: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses of a cluster that runs, to be asked to take in this node once its directory is new; "
            "members then names this node alone."
        ),
    ] = ()
    join_as: Annotated[
        Suffrage, Meta(description="What a node that joins becomes: a voter, once it has caught up; or a learner.")
    ] = Suffrage.VOTER
    codecs: Annotated[tuple[str, ...], Meta(description="Codecs to offer, the preferred one first.")] = DEFAULT_CODECS
    transports: Annotated[
        tuple[str, ...], Meta(description="Names of transports. Default: the ones the addresses' schemes name.")
    ] = ()
    link: Annotated[LinkConfig, Meta(description="How connections behave.")] = field(default_factory=LinkConfig)
    tls: Annotated[TlsConfig, Meta(description="Certificates, for addresses that ask for TLS: tcp+tls://, wss://.")] = (
        field(default_factory=TlsConfig)
    )

    def listen_addresses(self) -> tuple[str, ...]:
        """Where this node accepts connections."""
        return self.listen or next(member.addresses for member in self.members if member.id == self.node_id)


_RULES: Final[Rules] = {
    RaftConfig: rules.RAFT,
    LinkConfig: rules.LINK,
    StorageConfig: rules.STORE,
    TlsConfig: rules.TLS,
    Member: rules.MEMBER,
    MemberConfig: rules.CLUSTER,
    NodeConfig: rules.WIRED,
}


def faults(
    settings: type[Struct],
    data: object,
    installed: Mapping[str, Collection[str]] | None = None,
    sources: Mapping[str, str] | None = None,
) -> list[str]:
    """Everything wrong with `data` as a `settings`: a mapping, or a record of that type. Empty when nothing is.

    `installed` are the names of plug-ins by entry-point group; None leaves names alone. `sources` says of a setting, by
    dotted path, where it came from when that is not where the rest did.
    """
    reader = Reader(_RULES, sources or {})
    values = reader.read(settings, data)
    if installed is not None:
        reader.report("", rules.name_faults(values, installed))
    return reader.faults


# -- where settings come from


def node_config(
    data: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    installed: Mapping[str, Collection[str]] | None = None,
) -> NodeConfig:
    """The settings in `data`, with those of the environment over them, and `overrides` (by dotted path) over both.

    `installed` are the names of plug-ins by entry-point group; without it, names are not checked here. Raises
    `ConfigError` with every fault of every source.

    >>> node_config({"node_id": "n1", "node": 1}, environ={"RAFTSDK_RAFT__PRE_VOTE": "perhaps"})
    Traceback (most recent call last):
      ...
    raftsdk.errors.ConfigError: 6 faults in the configuration:
      - node is no setting; did you mean "node_id"?
      - cluster_id is missing: give a text. The cluster's name, alike on every member.
      - members is missing: give a list of tables. Every node of the cluster, this one too.
      - state_machine is missing: give a text. A name of the entry-point group raftsdk.state_machines.
      - storage is missing: give a table. Where this node keeps what it must not forget.
      - raft.pre_vote (from RAFTSDK_RAFT__PRE_VOTE) is "perhaps": give true or false
    """
    assigned = [*_from_environment(environ or {}), *_from_overrides(overrides or {})]
    merged = merge(data, *(item.as_table() for item in assigned))
    found = faults(NodeConfig, merged, installed, sources={".".join(item.path): item.source for item in assigned})
    if found:
        raise ConfigError(found)
    return msgspec.convert(merged, NodeConfig)


class _Assigned(Struct, frozen=True):
    """One setting from the environment or an override."""

    source: str
    path: tuple[str, ...]
    value: Any

    def as_table(self) -> dict[str, Any]:
        """`{"raft": {"pre_vote": True}}` for the path `("raft", "pre_vote")` and the text `true`."""
        value = read_text(NodeConfig, self.path, self.value) if isinstance(self.value, str) else self.value
        for part in reversed(self.path):
            value = {part: value}
        return dict(value)


def _from_environment(environ: Mapping[str, str]) -> list[_Assigned]:
    # Sorted, so that RAFTSDK_RAFT={…} comes before RAFTSDK_RAFT__PRE_VOTE, the more precise of the two.
    names = sorted(name for name in environ if name.startswith(ENVIRONMENT_PREFIX))
    paths = (name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__") for name in names)
    return [_Assigned(name, tuple(path), environ[name]) for name, path in zip(names, paths, strict=True)]


def _from_overrides(overrides: Mapping[str, Any]) -> list[_Assigned]:
    return [_Assigned("an override", tuple(name.split(".")), value) for name, value in overrides.items()]


def schema() -> dict[str, Any]:
    """The JSON Schema of `NodeConfig`, for editors and other programs. Rules between settings are not in it."""
    described = msgspec.json.schema(NodeConfig)
    for definition in described["$defs"].values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])  # it is a docstring, indented as such
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}
