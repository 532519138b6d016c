"""Settings: what they are called, what they default to, and which values make no sense together."""

from msgspec import Struct

from raftsdk.errors import ConfigError

KIB = 1024
MIB = 1024 * KIB


class RaftConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one node runs the algorithm. All members should agree on the ticks; nothing breaks while they do not.

    Time inside the algorithm is counted in ticks of `tick_interval_ms`. A follower campaigns when it has heard no leader
    for a random time between one and two election timeouts (paper §5.2).
    """

    tick_interval_ms: int = 20
    election_timeout_ticks: int = 20
    heartbeat_interval_ticks: int = 3
    pre_vote: bool = True
    check_quorum: bool = True
    max_outstanding_calls: int = 16
    max_batch_bytes: int = MIB
    max_batch_entries: int = 4096
    max_uncommitted_bytes: int = 64 * MIB
    max_command_bytes: int = 4 * MIB
    max_pending_proposals: int = 65_536
    max_inbox_events: int = 16_384
    proposal_timeout_ms: int = 10_000

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value}: give a number of at least 1"
            for name, value in (
                (field, getattr(self, field))
                for field in self.__struct_fields__
                if field not in ("pre_vote", "check_quorum")
            )
            if value < 1
        ]
        if self.election_timeout_ticks < 3 * self.heartbeat_interval_ticks:
            faults.append(
                f"election_timeout_ticks is {self.election_timeout_ticks}: give at least three heartbeats "
                f"({3 * self.heartbeat_interval_ticks}), or one late heartbeat costs an election"
            )
        if self.max_uncommitted_bytes < self.max_command_bytes:
            faults.append(
                f"max_uncommitted_bytes is {self.max_uncommitted_bytes}: give at least max_command_bytes "
                f"({self.max_command_bytes}), or the largest command never fits"
            )
        if faults:
            raise ConfigError(faults)


class LinkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How connections between nodes, and from clients, behave."""

    connect_timeout_ms: int = 1_000
    handshake_timeout_ms: int = 5_000
    call_timeout_ms: int = 2_000
    reconnect_min_ms: int = 20
    reconnect_max_ms: int = 1_000
    max_frame_bytes: int = 8 * MIB
    max_hello_bytes: int = 16 * KIB
    max_unsent_bytes: int = 32 * MIB
    max_connections: int = 1_024
    max_half_open_connections: int = 64
    max_calls_per_connection: int = 4_096

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value}: give a number of at least 1"
            for name, value in ((field, getattr(self, field)) for field in self.__struct_fields__)
            if value < 1
        ]
        if self.reconnect_max_ms < self.reconnect_min_ms:
            faults.append(f"reconnect_max_ms is {self.reconnect_max_ms}: give at least reconnect_min_ms")
        if faults:
            raise ConfigError(faults)
