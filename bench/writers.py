"""The writers of our own programs: tasks in an event loop, in a node's process or in a client's."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter

import msgspec

from bench.load import ONCE_S, Answer, Failed, Note, Order, Sample, Status, outcome, recorder_for, values
from raftsdk.errors import RaftError

Operation = Callable[[bytes], Awaitable[bytes]]


async def carry_out_orders(propose: Operation, read: Operation, status: Callable[[], Status]) -> None:
    """Answer the lines of standard input until it ends. `read` asks for the value, linearizably."""
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        order = msgspec.json.decode(line, type=Order)
        answer = outcome(await _work(propose, read, order)) if order.writers else Answer(status=status())
        print(msgspec.json.encode(answer).decode(), flush=True)


async def _work(propose: Operation, read: Operation, order: Order) -> Sample | Failed:
    try:
        async with asyncio.timeout(ONCE_S if order.once else None):
            if order.reads:
                await _check_read(propose, read, values(order)[0])
            return await _load(read if order.reads else propose, order)
    except (RaftError, TimeoutError) as error:
        return Failed(f"{type(error).__name__}: {error}")


async def _check_read(propose: Operation, read: Operation, value: bytes) -> None:
    await propose(value)
    if await read(b"") != value:
        raise RaftError("a read gave something other than what was written before it")


async def _load(operation: Operation, order: Order) -> Sample:
    recorder = recorder_for(order)
    writers = [asyncio.create_task(_repeat(operation, value, recorder.note)) for value in values(order)]
    try:
        await asyncio.gather(*writers)
    finally:
        for writer in writers:
            writer.cancel()
    return recorder.sample()


async def _repeat(operation: Operation, value: bytes, note: Note) -> None:
    """One closed-loop writer, or reader."""
    started = perf_counter()
    while True:
        await operation(value)
        ended = perf_counter()
        if not note(started, ended):
            return
        started = ended
