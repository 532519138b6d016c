"""From parts and names to a node: collects, then reports every fault at once, then assembles."""

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from itertools import chain
from typing import Any, Final, Self

import msgspec
from msgspec import Struct

from raftsdk import plugins
from raftsdk.client import Client
from raftsdk.config import (
    CODECS,
    DEFAULT_CODECS,
    STATE_MACHINES,
    STORAGE,
    TRANSPORTS,
    LinkConfig,
    MemberConfig,
    NodeConfig,
    RaftConfig,
    TlsConfig,
    faults,
    scheme,
)
from raftsdk.errors import ConfigError
from raftsdk.messages import ChangeMembershipRequest
from raftsdk.ports import API_VERSION, Codec, Credentials, RaftNetwork, StateMachine, Storage, Transport
from raftsdk.runtime.host import RaftHost
from raftsdk.runtime.joining import Join
from raftsdk.runtime.node import RaftNode
from raftsdk.types import Identity, Membership, NodeId, Suffrage
from raftsdk.wire.frame import MAX_GROUP
from raftsdk.wire.rpc import RpcNetwork
from raftsdk.wire.tls import FileCredentials

# Not entry-point groups: these are given as objects, never by name.
_NETWORK: Final = "network"
_CREDENTIALS: Final = "credentials"

_PORTS: Final[Mapping[str, type]] = {
    CODECS: Codec,
    TRANSPORTS: Transport,
    STORAGE: Storage,
    STATE_MACHINES: StateMachine,
    _NETWORK: RaftNetwork,
    _CREDENTIALS: Credentials,
}

_OPTIONAL: Final = frozenset({"install_snapshot", "timeout_now", "read_index", "set_addresses"})
"""What a network may lack: the port says what a node does without."""

_NETWORKS_OWN: Final = frozenset({"listen", "link", "tls", "join", "join_as"})  # Settings for our own network.


