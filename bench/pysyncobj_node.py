"""One PySyncObj node. Its writers are callbacks in its own thread: the way to it with the fewest detours.

A writer in a thread of its own, or in an event loop, would add a switch of threads to every write.
"""

import queue
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import msgspec
from pysyncobj import (
    FAIL_REASON,
    SyncObj,
    SyncObjConf,
    replicated,
    tcp_connection,
)

from bench.load import ONCE_S, Answer, Failed, Note, Order, Sample, Spec, Status, outcome, recorder_for, values

TUNED: dict[str, Any] = {
    # At least as good as 2, 5 and 10 ms under every load, and six times as good as 10 ms with a single writer.
    "appendEntriesPeriod": 0.001,
    "autoTickPeriod": 0.001,
    # Several times as good as 64 KiB with 1,024 writers, and what lets values of 64 KiB through at all.
    "appendEntriesBatchSizeBytes": 1 << 20,
    "sendBufferSize": 1 << 20,
    "recvBufferSize": 1 << 20,
    # No compaction while the clock runs: our node does none either.
    "logCompactionMinEntries": 10**9,
    "logCompactionMinTime": 10**9,
}


class Register(SyncObj):  # type: ignore[misc]  # the package has no types
    """The replicated object: keeps the value last written."""

    def __init__(self, spec: Spec) -> None:
        self.value = b""
        self.applied = 0
        addresses = [f"127.0.0.1:{port}" for port in spec.ports]
        own = addresses.pop(spec.node)
        super().__init__(own, addresses, SyncObjConf(**_settings(spec)))

    @replicated  # type: ignore[untyped-decorator]  # likewise
    def put(self, value: bytes) -> None:
        """Keep it."""
        self.value = value
        self.applied += 1


def _stop_compressing() -> None:
    """Have messages stored in zlib's format, uncompressed; no setting does that, and it helps, up to twofold."""
    tcp_connection.zlib = SimpleNamespace(
        compress=lambda data, _level: zlib.compress(data, 0), decompress=zlib.decompress
    )


def _settings(spec: Spec) -> dict[str, Any]:
    if spec.variant == "defaults":
        return {}
    journal = {"journalFile": str(Path(spec.directory, "journal"))} if spec.variant == "journal" else {}
    return {**TUNED, **journal}


def _start_writer(register: Register, value: bytes, note: Note, end: Callable[[int], None]) -> None:
    """One closed-loop writer; calls `end` once, with the reason that ended it."""
    started = perf_counter()

    def acknowledged(_result: None, reason: int) -> None:
        nonlocal started
        ended = perf_counter()
        if reason != FAIL_REASON.SUCCESS or not note(started, ended):
            end(reason)
            return
        started = ended
        register.put(value, callback=acknowledged)

    register.put(value, callback=acknowledged)


def _load(register: Register, order: Order) -> Sample | Failed:
    if order.reads:
        return Failed("PySyncObj has no linearizable reads")
    if not register._isLeader():
        return Failed("not the leader")
    recorder = recorder_for(order)
    ends: queue.Queue[int] = queue.Queue()
    for value in values(order):
        _start_writer(register, value, recorder.note, ends.put)
    try:
        reasons = {ends.get(timeout=ONCE_S if order.once else None) for _ in range(order.writers)}
    except queue.Empty:
        return Failed(f"no outcome within {ONCE_S:g} s")
    failures = sorted(reasons - {FAIL_REASON.SUCCESS})
    return Failed(f"PySyncObj gave FAIL_REASON {failures}") if failures else recorder.sample()


def _answer(register: Register, order: Order) -> Answer:
    if order.writers:
        return outcome(_load(register, order))
    return Answer(status=Status(register._isLeader(), register.applied, register.raftCurrentTerm))


def main(spec: Spec) -> None:
    """Carry out orders from standard input until it ends."""
    if spec.variant != "defaults":
        _stop_compressing()
    register = Register(spec)
    for line in sys.stdin:
        answer = _answer(register, msgspec.json.decode(line, type=Order))
        print(msgspec.json.encode(answer).decode(), flush=True)
    register.destroy()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Spec))
