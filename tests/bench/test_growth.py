"""The suites of growth run, small, and what they measure with is right."""

import asyncio
from argparse import ArgumentParser
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.growth.load import Histogram, Load, LongOrder
from bench.growth.machine import PAGE_BYTES, Pages
from bench.growth.suites import SUITES, add_arguments, steps
from bench.load import Failed, Sample, percentile
from raftsdk.errors import NotLeader

SMALL = (
    *("--kills", "1", "--entries", "20000", "--minutes", "0.02", "--state-mib", "2", "--restart-entries", "0,2000"),
    *("--groups", "3", "--idle-seconds", "0.2"),
)


@pytest.mark.parametrize(
    ("suite", "storage", "rows"),
    [
        ("failover", ["durable"], 1),
        ("log", ["memory"], 10),
        ("steady", ["memory"], 10),
        ("snapshot", ["durable"], 4),
        ("restart", ["durable"], 2),
        ("groups", ["memory"], 1),
        ("idle", ["memory"], 1),
    ],
)
async def test_a_suite_measures_real_processes(suite: str, storage: list[str], rows: int, tmp_path: Path) -> None:
    parser = ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(SMALL)
    options.peers, options.storage, options.seconds = ["raftsdk"], storage, 0.1
    lines: list[str] = []
    outcome = await SUITES[suite](options, tmp_path, lines.append)
    assert outcome.failed == []
    assert (len(outcome.rows), len(lines)) == (rows, steps(suite, options)[0])
    figures: list[dict[str, Any]] = [
        {name: getattr(row, name) for name in row.__struct_fields__} for row in outcome.rows
    ]
    for row in figures:
        assert all(row[name] > 0 for name in row if name.endswith(("rss_mib", "writes_per_s", "median_s", "serves_s")))


async def pieces_of(pages: Pages) -> list[bytes]:
    return [piece async for piece in pages.snapshot()]


async def test_a_snapshot_holds_the_state_fast_and_is_restored_however_it_is_cut() -> None:
    pages = Pages(200 * PAGE_BYTES)
    for index in range(1, 60):
        pages.apply(b"value %d" % index, index)
    snapshot = pages.snapshot()
    expected = await pieces_of(pages)
    pages.apply(b"later", 60)
    assert [piece async for piece in snapshot] == expected
    assert await pieces_of(pages) != expected

    data, rng = b"".join(expected), Random(1)

    async def cut() -> Any:
        start = 0
        while start < len(data):
            end = start + rng.randrange(20, 9_000)
            yield data[start:end]
            start = end

    other = Pages(0)
    await other.restore(cut())
    assert await pieces_of(other) == expected
    assert (other.applied, other.value) == (59, b"value 59")


def test_a_histogram_is_right_to_one_per_cent() -> None:
    rng = Random(1)
    latencies_s = [rng.lognormvariate(-6, 2) for _ in range(5_000)]
    histogram = Histogram()
    for latency_s in latencies_s:
        histogram.note(latency_s)
    sample = histogram.sample(2.0)
    assert (sample.operations, sample.operations_per_s) == (5_000, 2_500)
    for percent, measured_ms in ((50, sample.p50_ms), (99, sample.p99_ms)):
        assert measured_ms / 1000 == pytest.approx(percentile(sorted(latencies_s), percent), rel=0.011)
    assert Histogram().sample(1.0) == Sample(0, 0.0, 0.0, 0.0)


async def test_writers_go_on_between_windows_until_a_single_write_or_a_failure() -> None:
    writes, fails = 0, False

    async def propose(_command: bytes) -> bytes:
        nonlocal writes
        if fails:
            raise NotLeader
        writes += 1
        await asyncio.sleep(0.001)
        return b""

    load = Load(propose)
    assert isinstance(await load.window(LongOrder(writers=2, seconds=0.05)), Sample)
    before = writes
    await asyncio.sleep(0.05)
    assert writes > before
    assert isinstance(await load.once(LongOrder(writers=1, once=True)), Sample)
    before = writes
    await asyncio.sleep(0.05)
    assert writes == before
    fails = True
    assert isinstance(await load.window(LongOrder(writers=2, seconds=5)), Failed)
