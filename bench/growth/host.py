"""One process with a node of each of many groups, in memory. Its `variant` says how many."""

import asyncio
import sys

import msgspec

from bench.load import Answer, Failed, Order, Spec, Status
from bench.raftsdk_node import Register, addresses
from raftsdk import NodeBuilder, RaftHost, run


def make_host(spec: Spec) -> RaftHost:
    """The groups, all with the same members."""
    builder = NodeBuilder(f"n{spec.node + 1}").cluster("bench").members(addresses(spec)).codec(spec.codec)
    return builder.storage("memory").build_host({number: Register() for number in range(int(spec.variant))})


def status(host: RaftHost) -> Status:
    """Whether it leads any group. Instead of commands it counts the groups that had a leader, whose log has begun; its
    term is the sum of theirs, so that an election in any of them shows.
    """
    states = [node.status() for node in host.values()]
    return Status(
        leading=any(node.is_leader for node in host.values()),
        applied=sum(state.applied_index > 0 for state in states),
        term=sum(state.term for state in states),
    )


async def main(spec: Spec) -> None:
    """Say how it is, until nobody asks any more."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with make_host(spec) as host:
        while line := await lines.readline():
            order = msgspec.json.decode(line, type=Order)
            idle = Answer(failed=Failed("these groups are idle")) if order.writers else Answer(status=status(host))
            print(msgspec.json.encode(idle).decode(), flush=True)


if __name__ == "__main__":
    run(main(msgspec.json.decode(sys.argv[1], type=Spec)))