class NodeBuilder:
    """Says what a node consists of, in any order, as objects or as names of installed plug-ins.

    Nothing is checked before `check` or `build`, so that all that is wrong can be said at once.

    >>> NodeBuilder("n1").cluster("demo").member("n2", "tcp://127.0.0.1:7002").storage("memory").codec("msgpak").check()
    Traceback (most recent call last):
      ...
    raftsdk.errors.ConfigError: 3 faults in the configuration:
      - state_machine is missing: give a text. A name of the entry-point group raftsdk.state_machines.
      - node_id is "n1", which is not among the members (n2): correct it, or add the member
      - codecs[0] is "msgpak": no codec has that name; did you mean "msgpack"?
    """

    def __init__(self, node_id: NodeId) -> None:
        self._settings: dict[str, Any] = {"node_id": node_id, "members": []}
        self._codecs: list[Codec | str] = []
        self._transports: list[Transport | str] = []
        self._credentials: Credentials | None = None
        self._network: RaftNetwork | None = None
        self._storage: Storage | str | None = None
        self._storage_path = ""
        self._state_machine: StateMachine | str | None = None

    @classmethod
    def from_config(cls, config: NodeConfig) -> Self:
        """The same node as `config` describes; everything may still be added to or replaced."""
        builder = cls(config.node_id).cluster(config.cluster_id).listen(*config.listen)
        for member in config.members:
            builder.member(member.id, *member.addresses, suffrage=member.suffrage)
        for transport in config.transports:
            builder.transport(transport)
        if config.join:
            builder.join(*config.join, suffrage=config.join_as)
        builder.codecs(*config.codecs).storage(config.storage.kind, path=config.storage.path)
        builder.state_machine(config.state_machine).config(config.raft)
        return builder.link_config(config.link).tls_config(config.tls)

    def cluster(self, cluster_id: str) -> Self:
        """The cluster's name, alike on every member; nodes of another name are refused."""
        return self._set("cluster_id", cluster_id)

    def member(self, node_id: NodeId, *addresses: str, suffrage: Suffrage = Suffrage.VOTER) -> Self:
        """Add one member, this node or another, and where to reach it."""
        return self._add_member(node_id, addresses, suffrage)

    def members(self, addresses: Mapping[NodeId, str | Sequence[str]]) -> Self:
        """Add voters: id → address, or addresses."""
        for node_id, where in addresses.items():
            self._add_member(node_id, (where,) if isinstance(where, str) else where, Suffrage.VOTER)
        return self

    def voters(self, *node_ids: NodeId) -> Self:
        """Add voters that need no address, because the network is your own (`network`)."""
        for node_id in node_ids:
            self._add_member(node_id, (), Suffrage.VOTER)
        return self

    def listen(self, *addresses: str) -> Self:
        """Accept connections at these addresses, when they differ from this member's own."""
        return self._set("listen", addresses)

    def join(self, *addresses: str, suffrage: Suffrage = Suffrage.VOTER) -> Self:
        """Be taken in by a cluster that runs, some of whose members are at `addresses`, instead of founding one. The
        only `member` to be named is this node itself.
        """
        return self._set("join", addresses)._set("join_as", suffrage)

    def codec(self, codec: Codec | str) -> Self:
        """Offer a codec, after those already given. Default: msgpack, then json."""
        self._codecs.append(codec)
        return self

    def codecs(self, *codecs: Codec | str) -> Self:
        """Offer these codecs, the preferred one first, instead of those already given."""
        self._codecs = list(codecs)
        return self

    def transport(self, transport: Transport | str) -> Self:
        """Use a transport. Default: the installed ones that the addresses' schemes name."""
        self._transports.append(transport)
        return self

    def network(self, network: RaftNetwork) -> Self:
        """Bring your own network; it needs no codec, no transport and no addresses."""
        self._network = network
        return self

    def storage(self, storage: Storage | str, *, path: str = "") -> Self:
        """Where the node keeps what it must not forget; `path` is for a store given by name."""
        self._storage, self._storage_path = storage, path
        return self

    def state_machine(self, state_machine: StateMachine | str) -> Self:
        """The application. A node that is built again needs a fresh one."""
        self._state_machine = state_machine
        return self

    def config(self, config: RaftConfig) -> Self:
        """How the algorithm runs."""
        return self._set("raft", config)

    def link_config(self, config: LinkConfig) -> Self:
        """How connections behave."""
        return self._set("link", config)

    def tls_config(self, config: TlsConfig) -> Self:
        """Which certificates to show and to believe, where addresses ask for TLS (`tcp+tls://`, `wss://`)."""
        return self._set("tls", config)

    def credentials(self, credentials: Credentials) -> Self:
        """Bring your own certificates, from wherever you have them, instead of files."""
        self._credentials = credentials
        return self

    def check(self) -> None:
        """Load the plug-ins and make the parts, but open nothing. Raises `ConfigError` with every fault."""
        self._checked()

    def build(self) -> RaftNode:
        """The node, ready for `async with`. Raises `ConfigError` with every fault."""
        config, parts = self._checked()
        return _node(config, parts, parts.network or _rpc_network(config, parts))

    def build_host(self, state_machines: Mapping[int, StateMachine | str]) -> RaftHost:
        """Nodes of several groups over the same connections: a state machine for each, by the group's number (0 to
        2^32 - 1), and under the path of the store, which is given by name, a directory for each. The members that are
        named found every group. Raises `ConfigError` with every fault.
        """
        found = self._faults_of_host(state_machines)
        checked = {}
        for number, state_machine in sorted(state_machines.items()):
            try:
                checked[number] = self._for_group(number, state_machine)._checked()
            except ConfigError as error:
                found += error.faults
        if found:
            raise ConfigError([*dict.fromkeys(found)])
        network = _rpc_network(*next(iter(checked.values())))
        nodes = {number: _node(config, parts, network.group(number)) for number, (config, parts) in checked.items()}
        return RaftHost(nodes, network)

    def _faults_of_host(self, state_machines: Mapping[int, object]) -> list[str]:
        found = []
        if not state_machines:
            found.append("there is no group: give a state machine for one at least, e.g. {0: Counter()}")
        found += [
            f"{number} is no group: give a number from 0 to {MAX_GROUP}"
            for number in state_machines
            if not 0 <= number <= MAX_GROUP
        ]
        if self._network is not None:
            found.append("a network of your own carries one group: leave out network, or build a node")
        if self._storage is not None and not isinstance(self._storage, str):
            found.append(f"{_class_name(self._storage)} is the store of one group: give the name of a store instead")
        if self._settings.get("join"):
            found.append("a host of groups is founded with its members, and joins nobody: leave out join")
        return found

    def _for_group(self, number: int, state_machine: StateMachine | str) -> Self:
        one = copy(self)
        one._state_machine = state_machine
        one._storage_path = f"{self._storage_path}/group-{number}" if self._storage_path else ""
        return one

    def _set(self, setting: str, value: object) -> Self:
        self._settings[setting] = value
        return self

    def _add_member(self, node_id: NodeId, addresses: Sequence[str], suffrage: Suffrage) -> Self:
        self._settings["members"].append({"id": node_id, "addresses": addresses, "suffrage": suffrage})
        return self

    def _checked(self) -> tuple[MemberConfig, "_Parts"]:
        workshop = _Workshop()
        parts = self._make(workshop)
        settings = self._as_settings(workshop)
        kind = MemberConfig if self._network else NodeConfig
        found = [*faults(kind, settings, workshop.installed), *workshop.faults]
        if found:
            raise ConfigError(found)
        return msgspec.convert(settings, kind), parts

    def _make(self, workshop: "_Workshop") -> "_Parts":
        path = [self._storage_path] if self._storage_path else []
        parts = _Parts(
            storage=workshop.part(STORAGE, self._storage, *path),
            state_machine=workshop.part(STATE_MACHINES, self._state_machine),
            network=workshop.part(_NETWORK, self._network),
        )
        if self._network is None:
            parts.codecs = [workshop.part(CODECS, codec) for codec in self._codecs or DEFAULT_CODECS]
            parts.credentials = self._make_credentials(workshop)
            parts.transports = self._make_transports(workshop, parts.credentials)
        return parts

    def _make_credentials(self, workshop: "_Workshop") -> Credentials | None:
        config: TlsConfig = self._settings.get("tls", TlsConfig())
        if self._credentials is not None:
            if config.certificate:
                workshop.faults.append("there are certificates in files and credentials besides: leave out either")
            credentials: Credentials | None = workshop.part(_CREDENTIALS, self._credentials)
            return credentials
        if not config.certificate:
            return None
        try:
            return FileCredentials(config, self._settings["node_id"])
        except ConfigError as error:
            workshop.faults += error.faults
            return None

    def _make_transports(self, workshop: "_Workshop", credentials: Credentials | None) -> list[Transport]:
        addresses = [*self._settings.get("listen", ()), *self._settings.get("join", ())]
        addresses += chain.from_iterable(member["addresses"] for member in self._settings["members"])
        schemes = dict.fromkeys(scheme(address) for address in addresses if isinstance(address, str))
        made: list[Transport] = []
        for transport in self._transports or schemes:
            # One plug-in may stand under several schemes (tcp, unix); it is needed once.
            if not any(transport in other.schemes for other in made):
                part = workshop.part(TRANSPORTS, transport, credentials=credentials)
                made += [part] if part else []
        if self._transports:
            spoken = {name for transport in made for name in transport.schemes}
            workshop.faults += (_unspoken(name, spoken) for name in schemes if name not in spoken)
        return made

    def _as_settings(self, workshop: "_Workshop") -> dict[str, Any]:
        """What was collected, in the shape of `NodeConfig`; an object goes by the name it gives itself."""
        settings = dict(self._settings)
        if self._state_machine is not None:
            settings["state_machine"] = workshop.label(STATE_MACHINES, self._state_machine)
        if self._storage is not None:
            settings["storage"] = {"kind": workshop.label(STORAGE, self._storage), "path": self._storage_path}
        if self._credentials is not None:
            label = workshop.label(_CREDENTIALS, self._credentials)
            settings["tls"] = dict.fromkeys(("certificate", "key", "authorities"), label)
        if self._network is None:
            settings["codecs"] = [workshop.label(CODECS, codec) for codec in self._codecs or DEFAULT_CODECS]
            settings["transports"] = [workshop.label(TRANSPORTS, transport) for transport in self._transports]
            return settings
        if self._codecs or self._transports or _NETWORKS_OWN & settings.keys():
            workshop.faults.append(
                "a network of your own brings its own codecs, transports, listening addresses, links and certificates: "
                "leave out codec, transport, listen, join, link_config, tls_config and credentials, or network"
            )
        return {name: value for name, value in settings.items() if name not in _NETWORKS_OWN}


