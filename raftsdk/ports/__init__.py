"""What the world must provide: small interfaces with long contracts, and nothing that runs.

Each contract answers the same questions: may it block, raise, reorder, repeat, be called twice, be cancelled. Each
has a suite in `raftsdk.testing` that a third party's implementation can be run against.

An implementation of any of them may carry `api_version`, the version of the port it was written for; absent means 1. A
later version adds methods, and says what their absence means.
"""

from typing import Final

from raftsdk.ports.codec import Codec
from raftsdk.ports.credentials import Credentials
from raftsdk.ports.network import LinkStatus, RaftHandler, RaftNetwork, WatchfulNetwork
from raftsdk.ports.snapshots import SnapshotSink, SnapshotSource, SnapshotStateMachine, SnapshotStore
from raftsdk.ports.state_machine import StateMachine
from raftsdk.ports.storage import Storage
from raftsdk.ports.transport import FRAME_HEADER_BYTES, Connection, Listener, Transport

API_VERSION: Final = 1
"""The newest version of the ports that this release understands."""

__all__ = [
    "API_VERSION",
    "FRAME_HEADER_BYTES",
    "Codec",
    "Connection",
    "Credentials",
    "LinkStatus",
    "Listener",
    "RaftHandler",
    "RaftNetwork",
    "SnapshotSink",
    "SnapshotSource",
    "SnapshotStateMachine",
    "SnapshotStore",
    "StateMachine",
    "Storage",
    "Transport",
    "WatchfulNetwork",
]
