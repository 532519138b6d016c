"""Several Raft groups in one process: a node of each, over connections that they share."""

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from raftsdk.ports import RaftNetwork
from raftsdk.runtime.node import RaftNode


class RaftHost(Mapping[int, RaftNode]):
    """The nodes of one process by the numbers of their groups, alive between `async with` and its end.

    Groups know nothing of each other: each has a log, a leader, a state machine and a directory of its own, so that an
    application may divide its data among them. A fault of one node ends the whole host, as it would end a node. Made by
    `NodeBuilder.build_host`.
    """

    def __init__(self, nodes: Mapping[int, RaftNode], network: RaftNetwork) -> None:
        self._nodes = dict(nodes)
        self._network = network  # closed last; the nodes have each a part of it
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start every node. Raises as `RaftNode` does, and then none of them runs."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._network.aclose)
            for node in self._nodes.values():
                await stack.enter_async_context(node)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every node, the last one first, and end all connections."""
        await self._stack.__aexit__(kind, error, trace)

    def __getitem__(self, group: int) -> RaftNode:
        return self._nodes[group]

    def __iter__(self) -> Iterator[int]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)
