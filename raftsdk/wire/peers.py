"""The ways to all peers, which the groups of one node share."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from raftsdk.errors import Unreachable
from raftsdk.messages import InstallSnapshotRequest, InstallSnapshotResponse
from raftsdk.ports import Credentials, RaftHandler, SnapshotSource
from raftsdk.types import NodeId
from raftsdk.wire.channel import Bodies
from raftsdk.wire.endpoint import Endpoint
from raftsdk.wire.link import Link
from raftsdk.wire.server import Server
from raftsdk.wire.snapshot import PIECE_TIMEOUTS, Throttle, Transfer
from raftsdk.wire.watching import Watching

CREDENTIALS_INTERVAL_S: Final = 600
"""Well under the hour that a warning may be late."""


class Lanes(NamedTuple):
    """Two connections to one peer, so that a heartbeat never waits behind a megabyte of entries."""

    control: Link
    bulk: Link


class _SnapshotLane:
    """A third connection to one peer, and how many need it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.transfers = 0


class Peers:
    """Links to every node that any group names, and the server where theirs arrive.

    A group names a node by giving its addresses, the latest of which count for all; a node that no group names any more
    is let go. Requests are delivered to `handlers`, by group.

    `credentials` are asked now and then besides, so that they say in time what there is to say: a certificate runs out
    also where nobody comes to be shown it.
    """

    def __init__(self, endpoint: Endpoint, listen: Sequence[str], credentials: Credentials | None) -> None:
        self.endpoint = endpoint
        self.handlers: dict[int, RaftHandler] = {}
        self.lanes: dict[NodeId, Lanes] = {}
        self._throttle = Throttle(endpoint.config.max_snapshot_bytes_per_second)
        self.server = Server(endpoint, known_peers=self.lanes.keys(), handlers=self.handlers)
        self.watching = Watching(self.server.heard_at, self._stay_alive)
        self._listen = tuple(listen)
        self._credentials = credentials
        self._credentials_timer: asyncio.TimerHandle | None = None
        self._bodies = Bodies()
        self._snapshots: dict[NodeId, _SnapshotLane] = {}
        self._named: dict[NodeId, set[int]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._started = False

    # -- groups

    async def serve(self, group: int, handler: RaftHandler) -> None:
        """Deliver what is for `group` to `handler`; the first to be served has us listen and connect. Raises `OSError`
        when an address cannot be had, and `ValueError` when somebody serves that group already.
        """
        if group in self.handlers:
            raise ValueError(f"group {group} is served already: give every group a number of its own")
        self.handlers[group] = handler
        try:
            async with self._starting:
                await self._start()
        except BaseException:
            del self.handlers[group]
            raise

    def leave(self, group: int) -> None:
        """Serve `group` no more, end its calls and its watch, and let go of the nodes that it alone named. May be
        called twice.
        """
        self.handlers.pop(group, None)
        self.watching.leave(group)
        for link in self._links():
            link.give_up(group)
        for target in [target for target, groups in self._named.items() if group in groups]:
            self.set_addresses(group, target, ())

    # -- peers

    def set_addresses(self, group: int, target: NodeId, addresses: Sequence[str]) -> None:
        """`group` names `target`, and says where it is from the next attempt to connect on; without addresses, it names
        it no more.
        """
        if target == self.endpoint.identity.node_id:
            return
        if not addresses:
            self._unname(group, target)
            return
        self._named.setdefault(target, set()).add(group)
        if target not in self.lanes:
            self.lanes[target] = Lanes(*(self._new_link(target, addresses, self._bodies) for _ in Lanes._fields))
            if self._started:
                self._open(target)
        for link in self._links_to(target):
            link.addresses = tuple(addresses)

    def lanes_to(self, target: NodeId) -> Lanes:
        """The links to `target`. Raises `Unreachable` when no group names it."""
        lanes = self.lanes.get(target)
        if lanes is None:
            raise Unreachable(f"nobody said where {target} is")
        return lanes

    async def bring(
        self, group: int, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        """Bring the snapshot in `source` to `target`, on a lane for snapshots alone; see `Transfer.run`."""
        async with self._snapshot_lane(target) as link:
            transfer = Transfer(
                link,
                group,
                request,
                source,
                config=self.endpoint.config,
                throttle=self._throttle,
                is_wanted=lambda: group in self.handlers and not link.closed,
            )
            return await transfer.run()

    @asynccontextmanager
    async def _snapshot_lane(self, target: NodeId) -> AsyncIterator[Link]:
        """A third link to `target`, open for as long as any snapshot is on its way."""
        addresses = self.lanes_to(target).bulk.addresses
        lane = self._snapshots.get(target)
        if lane is None:
            timeout_ms = PIECE_TIMEOUTS * self.endpoint.config.call_timeout_ms
            lane = self._snapshots[target] = _SnapshotLane(self._new_link(target, addresses, Bodies(), timeout_ms))
            lane.link.open()
        lane.transfers += 1
        try:
            yield lane.link
        finally:
            lane.transfers -= 1
            if not lane.transfers and self._snapshots.get(target) is lane:
                del self._snapshots[target]
                await lane.link.aclose()

    # -- all of it

    async def aclose(self) -> None:
        """Stop listening and end every connection. May be called twice."""
        self._started = False
        self.watching.end()
        if self._credentials_timer is not None:
            self._credentials_timer.cancel()
        for link in self._links():
            await link.aclose()
        if self._closing:
            await asyncio.wait(self._closing)
        await self.server.aclose()

    async def _start(self) -> None:
        if not self._started:
            await self.server.start(self._listen)
            self._started = True
            self._ask_credentials()
            for target in self.lanes:
                self._open(target)

    def _ask_credentials(self) -> None:
        if self._credentials is not None:
            self._credentials.server_context()
            loop = asyncio.get_running_loop()
            self._credentials_timer = loop.call_later(CREDENTIALS_INTERVAL_S, self._ask_credentials)

    def _new_link(
        self, target: NodeId, addresses: Sequence[str], bodies: Bodies, call_timeout_ms: int | None = None
    ) -> Link:
        return Link(
            self.endpoint,
            role="peer",
            target=target,
            addresses=addresses,
            bodies=bodies,
            call_timeout_ms=call_timeout_ms,
        )

    def _open(self, target: NodeId) -> None:
        for link in self.lanes[target]:
            link.open()

    def _stay_alive(self, target: NodeId) -> None:
        if target in self.lanes:
            self.lanes[target].control.stay_alive()

    def _links_to(self, target: NodeId) -> Iterator[Link]:
        yield from self.lanes[target]
        if target in self._snapshots:
            yield self._snapshots[target].link

    def _links(self) -> list[Link]:
        return [link for target in self.lanes for link in self._links_to(target)]

    def _unname(self, group: int, target: NodeId) -> None:
        groups = self._named.get(target, set())
        groups.discard(group)
        if groups or target not in self.lanes:
            return
        links = [*self._links_to(target)]
        del self.lanes[target], self._named[target]
        self._snapshots.pop(target, None)
        if self._started:
            for link in links:
                task = asyncio.get_running_loop().create_task(link.aclose(), name=f"parting with {target}")
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
