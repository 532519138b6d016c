"""What the world must provide: five small interfaces with long contracts, and nothing that runs.

Each contract answers the same questions: may it block, raise, reorder, repeat, be called twice, be cancelled. Each
has a suite in `raftsdk.testing` that a third party's implementation can be run against.
"""

from raftsdk.ports.codec import Codec
from raftsdk.ports.network import LinkStatus, RaftHandler, RaftNetwork
from raftsdk.ports.state_machine import StateMachine
from raftsdk.ports.storage import Storage
from raftsdk.ports.transport import FRAME_HEADER_BYTES, Connection, Listener, Transport

__all__ = [
    "FRAME_HEADER_BYTES",
    "Codec",
    "Connection",
    "LinkStatus",
    "Listener",
    "RaftHandler",
    "RaftNetwork",
    "StateMachine",
    "Storage",
    "Transport",
]
