"""The suites of this package, for `python -m bench` beside those of `bench.suites`, and how much of everything."""

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.growth import endurance, failover, groups, idle, restart, snapshot
from bench.rows import Outcome
from bench.turns import Step

SUITES: dict[str, Callable[[Namespace, Path, Step], Awaitable[Outcome]]] = {
    "failover": failover.run,
    "log": endurance.run_log,
    "steady": endurance.run_steady,
    "snapshot": snapshot.run,
    "restart": restart.run,
    "groups": groups.run,
    "idle": idle.run,
}

_STEPS: dict[str, Callable[[Namespace], tuple[int, float]]] = {
    "failover": failover.steps,
    "log": endurance.steps_log,
    "steady": endurance.steps_steady,
    "snapshot": snapshot.steps,
    "restart": restart.steps,
    "groups": groups.steps,
    "idle": idle.steps,
}


def steps(name: str, options: Namespace) -> tuple[int, float]:
    """How often a suite will call its step, and about how many seconds it takes."""
    return _STEPS[name](options)


def add_arguments(parser: ArgumentParser) -> None:
    """How much of everything."""
    add = parser.add_argument_group("growth").add_argument
    add("--kills", type=_whole, default=30, help="failover: of raftsdk's leaders (default: %(default)s)")
    add("--peer-kills", type=_whole, default=10, help="failover: of the others' (default: %(default)s)")
    add("--entries", type=_whole, default=10_000_000, help="log: how many (default: %(default)s)")
    add("--value-bytes", type=_whole, default=256, help="log, steady, restart: of a write (default: %(default)s)")
    add("--minutes", type=_positive, default=10.0, help="steady: how long (default: %(default)s)")
    add("--state-mib", type=_whole, default=1024, help="snapshot: size of the state (default: %(default)s)")
    add("--restart-entries", type=_wholes, default=[0, 250_000, 1_000_000], help="restart (default: 0,250000,1000000)")
    add("--groups", type=_wholes, default=[1, 10, 100, 1000], help="groups: how many (default: 1,10,100,1000)")
    add("--idle-seconds", type=_positive, default=20.0, help="groups, idle: how long (default: %(default)s)")


def _whole(argument: str) -> int:
    if not argument.isdecimal():
        raise argparse.ArgumentTypeError(f"{argument!r}: give a whole number")
    return int(argument)


def _wholes(argument: str) -> list[int]:
    return [_whole(part) for part in argument.split(",")]


def _positive(argument: str) -> float:
    number = float(argument)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{argument}: give a number above 0")
    return number
