"""`run` picks the event loop: uvloop's where that is installed, asyncio's where it is not."""

import asyncio
import sys

import pytest
import uvloop

from raftsdk import run


async def loop_in_use() -> type[asyncio.AbstractEventLoop]:
    return type(asyncio.get_running_loop())


def test_uvloop_runs_where_it_is_installed() -> None:
    assert run(loop_in_use()) is uvloop.Loop


def test_asyncios_own_loop_runs_where_uvloop_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert issubclass(run(loop_in_use()), asyncio.BaseEventLoop)
