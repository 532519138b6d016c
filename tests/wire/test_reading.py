"""Fairness between connections, and what is logged about the unfair."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import pairwise

import pytest

from raftsdk.errors import WireError
from raftsdk.wire.frame import Frame, encode_frame
from raftsdk.wire.hello import PACKING, HelloAccepted
from raftsdk.wire.reading import FRAMES_A_TURN, read_frames
from raftsdk.wire.violations import Violations


class Buffered:
    """A connection on which everything has arrived already, so that no read ever suspends."""

    remote = "here"
    max_frame_bytes = 1000
    unsent_bytes = 0

    def __init__(self, reads: list[list[bytes]]) -> None:
        self._reads = [*reads, []]

    async def read(self) -> list[bytes]:
        return self._reads.pop(0)

    def write(self, frames: Sequence[bytes]) -> None: ...

    async def drain(self) -> None: ...

    async def aclose(self) -> None: ...

    def abort(self) -> None: ...


FRAMES = [encode_frame(0x10, 0, call_id, b"") for call_id in range(10_000)]
PACKS = [encode_frame(0x10, 8, call_id, bytes(4 * 100)) for call_id in range(0, 10_000, 100)]
AGREED = HelloAccepted(
    version=1,
    codec="json",
    max_frame_bytes=1000,
    cluster_id="c",
    node_id="n1",
    idle_timeout_ms=1,
    features=[PACKING],
)


async def most_in_a_turn(reads: list[list[bytes]]) -> int:
    """How many frames were taken at the most before others had a turn, of 10,000 in order."""
    taken: list[Frame] = []
    seen: list[int] = []
    reading = asyncio.create_task(read_frames(Buffered(reads), AGREED, taken.append))
    while not reading.done():
        seen.append(len(taken))
        await asyncio.sleep(0)
    await reading
    assert [frame.call_id for frame in taken] == [*range(10_000)]
    return max(after - before for before, after in pairwise(seen))


@pytest.mark.parametrize("frames_a_read", [1, 10_000], ids=["in as many reads", "in one read"])
async def test_others_have_a_turn_between_ten_thousand_frames(frames_a_read: int) -> None:
    reads = [FRAMES[start : start + frames_a_read] for start in range(0, len(FRAMES), frames_a_read)]
    assert await most_in_a_turn(reads) <= FRAMES_A_TURN


@pytest.mark.parametrize("packs_a_read", [1, 100], ids=["in as many reads", "in one read"])
async def test_others_have_a_turn_after_every_pack_of_a_hundred(packs_a_read: int) -> None:
    reads = [PACKS[start : start + packs_a_read] for start in range(0, len(PACKS), packs_a_read)]
    assert await most_in_a_turn(reads) == 100


def test_violations_are_all_counted_and_a_host_is_spoken_of_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    times_s = iter([0.0, 0.5, 0.6, 1.1])
    violations = Violations(clock=lambda: next(times_s))
    for remote in ("tcp://a:1", "tcp://a:2", "tcp://b:1", "tcp://a:3"):
        violations.note(remote, WireError("oversize", "too\nlong"))
    assert violations.by_reason == {"oversize": 4}
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert caplog.messages[0] == "closed the connection with tcp://a:1: oversize: 'too\\nlong'"


def test_a_flood_of_hosts_does_not_fill_the_memory() -> None:
    violations = Violations(clock=lambda: 0.0)
    for number in range(5_000):
        violations.note(f"tcp://host-{number}:1", WireError("oversize", ""))
    assert len(violations._said_at) <= 1024