class _Parts(Struct):
    """What the names stand for."""

    storage: Any
    state_machine: Any
    network: Any
    codecs: Sequence[Codec] = ()
    credentials: Credentials | None = None
    transports: Sequence[Transport] = ()


class _Workshop:
    """Turns names into parts and looks the parts over; what goes wrong is kept, not raised."""

    def __init__(self) -> None:
        self.installed = plugins.names()
        self.faults: list[str] = []

    def part(self, group: str, part: object, *arguments: str, credentials: Credentials | None = None) -> Any:
        """The part itself; None when there is none, which was or will be reported."""
        if isinstance(part, str):
            part = self._make(group, part, arguments, credentials)
        elif arguments:
            self.faults.append(f"a path is for a store given by name: leave it out, or tell {_class_name(part)} itself")
        return part if part is not None and self._keeps_to_its_port(group, part) else None

    def label(self, group: str, part: object) -> str:
        """What errors call a part. Objects count as installed under it."""
        if isinstance(part, str):
            return part
        label = str(getattr(part, "name", "")) or _class_name(part)
        self.installed.setdefault(group, []).append(label)
        return label

    def _make(self, group: str, name: str, arguments: Sequence[str], credentials: Credentials | None) -> object:
        if name not in self.installed[group]:
            return None  # `faults` says so, and what to do.
        try:
            return plugins.make(group, name, *arguments, credentials=credentials)
        except ConfigError as error:
            self.faults += error.faults
            return None

    def _keeps_to_its_port(self, group: str, part: object) -> bool:
        port = _PORTS[group]
        lacking = [name for name in _public_names(port) if name not in _OPTIONAL and not hasattr(part, name)]
        version = getattr(part, "api_version", API_VERSION)
        if isinstance(part, type):
            fault = f"{part.__name__} is a class: give an object, {part.__name__}(…)"
        elif lacking:
            fault = f"{_class_name(part)} is no {port.__name__}: it lacks {', '.join(lacking)}"
        elif version != API_VERSION:
            fault = (
                f"{_class_name(part)} is written for version {version} of {port.__name__}, and this raftsdk knows "
                f"version {API_VERSION}: use releases of both that go together"
            )
        else:
            return True
        self.faults.append(fault)
        return False


