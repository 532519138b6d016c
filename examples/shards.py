"""Many Raft groups in one process: each word is counted by one of four groups, over connections that they share.

Run it: `python examples/shards.py`
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from zlib import crc32

from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from raftsdk import Client, Consistency, NodeBuilder, RaftHost, run

NODE_IDS = ("n1", "n2", "n3")
GROUPS = 4
WORDS = ["the", "cat", "saw", "the", "dog", "and", "the", "dog", "saw", "the", "other", "cat"]


class WordCount:
    """How often each word was seen by this group."""

    def __init__(self) -> None:
        self.counts: dict[bytes, int] = {}

    def apply(self, command: bytes, index: int) -> bytes:
        """See a word once more."""
        self.counts[command] = self.counts.get(command, 0) + 1
        return b"%d" % self.counts[command]

    def query(self, query: bytes) -> bytes:
        """How often `query` was seen."""
        return b"%d" % self.counts.get(query, 0)


def build(node_id: str, addresses: dict[str, str]) -> RaftHost:
    """One of the three processes that there would be: a node of every group, and one address for all of them."""
    builder = NodeBuilder(node_id).cluster("words").members(addresses).storage("memory")
    return builder.build_host({number: WordCount() for number in range(GROUPS)})


def group_of(word: str) -> int:
    """Which group has the word: the same everywhere, and for ever."""
    return crc32(word.encode()) % GROUPS


async def main() -> None:
    """Count words through one client for each group, and ask for some of them."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        addresses = {node_id: f"unix://{folder}/{node_id}.sock" for node_id in NODE_IDS}
        hosts = [await stack.enter_async_context(build(node_id, addresses)) for node_id in NODE_IDS]
        codecs, transports = [MsgpackCodec()], [TcpTransport()]
        clients = [
            await stack.enter_async_context(
                Client([*addresses.values()], codecs=codecs, transports=transports, group=number)
            )
            for number in range(GROUPS)
        ]
        await asyncio.gather(*(clients[group_of(word)].propose(word.encode()) for word in WORDS))
        for word in ("the", "cat", "and"):
            count = await clients[group_of(word)].query(word.encode(), consistency=Consistency.LINEARIZABLE)
            print(f"{word}: {count.decode()}")
        print(f"{len(hosts)} nodes, {len({group_of(word) for word in WORDS})} groups with a word in them")


if __name__ == "__main__":
    run(main())
