"""What we want to reach, and whether a run did. Nothing fails where it did not; the report says so."""

from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct

from bench.rows import Row, ratios

Key = Mapping[str, str | int]
"""Fields of a row and what they have to be."""


class Goal(Struct, frozen=True):
    """A figure of a row, or its ratio to another row's in the same round, and its bound."""

    text: str
    suite: str
    row: Key
    figure: str = "operations_per_s"
    beside: Key | None = None
    at_least: float | None = None
    at_most: float | None = None


class Verdict(Struct, frozen=True):
    """A goal and what became of it."""

    suite: str
    goal: str
    wanted: str
    measured: float | None
    met: bool | None  #: None: the run did not measure it.


def _of(system: str, writers: int = 256) -> Key:
    return {"system": system, "writers": writers}


def _rate(suite: str, system: str, at_least: float) -> Goal:
    return Goal(f"{system}, 256 at once: operations/s", suite, _of(system), at_least=at_least)


def _times(suite: str, system: str, beside: str, at_least: float) -> Goal:
    return Goal(f"{system}, 256 at once: × {beside}", suite, _of(system), beside=_of(beside), at_least=at_least)


def _p50(system: str, beside: str) -> Goal:
    text = f"{system}, 1 writer: p50, × {beside}"
    return Goal(text, "writes", _of(system, 1), "p50_ms", _of(beside, 1), at_most=1.0)


def _at_most(suite: str, text: str, row: Key, figure: str, at_most: float) -> Goal:
    return Goal(text, suite, row, figure, at_most=at_most)


_CODECS = ("JSON", "protobuf", "Cap'n Proto", "FlatBuffers")

GOALS = (
    _rate("writes", "raftsdk, memory", 100_000),
    _times("writes", "raftsdk, memory", "hashicorp/raft, memory", 2),
    _times("writes", "raftsdk, memory", "PySyncObj, tuned", 5),
    _rate("writes", "raftsdk, SQLite", 40_000),
    _times("writes", "raftsdk, SQLite", "hashicorp/raft, Bolt", 2),
    _times("writes", "raftsdk, SQLite", "etcd, clients", 5),
    _p50("raftsdk, memory", "hashicorp/raft, memory"),
    _p50("raftsdk, SQLite", "hashicorp/raft, Bolt"),
    _rate("clients", "raftsdk, memory, clients", 50_000),
    _rate("clients", "raftsdk, SQLite, clients", 50_000),
    _times("clients", "raftsdk, SQLite, clients", "etcd, clients", 5),
    _times("reads", "raftsdk, SQLite", "etcd, clients", 3),
    _times("reads", "raftsdk, SQLite, clients", "etcd, clients", 3),
    *(_times("wires", f"{codec} over TCP", "MessagePack over TCP", 0.6) for codec in _CODECS),
    _times("wires", "MessagePack over WebSocket", "MessagePack over TCP", 0.7),
    *(
        _times("nodes", f"raftsdk, {storage}, {nodes} nodes", f"raftsdk, {storage}, 3 nodes", at_least)
        for storage in ("memory", "SQLite")
        for nodes, at_least in ((5, 0.5), (7, 0.35))
    ),
    _at_most("failover", "raftsdk, SQLite: the median, s", {"system": "raftsdk, SQLite"}, "median_s", 0.8),
    _at_most("failover", "raftsdk, SQLite: p99, s", {"system": "raftsdk, SQLite"}, "p99_s", 1.5),
    _at_most("steady", "elections under full load", {}, "elections", 0),
    _at_most("snapshot", "elections", {}, "elections", 0),
    _at_most("snapshot", "p99, × that of the calm", {}, "p99_to_calm", 3),
    _at_most("groups", "1,000 idle: % of a core", {"groups": 1000}, "cpu_percent", 5),
    *(
        _at_most(
            "idle", f"raftsdk, SQLite, {node}: % of a core", {"system": "raftsdk, SQLite"}, f"{node}_cpu_percent", 1
        )
        for node in ("leader", "follower")
    ),
)


def judge(found: Mapping[str, Sequence[Struct]]) -> list[Verdict]:
    """The goals of the suites that ran; `found` has their rows."""
    return [_verdict(goal, found[goal.suite]) for goal in GOALS if goal.suite in found]


def _verdict(goal: Goal, rows: Sequence[Struct]) -> Verdict:
    measured = _measured(goal, rows)
    bounds, holds = [], []
    if goal.at_least is not None:
        bounds.append(f"≥ {goal.at_least:,g}")
        holds.append(measured is not None and measured >= goal.at_least)
    if goal.at_most is not None:
        bounds.append(f"≤ {goal.at_most:,g}")
        holds.append(measured is not None and measured <= goal.at_most)
    return Verdict(goal.suite, goal.text, ", ".join(bounds), measured, None if measured is None else all(holds))


def _measured(goal: Goal, rows: Sequence[Struct]) -> float | None:
    """Where several rows are meant, the worst of them."""
    own = _find(rows, goal.row)
    if goal.beside is None:
        worst = max if goal.at_least is None else min
        return worst((float(getattr(row, goal.figure)) for row in own), default=None)
    other = _find(rows, goal.beside)
    compared: list[float] = []
    for one, beside in zip(own, other, strict=False):
        assert isinstance(one, Row)
        assert isinstance(beside, Row)
        compared += ratios(one.rounds, beside.rounds, goal.figure)
    return median(compared) if compared else None


def _find(rows: Sequence[Struct], key: Key) -> list[Struct]:
    return [row for row in rows if all(getattr(row, name) == value for name, value in key.items())]
