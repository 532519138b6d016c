"""What a seed stands for: the size of the cluster, its settings, how its network, disks, clocks and clients behave.

Everything is drawn, settings too ("swarm testing"): a cluster with pre-vote hides what one without it shows, a window
of one call what a window of eight does. All of it follows from the seed and the number of events alone.
"""

from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from raftsdk.config import RaftConfig
from raftsdk.testing.world.faults import Fault, draw_faults

SIZES: Final = (1, 2, 3, 3, 3, 4, 5, 5, 7)
"""How many voters there are at first. Even ones find what is wrong with counting majorities."""

TICK_US: Final = 20_000
"""Length of a tick where a clock is right. Nothing depends on it: all other times are drawn in its proportion."""

CLOCKS: Final = ((0.8, 1.2, 34), (0.95, 1.05, 10))
"""The slowest and the fastest clock there may be, and by how many percent the first of them lags behind the other."""


class Scenario(Struct, frozen=True, kw_only=True):
    """One seed, spelled out. Times are in microseconds of the world's own clock, shares from 0 to 1."""

    seed: int
    events: int  #: How many happen before the cluster is healed.
    voters: int
    learners: int
    config: RaftConfig
    faults: tuple[Fault, ...]

    # -- the network
    latency_us: int  #: Of a message that nothing delays, in the mean.
    loss: float
    duplicates: float
    damage: float  #: Share of messages in which a byte changes on the way.
    delays: float  #: Share of messages that are late by up to `max_delay_us`.
    max_delay_us: int
    call_timeout_us: int

    # -- the nodes
    clock_rates: tuple[float, ...]  #: One for each node, by its place; later ones begin anew.
    write_us: int  #: A durable write, in the mean.
    turn_us: int  #: How long facts are collected before a node acts on them; 0: it acts on each.
    apply_us: int  #: From committed to applied; 0: at once.
    piece_bytes: int  #: Of a snapshot, in one call.

    # -- the clients
    clients: int
    think_us: int
    reads: float
    sessions: float  #: Share of the clients that have a session.
    keys: int

    # -- quiet times
    lull_us: int  #: Clients begin nothing for so long, in turns with as long a time of work; 0: never.
    other_groups: bool  #: Nodes hear each other anyway, as when they have other groups that have quiesced.

    @property
    def election_us(self) -> int:
        """The shortest election timeout, on a clock that is right."""
        return self.config.election_timeout_ticks * TICK_US


def draw(seed: int, events: int, voters: int | None = None) -> Scenario:
    """The scenario of a seed, with so many voters or a number that is drawn too."""
    chance = Random(f"{seed}:scenario")
    drawn = chance.choice(SIZES)
    slowest, fastest, drift_percent = chance.choice(CLOCKS)
    config = _draw_config(chance, drift_percent)
    quiet = Random(f"{seed}:quiet")  # of its own: what is drawn above stands for what it stood for before
    config = replace(config, quiesce_interval_ticks=config.election_timeout_ticks * quiet.choice((0, 2, 5, 50)))
    election_us = config.election_timeout_ticks * TICK_US
    return Scenario(
        seed=seed,
        events=events,
        voters=voters or drawn,
        learners=chance.choice((0, 0, 0, 1, 2)),
        config=config,
        faults=draw_faults(chance, events),
        latency_us=int(TICK_US * chance.choice((0.05, 0.1, 0.3, 0.6))),
        loss=_mostly_small(chance, 0.3),
        duplicates=_mostly_small(chance, 0.5),
        damage=_mostly_small(chance, 0.01),
        delays=_mostly_small(chance, 0.2),
        max_delay_us=int(election_us * chance.uniform(0.2, 5)),
        call_timeout_us=int(election_us * chance.choice((1, 2, 5))),
        clock_rates=tuple(round(chance.uniform(slowest, fastest), 3) for _ in range(7)),
        write_us=int(TICK_US * chance.choice((0, 0.05, 0.2, 1))),
        turn_us=int(TICK_US * chance.choice((0, 0, 0.02, 0.2))),
        apply_us=int(TICK_US * chance.choice((0, 0, 0.1, 1))),
        piece_bytes=chance.choice((64, 300, 4096)),
        clients=chance.choice((1, 2, 4, 6)),
        think_us=int(TICK_US * chance.choice((0.3, 1, 3))),
        reads=chance.choice((0.1, 0.3, 0.6)),
        sessions=chance.choice((0, 0.5, 1)),
        keys=chance.choice((1, 2, 5)),
        lull_us=election_us * quiet.choice((0, 0, 4, 10)),
        other_groups=quiet.random() < 0.5,
    )


def _draw_config(chance: Random, drift_percent: int) -> RaftConfig:
    heartbeat, election = chance.choice(((1, 3), (1, 4), (1, 5), (2, 6), (1, 8), (2, 8), (3, 10), (2, 12)))
    return RaftConfig(
        tick_interval_ms=TICK_US // 1000,
        election_timeout_ticks=election,
        heartbeat_interval_ticks=heartbeat,
        pre_vote=chance.random() < 0.5,
        check_quorum=chance.random() < 0.7,
        lease_reads=chance.random() < 0.6,
        max_clock_drift_percent=drift_percent,
        disk_timeout_ticks=election * chance.choice((2, 5, 20)),
        snapshot_after_entries=chance.choice((5, 10, 20, 40, 200)),
        snapshot_trailing_entries=chance.choice((0, 0, 1, 5, 20)),
        max_outstanding_calls=chance.choice((1, 2, 4, 16)),
        max_batch_entries=chance.choice((1, 2, 5, 100)),
        max_batch_bytes=chance.choice((1, 40, 400, 4000)),
        max_uncommitted_bytes=chance.choice((200, 1000, 100_000)),
        max_command_bytes=200,
        proposal_timeout_ms=TICK_US * election * chance.choice((2, 5)) // 1000,
    )


def _mostly_small(chance: Random, most: float) -> float:
    """Nothing in a third of the seeds; otherwise up to `most`, small values more often: with the largest of
    everything at once, no cluster ever gets so far that something interesting can go wrong.
    """
    return 0.0 if chance.random() < 1 / 3 else round(most * chance.random() ** 2, 4)
