"""What makes no sense in a node's settings, and what to do about it; names of plug-ins and addresses included.

A rule's parameters are the settings of one table that it speaks about; see `raftsdk.config.reading.Rule`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from itertools import chain
from typing import Any, Final
from urllib.parse import urlsplit

from raftsdk.config.reading import Fault, Rule, nearest, shown
from raftsdk.messages import MAX_ADDRESSES, MAX_MEMBERS, MAX_TEXT_BYTES
from raftsdk.types import MAX_ID_CHARS, Suffrage, is_identifier

CODECS: Final = "raftsdk.codecs"
TRANSPORTS: Final = "raftsdk.transports"
STORAGE: Final = "raftsdk.storage"
STATE_MACHINES: Final = "raftsdk.state_machines"

MAX_ADDRESS_BYTES: Final = MAX_TEXT_BYTES * 3 // 4
"""Of all members' ids and addresses; the rest of a message's text is for what it says about them."""


def _a_late_heartbeat_costs_no_election(election_timeout_ticks: int, heartbeat_interval_ticks: int) -> Iterator[Fault]:
    if election_timeout_ticks < 3 * heartbeat_interval_ticks:
        yield (
            "election_timeout_ticks",
            f"is {election_timeout_ticks}: give at least three heartbeats ({3 * heartbeat_interval_ticks}), "
            "or one late heartbeat costs an election",
        )


def _the_largest_command_fits_the_window(max_uncommitted_bytes: int, max_command_bytes: int) -> Iterator[Fault]:
    if max_uncommitted_bytes < max_command_bytes:
        yield (
            "max_uncommitted_bytes",
            f"is {max_uncommitted_bytes}: give at least max_command_bytes ({max_command_bytes}), "
            "or the largest command never fits",
        )


def _pauses_grow(reconnect_min_ms: int, reconnect_max_ms: int) -> Iterator[Fault]:
    if reconnect_max_ms < reconnect_min_ms:
        yield "reconnect_max_ms", f"is {reconnect_max_ms}: give at least reconnect_min_ms ({reconnect_min_ms})"


def _a_store_on_disk_has_a_path(kind: str, path: str) -> Iterator[Fault]:
    if kind == "sqlite" and not path:
        yield "path", 'is missing: say where to keep the data, e.g. path = "data/n1"'
    if "\0" in path:
        yield "path", f"is {shown(path)}: give a path without NUL"


def _a_certificate_comes_with_its_key(certificate: str, key: str) -> Iterator[Fault]:
    if certificate and not key:
        yield "key", "is missing: give the file of the certificate's private key"
    if key and not certificate:
        yield "certificate", "is missing: give the file of the certificate that the key belongs to"


def _somebody_vouches_for_the_others(certificate: str, authorities: str) -> Iterator[Fault]:
    if certificate and not authorities:
        yield "authorities", "is missing: give the file of the certificates that vouch for the other nodes"


def _the_node_has_a_proper_id(node_id: str) -> Iterator[Fault]:
    return _id_faults("node_id", node_id)


def _the_cluster_has_a_proper_id(cluster_id: str) -> Iterator[Fault]:
    return _id_faults("cluster_id", cluster_id)


def _a_member_has_a_proper_id(id: str) -> Iterator[Fault]:  # noqa: A002 -- a rule's parameter is the setting's name
    return _id_faults("id", id)


def _a_member_has_proper_addresses(addresses: Sequence[str]) -> Iterator[Fault]:
    if len(addresses) > MAX_ADDRESSES:
        yield "addresses", f"are {len(addresses)}, and a message carries {MAX_ADDRESSES} at the most: leave some out"
    yield from address_faults("addresses", addresses)


def _the_node_listens_at_proper_addresses(listen: Sequence[str]) -> Iterator[Fault]:
    return address_faults("listen", listen)


def _no_two_members_share_an_id(members: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    ids = ((f"members[{place}]", member["id"]) for place, member in enumerate(members) if "id" in member)
    return _repeats(((f"{where}.id", node_id) for where, node_id in ids), "give every member an id of its own")


def _the_node_is_a_member(node_id: str, members: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    ids = [member.get("id", "?") for member in members]
    if node_id not in ids:
        listed = ", ".join(ids[:10]) or "nobody"
        yield (
            "node_id",
            f"is {shown(node_id)}, which is not among the members ({listed}): correct it, or add the member",
        )


def _somebody_may_vote(members: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    if members and not any(member.get("suffrage", Suffrage.VOTER) == Suffrage.VOTER for member in members):
        yield "members", 'has no voter, so nothing can ever be decided: give at least one suffrage = "voter"'


def _somebody_may_vote_or_be_asked(members: Sequence[Mapping[str, Any]], join: Sequence[str]) -> Iterator[Fault]:
    return iter(()) if join else _somebody_may_vote(members)


def _whoever_joins_names_itself_alone(
    node_id: str, members: Sequence[Mapping[str, Any]], join: Sequence[str]
) -> Iterator[Fault]:
    others = [member["id"] for member in members if member.get("id", node_id) != node_id]
    if join and others:
        yield (
            "members",
            f"has {', '.join(others[:10])} besides {node_id}, which is to join a cluster that runs: leave the others "
            "out, since the cluster says who they are; or leave out join, if this node is to found it with them",
        )


def _the_cluster_is_asked_at_proper_addresses(join: Sequence[str]) -> Iterator[Fault]:
    return address_faults("join", join)


def _the_members_fit_a_message(members: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    if len(members) > MAX_MEMBERS:
        yield "members", f"are {len(members)}, and a message carries {MAX_MEMBERS} at the most: leave some out"


def _the_addresses_fit_a_message(members: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    texts = chain.from_iterable((member.get("id", ""), *member.get("addresses", ())) for member in members)
    total_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if total_bytes > MAX_ADDRESS_BYTES:
        yield (
            "members",
            f"have ids and addresses of {total_bytes} bytes, and {MAX_ADDRESS_BYTES} at the most fit the messages that "
            "carry them: give shorter ones",
        )


def _every_member_can_be_reached(members: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    for place, member in enumerate(members):
        if member.get("addresses") == []:
            yield f"members[{place}].addresses", 'is empty: say where to reach it, e.g. ["tcp://127.0.0.1:7001"]'


def _no_two_members_share_an_address(members: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    return _repeats(_located_addresses(members), "give every member addresses of its own")


def _some_codec_is_offered(codecs: Sequence[str]) -> Iterator[Fault]:
    if not codecs:
        yield "codecs", 'is empty: name at least one, e.g. ["msgpack", "json"]'
    yield from _repeats(((f"codecs[{place}]", name) for place, name in enumerate(codecs)), "name each codec once")


def _the_largest_call_fits_a_frame(raft: Mapping[str, Any], link: Mapping[str, Any]) -> Iterator[Fault]:
    # Twice, because JSON carries bytes as base64 (4/3) and every entry has a term and a kind beside its data.
    needed = 2 * max(raft.get("max_command_bytes", 0), raft.get("max_batch_bytes", 0))
    if link.get("max_frame_bytes", needed) < needed:
        yield (
            "link.max_frame_bytes",
            f"is {link['max_frame_bytes']}: give at least {needed}, twice the larger of raft.max_command_bytes "
            "and raft.max_batch_bytes, or some entries can never be sent",
        )


def _tls_has_certificates(
    members: Sequence[Mapping[str, Any]], listen: Sequence[str], join: Sequence[str], tls: Mapping[str, Any]
) -> Iterator[Fault]:
    if any(tls.get(setting) for setting in ("certificate", "key")):
        return  # If it is half of what is needed, the table's own rules say so.
    asking = [where for where, address in _all_addresses(members, listen, join) if scheme(address) in TLS_SCHEMES]
    if asking:
        yield "tls.certificate", f"is missing, and {asking[0]} asks for TLS: give a table [tls] with {_TLS_FILES}"


def _id_faults(setting: str, text: str) -> Iterator[Fault]:
    if not is_identifier(text):
        signs = 'letters, digits, ".", "_", "-", a letter or digit first'
        yield setting, f"is {shown(text)}: give 1 to {MAX_ID_CHARS} of {signs}"


def _repeats(located: Iterable[tuple[str, str]], advice: str) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for where, text in located:
        if first.setdefault(text, where) != where:
            yield where, f"is {shown(text)}, and so is {first[text]}: {advice}"


def _located_addresses(members: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for place, member in enumerate(members):
        for nth, address in enumerate(member.get("addresses", ())):
            yield f"members[{place}].addresses[{nth}]", address


def _all_addresses(
    members: Iterable[Mapping[str, Any]], listen: Sequence[str], join: Sequence[str]
) -> Iterator[tuple[str, str]]:
    yield from _located_addresses(members)
    for setting, addresses in (("listen", listen), ("join", join)):
        yield from ((f"{setting}[{place}]", address) for place, address in enumerate(addresses))


# -- addresses

TLS_SCHEMES: Final = frozenset({"tcp+tls", "wss"})
"""The schemes of addresses where certificates are exchanged."""

_TLS_FILES: Final = "certificate, key and authorities"


def scheme(address: str) -> str:
    """What comes before `://`: the name of the transport that understands the address.

    >>> scheme("tcp://127.0.0.1:7001")
    'tcp'
    """
    return address.partition("://")[0]


_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
_PORT_SCHEMES: Final = frozenset({"tcp", "ws"}) | TLS_SCHEMES


def is_exposed(address: str) -> bool:
    """Whether other machines can reach an address where nobody has to show a certificate.

    >>> is_exposed("tcp://0.0.0.0:7001"), is_exposed("tcp://127.0.0.1:7001"), is_exposed("tcp+tls://0.0.0.0:7001")
    (True, False, False)
    """
    if scheme(address) not in _PORT_SCHEMES - TLS_SCHEMES:
        return False
    host = urlsplit(address).hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def address_faults(setting: str, addresses: Sequence[str]) -> Iterator[Fault]:
    """A fault for each of `addresses` that cannot be one, whatever transport is installed."""
    for place, address in enumerate(addresses):
        problem = _address_problem(address)
        if problem:
            yield f"{setting}[{place}]", f"is {shown(address)}: {problem}"


def _address_problem(address: str) -> str | None:
    if not _ADDRESS.fullmatch(address) or not address.isprintable():
        return "give scheme://where, e.g. tcp://127.0.0.1:7001"
    if scheme(address) == "unix" and not address.startswith("unix:///"):
        return "give an absolute path, e.g. unix:///run/raft.sock"
    if scheme(address) not in _PORT_SCHEMES:
        return None  # Where a port is no number, only the transport can tell.
    return None if _has_host_and_port(address) else "give a host and a port from 1 to 65535"


def _has_host_and_port(address: str) -> bool:
    # Port 0, "any", is refused also where a node listens: the others are told where it is before it starts.
    try:
        parts = urlsplit(address)
        return bool(parts.hostname and parts.port) and "@" not in parts.netloc
    except ValueError:  # a port that is no number or over 65535, or a bracket that does not close
        return False


# -- names that are none

_NOUNS: Final = {CODECS: "codec", TRANSPORTS: "transport", STORAGE: "store", STATE_MACHINES: "state machine"}

_DISTRIBUTIONS: Final = {
    **{(CODECS, name): f"raftsdk-{name}" for name in ("json", "msgpack", "protobuf", "capnp", "flatbuffers")},
    **{(TRANSPORTS, name): "raftsdk-tcp" for name in ("tcp", "tcp+tls", "unix")},
    **{(TRANSPORTS, name): "raftsdk-websocket" for name in ("ws", "wss")},
}
"""What to install for a name that is ours and not there. Only what exists: a stranger could register the others."""


def unknown_name(group: str, name: str, installed: Collection[str]) -> str:
    """What to do about a name that no installed distribution registers in an entry-point group.

    >>> unknown_name(CODECS, "msgpak", ["json", "msgpack"])
    'no codec has that name; did you mean "msgpack"?'
    >>> unknown_name(CODECS, "msgpack", ["json"])
    'that codec is not installed; run: pip install raftsdk-msgpack'
    """
    if (group, name) in _DISTRIBUTIONS:
        return f"that {_NOUNS[group]} is not installed; run: pip install {_DISTRIBUTIONS[group, name]}"
    ours = (known for owner, known in _DISTRIBUTIONS if owner == group)
    return f"no {_NOUNS[group]} has that name; {nearest(name, {*installed, *ours}, installed)}"


def name_faults(values: Mapping[str, Any], installed: Mapping[str, Collection[str]]) -> Iterator[Fault]:
    """A fault for every name of a plug-in in a node's settings that is not `installed` (names by entry-point group)."""
    for group, setting, name in _named(values):
        known = installed.get(group, ())
        if name not in known:
            yield setting, f"is {shown(name)}: {unknown_name(group, name, known)}"


