"""A load that goes on from one order to the next, in no more memory after an hour than after a second."""

import asyncio
from collections.abc import Callable
from itertools import accumulate
from math import ceil, exp, log
from time import perf_counter

from bench.load import ONCE_S, WARM_UP_S, Failed, Order, Sample, values
from bench.writers import Operation
from raftsdk.errors import RaftError

SNAPSHOT = "snapshot"
CAUGHT_UP = "caught up"

POLL_S = 0.02


class LongOrder(Order, frozen=True):
    """An order to a node of this package. Its writers go on when it is answered, until an order for one write, which
    is made when they have ended. With `until` the window lasts until that has come, and no longer than `seconds`.
    """

    until: str = ""  #: `SNAPSHOT`: one is taken, and durable. `CAUGHT_UP`: peers that need one have all there is now.


class Histogram:
    """Latencies, told apart by one per cent."""

    _STEP = log(1.01)
    _SMALLEST_S = 1e-6
    _BUCKETS = 2_100  # up to a quarter of an hour

    def __init__(self) -> None:
        self._counts = [0] * self._BUCKETS

    def note(self, latency_s: float) -> None:
        """One more."""
        self._counts[int(log(latency_s / self._SMALLEST_S) / self._STEP)] += 1

    def sample(self, elapsed_s: float) -> Sample:
        """What was noted in that time. The latencies are 0 when nothing was."""
        sums = [*accumulate(self._counts)]
        return Sample(sums[-1], sums[-1] / elapsed_s, self._percentile_ms(sums, 50), self._percentile_ms(sums, 99))

    def _percentile_ms(self, sums: list[int], percent: int) -> float:
        """By nearest rank; the upper end of its bucket."""
        rank = ceil(sums[-1] * percent / 100)
        bucket = next(number for number, total in enumerate(sums) if total >= rank)
        return self._SMALLEST_S * exp((bucket + 1) * self._STEP) * 1000 if rank else 0.0


class Load:
    """Closed-loop writers, as many as the last order asked for."""

    def __init__(self, propose: Operation) -> None:
        self._propose = propose
        self._writers: list[asyncio.Task[None]] = []
        self._latencies = Histogram()

    async def window(self, order: Order, is_over: Callable[[], bool] | None = None) -> Sample | Failed:
        """Have writers write, if they do not yet, and say how it went for `seconds`, or until `is_over`."""
        if not self._writers:
            self._writers = [asyncio.create_task(self._repeat(value)) for value in values(order)]
            await asyncio.sleep(WARM_UP_S)
        self._latencies, began = Histogram(), perf_counter()
        while (left_s := began + order.seconds - perf_counter()) > 0 and not (is_over and is_over()):
            pause_s = min(left_s, POLL_S) if is_over else left_s
            ended, _ = await asyncio.wait(self._writers, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            if ended:
                await self.end()
                error = next(iter(ended)).exception()
                return Failed(f"{type(error).__name__}: {error}")
        sample = self._latencies.sample(perf_counter() - began)
        return Failed(f"not over after {order.seconds:g} s") if is_over and not is_over() else sample

    async def once(self, order: Order) -> Sample | Failed:
        """End the writers, and write once."""
        await self.end()
        began = perf_counter()
        try:
            async with asyncio.timeout(ONCE_S):
                await self._propose(values(order)[0])
        except (RaftError, TimeoutError) as error:
            return Failed(f"{type(error).__name__}: {error}")
        took_ms = (perf_counter() - began) * 1000
        return Sample(1, 0.0, took_ms, took_ms)

    async def end(self) -> None:
        """No more writers."""
        for writer in self._writers:
            writer.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)
        self._writers = []

    async def _repeat(self, value: bytes) -> None:
        started = perf_counter()
        while True:
            await self._propose(value)
            ended = perf_counter()
            self._latencies.note(ended - started)
            started = ended
