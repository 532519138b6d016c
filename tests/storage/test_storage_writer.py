"""The thread: in order, to the end, whatever becomes of the loop that asked."""

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest
from sqlite_places import IDENTITY, append, load, numbered

from raftsdk.storage.sqlite import SqliteStorage
from raftsdk.storage.writer import Writer


async def test_work_is_done_on_one_other_thread_and_in_order() -> None:
    writer = Writer("test")
    done: list[int] = []
    await asyncio.gather(*(writer.run(partial(done.append, number)) for number in range(100)))
    assert done == list(range(100))
    assert await writer.run(threading.get_ident) == await writer.run(threading.get_ident) != threading.get_ident()
    writer.stop()


async def test_work_nobody_waits_for_is_done_in_its_turn_and_before_the_thread_ends() -> None:
    writer = Writer("test")
    done: list[str] = []
    writer.begin(lambda: done.append("begun"))
    await writer.run(lambda: done.append("run"))
    writer.begin(lambda: done.append("last"))
    writer.stop()
    writer.join()
    assert done == ["begun", "run", "last"]


async def test_what_the_work_raised_is_raised_to_who_asked() -> None:
    writer = Writer("test")

    def fail() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        await writer.run(fail)
    writer.stop()


async def test_work_goes_on_when_nobody_waits_for_it_any_more() -> None:
    writer = Writer("test")
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        go_on.wait()
        done.append("work")

    task = asyncio.create_task(writer.run(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await writer.run(lambda: done.append("more"))
    assert done == ["work", "more"]
    writer.stop()


def test_a_write_in_flight_when_the_loop_closes_is_finished(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "n1")
    log = numbered(1, 5_000)

    async def start_and_leave() -> None:
        await storage.load(IDENTITY)
        write = asyncio.create_task(storage.persist(append(1, log)))
        await asyncio.sleep(0)
        write.cancel()

    asyncio.run(start_and_leave())
    asyncio.run(storage.aclose())
    assert load(tmp_path / "n1").entries == log


async def test_closing_waits_for_the_write_in_flight(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "n1")
    await storage.load(IDENTITY)
    log = numbered(1, 5_000)
    write = asyncio.create_task(storage.persist(append(1, log)))
    await asyncio.sleep(0)
    await storage.aclose()
    await write
    assert load(tmp_path / "n1").entries == log
