"""`run` picks the event loop: uvloop's where that is installed, asyncio's where it is not."""

import asyncio
import gc
import sys

import pytest
import uvloop

from raftsdk import run
from raftsdk.runtime.event_loop import NEW_OBJECTS


async def loop_in_use() -> type[asyncio.AbstractEventLoop]:
    return type(asyncio.get_running_loop())


def test_uvloop_runs_where_it_is_installed() -> None:
    assert run(loop_in_use()) is uvloop.Loop


def test_asyncios_own_loop_runs_where_uvloop_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert issubclass(run(loop_in_use()), asyncio.BaseEventLoop)


@pytest.mark.parametrize(("before", "after"), [(700, NEW_OBJECTS), (50_000, 50_000), (0, 0)])
def test_the_garbage_collector_looks_less_often_and_never_more_than_before(before: int, after: int) -> None:
    found = gc.get_threshold()
    try:
        gc.set_threshold(before)
        run(loop_in_use())
        assert gc.get_threshold()[0] == after
    finally:
        gc.set_threshold(*found)
        gc.unfreeze()


def test_what_was_made_before_is_left_out_of_collections() -> None:
    try:
        run(loop_in_use())
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
