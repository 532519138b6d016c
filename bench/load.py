"""What a node's program is told and answers, and how it counts. Used alike by every contestant."""

from math import ceil
from random import Random
from time import perf_counter

from msgspec import Struct

VALUE_BYTES = 256
WARM_UP_S = 0.4


class Spec(Struct, frozen=True):
    """One node to run: who, among whom, how. Travels as JSON in the program's only argument."""

    node: int  #: Its place in `ports`.
    ports: list[int]  #: On loopback, one for each node.
    variant: str  #: See `systems.System.variant`.
    directory: str  #: For the data of this node alone.
    codec: str = "msgpack"


class Order(Struct, frozen=True):
    """One line to a node: say how you are, or (with writers) write for so long and say how it went."""

    writers: int = 0
    seconds: float = 0.0


class Status(Struct, frozen=True):
    """How a node is."""

    leading: bool
    applied: int  #: Commands its state machine has been given.


class Sample(Struct, frozen=True):
    """How a load went, seen from its writers."""

    writes_per_s: float
    p50_ms: float
    p99_ms: float


class Failed(Struct, frozen=True):
    """Why a load did not go."""

    error: str


class Answer(Struct, frozen=True):
    """One line from a node; exactly one of these is there."""

    status: Status | None = None
    sample: Sample | None = None
    failed: Failed | None = None


def values(count: int) -> list[bytes]:
    """One value for each writer: random, so that no contestant gains by compressing what no user would send."""
    rng = Random(1)
    return [rng.randbytes(VALUE_BYTES) for _ in range(count)]


class Recorder:
    """The latencies of the writes acknowledged in a window of `seconds` that opens after the warm-up."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._opens_at = perf_counter() + WARM_UP_S
        self._closes_at = self._opens_at + seconds
        self._latencies_s: list[float] = []

    def note(self, started: float, ended: float) -> bool:
        """One write was acknowledged; whether its writer shall go on."""
        if ended >= self._opens_at:
            if ended >= self._closes_at:
                return False
            self._latencies_s.append(ended - started)
        return True

    def sample(self) -> Sample:
        """What was seen. The latencies are 0 when nothing was."""
        ordered = sorted(self._latencies_s) or [0.0]
        return Sample(
            writes_per_s=len(self._latencies_s) / self._seconds,
            p50_ms=_percentile(ordered, 50) * 1000,
            p99_ms=_percentile(ordered, 99) * 1000,
        )


def _percentile(ordered: list[float], percent: int) -> float:
    return ordered[ceil(len(ordered) * percent / 100) - 1]
