"""Many seeds, on all cores: what each came to, as something that travels between processes."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from traceback import format_exception
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from raftsdk.config.rules import STATE_MACHINES
from raftsdk.errors import ConfigError
from raftsdk.ports import StateMachine
from raftsdk.testing.conformance.naming import part
from raftsdk.testing.safety import SafetyViolation
from raftsdk.testing.world.counters import Counters
from raftsdk.testing.world.machine import Registers
from raftsdk.testing.world.scenario import Scenario, draw
from raftsdk.testing.world.world import World

DEFAULT_EVENTS: Final = 10_000
DEFAULT_SEEDS: Final = 400


class Order(Struct, frozen=True, kw_only=True):
    """What is to be played, whatever the seed."""

    events: int = DEFAULT_EVENTS
    nodes: int | None = None  #: How many voters there are at first; None: each seed draws it.
    state_machine: str = ""  #: An installed one, or module:Class; empty: the simulator's own, whose answers are judged.
    faults: tuple[int, ...] | None = None  #: None but these of a seed's faults, by their place; None: all of them.

    def scenario(self, seed: int) -> Scenario:
        """The one of `seed`. Raises `ConfigError` when it has no fault of some place."""
        drawn = draw(seed, self.events, self.nodes)
        if self.faults is None:
            return drawn
        if beyond := [place for place in self.faults if place >= len(drawn.faults)]:
            raise ConfigError([f"seed {seed} has {len(drawn.faults)} faults, from 0 on, and no fault {beyond[0]}"])
        return replace(drawn, faults=tuple(drawn.faults[place] for place in self.faults))

    def machine(self) -> type[StateMachine] | Callable[[], StateMachine]:
        """What makes the state machine. Raises `ConfigError` when nothing of that name does."""
        if not self.state_machine:
            return Registers
        made = part(STATE_MACHINES, self.state_machine)
        if not isinstance(made, StateMachine):
            raise ConfigError([f"{self.state_machine} is no state machine: it lacks apply or query"])
        return type(made)

    def replay(self, seed: int) -> str:
        """The command that plays one seed of it again."""
        words = [f"raftsdk simulate --seed {seed} --events {self.events}"]
        if self.nodes is not None:
            words.append(f"--nodes {self.nodes}")
        if self.state_machine:
            words.append(f"--state-machine {self.state_machine}")
        if self.faults is not None:
            words.append(f"--faults {places_text(self.faults)}")
        return " ".join(words)


class Played(Struct, frozen=True, kw_only=True):
    """What became of one seed."""

    seed: int
    counters: Counters
    trace: str  #: SHA-256 of everything that happened.
    failure: str = ""  #: What must not be and was; empty: nothing.
    scene: list[str] = []  #: The last events before that, a line each.


def play(order: Order, seed: int) -> Played:
    """Play one seed to its end, or until something is wrong."""
    world = World(order.scenario(seed), order.machine())
    failure, scene = "", list[str]()
    try:
        world.run()
    except SafetyViolation as violation:
        failure = str(violation)
    except Exception as error:  # what is raised in the world is somebody's bug: the core's, the user's, or its own
        failure = f"{type(error).__name__}: {error}"
        scene = "".join(format_exception(error)).splitlines()
    if failure:
        scene = [*world.trace.lines(world.codec), *scene]
    return Played(seed=seed, counters=world.counters, trace=world.trace.digest(), failure=failure, scene=scene)


def play_all(order: Order, seeds: Sequence[int], workers: int | None = None) -> Iterator[Played]:
    """Play these seeds on so many processes, None: one for each core. Hands out each when it is done, in order."""
    workers = min(workers or len(os.sched_getaffinity(0)), len(seeds))
    if workers <= 1:
        yield from map(partial(play, order), seeds)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield from pool.map(partial(play, order), seeds)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def joint_trace(played: Sequence[Played]) -> str:
    """One hash for many seeds: equal when each of them went as before."""
    return sha256("".join(each.trace for each in played).encode()).hexdigest()


def places_text(places: Sequence[int]) -> str:
    """Places of faults as a command line has them, runs of them short.

    >>> places_text([0, 1, 2, 5]), places_text([])
    ('0-2,5', 'none')
    """
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][1] == place - 1:
            runs[-1][1] = place
        else:
            runs.append([place, place])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs) or "none"


def places_of(text: str) -> tuple[int, ...]:
    """What `places_text` was given. Raises `ValueError` for anything else.

    >>> places_of("0-2,5"), places_of("none")
    ((0, 1, 2, 5), ())
    """
    if text == "none":
        return ()
    runs = (part.partition("-") for part in text.split(","))
    return tuple(sorted({place for first, _, last in runs for place in range(int(first), int(last or first) + 1)}))
