"""Settings that are wrong, and what the reader is told; where settings come from, and which of them win."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from raftsdk.config import (
    CODECS,
    STATE_MACHINES,
    STORAGE,
    TRANSPORTS,
    LinkConfig,
    NodeConfig,
    RaftConfig,
    node_config,
    schema,
)
from raftsdk.config.reading import MAX_FILE_BYTES, merge, parse_toml, read_file
from raftsdk.errors import ConfigError
from raftsdk.types import Member, Suffrage

INSTALLED = {
    CODECS: ["json", "msgpack"],
    TRANSPORTS: ["tcp", "unix"],
    STORAGE: ["memory", "sqlite"],
    STATE_MACHINES: ["key-value"],
}


def sound(**changes: Any) -> dict[str, Any]:
    settings = {
        "node_id": "n1",
        "cluster_id": "demo",
        "members": [
            {"id": "n1", "addresses": ["tcp://127.0.0.1:7001"]},
            {"id": "n2", "addresses": ["tcp://127.0.0.1:7002"]},
        ],
        "state_machine": "key-value",
        "storage": {"kind": "sqlite", "path": "data/n1"},
    }
    return {**settings, **changes}


def faults_in(data: Mapping[str, Any], **sources: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        node_config(data, installed=INSTALLED, **sources)
    return list(caught.value.faults)


# -- what is sound


def test_a_sound_configuration_has_a_default_for_everything_it_does_not_say() -> None:
    config = node_config(sound(), installed=INSTALLED)
    assert config.codecs == ("msgpack", "json")
    assert config.listen_addresses() == ("tcp://127.0.0.1:7001",)
    assert config.members[1] == Member(id="n2", addresses=("tcp://127.0.0.1:7002",), suffrage=Suffrage.VOTER)
    assert (config.raft, config.link) == (RaftConfig(), LinkConfig())


def test_a_learner_may_be_a_member() -> None:
    members = [
        {"id": "n1", "addresses": ["tcp://h:1"]},
        {"id": "n2", "addresses": ["tcp://h:2"], "suffrage": "learner"},
    ]
    assert node_config(sound(members=members)).members[1].suffrage is Suffrage.LEARNER


def test_a_node_may_listen_elsewhere_than_where_the_others_find_it() -> None:
    config = node_config(sound(listen=["unix:///run/n1.sock", "tcp://[::1]:7001"]), installed=INSTALLED)
    assert config.listen_addresses() == ("unix:///run/n1.sock", "tcp://[::1]:7001")


def test_a_configuration_survives_being_written_down_and_read_again() -> None:
    config = node_config(sound(listen=["tcp://0.0.0.0:7001"]))
    assert node_config(msgspec.json.decode(msgspec.json.encode(config))) == config


# -- members


def test_two_members_with_one_id_are_refused() -> None:
    members = [*sound()["members"], {"id": "n1", "addresses": ["tcp://127.0.0.1:7003"]}]
    assert faults_in(sound(members=members)) == [
        'members[2].id is "n1", and so is members[0].id: give every member an id of its own'
    ]


def test_a_member_with_more_addresses_than_a_message_carries_is_refused() -> None:
    addresses = [f"tcp://127.0.0.1:{port}" for port in range(7001, 7018)]
    assert faults_in(sound(members=[{"id": "n1", "addresses": addresses}])) == [
        "members[0].addresses are 17, and a message carries 16 at the most: leave some out"
    ]


def test_two_members_with_one_address_are_refused() -> None:
    members = [{"id": name, "addresses": ["tcp://127.0.0.1:7001"]} for name in ("n1", "n2")]
    assert faults_in(sound(members=members)) == [
        'members[1].addresses[0] is "tcp://127.0.0.1:7001", and so is members[0].addresses[0]: '
        "give every member addresses of its own"
    ]


def test_a_node_that_is_not_among_its_members_is_refused() -> None:
    assert faults_in(sound(node_id="n4")) == [
        'node_id is "n4", which is not among the members (n1, n2): correct it, or add the member'
    ]


def test_a_cluster_without_members_is_refused() -> None:
    assert faults_in(sound(members=[])) == [
        'node_id is "n1", which is not among the members (nobody): correct it, or add the member'
    ]


def joining(*addresses: str, **changes: Any) -> dict[str, Any]:
    return sound(join=addresses, **{"members": [{"id": "n1", "addresses": ["tcp://127.0.0.1:7001"]}], **changes})


def test_a_node_that_joins_names_itself_and_whom_to_ask() -> None:
    config = node_config(joining("tcp://127.0.0.1:7002"), installed=INSTALLED)
    assert (config.join, config.join_as) == (("tcp://127.0.0.1:7002",), Suffrage.VOTER)
    assert node_config(joining("tcp://h:1", join_as="learner"), installed=INSTALLED).join_as is Suffrage.LEARNER


def test_a_node_that_joins_need_not_be_a_voter_of_its_own() -> None:
    learner = [{"id": "n1", "addresses": ["tcp://h:1"], "suffrage": "learner"}]
    node_config(joining("tcp://h:2", members=learner), installed=INSTALLED)


def test_a_node_that_joins_and_names_others_is_refused() -> None:
    assert faults_in(sound(join=["tcp://h:1"])) == [
        "members has n2 besides n1, which is to join a cluster that runs: leave the others out, since the cluster says "
        "who they are; or leave out join, if this node is to found it with them"
    ]


def test_a_bad_address_to_ask_at_is_refused_by_its_place() -> None:
    assert faults_in(joining("tcp://h:1", "tcp://h")) == [
        'join[1] is "tcp://h": give a host and a port from 1 to 65535'
    ]


def test_a_node_that_joins_over_tls_needs_certificates() -> None:
    with pytest.raises(ConfigError, match=r"tls\.certificate is missing, and join\[0\] asks for TLS"):
        node_config(joining("tcp+tls://h:1"))


def test_a_cluster_without_a_voter_is_refused() -> None:
    members = [{"id": "n1", "addresses": ["tcp://h:1"], "suffrage": "learner"}]
    assert faults_in(sound(members=members)) == [
        'members has no voter, so nothing can ever be decided: give at least one suffrage = "voter"'
    ]


@pytest.mark.parametrize("bad", ["", "../etc", "-n", "a b", "ü", "x" * 129, "n1\n"])
def test_an_id_outside_its_alphabet_is_refused_wherever_it_stands(bad: str) -> None:
    members = [{"id": bad, "addresses": ["tcp://h:1"]}]
    found = faults_in(sound(node_id=bad, cluster_id=bad, members=members))
    assert [fault.split(" is ")[0] for fault in found] == ["members[0].id", "node_id", "cluster_id"]
    assert all("give 1 to 128 of letters" in fault and len(fault) < 200 and "\n" not in fault for fault in found)


# -- addresses


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("127.0.0.1:7001", "give scheme://where, e.g. tcp://127.0.0.1:7001"),
        ("", "give scheme://where, e.g. tcp://127.0.0.1:7001"),
        ("tcp://", "give scheme://where, e.g. tcp://127.0.0.1:7001"),
        ("tcp://a b:1", "give scheme://where, e.g. tcp://127.0.0.1:7001"),
        ("tcp://127.0.0.1", "give a host and a port from 1 to 65535"),
        ("tcp://127.0.0.1:0", "give a host and a port from 1 to 65535"),
        ("tcp://127.0.0.1:65536", "give a host and a port from 1 to 65535"),
        ("tcp://127.0.0.1:http", "give a host and a port from 1 to 65535"),
        ("tcp://:7001", "give a host and a port from 1 to 65535"),
        ("tcp://[::1:7001", "give a host and a port from 1 to 65535"),
        ("tcp://me@host:7001", "give a host and a port from 1 to 65535"),
        ("unix://run/raft.sock", "give an absolute path, e.g. unix:///run/raft.sock"),
    ],
)
def test_a_bad_address_of_a_member_is_refused_by_its_place(address: str, advice: str) -> None:
    members = [{"id": "n1", "addresses": ["tcp://h:1", address]}]
    assert faults_in(sound(members=members))[0] == f'members[0].addresses[1] is "{address}": {advice}'


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_a_node_listens_at_a_port_that_the_others_can_be_told(port: str) -> None:
    assert faults_in(sound(listen=[f"tcp://127.0.0.1:{port}"])) == [
        f'listen[0] is "tcp://127.0.0.1:{port}": give a host and a port from 1 to 65535'
    ]


def test_a_member_without_an_address_is_refused() -> None:
    assert faults_in(sound(members=[{"id": "n1"}])) == [
        'members[0].addresses is empty: say where to reach it, e.g. ["tcp://127.0.0.1:7001"]'
    ]


# -- names


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"join": ["tpc://h:1"], "members": [{"id": "n1", "addresses": ["tcp://h:2"]}]},
            'the scheme of join[0] is "tpc": no transport has that name; did you mean "tcp"?',
        ),
        (
            {"codecs": ["json", "msgpak"]},
            'codecs[1] is "msgpak": no codec has that name; did you mean "msgpack"?',
        ),
        (
            {"codecs": ["asn1"]},
            'codecs[0] is "asn1": no codec has that name; there is: json, msgpack',
        ),
        (
            {"codecs": ["xml"]},
            'codecs[0] is "xml": no codec has that name; there is: json, msgpack',
        ),
        (
            {"transports": ["tpc"]},
            'transports[0] is "tpc": no transport has that name; did you mean "tcp"?',
        ),
        (
            {"storage": {"kind": "sqlight", "path": "data"}},
            'storage.kind is "sqlight": no store has that name; did you mean "sqlite"?',
        ),
        (
            {"state_machine": "keyvalue"},
            'state_machine is "keyvalue": no state machine has that name; did you mean "key-value"?',
        ),
        (
            {"members": [{"id": "n1", "addresses": ["tpc://h:1"]}]},
            'the scheme of members[0].addresses[0] is "tpc": no transport has that name; did you mean "tcp"?',
        ),
        (
            {"listen": ["ws://h:1"]},
            'the scheme of listen[0] is "ws": that transport is not installed; run: pip install raftsdk-websocket',
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(changes: dict[str, Any], fault: str) -> None:
    assert faults_in(sound(**changes)) == [fault]


@pytest.mark.parametrize(
    ("changes", "distribution"),
    [
        ({"codecs": ["json"]}, "raftsdk-json"),
        ({"codecs": ["msgpack"]}, "raftsdk-msgpack"),
        ({"codecs": ["protobuf"]}, "raftsdk-protobuf"),
        ({"codecs": ["capnp"]}, "raftsdk-capnp"),
        ({"codecs": ["flatbuffers"]}, "raftsdk-flatbuffers"),
        ({"transports": ["tcp"]}, "raftsdk-tcp"),
        ({"transports": ["unix"]}, "raftsdk-tcp"),
        ({"transports": ["tcp+tls"]}, "raftsdk-tcp"),
        ({"transports": ["ws"]}, "raftsdk-websocket"),
        ({"transports": ["wss"]}, "raftsdk-websocket"),
    ],
)
def test_a_known_name_that_is_not_installed_names_what_to_install(changes: dict[str, Any], distribution: str) -> None:
    nothing = {**INSTALLED, CODECS: [], TRANSPORTS: []}
    with pytest.raises(ConfigError) as caught:
        node_config(sound(**{"codecs": ["json"], "transports": ["tcp"], **changes}), installed=nothing)
    assert any(fault.endswith(f"is not installed; run: pip install {distribution}") for fault in caught.value.faults)


def test_no_codec_at_all_and_one_codec_twice_are_refused() -> None:
    assert faults_in(sound(codecs=[])) == ['codecs is empty: name at least one, e.g. ["msgpack", "json"]']
    assert faults_in(sound(codecs=["json", "json"])) == [
        'codecs[1] is "json", and so is codecs[0]: name each codec once'
    ]


# -- keys, types, numbers


def test_an_unknown_key_is_refused_with_the_nearest_one_at_every_depth() -> None:
    data = sound(
        nodeid="n1",
        raft={"tick_ms": 1, "pre_votes": True},
        members=[{"id": "n1", "addresses": ["tcp://h:1"], "role": 1}],
    )
    assert faults_in(data) == [
        'nodeid is no setting; did you mean "node_id"?',
        "members[0].role is no setting; there is: addresses, id, incarnation, suffrage",
        'raft.tick_ms is no setting; did you mean "tick_interval_ms"?',
        'raft.pre_votes is no setting; did you mean "pre_vote"?',
    ]


def test_a_wrong_type_is_refused_by_its_path() -> None:
    data = sound(
        members=[{"id": "n1", "addresses": ["tcp://h:1"]}, {"id": 2, "addresses": "tcp://h:2", "suffrage": "observer"}],
        codecs=["json", 7],
        raft={"tick_interval_ms": "fast", "pre_vote": 1},
        link=[],
    )
    assert faults_in(data) == [
        "members[1].id is 2: give a text",
        'members[1].addresses is "tcp://h:2": give a list of texts',
        'members[1].suffrage is "observer": give one of "voter", "learner"',
        'raft.tick_interval_ms is "fast": give a whole number from 1 to 2147483647',
        "raft.pre_vote is 1: give true or false",
        "codecs[1] is 7: give a text",
        "link is a list: give a table",
    ]


@pytest.mark.parametrize("value", [0, -1, 2**31, 2**80, True, 1.0, float("nan"), None, "5"])
def test_a_number_outside_its_range_is_refused(value: Any) -> None:
    (fault,) = faults_in(sound(raft={"tick_interval_ms": value}))
    assert fault.startswith("raft.tick_interval_ms is ")
    assert fault.endswith(": give a whole number from 1 to 2147483647")


def test_whatever_is_missing_is_named_with_what_it_is_for() -> None:
    assert faults_in({}) == [
        "node_id is missing: give a text. Who this node is; one of the members.",
        "cluster_id is missing: give a text. The cluster's name, alike on every member.",
        "members is missing: give a list of tables. Every node of the cluster, this one too.",
        "state_machine is missing: give a text. A name of the entry-point group raftsdk.state_machines.",
        "storage is missing: give a table. Where this node keeps what it must not forget.",
    ]


def test_a_store_on_disk_needs_a_path() -> None:
    assert faults_in(sound(storage={})) == [
        'storage.path is missing: say where to keep the data, e.g. path = "data/n1"'
    ]
    assert faults_in(sound(storage={"path": "a\0b"})) == [r"storage.path is 'a\x00b': give a path without NUL"]
    assert node_config(sound(storage={"kind": "memory"}), installed=INSTALLED).storage.path == ""


# -- rules between settings


def test_faults_of_the_algorithms_settings_are_collected_with_all_others() -> None:
    found = faults_in(
        sound(
            node_id="n9",
            codecs=["msgpak"],
            raft={"election_timeout_ticks": 5, "max_uncommitted_bytes": 1},
            link={"reconnect_max_ms": 3},
        )
    )
    assert found == [
        "raft.election_timeout_ticks is 5: give at least three heartbeats (9), or one late heartbeat costs an election",
        "raft.max_uncommitted_bytes is 1: give at least max_command_bytes (4194304), or the largest command never fits",
        "link.reconnect_max_ms is 3: give at least reconnect_min_ms (20)",
        'node_id is "n9", which is not among the members (n1, n2): correct it, or add the member',
        'codecs[0] is "msgpak": no codec has that name; did you mean "msgpack"?',
    ]


def test_a_frame_too_small_for_the_largest_command_is_refused() -> None:
    (fault,) = faults_in(sound(link={"max_frame_bytes": 4 * 1024 * 1024}))
    assert fault.startswith("link.max_frame_bytes is 4194304: give at least 8388608, ")


def test_a_rule_is_not_asked_about_a_setting_that_could_not_be_read() -> None:
    assert faults_in(sound(raft={"election_timeout_ticks": 5, "heartbeat_interval_ticks": "often"})) == [
        'raft.heartbeat_interval_ticks is "often": give a whole number from 1 to 2147483647'
    ]


def test_a_record_of_settings_cannot_be_made_with_a_fault_in_it() -> None:
    with pytest.raises(ConfigError) as caught:
        RaftConfig(tick_interval_ms=0, election_timeout_ticks=2, heartbeat_interval_ticks=1)
    assert caught.value.faults == (
        "tick_interval_ms is 0: give a whole number from 1 to 2147483647",
        "election_timeout_ticks is 2: give at least three heartbeats (3), or one late heartbeat costs an election",
    )
    with pytest.raises(ConfigError):
        LinkConfig(max_frame_bytes=0)
    with pytest.raises(ConfigError, match="node_id"):
        NodeConfig(**{**sound(members=()), "node_id": "?"})


# -- files


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            'node_id = "n1"\ncluster_id "demo"\n',
            "n1.toml, line 2, column 12: Expected '=' after a key in a key/value pair; correct this line:\n"
            '        cluster_id "demo"',
        ),
        (
            'node_id = "n1',
            'n1.toml, line 1, column 14: Unterminated string; correct this line:\n        node_id = "n1',
        ),
        (
            "a = 1\na = 2\n",
            "n1.toml, line 2, column 6: Cannot overwrite a value; correct this line:\n        a = 2",
        ),
    ],
)
def test_unreadable_toml_is_shown_by_line_and_column(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_toml(text, "n1.toml")
    assert caught.value.faults == (fault,)


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 10_000, "\x00", "[" * 5, "= 1", '"'])
def test_hostile_toml_ends_in_one_fault(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_toml(text, "n1.toml")
    assert len(caught.value.faults) == 1
    assert len(str(caught.value)) < 500


def test_a_file_that_is_missing_a_folder_too_long_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    (tmp_path / "latin.toml").write_bytes(b'a = 1\nb = "\xfc"\n')
    expected = {
        "none.toml": f"cannot read {tmp_path}/none.toml: No such file or directory; give the path of a TOML file",
        "": f"cannot read {tmp_path}: Is a directory; give the path of a TOML file",
        "long.toml": f"{tmp_path}/long.toml is longer than {MAX_FILE_BYTES} bytes: give a TOML file of settings",
        "latin.toml": f"{tmp_path}/latin.toml, line 2: not UTF-8 text; save the file as UTF-8",
    }
    for name, fault in expected.items():
        with pytest.raises(ConfigError) as caught:
            read_file(tmp_path / name)
        assert caught.value.faults == (fault,)


def test_the_examples_files_are_sound() -> None:
    folder = Path(__file__).parents[2] / "examples" / "key_value"
    configs = [node_config(read_file(file), installed=INSTALLED) for file in sorted(folder.glob("*.toml"))]
    assert [config.node_id for config in configs] == ["n1", "n2", "n3"]
    assert len({config.members for config in configs}) == 1


# -- the environment, overrides, and who wins


def test_the_environment_goes_over_the_file_and_overrides_over_both() -> None:
    data = sound(raft={"tick_interval_ms": 1, "max_batch_entries": 1, "max_outstanding_calls": 1})
    environ = {"RAFTSDK_RAFT__TICK_INTERVAL_MS": "2", "RAFTSDK_RAFT__MAX_BATCH_ENTRIES": "2", "HOME": "/"}
    config = node_config(data, environ=environ, overrides={"raft.tick_interval_ms": 3})
    assert (config.raft.tick_interval_ms, config.raft.max_batch_entries, config.raft.max_outstanding_calls) == (3, 2, 1)


def test_a_text_is_read_as_its_setting_needs_it() -> None:
    environ = {
        "RAFTSDK_NODE_ID": "1",
        "RAFTSDK_CODECS": "json, msgpack",
        "RAFTSDK_LISTEN": '["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]',
        "RAFTSDK_MEMBERS": '[{id = "1", addresses = ["tcp://127.0.0.1:1"], suffrage = "voter"}]',
        "RAFTSDK_RAFT__PRE_VOTE": "false",
        "RAFTSDK_STORAGE__PATH": "true",
    }
    config = node_config(sound(), environ=environ, installed=INSTALLED)
    assert config.node_id == "1"
    assert config.codecs == ("json", "msgpack")
    assert config.listen == ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2")
    assert [member.id for member in config.members] == ["1"]
    assert config.raft.pre_vote is False
    assert config.storage.path == "true"


def test_everything_may_come_from_the_environment() -> None:
    environ = {
        "RAFTSDK_NODE_ID": "n1",
        "RAFTSDK_CLUSTER_ID": "demo",
        "RAFTSDK_STATE_MACHINE": "key-value",
        "RAFTSDK_STORAGE": '{kind = "memory"}',
        "RAFTSDK_MEMBERS": '[{id = "n1", addresses = ["tcp://127.0.0.1:1"]}]',
    }
    assert node_config({}, environ=environ).storage.kind == "memory"


def test_a_fault_from_the_environment_or_an_override_says_where_it_came_from() -> None:
    environ = {
        "RAFTSDK_RAFT__TICK_INTERVAL_MS": "fast",
        "RAFTSDK_RAFT__TICK_INTERVAL": "1",
        "RAFTSDK_MEMBERS": '[{id = "n1"}, 5]',
        "RAFTSDK_CLUSTER_ID": "a b",
    }
    assert faults_in(sound(), environ=environ, overrides={"link.call_timeout_ms": "1\nx = 2"}) == [
        "members[1] (from RAFTSDK_MEMBERS) is 5: give a table",
        'raft.tick_interval (from RAFTSDK_RAFT__TICK_INTERVAL) is no setting; did you mean "tick_interval_ms"?',
        'raft.tick_interval_ms (from RAFTSDK_RAFT__TICK_INTERVAL_MS) is "fast": '
        "give a whole number from 1 to 2147483647",
        r"link.call_timeout_ms (from an override) is '1\nx = 2': give a whole number from 1 to 2147483647",
        'cluster_id (from RAFTSDK_CLUSTER_ID) is "a b": '
        'give 1 to 128 of letters, digits, ".", "_", "-", a letter or digit first',
        'members[0].addresses (from RAFTSDK_MEMBERS) is empty: say where to reach it, e.g. ["tcp://127.0.0.1:7001"]',
    ]


def test_merging_replaces_lists_and_merges_tables() -> None:
    assert merge({"a": [1], "b": {"c": 1, "d": 2}}, {"a": [2], "b": {"c": 3}}, {"b": {"e": 4}}) == {
        "a": [2],
        "b": {"c": 3, "d": 2, "e": 4},
    }


# -- the schema


def test_the_schema_describes_every_setting() -> None:
    definitions = schema()["$defs"]
    assert set(definitions) == {
        *("NodeConfig", "RaftConfig", "LinkConfig", "StorageConfig", "TlsConfig"),
        *("Member", "Suffrage", "Clients"),
    }
    for name in ("RaftConfig", "LinkConfig", "StorageConfig", "TlsConfig", "NodeConfig"):
        assert definitions[name]["additionalProperties"] is False
    for name in set(definitions) - {"Suffrage", "Clients"}:
        assert all(len(setting["description"]) > 9 for setting in definitions[name]["properties"].values())
    assert definitions["RaftConfig"]["properties"]["tick_interval_ms"] == {
        "description": "Length of a tick, the unit of time inside the algorithm.",
        "type": "integer",
        "minimum": 1,
        "maximum": 2147483647,
        "default": 20,
    }
