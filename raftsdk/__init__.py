"""raftsdk: write a state machine, pick a codec and a transport, run a replicated service.

The front door: every name here is public, and nothing else is defined.
"""

from raftsdk.builder import NodeBuilder
from raftsdk.client import Client, Session
from raftsdk.config import LinkConfig, NodeConfig, RaftConfig, TlsConfig
from raftsdk.errors import (
    CommandFailed,
    CommandTooLarge,
    ConfigError,
    DecodeError,
    MembershipRefused,
    NodeStopped,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    ProposalDropped,
    RaftError,
    Refused,
    SessionExpired,
    SnapshotFailed,
    StorageFailed,
    StorageRefused,
    TransferFailed,
    Unreachable,
)
from raftsdk.messages import Consistency
from raftsdk.ports import Codec, Credentials, RaftNetwork, StateMachine, Storage, Transport
from raftsdk.runtime.event_loop import run
from raftsdk.runtime.host import RaftHost
from raftsdk.runtime.node import RaftNode
from raftsdk.types import Entry, Member, Membership, Suffrage
from raftsdk.wire.tls import FileCredentials

__all__ = [
    "Client",
    "Codec",
    "CommandFailed",
    "CommandTooLarge",
    "ConfigError",
    "Consistency",
    "Credentials",
    "DecodeError",
    "Entry",
    "FileCredentials",
    "LinkConfig",
    "Member",
    "Membership",
    "MembershipRefused",
    "NodeBuilder",
    "NodeConfig",
    "NodeStopped",
    "NotLeader",
    "OutcomeUnknown",
    "Overloaded",
    "ProposalDropped",
    "RaftConfig",
    "RaftError",
    "RaftHost",
    "RaftNetwork",
    "RaftNode",
    "Refused",
    "Session",
    "SessionExpired",
    "SnapshotFailed",
    "StateMachine",
    "Storage",
    "StorageFailed",
    "StorageRefused",
    "Suffrage",
    "TlsConfig",
    "TransferFailed",
    "Transport",
    "Unreachable",
    "run",
]
