"""Configuration: `settings` are what there is, `reading` gets them from files and texts, `rules` say what is wrong."""

from raftsdk.config.rules import CODECS, STATE_MACHINES, STORAGE, TLS_SCHEMES, TRANSPORTS, scheme
from raftsdk.config.settings import (
    DEFAULT_CODECS,
    ENVIRONMENT_PREFIX,
    Clients,
    LinkConfig,
    MemberConfig,
    NodeConfig,
    RaftConfig,
    StorageConfig,
    TlsConfig,
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
    "TLS_SCHEMES",
    "TRANSPORTS",
    "Clients",
    "LinkConfig",
    "MemberConfig",
    "NodeConfig",
    "RaftConfig",
    "StorageConfig",
    "TlsConfig",
    "faults",
    "node_config",
    "schema",
    "scheme",
]
