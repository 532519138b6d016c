"""What the suites of this package share."""

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from bench.processes import BenchError
from bench.systems import System


def chosen(systems: Iterable[System], options: Namespace) -> list[System]:
    """Those that take part, by `--peers` and `--storage`."""
    durable = {storage == "durable" for storage in options.storage}
    return [system for system in systems if system.peer in options.peers and system.durable in durable]


async def wait_until(holds: Callable[[], Awaitable[bool]], seconds: float, *, poll_s: float, failure: str) -> None:
    """Return once it does. Raises `BenchError` when it does not come to that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                if await holds():
                    return
                await asyncio.sleep(poll_s)
    raise BenchError(f"{failure} within {seconds:g} s")


def said(error: BenchError) -> str:
    """In one line."""
    return " ".join(str(error).split())
