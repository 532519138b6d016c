"""Who hears whom in a cluster of real processes: a proxy before every node, and faults between any two of them.

    wiring.cut("n1", "n2")   # n2 hears nothing of n1, in requests and in answers; n1 hears n2
    wiring.set("n1", "n2", Way(delay_ms=50))   # … or hears it late
    wiring.connect(bridge("n1", wiring.nodes))   # nobody hears anybody but n1
    wiring.heal()

A node's one address is that of its proxy, for everybody, whatever the membership says later; the proxy tells its
callers apart by the node id in the hello that opens every connection (spec/wire.md, clause 5). So bytes from `n1` to
`n2` are those that n1 sends through n2's proxy, and those that come back to n2 through n1's.
"""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import combinations, pairwise, permutations
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias

from raftsdk.config import LinkConfig
from raftsdk.errors import WireError
from raftsdk.ports import FRAME_HEADER_BYTES
from raftsdk.testing.proxy import Proxy, Way
from raftsdk.types import NodeId
from raftsdk.wire.hello import decode_hello

Pairs: TypeAlias = frozenset[frozenset[NodeId]]
"""Of nodes that hear each other."""

_LENGTH_BYTES: Final = 4
_MAX_HELLO_BYTES: Final = LinkConfig().max_hello_bytes


def alone(node: NodeId, nodes: Collection[NodeId]) -> Pairs:
    """`node` hears nobody, and all others hear each other."""
    return groups([node], [other for other in nodes if other != node])


def groups(*parts: Collection[NodeId]) -> Pairs:
    """Every node hears those of its own part."""
    return frozenset(frozenset(pair) for part in parts for pair in combinations(part, 2))


def bridge(node: NodeId, nodes: Collection[NodeId]) -> Pairs:
    """Two halves that do not hear each other, and `node`, whom everybody hears; with three nodes, a chain."""
    others = [other for other in nodes if other != node]
    half = len(others) // 2
    return groups([node, *others[:half]], [node, *others[half:]])


def chain(nodes: Sequence[NodeId]) -> Pairs:
    """Every node hears the one before it and the one behind it."""
    return frozenset(map(frozenset, pairwise(nodes)))


def ring(nodes: Sequence[NodeId]) -> Pairs:
    """A chain whose ends hear each other. Of five nodes everybody hears a majority, and no two the same one."""
    return chain([*nodes, nodes[0]])


class Cuts(Protocol):
    """Who hears whom, whatever it is that parts them: `Wiring`, or `raftsdk.testing.namespaces.Namespaces`."""

    @property
    def nodes(self) -> list[NodeId]:
        """Everybody there is."""
        ...

    def cut(self, source: NodeId, target: NodeId) -> None:
        """From now on, `target` hears nothing that `source` says."""
        ...

    def connect(self, pairs: Pairs) -> None:
        """Let these hear each other, and nobody else."""
        ...

    def heal(self) -> None:
        """No faults any more, between any."""
        ...


class Wiring:
    """Proxies at `fronts`, which pass on to the nodes at `targets`: both by node id, addresses over plain TCP."""

    def __init__(
        self, fronts: Mapping[NodeId, str], targets: Mapping[NodeId, str], rng: random.Random | None = None
    ) -> None:
        self._proxies = {
            node: Proxy(front, target=targets[node], caller_of=caller_of, rng=rng) for node, front in fronts.items()
        }
        self._stack = AsyncExitStack()

    @property
    def nodes(self) -> list[NodeId]:
        """Everybody there is."""
        return list(self._proxies)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for proxy in self._proxies.values():
                await stack.enter_async_context(proxy)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def set(self, source: NodeId, target: NodeId, way: Way) -> None:
        """What befalls, from now on, what `source` says to `target`."""
        self._proxies[target].set(source, there=way)
        self._proxies[source].set(target, back=way)

    def cut(self, source: NodeId, target: NodeId) -> None:
        """From now on, `target` hears nothing that `source` says."""
        self.set(source, target, Way(cut=True))

    def set_all(self, way: Way) -> None:
        """What befalls whatever the nodes say to each other."""
        for source, target in permutations(self._proxies, 2):
            self.set(source, target, way)

    def connect(self, pairs: Pairs) -> None:
        """Let these hear each other, and nobody else."""
        for source, target in permutations(self._proxies, 2):
            self.set(source, target, Way(cut=frozenset((source, target)) not in pairs))

    def heal(self) -> None:
        """No faults any more, between any."""
        self.set_all(Way())

    def reset(self, nodes: Iterable[NodeId]) -> None:
        """End every connection that another node, or a client, has to one of these, and theirs to the others."""
        for node in nodes:
            self._proxies[node].reset()
            for proxy in self._proxies.values():
                proxy.reset(node)


def caller_of(first: bytes) -> str | None:
    """The node whose hello `first` begins with: "" for a client and for whoever sends no hello, None for too few bytes.

    >>> caller_of(b"GET / HTTP/1.1")
    ''
    """
    if len(first) < _LENGTH_BYTES:
        return None
    end = FRAME_HEADER_BYTES + int.from_bytes(first[:_LENGTH_BYTES])
    if end > _MAX_HELLO_BYTES:
        return ""
    if len(first) < end:
        return None
    try:
        return decode_hello(memoryview(first)[FRAME_HEADER_BYTES:end]).node_id
    except WireError:
        return ""
