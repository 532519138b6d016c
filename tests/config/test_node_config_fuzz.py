"""Whatever is given as settings, the answer is settings or `ConfigError`."""

from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from raftsdk import plugins
from raftsdk.config import LinkConfig, NodeConfig, RaftConfig, StorageConfig, node_config
from raftsdk.config.reading import parse_toml
from raftsdk.errors import ConfigError
from raftsdk.types import Member

IDS = st.sampled_from(["n1", "n2", "n3"])
ADDRESSES = st.sampled_from(["tcp://127.0.0.1:7001", "tcp://[::1]:7002", "unix:///a", "ws://h:1", "tcp://[", "x://"])
RECORDS = (NodeConfig, RaftConfig, LinkConfig, StorageConfig, Member)
KEYS = st.sampled_from([*(name for record in RECORDS for name in record.__struct_fields__), ""])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | IDS | ADDRESSES | st.dates() | st.binary()
)
ANYTHING = st.recursive(
    SCALARS, lambda deeper: st.lists(deeper, max_size=4) | st.dictionaries(KEYS | st.text(), deeper, max_size=6)
)


def numbers(settings: type[RaftConfig | LinkConfig]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(settings.__struct_fields__), st.integers(0, 100) | SCALARS, max_size=3)


NEARLY_SOUND = st.fixed_dictionaries(
    {
        "node_id": IDS,
        "cluster_id": IDS,
        "members": st.lists(
            st.fixed_dictionaries(
                {"id": IDS, "addresses": st.lists(ADDRESSES, max_size=2)},
                optional={"suffrage": st.sampled_from(["voter", "learner", "none"])},
            ),
            max_size=4,
        ),
        "state_machine": st.sampled_from(["key-value", "key"]),
        "storage": st.fixed_dictionaries(
            {"kind": st.sampled_from(["memory", "sqlite", "disk"])}, optional={"path": IDS}
        ),
    },
    optional={
        "codecs": st.lists(st.sampled_from(["json", "msgpack", "protobuf", "xml"]), max_size=3),
        "transports": st.lists(st.sampled_from(["tcp", "quic"]), max_size=2),
        "listen": st.lists(ADDRESSES, max_size=2),
        "raft": numbers(RaftConfig) | ANYTHING,
        "link": numbers(LinkConfig) | ANYTHING,
    },
)


@given(NEARLY_SOUND | st.dictionaries(KEYS | st.text(), ANYTHING, max_size=8))
def test_any_table_is_settings_or_a_config_error(data: dict[str, Any]) -> None:
    with suppress(ConfigError):
        config = node_config(data, installed=plugins.names())
        assert config.node_id in {member.id for member in config.members}


@given(st.dictionaries(st.text(max_size=12) | st.integers() | st.none(), ANYTHING, max_size=4))
def test_keys_of_any_type_are_settings_or_a_config_error(data: dict[Any, Any]) -> None:
    with suppress(ConfigError):
        node_config(data)


@given(st.dictionaries(KEYS.map(lambda key: f"RAFTSDK_{key.upper()}") | st.text().map("RAFTSDK_{}".format), st.text()))
def test_any_environment_is_settings_or_a_config_error(environ: dict[str, str]) -> None:
    with suppress(ConfigError):
        node_config({}, environ=environ, overrides=environ)


@given(st.text() | st.text(alphabet="[]{}=.,\"'#\\\n a1"))
def test_any_text_is_toml_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        parse_toml(text, "fuzz.toml")
