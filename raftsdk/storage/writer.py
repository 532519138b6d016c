"""A thread for one store's blocking work, and the way back to the event loop."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Final, TypeAlias, TypeVar

SWITCH_INTERVAL_S: Final = 0.000_01
"""After how long a waiting thread may ask for the interpreter's lock: the process's `sys.setswitchinterval`.

The default is 5 ms *in which the lock was not let go*. A loop that always has something to do lets it go for some
microseconds at each poll, which starts the waiter's 5 ms anew and is over before the waiter wakes. Measured beside a
loop that polls once a millisecond, the median write of one entry took 374 ms, and 2.1 ms with this interval; two
threads that only compute are not slower for it. (Linux rounds it up to some 60 µs.)
"""

Result = TypeVar("Result")
Job: TypeAlias = Callable[[], None]


class Writer:
    """Runs jobs one after another, in the order they were given, on a thread of its own."""

    def __init__(self, name: str) -> None:
        sys.setswitchinterval(min(SWITCH_INTERVAL_S, sys.getswitchinterval()))
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        # A daemon: a program that ends without closing its store must end. What it was writing was not acknowledged.
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, or what it raised. Giving up waiting does not stop it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        self._jobs.put(partial(_perform, work, done, loop))
        return await done

    def begin(self, work: Job) -> None:
        """Have `work` done, which never raises, without waiting for it."""
        self._jobs.put(work)

    def stop(self) -> None:
        """End the thread once the jobs given so far are done."""
        self._jobs.put(None)

    def join(self) -> None:
        """Block until the thread has ended."""
        self._thread.join()

    def _work(self) -> None:
        while job := self._jobs.get():
            job()


def _perform(work: Callable[[], Result], done: asyncio.Future[Result], loop: asyncio.AbstractEventLoop) -> None:
    try:
        report = partial(_succeed, done, work())
    except BaseException as error:
        report = partial(_fail, done, error)
    try:
        loop.call_soon_threadsafe(report)
    except RuntimeError:
        # The loop was closed meanwhile: nobody waits, and the work is done all the same.
        return


def _succeed(done: asyncio.Future[Result], result: Result) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Result], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
