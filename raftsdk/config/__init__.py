"""Configuration: `settings` are what there is, `reading` gets them from files and texts, `rules` say what is wrong."""

from raftsdk.config.rules import CODECS, STATE_MACHINES, STORAGE, TRANSPORTS, scheme
from raftsdk.config.settings import (
    DEFAULT_CODECS,
    ENVIRONMENT_PREFIX,
    LinkConfig,
    MemberConfig,
    NodeConfig,
    RaftConfig,
    StorageConfig,
    faults,
    node_config,
    schema,
)

__all__ = [
    "CODECS",
    "DEFAULT_CODECS",
    "ENVIRONMENT_PREFIX",
    "STATE_MACHINES",
    "STORAGE",
    "TRANSPORTS",
    "LinkConfig",
    "MemberConfig",
    "NodeConfig",
    "RaftConfig",
    "StorageConfig",
    "faults",
    "node_config",
    "schema",
    "scheme",
]
