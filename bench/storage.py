"""How fast one SQLite store is beside an event loop that is idle or busy: `python -m bench.storage [DIRECTORY]`.

A busy loop runs pure Python in turns, and polls in between: what a loaded node's loop does. The figures of one run are
rounds taken in turns, medians of them; compare within a run, never across machines.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

from msgspec import Struct

from raftsdk.storage.sqlite import SqliteStorage
from raftsdk.types import Entry, HardState, Identity, LogIndex, Write

ENTRY_BYTES = 256
BATCHES = (1, 64, 256, 1024)
TURNS_S = (0.0, 0.000_1, 0.001)
ROUNDS = 5
ROUND_S = 0.4

Persist = Callable[[Write], Awaitable[None]]


class Round(Struct, frozen=True):
    """What one round measured."""

    entries_per_s: float
    p50_ms: float
    p99_ms: float


async def keep_busy(turn_s: float) -> None:
    """Take the loop's thread for so long, poll, and again."""
    while True:
        end = perf_counter() + turn_s
        while perf_counter() < end:
            pass
        await asyncio.sleep(0)


async def write_on(persist: Persist, batch: int) -> Round:
    """Write batch after batch for a round."""
    entries = [Entry(1, 1, bytes(ENTRY_BYTES))] * batch
    first_index: LogIndex = 1
    latencies_s: list[float] = []
    begin = now = perf_counter()
    while now - begin < ROUND_S or len(latencies_s) < 2:
        await persist(Write(len(latencies_s) + 1, HardState(1, "n1", first_index), None, first_index, entries))
        first_index += batch
        before, now = now, perf_counter()
        latencies_s.append(now - before)
    p99_s = quantiles(latencies_s, n=100, method="inclusive")[98]
    return Round((first_index - 1) / (now - begin), median(latencies_s) * 1e3, p99_s * 1e3)


async def measure(path: Path, batch: int, turn_s: float) -> Round:
    """One round on a new store."""
    storage = SqliteStorage(path)
    await storage.load(Identity("bench", "n1"))
    busy = asyncio.create_task(keep_busy(turn_s)) if turn_s else None
    try:
        return await write_on(storage.persist, batch)
    finally:
        if busy is not None:
            busy.cancel()
        await storage.aclose()


def main() -> None:
    """Measure everything and print one line a combination."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    rounds: dict[tuple[float, int], list[Round]] = {(turn_s, batch): [] for turn_s in TURNS_S for batch in BATCHES}
    for _ in range(ROUNDS):
        for (turn_s, batch), measured in rounds.items():
            with tempfile.TemporaryDirectory(dir=root) as directory:
                measured.append(asyncio.run(measure(Path(directory) / "n1", batch, turn_s)))
    print(f"{'loop':>16} {'entries/write':>13} {'entries/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for (turn_s, batch), measured in rounds.items():
        loop = f"turns of {turn_s * 1e6:.0f} µs" if turn_s else "idle"
        rate, p50_ms, p99_ms = (median(column) for column in zip(*map(_columns, measured), strict=True))
        print(f"{loop:>16} {batch:>13} {rate:>10,.0f} {p50_ms:>8.2f} {p99_ms:>8.2f}")


def _columns(measured: Round) -> tuple[float, float, float]:
    return measured.entries_per_s, measured.p50_ms, measured.p99_ms


if __name__ == "__main__":
    main()
