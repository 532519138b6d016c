"""Settings: what they are called, what they default to, and which values make no sense together.

A node's settings come from three places, later ones winning: a TOML file, the environment, and explicit overrides.
In the environment a setting is its path in capitals after `RAFTSDK_`, with two underscores between the parts:

    RAFTSDK_NODE_ID=n2   RAFTSDK_RAFT__TICK_INTERVAL_MS=10   RAFTSDK_CODECS=json,msgpack

An override names the path with dots (`raft.tick_interval_ms`). In both, a text is taken as it is where a text is due,
split at commas where a list of texts is due, and read as a TOML value everywhere else.

Whatever is wrong is reported at once, in one `ConfigError`: every fault says where it is, what was found, and what to
give instead. Nothing here imports a plug-in: which names are installed is passed in (`raftsdk.plugins.names`).
"""

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from inspect import cleandoc, signature
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import NODEFAULT, Meta, Struct, field
from msgspec.inspect import BoolType, EnumType, Field, IntType, Metadata, StrType, StructType, Type, VarTupleType

from raftsdk.errors import ConfigError
from raftsdk.types import MAX_ID_CHARS, Member, NodeId, Suffrage, is_identifier

KIB = 1024
MIB = 1024 * KIB

CODECS: Final = "raftsdk.codecs"
TRANSPORTS: Final = "raftsdk.transports"
STORAGE: Final = "raftsdk.storage"
STATE_MACHINES: Final = "raftsdk.state_machines"

DEFAULT_CODECS: Final = ("msgpack", "json")

ENVIRONMENT_PREFIX: Final = "RAFTSDK_"

MAX_FILE_BYTES: Final = 256 * KIB
"""A longer file is no configuration; it is refused before it is parsed."""

_MAX_NUMBER: Final = 2**31 - 1  # Sizes and times beyond this do not fit a frame's header or the event loop's clock.
_MAX_SHOWN_CHARS: Final = 60


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
    """How one node runs the algorithm. All members should agree on the ticks; nothing breaks while they do not.

    Time inside the algorithm is counted in ticks of `tick_interval_ms`. A follower campaigns when it has heard no
    leader for a random time between one and two election timeouts (paper §5.2).
    """

    tick_interval_ms: Annotated[int, _at_least_1("Length of a tick, the unit of time inside the algorithm.")] = 20
    election_timeout_ticks: Annotated[int, _at_least_1("Shortest silence of the leader before an election.")] = 20
    heartbeat_interval_ticks: Annotated[int, _at_least_1("How often a leader is heard while nothing happens.")] = 3
    pre_vote: Annotated[bool, Meta(description="Ask whether an election could be won before holding one.")] = True
    check_quorum: Annotated[bool, Meta(description="A leader that hears no quorum steps down.")] = True
    max_outstanding_calls: Annotated[int, _at_least_1("AppendEntries calls to one peer without an answer yet.")] = 16
    max_batch_bytes: Annotated[int, _at_least_1("Commands in one AppendEntries call, unless one alone is larger.")] = (
        MIB
    )
    max_batch_entries: Annotated[int, _at_least_1("Entries in one AppendEntries call.")] = 4096
    max_uncommitted_bytes: Annotated[int, _at_least_1("Proposed and not yet committed; more is refused.")] = 64 * MIB
    max_command_bytes: Annotated[int, _at_least_1("The largest command that is accepted.")] = 4 * MIB
    max_pending_proposals: Annotated[int, _at_least_1("Proposals waiting for their result; more is refused.")] = 65_536
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
    max_connections: Annotated[int, _at_least_1("Accepted and open at once.")] = 1_024
    max_half_open_connections: Annotated[int, _at_least_1("Accepted and not through the hello yet.")] = 64
    max_calls_per_connection: Annotated[int, _at_least_1("Requests of one connection without an answer yet.")] = 4_096
    idle_timeout_ms: Annotated[int, _at_least_1("From one whole frame of an accepted connection to the next.")] = 60_000


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
    raft: RaftConfig = field(default_factory=RaftConfig)


