"""The smallest state machine, in one process: three nodes that talk over Unix sockets, and a counter on each.

Run it: `python examples/counter.py`
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from raftsdk import NodeBuilder, RaftNode, run

NODE_IDS = ("n1", "n2", "n3")


class Counter:
    """A number. Commands add to it; the same commands in the same order give the same number everywhere."""

    def __init__(self) -> None:
        self.total = 0

    def apply(self, command: bytes, index: int) -> bytes:
        """Add the number in `command`. What is no number raises, and stops that command alone."""
        self.total += int(command)
        return str(self.total).encode()

    def query(self, query: bytes) -> bytes:
        """The number, as this node knows it."""
        return str(self.total).encode()

    def snapshot(self) -> AsyncIterator[bytes]:
        """The number as it is at this moment, whatever is added before it is written down: the log may be cut then."""
        return _in_one_piece(str(self.total).encode())

    async def restore(self, pieces: AsyncIterator[bytes]) -> None:
        """Go on from the number in a snapshot."""
        self.total = int(b"".join([piece async for piece in pieces]))


async def _in_one_piece(state: bytes) -> AsyncIterator[bytes]:
    yield state


def build(node_id: str, folder: str) -> RaftNode:
    """One of the three nodes. Its store is in memory: a service that matters says `.storage("sqlite", path=…)`."""
    return (
        NodeBuilder(node_id)
        .cluster("counter")
        .members({member_id: f"unix://{folder}/{member_id}.sock" for member_id in NODE_IDS})
        .codec("msgpack")
        .storage("memory")
        .state_machine(Counter())
        .build()
    )


async def main() -> None:
    """Add a few numbers at the leader, and show what the others make of it."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        nodes = {node_id: await stack.enter_async_context(build(node_id, folder)) for node_id in NODE_IDS}
        leader = nodes[await nodes["n1"].leader()]
        for number in (5, -2, 39):
            print("the counter is", (await leader.propose(str(number).encode())).decode())
        while any(node.status().applied_index < leader.status().applied_index for node in nodes.values()):
            await asyncio.sleep(0.01)
        for node_id, node in nodes.items():
            print(node_id, "says", (await node.query(b"")).decode())


if __name__ == "__main__":
    run(main())
