"""The `RaftNetwork` made of any codec and any transport."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence

from raftsdk.config import LinkConfig
from raftsdk.errors import ConfigError
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raftsdk.ports import Codec, Credentials, LinkStatus, RaftHandler, SnapshotSource, Transport
from raftsdk.types import Identity, NodeId
from raftsdk.wire.endpoint import Endpoint
from raftsdk.wire.frame import MAX_GROUP
from raftsdk.wire.link import expect
from raftsdk.wire.peers import Peers


class GroupNetwork:
    """Typed calls within one Raft group, over connections that all groups of a node share; see `ports.RaftNetwork`."""

    api_version = 1

    def __init__(self, peers: Peers, number: int) -> None:
        self._peers = peers
        self._number = number

    def set_addresses(self, target: NodeId, addresses: Sequence[str]) -> None:
        """Say where `target` is, from the next attempt to connect on; without addresses, that it is no member any more:
        its connections end, unless another group needs them. At any time. The latest addresses count for all groups.
        """
        self._peers.set_addresses(self._number, target, addresses)

    async def start(self, handler: RaftHandler) -> None:
        """Deliver this group's requests to `handler`. The first group that starts has the node listen and connect.
        Raises `OSError` when an address cannot be had, and `ValueError` for a group that is served already.
        """
        await self._peers.serve(self._number, handler)

    async def request_vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        """Ask for a vote (paper §5.2)."""
        lanes = self._peers.lanes_to(target)
        return expect(RequestVoteResponse, await lanes.control.send(request, self._number))

    async def append_entries(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        """Send entries, or a heartbeat (paper §5.3). Hand the same object to the calls for several targets where you
        can: it is then encoded once.
        """
        lanes = self._peers.lanes_to(target)
        link = lanes.bulk if request.entries else lanes.control
        return expect(AppendEntriesResponse, await link.send(request, self._number))

    async def install_snapshot(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        """Bring the whole of `source` to `target` (paper §7), on a connection of its own, from where `target` says to
        go on. Cut links are no end of it; see `Transfer.run` for what it returns and raises.
        """
        return await self._peers.bring(self._number, target, request, source)

    async def timeout_now(self, target: NodeId, request: TimeoutNowRequest) -> TimeoutNowResponse:
        """Ask `target` to campaign at once (thesis §3.10)."""
        lanes = self._peers.lanes_to(target)
        return expect(TimeoutNowResponse, await lanes.control.send(request, self._number))

    async def read_index(self, target: NodeId, request: ReadIndexRequest) -> ReadIndexResponse:
        """Ask the leader how far to have applied (thesis §6.4)."""
        lanes = self._peers.lanes_to(target)
        return expect(ReadIndexResponse, await lanes.control.send(request, self._number))

    def watch(
        self,
        targets: Collection[NodeId],
        *,
        interval_s: float,
        silence_s: float,
        lost: Callable[[NodeId], None],
    ) -> None:
        """Have `targets` hear us, and tell `lost` which of them we do not hear; see `ports.WatchfulNetwork.watch`.
        Groups that watch the same nodes at the same pace share what it costs.
        """
        self._peers.watching.watch(self._number, targets, interval_s=interval_s, silence_s=silence_s, lost=lost)

    def link(self, target: NodeId) -> LinkStatus:
        """What is known of the way to `target`: connected once both of its lasting connections are."""
        lanes = self._peers.lanes.get(target)
        return lanes.control.status if lanes and lanes.bulk.status.connected else LinkStatus()

    async def aclose(self) -> None:
        """Leave the group: its requests are answered "unknown_group" from now on, its outstanding calls raise
        `Unreachable`. The other groups go on. May be called twice.
        """
        self._peers.leave(self._number)


class RpcNetwork(GroupNetwork):
    """Typed calls between nodes that share at least one codec and one transport; see `ports.RaftNetwork`.

    `addresses` say where the others are (an entry for this node itself is ignored), `listen` where this one is to be
    found. Codecs are in order of preference; each link uses what both its ends like best. A call to a node that is not
    connected raises at once: the core repeats what is still worth asking.

    It is group 0, and `group` gives others over the same connections; closing this one closes all.

    `credentials`, when the transports have some, are asked now and then besides, so that they say in time what there is
    to say: a certificate runs out also where nobody comes to be shown it.

    Raises `ConfigError`, with every fault, for addresses that no transport understands and for codecs or transports
    that cannot be told apart.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        addresses: Mapping[NodeId, Sequence[str]],
        listen: Sequence[str],
        codecs: Sequence[Codec],
        transports: Sequence[Transport],
        config: LinkConfig | None = None,
        credentials: Credentials | None = None,
        rng: random.Random | None = None,
    ) -> None:
        endpoint = Endpoint(
            identity=identity, codecs=codecs, transports=transports, config=config or LinkConfig(), rng=rng
        )
        faults = endpoint.faults_of([*listen, *(a for several in addresses.values() for a in several)])
        if faults:
            raise ConfigError(faults)
        super().__init__(Peers(endpoint, listen, credentials), 0)
        for node_id, several in addresses.items():
            self.set_addresses(node_id, several)

    def group(self, number: int) -> GroupNetwork:
        """The network of Raft group `number`, from 0 to 2^32 - 1. Raises `ValueError` for any other."""
        if not 0 <= number <= MAX_GROUP:
            raise ValueError(f"{number} is no group: give a number from 0 to {MAX_GROUP}")
        return GroupNetwork(self._peers, number)

    @property
    def listening(self) -> tuple[str, ...]:
        """The addresses listened on, with real ports; empty before `start`."""
        return self._peers.server.addresses

    @property
    def closed_by_reason(self) -> Mapping[str, int]:
        """How many connections were closed because the other side broke a rule, by the rule's short name."""
        return self._peers.endpoint.violations.by_reason

    async def aclose(self) -> None:
        """Stop listening, end every connection of every group; outstanding calls raise `Unreachable`. May be called
        twice.
        """
        await self._peers.aclose()