class NodeConfig(MemberConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All there is to say about one node that speaks our own wire.

    Names of codecs, transports, stores and state machines are those of entry points of installed distributions; a file
    can never have anything else imported.
    """

    listen: Annotated[
        tuple[str, ...], Meta(description="Addresses to accept connections at. Default: this member's own addresses.")
    ] = ()
    codecs: Annotated[tuple[str, ...], Meta(description="Codecs to offer, the preferred one first.")] = (
        "msgpack",
        "json",
    )
    transports: Annotated[
        tuple[str, ...], Meta(description="Names of transports. Default: the ones the addresses' schemes name.")
    ] = ()
    link: LinkConfig = field(default_factory=LinkConfig)

    def listen_addresses(self) -> tuple[str, ...]:
        """Where this node accepts connections."""
        return self.listen or next(member.addresses for member in self.members if member.id == self.node_id)

    def transport_names(self) -> tuple[str, ...]:
        """The transports named, or else the schemes of all addresses, each once."""
        addresses = chain(self.listen, *(member.addresses for member in self.members))
        return self.transports or tuple(dict.fromkeys(scheme(address) for address in addresses))


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
    merged = merge(data, *(_nested(item.path, _read_text(item)) for item in assigned))
    found = faults(NodeConfig, merged, installed, sources={".".join(item.path): item.source for item in assigned})
    if found:
        raise ConfigError(found)
    return msgspec.convert(merged, NodeConfig)


def read_file(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, unchecked. Raises `ConfigError` when it cannot be read, saying where it breaks."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}; give the path of a TOML file"]) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([f"{path} is longer than {MAX_FILE_BYTES} bytes: give a TOML file of settings"])
    try:
        return parse_toml(content.decode(), str(path))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}, line {line}: not UTF-8 text; save the file as UTF-8"]) from None


def parse_toml(text: str, source: str) -> dict[str, Any]:
    r"""The settings in a TOML text, unchecked; `source` is what errors call it.

    >>> parse_toml('node_id = "n1"\ncluster_id "c"', "n1.toml")
    Traceback (most recent call last):
      ...
    raftsdk.errors.ConfigError: 1 fault in the configuration:
      - n1.toml, line 2, column 12: Expected '=' after a key in a key/value pair; correct this line:
            cluster_id "c"
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError([f"{source}: nested too deep; settings are at most four levels deep"]) from None
    except ValueError as error:  # TOMLDecodeError; a plain ValueError for a number of thousands of digits
        raise ConfigError([_toml_fault(str(error), text, source)]) from None


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Later layers over earlier ones: tables are merged, everything else is replaced.

    >>> merge({"raft": {"pre_vote": True, "max_batch_bytes": 1}}, {"raft": {"max_batch_bytes": 2}})
    {'raft': {'pre_vote': True, 'max_batch_bytes': 2}}
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def schema() -> dict[str, Any]:
    """The JSON Schema of `NodeConfig`, for editors and other programs. Rules between settings are not in it."""
    described = msgspec.json.schema(NodeConfig)
    for definition in described["$defs"].values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])  # it is a docstring, indented as such
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


class _Assigned(Struct, frozen=True):
    """One setting from the environment or an override."""

    source: str
    path: tuple[str, ...]
    value: Any