def _named(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every name of a plug-in in the settings: its group, where it stands, and the name."""
    if "state_machine" in values:
        yield STATE_MACHINES, "state_machine", values["state_machine"]
    if "kind" in values.get("storage", {}):
        yield STORAGE, "storage.kind", values["storage"]["kind"]
    for setting, group in (("codecs", CODECS), ("transports", TRANSPORTS)):
        yield from ((group, f"{setting}[{place}]", name) for place, name in enumerate(values.get(setting, ())))
    if values.get("transports") == []:
        located = _all_addresses(values.get("members", ()), values.get("listen", ()), values.get("join", ()))
        schemes = {scheme(address): where for where, address in located if _ADDRESS.fullmatch(address)}
        yield from ((TRANSPORTS, f"the scheme of {where}", name) for name, where in schemes.items())


# -- which rules belong to which table

RAFT: Final[Sequence[Rule]] = (_a_late_heartbeat_costs_no_election, _the_largest_command_fits_the_window)
LINK: Final[Sequence[Rule]] = (_pauses_grow,)
STORE: Final[Sequence[Rule]] = (_a_store_on_disk_has_a_path,)
TLS: Final[Sequence[Rule]] = (_a_certificate_comes_with_its_key, _somebody_vouches_for_the_others)
MEMBER: Final[Sequence[Rule]] = (_a_member_has_a_proper_id, _a_member_has_proper_addresses)
CLUSTER: Final[Sequence[Rule]] = (
    _the_node_has_a_proper_id,
    _the_cluster_has_a_proper_id,
    _no_two_members_share_an_id,
    _the_node_is_a_member,
    _somebody_may_vote,
    _the_members_fit_a_message,
    _the_addresses_fit_a_message,
)
WIRED: Final[Sequence[Rule]] = (
    *(rule for rule in CLUSTER if rule is not _somebody_may_vote),
    _somebody_may_vote_or_be_asked,
    _whoever_joins_names_itself_alone,
    _the_cluster_is_asked_at_proper_addresses,
    _the_node_listens_at_proper_addresses,
    _every_member_can_be_reached,
    _no_two_members_share_an_address,
    _some_codec_is_offered,
    _the_largest_call_fits_a_frame,
    _tls_has_certificates,
)
