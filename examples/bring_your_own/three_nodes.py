"""Three nodes in one process whose only way to each other is gRPC: `python examples/bring_your_own/three_nodes.py`"""

import asyncio
import tempfile
from contextlib import AsyncExitStack

from grpc_network import GrpcNetwork

from raftsdk import NodeBuilder, RaftNode

NODE_IDS = ("n1", "n2", "n3")


class Journal:
    """Keeps every line it is given."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def apply(self, command: bytes, index: int) -> bytes:
        """Add a line; the result is its number."""
        self.lines.append(command)
        return b"%d" % len(self.lines)

    def query(self, query: bytes) -> bytes:
        """All lines."""
        return b"\n".join(self.lines)


def build(node_id: str, folder: str) -> RaftNode:
    """A node on a network of one's own: no codec, no transport, and members without addresses."""
    network = GrpcNetwork(node_id, {member_id: f"unix:{folder}/{member_id}.sock" for member_id in NODE_IDS})
    builder = NodeBuilder(node_id).cluster("journal").voters(*NODE_IDS)
    return builder.network(network).storage("memory").state_machine(Journal()).build()


async def main() -> None:
    """Write three lines at the leader and read them at a follower."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        nodes = {node_id: await stack.enter_async_context(build(node_id, folder)) for node_id in NODE_IDS}
        leader_id = await nodes["n1"].leader()
        for line in (b"one", b"two", b"three"):
            number = await nodes[leader_id].propose(line)
            print("line", number.decode(), "is on a majority of the nodes")
        follower = next(node for node_id, node in nodes.items() if node_id != leader_id)
        while follower.status().applied_index < nodes[leader_id].status().applied_index:
            await asyncio.sleep(0.01)
        print((await follower.query(b"")).decode())


if __name__ == "__main__":
    asyncio.run(main())