def _from_environment(environ: Mapping[str, str]) -> list[_Assigned]:
    # Sorted, so that RAFTSDK_RAFT={…} comes before RAFTSDK_RAFT__PRE_VOTE, the more precise of the two.
    names = sorted(name for name in environ if name.startswith(ENVIRONMENT_PREFIX))
    paths = (name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__") for name in names)
    return [_Assigned(name, tuple(path), environ[name]) for name, path in zip(names, paths, strict=True)]


def _from_overrides(overrides: Mapping[str, Any]) -> list[_Assigned]:
    return [_Assigned("an override", tuple(name.split(".")), value) for name, value in overrides.items()]


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return {path[0]: value[path[0]]}


def _read_text(item: _Assigned) -> Any:
    kind = _kind_at(item.path)
    if not isinstance(item.value, str) or kind is None or isinstance(kind, StrType | EnumType):
        return item.value
    if _is_list_of_texts(kind) and not item.value.lstrip().startswith("["):
        return [part.strip() for part in item.value.split(",")]
    try:
        # A line break would let one variable set others; such a text is left for the type check to refuse.
        return tomllib.loads(f"value = {item.value}")["value"] if item.value.isprintable() else item.value
    except (ValueError, RecursionError):
        return item.value


def _kind_at(path: Sequence[str]) -> Type | None:
    kind: Type | None = _struct_type(NodeConfig)
    for part in path:
        settings = _fields(kind.cls) if isinstance(kind, StructType) else {}
        kind = _plain(settings[part].type) if part in settings else None
    return kind


_TOML_PLACE = re.compile(
    r"(?P<problem>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)


def _toml_fault(message: str, text: str, source: str) -> str:
    place = _TOML_PLACE.fullmatch(message)
    if place is None:
        return f"{source}: {message}"
    lines = text.splitlines() or [""]
    line = int(place["line"] or len(lines))
    column = int(place["column"] or len(lines[-1]) + 1)
    shown = lines[line - 1][:200] if line <= len(lines) else ""
    return f"{source}, line {line}, column {column}: {place['problem']}; correct this line:\n        {shown}"


# -- what can be wrong

_Fault: TypeAlias = tuple[str, str]  # The setting, and what is wrong with it.
_Rule: TypeAlias = Callable[..., Iterator[_Fault]]


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
    reader = _Reader(sources or {})
    values = reader.read(_struct_type(settings), data, "")
    if installed is not None:
        reader.report("", _name_faults(values, installed))
    return reader.faults


class _Reader:
    """Walks data beside the types it should have, and keeps what is sound, so that one fault does not hide another.

    Where msgspec would stop at the first fault, this leaves the faulty setting out and goes on; a rule is asked only
    when every setting it speaks about could be read.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.faults: list[str] = []
        self._sources = sources

    def read(self, kind: Type, value: object, path: str) -> Any:
        """The sound part of `value`, structs as dicts; None when it is not of that kind at all."""
        if isinstance(kind, StructType):
            return self._read_struct(kind, value, path)
        if isinstance(kind, VarTupleType):
            return self._read_list(kind, value, path)
        if _fits(kind, value):
            return value
        self._refuse(kind, value, path)
        return None

    def report(self, path: str, found: Iterable[_Fault]) -> None:
        """Keep faults of the table at `path`, each with where its setting came from."""
        for setting, problem in found:
            where = _join(path, setting)
            self.faults.append(f"{where or 'the configuration'}{self._source(where)} {problem}")

    def _read_struct(self, kind: StructType, value: object, path: str) -> dict[str, Any]:
        table = _as_mapping(value)
        if table is None:
            self._refuse(kind, value, path)
            return {}
        fields = _fields(kind.cls)
        self.report(path, (_unknown_key(str(key), fields) for key in table if key not in fields))
        read = {name: self._read_field(wanted, table, path) for name, wanted in fields.items()}
        sound = {name: value for name, value in read.items() if value is not None}
        for rule in _RULES.get(kind.cls, ()):
            subjects = signature(rule).parameters
            if subjects.keys() <= sound.keys():
                self.report(path, rule(**{name: sound[name] for name in subjects}))
        return sound

    def _read_field(self, wanted: Field, table: Mapping[str, Any], path: str) -> Any:
        kind = _plain(wanted.type)
        if wanted.name in table:
            return self.read(kind, table[wanted.name], _join(path, wanted.name))
        if wanted.required:
            self.report(path, [(wanted.name, f"is missing: give {_wanted(kind)}{_description(wanted)}")])
            return None
        default = wanted.default_factory() if wanted.default is NODEFAULT else wanted.default
        return self.read(kind, default, _join(path, wanted.name))

    def _read_list(self, kind: VarTupleType, value: object, path: str) -> list[Any] | None:
        if not isinstance(value, list | tuple):
            self._refuse(kind, value, path)
            return None
        items = [self.read(kind.item_type, item, f"{path}[{place}]") for place, item in enumerate(value)]
        return None if None in items else items

    def _refuse(self, kind: Type, value: object, path: str) -> None:
        self.report("", [(path, f"is {_shown(value)}: give {_wanted(kind)}")])

    def _source(self, where: str) -> str:
        origins = (source for path, source in self._sources.items() if f"{where}.".startswith((f"{path}.", f"{path}[")))
        return "".join(f" (from {origin})" for origin in islice(origins, 1))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _as_mapping(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    return value if isinstance(value, Mapping) else None


@cache
def _struct_type(settings: type[Struct]) -> StructType:
    kind = msgspec.inspect.type_info(settings)
    assert isinstance(kind, StructType)
    return kind


@cache
def _fields(settings: type[Struct]) -> dict[str, Field]:
    return {setting.name: setting for setting in _struct_type(settings).fields}


def _plain(kind: Type) -> Type:
    return kind.type if isinstance(kind, Metadata) else kind


def _is_list_of_texts(kind: Type) -> bool:
    return isinstance(kind, VarTupleType) and isinstance(kind.item_type, StrType)


def _description(setting: Field) -> str:
    extra = setting.type.extra_json_schema if isinstance(setting.type, Metadata) else None
    return f". {extra['description']}" if extra else ""


def _fits(kind: Type, value: object) -> bool:
    if isinstance(kind, IntType):
        return type(value) is int and (kind.ge or 0) <= value <= (kind.le or _MAX_NUMBER)
    if isinstance(kind, EnumType):
        return value in list(kind.cls)
    return isinstance(value, bool if isinstance(kind, BoolType) else str)


def _wanted(kind: Type) -> str:
    if isinstance(kind, IntType):
        return f"a whole number from {kind.ge} to {kind.le}"
    if isinstance(kind, EnumType):
        return "one of " + ", ".join(f'"{choice.value}"' for choice in kind.cls)
    if isinstance(kind, VarTupleType):
        return "a list of texts" if _is_list_of_texts(kind) else "a list of tables"
    return {BoolType: "true or false", StructType: "a table"}.get(type(kind), "a text")


def _shown(value: object) -> str:
    """A value as an error may show it: short, printable, and never by calling what a stranger wrote."""
    if isinstance(value, str):
        text = value if len(value) <= _MAX_SHOWN_CHARS else value[:_MAX_SHOWN_CHARS] + "…"
        return f'"{text}"' if text.isprintable() else repr(text)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return str(value)
    return "a table" if isinstance(value, Mapping) else f"a {type(value).__name__}"


# -- rules. A rule's parameters are the settings of one table that it speaks about; lists of tables come as dicts.


def _a_late_heartbeat_costs_no_election(election_timeout_ticks: int, heartbeat_interval_ticks: int) -> Iterator[_Fault]:
    if election_timeout_ticks < 3 * heartbeat_interval_ticks:
        yield (
            "election_timeout_ticks",
            f"is {election_timeout_ticks}: give at least three heartbeats ({3 * heartbeat_interval_ticks}), "
            "or one late heartbeat costs an election",
        )


def _the_largest_command_fits_the_window(max_uncommitted_bytes: int, max_command_bytes: int) -> Iterator[_Fault]:
    if max_uncommitted_bytes < max_command_bytes:
        yield (
            "max_uncommitted_bytes",
            f"is {max_uncommitted_bytes}: give at least max_command_bytes ({max_command_bytes}), "
            "or the largest command never fits",
        )


def _pauses_grow(reconnect_min_ms: int, reconnect_max_ms: int) -> Iterator[_Fault]:
    if reconnect_max_ms < reconnect_min_ms:
        yield "reconnect_max_ms", f"is {reconnect_max_ms}: give at least reconnect_min_ms ({reconnect_min_ms})"


def _a_store_on_disk_has_a_path(kind: str, path: str) -> Iterator[_Fault]:
    if kind == "sqlite" and not path:
        yield "path", 'is missing: say where to keep the data, e.g. path = "data/n1"'
    if "\0" in path:
        yield "path", f"is {_shown(path)}: give a path without NUL"


def _the_node_has_a_proper_id(node_id: str) -> Iterator[_Fault]:
    return _id_faults("node_id", node_id)


def _the_cluster_has_a_proper_id(cluster_id: str) -> Iterator[_Fault]:
    return _id_faults("cluster_id", cluster_id)


def _a_member_has_a_proper_id(id: str) -> Iterator[_Fault]:  # noqa: A002 -- a rule's parameter is the setting's name
    return _id_faults("id", id)


def _a_member_has_proper_addresses(addresses: Sequence[str]) -> Iterator[_Fault]:
    return _address_faults("addresses", addresses)


def _the_node_listens_at_proper_addresses(listen: Sequence[str]) -> Iterator[_Fault]:
    return _address_faults("listen", listen, may_choose_port=True)


def _no_two_members_share_an_id(members: Sequence[Mapping[str, Any]]) -> Iterator[_Fault]:
    ids = ((f"members[{place}]", member["id"]) for place, member in enumerate(members) if "id" in member)
    return _repeats(((f"{where}.id", node_id) for where, node_id in ids), "give every member an id of its own")


def _the_node_is_a_member(node_id: str, members: Sequence[Mapping[str, Any]]) -> Iterator[_Fault]:
    ids = [member.get("id", "?") for member in members]
    if node_id not in ids:
        listed = ", ".join(ids[:10]) or "nobody"
        yield (
            "node_id",
            f"is {_shown(node_id)}, which is not among the members ({listed}): correct it, or add the member",
        )


def _somebody_may_vote(members: Sequence[Mapping[str, Any]]) -> Iterator[_Fault]:
    if members and not any(member.get("suffrage", Suffrage.VOTER) == Suffrage.VOTER for member in members):
        yield "members", 'has no voter, so nothing can ever be decided: give at least one suffrage = "voter"'


def _every_member_can_be_reached(members: Sequence[Mapping[str, Any]]) -> Iterator[_Fault]:
    for place, member in enumerate(members):
        if member.get("addresses") == []:
            yield f"members[{place}].addresses", 'is empty: say where to reach it, e.g. ["tcp://127.0.0.1:7001"]'


def _no_two_members_share_an_address(members: Sequence[Mapping[str, Any]]) -> Iterator[_Fault]:
    return _repeats(_located_addresses(members), "give every member addresses of its own")


def _some_codec_is_offered(codecs: Sequence[str]) -> Iterator[_Fault]:
    if not codecs:
        yield "codecs", 'is empty: name at least one, e.g. ["msgpack", "json"]'
    yield from _repeats(((f"codecs[{place}]", name) for place, name in enumerate(codecs)), "name each codec once")


def _the_largest_call_fits_a_frame(raft: Mapping[str, Any], link: Mapping[str, Any]) -> Iterator[_Fault]:
    # Twice, because JSON carries bytes as base64 (4/3) and every entry has a term and a kind beside its data.
    needed = 2 * max(raft.get("max_command_bytes", 0), raft.get("max_batch_bytes", 0))
    if link.get("max_frame_bytes", needed) < needed:
        yield (
            "link.max_frame_bytes",
            f"is {link['max_frame_bytes']}: give at least {needed}, twice the larger of raft.max_command_bytes "
            "and raft.max_batch_bytes, or some entries can never be sent",
        )


_MEMBER_RULES: Final[Sequence[_Rule]] = (
    _the_node_has_a_proper_id,
    _the_cluster_has_a_proper_id,
    _no_two_members_share_an_id,
    _the_node_is_a_member,
    _somebody_may_vote,
)

_RULES: Final[Mapping[type, Sequence[_Rule]]] = {
    RaftConfig: (_a_late_heartbeat_costs_no_election, _the_largest_command_fits_the_window),
    LinkConfig: (_pauses_grow,),
    StorageConfig: (_a_store_on_disk_has_a_path,),
    Member: (_a_member_has_a_proper_id, _a_member_has_proper_addresses),
    MemberConfig: _MEMBER_RULES,
    NodeConfig: (
        *_MEMBER_RULES,
        _the_node_listens_at_proper_addresses,
        _every_member_can_be_reached,
        _no_two_members_share_an_address,
        _some_codec_is_offered,
        _the_largest_call_fits_a_frame,
    ),
}


def _id_faults(setting: str, text: str) -> Iterator[_Fault]:
    if not is_identifier(text):
        signs = 'letters, digits, ".", "_", "-", a letter or digit first'
        yield setting, f"is {_shown(text)}: give 1 to {MAX_ID_CHARS} of {signs}"


def _repeats(located: Iterable[tuple[str, str]], advice: str) -> Iterator[_Fault]:
    first: dict[str, str] = {}
    for where, text in located:
        if first.setdefault(text, where) != where:
            yield where, f"is {_shown(text)}, and so is {first[text]}: {advice}"


def _located_addresses(members: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for place, member in enumerate(members):
        for nth, address in enumerate(member.get("addresses", ())):
            yield f"members[{place}].addresses[{nth}]", address


# -- addresses


def scheme(address: str) -> str:
    """What comes before `://`: the name of the transport that understands the address.

    >>> scheme("tcp://127.0.0.1:7001")
    'tcp'
    """
    return address.partition("://")[0]


_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
_PORT_SCHEMES: Final = frozenset({"tcp", "ws", "wss"})


def _address_faults(setting: str, addresses: Sequence[str], *, may_choose_port: bool = False) -> Iterator[_Fault]:
    for place, address in enumerate(addresses):
        problem = _address_problem(address, may_choose_port=may_choose_port)
        if problem:
            yield f"{setting}[{place}]", f"is {_shown(address)}: {problem}"


def _address_problem(address: str, *, may_choose_port: bool) -> str | None:
    if not _ADDRESS.fullmatch(address) or not address.isprintable():
        return "give scheme://where, e.g. tcp://127.0.0.1:7001"
    if scheme(address) == "unix" and not address.startswith("unix:///"):
        return "give an absolute path, e.g. unix:///run/raft.sock"
    if scheme(address) not in _PORT_SCHEMES:
        return None  # Where a port is no number, only the transport can tell.
    lowest = 0 if may_choose_port else 1
    return None if _has_host_and_port(address, lowest) else f"give a host and a port from {lowest} to 65535"


def _has_host_and_port(address: str, lowest: int) -> bool:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:  # a port that is no number or over 65535, or a bracket that does not close
        return False
    return bool(parts.hostname) and "@" not in parts.netloc and port is not None and port >= lowest


# -- names that are none

_NOUNS: Final = {CODECS: "codec", TRANSPORTS: "transport", STORAGE: "store", STATE_MACHINES: "state machine"}

_DISTRIBUTIONS: Final = {
    (CODECS, "json"): "raftsdk-json",
    (CODECS, "msgpack"): "raftsdk-msgpack",
    (CODECS, "protobuf"): "raftsdk-protobuf",
    (CODECS, "capnp"): "raftsdk-capnp",
    (CODECS, "flatbuffers"): "raftsdk-flatbuffers",
    (TRANSPORTS, "tcp"): "raftsdk-tcp",
    (TRANSPORTS, "unix"): "raftsdk-tcp",
    (TRANSPORTS, "websocket"): "raftsdk-websocket",
    (TRANSPORTS, "ws"): "raftsdk-websocket",
    (TRANSPORTS, "wss"): "raftsdk-websocket",
}
"""What to install for a name that is ours and not there."""


def unknown_name(group: str, name: str, installed: Collection[str]) -> str:
    """What to do about a name that no installed distribution registers in an entry-point group.

    >>> unknown_name(CODECS, "msgpak", ["json", "msgpack"])
    'no codec has that name; did you mean "msgpack"?'
    >>> unknown_name(CODECS, "protobuf", ["json", "msgpack"])
    'that codec is not installed; run: pip install raftsdk-protobuf'
    """
    if (group, name) in _DISTRIBUTIONS:
        return f"that {_NOUNS[group]} is not installed; run: pip install {_DISTRIBUTIONS[group, name]}"
    ours = (known for owner, known in _DISTRIBUTIONS if owner == group)
    return f"no {_NOUNS[group]} has that name; {_advice(name, {*installed, *ours}, installed)}"


def _name_faults(values: Mapping[str, Any], installed: Mapping[str, Collection[str]]) -> Iterator[_Fault]:
    for group, setting, name in _named(values):
        known = installed.get(group, ())
        if name not in known:
            yield setting, f"is {_shown(name)}: {unknown_name(group, name, known)}"


def _named(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every name of a plug-in in the settings: its group, where it stands, and the name."""
    if "state_machine" in values:
        yield STATE_MACHINES, "state_machine", values["state_machine"]
    if "kind" in values.get("storage", {}):
        yield STORAGE, "storage.kind", values["storage"]["kind"]
    for setting, group in (("codecs", CODECS), ("transports", TRANSPORTS)):
        yield from ((group, f"{setting}[{place}]", name) for place, name in enumerate(values.get(setting, ())))
    if values.get("transports") == []:
        listen = ((f"listen[{place}]", address) for place, address in enumerate(values.get("listen", ())))
        located = chain(_located_addresses(values.get("members", ())), listen)
        schemes = {scheme(address): where for where, address in located if _ADDRESS.fullmatch(address)}
        yield from ((TRANSPORTS, f"the scheme of {where}", name) for name, where in schemes.items())


def _unknown_key(key: str, known: Collection[str]) -> _Fault:
    return key[:_MAX_SHOWN_CHARS], f"is no setting; {_advice(key, known, known)}"


def _advice(name: str, known: Collection[str], listed: Collection[str]) -> str:
    # Comparing is quadratic in the length, and nothing this long was ever a slip of the pen.
    close = get_close_matches(name, known, n=1) if len(name) <= _MAX_SHOWN_CHARS else []
    return f'did you mean "{close[0]}"?' if close else f"there is: {', '.join(sorted(listed)) or 'none'}"