def _node(config: MemberConfig, parts: _Parts, network: RaftNetwork) -> RaftNode:
    join = _join(config, parts)
    return RaftNode(
        identity=Identity(cluster_id=config.cluster_id, node_id=config.node_id),
        membership=Membership(() if join else config.members),
        network=network,
        storage=parts.storage,
        state_machine=parts.state_machine,
        config=config.raft,
        join=join,
    )


def _rpc_network(config: MemberConfig, parts: _Parts) -> RpcNetwork:
    assert isinstance(config, NodeConfig)
    return RpcNetwork(
        identity=Identity(cluster_id=config.cluster_id, node_id=config.node_id),
        addresses={member.id: member.addresses for member in config.members},
        listen=config.listen_addresses(),
        codecs=parts.codecs,
        transports=parts.transports,
        config=config.link,
        credentials=parts.credentials,
    )


def _join(config: MemberConfig, parts: _Parts) -> Join | None:
    """How the node is to become a member, if it is none from the start: by asking as any client would."""
    if not isinstance(config, NodeConfig) or not config.join:
        return None
    own = next(member for member in config.members if member.id == config.node_id)

    async def ask(request: ChangeMembershipRequest) -> None:
        client = Client(
            config.join,
            codecs=parts.codecs,
            transports=parts.transports,
            cluster_id=config.cluster_id,
            timeout_ms=config.raft.proposal_timeout_ms,
        )
        async with client:
            await client.change_membership(request.members, request.remove)

    return Join(msgspec.structs.replace(own, suffrage=config.join_as), ask)


def _unspoken(name: str, spoken: Collection[str]) -> str:
    return (
        f'no transport given speaks "{name}" (they speak {", ".join(sorted(spoken))}): add one, or correct the address'
    )


def _public_names(port: type) -> list[str]:
    return [name for name in {**port.__annotations__, **vars(port)} if not name.startswith("_")]


def _class_name(part: object) -> str:
    return part.__name__ if isinstance(part, type) else type(part).__name__
