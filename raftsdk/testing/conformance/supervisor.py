"""Runs an order in worker processes, and goes on when one hangs or crashes: that is a failed trial, not a lost run."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, Queue
from tempfile import TemporaryFile
from threading import Thread
from typing import IO, Any, Final

import msgspec

from raftsdk.errors import RaftError
from raftsdk.testing.conformance.plan import Order
from raftsdk.testing.conformance.trial import Outcome, Result, Trial, result_of
from raftsdk.testing.conformance.worker import Assignment, Ready
from raftsdk.testing.suite import CASE_TIMEOUT_S

LIMIT_S: Final = 4 * CASE_TIMEOUT_S
"""For one trial. A case ends itself when its time is up, unless it never lets go of the processor: then this long."""

START_LIMIT_S: Final = 120.0

MAX_LOSSES: Final = 3
"""A subject that has cost so many processes is not tried any further."""

_LAST_WORDS_BYTES: Final = 1_000


def supervise(order: Order, trials: Sequence[Trial[Any]], limit_s: float = LIMIT_S) -> Iterator[Result]:
    """The results of `trials`, which are `plan(order)`, as they come: exactly one for each.

    Raises `RaftError` when no worker process can be started.
    """
    losses: Counter[str] = Counter()
    waiting = list(enumerate(trials))
    while waiting:
        with _working(Assignment(order=order, places=[place for place, _ in waiting]), len(trials)) as worker:
            loss = ""
            while waiting and not loss:
                _, trial = waiting.pop(0)
                answer = worker.result(limit_s)
                if isinstance(answer, Result):
                    yield answer
                else:
                    loss = answer
                    yield result_of(trial, Outcome.FAILED, loss)
        if not loss:
            continue
        losses[trial.subject.name] += 1
        if losses[trial.subject.name] == MAX_LOSSES:
            given_up = [other for _, other in waiting if other.subject is trial.subject]
            why = f"not tried, after the loss of {MAX_LOSSES} processes; of the last: {loss}"
            yield from (result_of(other, Outcome.FAILED, why) for other in given_up)
            waiting = [(place, other) for place, other in waiting if other.subject is not trial.subject]


@contextmanager
def _working(assignment: Assignment, trials: int) -> Iterator["_Worker"]:
    """A process that is ready for this assignment; it does not outlive the block."""
    with (
        TemporaryFile() as words,
        subprocess.Popen(
            [sys.executable, "-m", "raftsdk.testing.conformance.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
        ) as process,
    ):
        worker = _Worker(process, words)
        try:
            worker.begin(assignment, trials)
            yield worker
        finally:
            process.kill()
            worker.reader.join()  # before the pipe that it reads is closed


class _Worker:
    """The process that works on an assignment."""

    def __init__(self, process: subprocess.Popen[bytes], words: IO[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        self._process = process
        self._stdin: IO[bytes] = process.stdin
        self._words = words
        self._lines: Queue[bytes] = Queue()
        self.reader = Thread(target=self._read, args=(process.stdout,), daemon=True)

    def begin(self, assignment: Assignment, trials: int) -> None:
        """Hand over the assignment. Raises `RaftError` when the process does not come to be ready for it."""
        self.reader.start()
        try:
            self._stdin.write(msgspec.json.encode(assignment))
            self._stdin.close()
        except BrokenPipeError:
            pass  # it has ended already: the next line is the end of what it says
        self._expect_ready(trials)

    def _read(self, stdout: IO[bytes]) -> None:
        """In a thread: everything the process says; an empty line at the end of it."""
        for line in stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _expect_ready(self, trials: int) -> None:
        line = self._line(START_LIMIT_S)
        if not line:
            raise RaftError(f"no worker process can be started: {self._end()}")
        ready = msgspec.json.decode(line, type=Ready)
        if ready.trials != trials:
            raise RaftError(f"a worker process found {ready.trials} cases, where {trials} were planned")

    def result(self, limit_s: float) -> Result | str:
        """The next result; or, in words, how the process was lost instead."""
        line = self._line(limit_s)
        if line is None:
            return f"not done after {limit_s:g} s, and its process had to be ended"
        return msgspec.json.decode(line, type=Result) if line else self._end()

    def _line(self, limit_s: float) -> bytes | None:
        try:
            return self._lines.get(timeout=limit_s)
        except Empty:
            return None

    def _end(self) -> str:
        code = self._process.wait()
        self._words.seek(0)
        words = self._words.read().decode(errors="replace")[-_LAST_WORDS_BYTES:].strip()
        how = f"its process ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}"
        return f"{how}: {words}" if words else how
