"""The `RaftNetwork` made of any codec and any transport."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from raftsdk.config import LinkConfig
from raftsdk.errors import ConfigError, Refused, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
)
from raftsdk.ports import Codec, Credentials, LinkStatus, RaftHandler, Transport
from raftsdk.types import Identity, NodeId
from raftsdk.wire.channel import Bodies
from raftsdk.wire.endpoint import Endpoint
from raftsdk.wire.link import Link
from raftsdk.wire.server import Server

CREDENTIALS_INTERVAL_S: Final = 600
"""Well under the hour that a warning may be late."""

_Response = TypeVar("_Response", AppendEntriesResponse, RequestVoteResponse)


class _Lanes(NamedTuple):
    """Two connections to one peer, so that a heartbeat never waits behind a megabyte of entries."""

    control: Link
    bulk: Link


class RpcNetwork:
    """Typed calls between nodes that share at least one codec and one transport; see `ports.RaftNetwork`.

    `addresses` say where the others are (an entry for this node itself is ignored), `listen` where this one is to be
    found. Codecs are in order of preference; each link uses what both its ends like best. A call to a node that is not
    connected raises at once: the core repeats what is still worth asking.

    `credentials`, when the transports have some, are asked now and then besides, so that they say in time what there is
    to say: a certificate runs out also where nobody comes to be shown it.

    Raises `ConfigError`, with every fault, for addresses that no transport understands and for codecs or transports
    that cannot be told apart.
    """

    api_version = 1

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
        self._endpoint = Endpoint(
            identity=identity, codecs=codecs, transports=transports, config=config or LinkConfig(), rng=rng
        )
        faults = self._endpoint.faults_of([*listen, *(a for several in addresses.values() for a in several)])
        if faults:
            raise ConfigError(faults)
        self._listen = tuple(listen)
        self._bodies = Bodies()
        self._lanes: dict[NodeId, _Lanes] = {}
        self._server = Server(self._endpoint, known_peers=self._lanes.keys())
        self._credentials = credentials
        self._credentials_timer: asyncio.TimerHandle | None = None
        self._started = False
        for node_id, several in addresses.items():
            self.set_addresses(node_id, several)

    @property
    def listening(self) -> tuple[str, ...]:
        """The addresses listened on, with real ports; empty before `start`."""
        return self._server.addresses

    @property
    def closed_by_reason(self) -> Mapping[str, int]:
        """How many connections were closed because the other side broke a rule, by the rule's short name."""
        return self._endpoint.violations.by_reason

    def set_addresses(self, target: NodeId, addresses: Sequence[str]) -> None:
        """Say where `target` is, from the next attempt to connect on. At any time; needs at least one address."""
        if target == self._endpoint.identity.node_id:
            return
        if target in self._lanes:
            for link in self._lanes[target]:
                link.addresses = tuple(addresses)
            return
        self._lanes[target] = _Lanes(self._new_link(target, addresses), self._new_link(target, addresses))
        if self._started:
            self._open(target)

    async def start(self, handler: RaftHandler) -> None:
        """Listen, and begin to connect to every node. Raises `OSError` when an address cannot be had."""
        await self._server.start(self._listen, handler)
        self._started = True
        self._ask_credentials()
        for target in self._lanes:
            self._open(target)

    async def request_vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        """Ask for a vote (paper §5.2)."""
        return _expect(RequestVoteResponse, await self._lanes_to(target).control.send(request))

    async def append_entries(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        """Send entries, or a heartbeat (paper §5.3). Hand the same object to the calls for several targets where you
        can: it is then encoded once.
        """
        lanes = self._lanes_to(target)
        link = lanes.bulk if request.entries else lanes.control
        return _expect(AppendEntriesResponse, await link.send(request))

    def link(self, target: NodeId) -> LinkStatus:
        """What is known of the way to `target`: connected once both of its connections are."""
        lanes = self._lanes.get(target)
        return lanes.control.status if lanes and lanes.bulk.status.connected else LinkStatus()

    async def aclose(self) -> None:
        """Stop listening, end every connection; outstanding calls raise `Unreachable`. May be called twice."""
        if self._credentials_timer is not None:
            self._credentials_timer.cancel()
        for lanes in self._lanes.values():
            for link in lanes:
                await link.aclose()
        await self._server.aclose()

    def _new_link(self, target: NodeId, addresses: Sequence[str]) -> Link:
        return Link(self._endpoint, role="peer", target=target, addresses=addresses, bodies=self._bodies)

    def _ask_credentials(self) -> None:
        if self._credentials is not None:
            self._credentials.server_context()
            loop = asyncio.get_running_loop()
            self._credentials_timer = loop.call_later(CREDENTIALS_INTERVAL_S, self._ask_credentials)

    def _open(self, target: NodeId) -> None:
        for link in self._lanes[target]:
            link.open()

    def _lanes_to(self, target: NodeId) -> _Lanes:
        lanes = self._lanes.get(target)
        if lanes is None:
            raise Unreachable(f"nobody said where {target} is")
        return lanes


def _expect(kind: type[_Response], response: Response) -> _Response:
    if isinstance(response, ErrorResponse):
        raise Refused(response.code, response.message)
    assert isinstance(response, kind), "a channel returns only what answers the request"
    return response
