"""A client of a cluster: finds the leader, repeats what is safe to repeat, and says when an outcome is unknown."""

import asyncio
import random
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

from msgspec import Struct

from raftsdk.client.session import Session
from raftsdk.config import TLS_SCHEMES, LinkConfig, scheme
from raftsdk.errors import (
    CommandTooLarge,
    ConfigError,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    ProposalDropped,
    RaftError,
    Refused,
    Unreachable,
)
from raftsdk.messages import (
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    ClientResponse,
    Consistency,
    ErrorCode,
    ErrorResponse,
    OpenSessionRequest,
    OpenSessionResponse,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    Request,
    Response,
    StatusRequest,
    StatusResponse,
    TakeSnapshotRequest,
    TakeSnapshotResponse,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
    error_of,
)
from raftsdk.ports import Codec, Transport
from raftsdk.types import Identity, Member, Membership, NodeId
from raftsdk.wire.endpoint import Endpoint
from raftsdk.wire.link import Link

_Response = TypeVar("_Response", bound=ClientResponse)

PAUSE_MS = 30
"""Between attempts while nobody leads: a fraction of an election, so that the first write after one is not late."""

ATTEMPTS_A_TIMEOUT = 4
"""A node that hangs costs whoever may ask another one this part of the time there is, not all of it."""


class Client:
    """Speaks the client plane with any node of a cluster. Safe for any number of tasks of one event loop at once.

    `addresses` are those of some members, at least one of which should be up; the others are learnt from redirects.
    Where nodes serve several groups, `group` is the one that is asked. `timeout_ms` bounds every method, attempts and
    pauses included. An empty `cluster_id` accepts any cluster. When all of `addresses` are encrypted ones, no redirect
    to another kind is followed: nobody may talk the client out of it.
    Raises `ConfigError` without an address, or for one that no transport understands.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        codecs: Sequence[Codec],
        transports: Sequence[Transport],
        cluster_id: str = "",
        group: int = 0,
        timeout_ms: int = 10_000,
        rng: random.Random | None = None,
    ) -> None:
        limits, share_ms = LinkConfig(), max(timeout_ms // ATTEMPTS_A_TIMEOUT, 1)
        self._endpoint = Endpoint(
            identity=Identity(cluster_id=cluster_id, node_id=""),
            codecs=codecs,
            transports=transports,
            config=LinkConfig(
                connect_timeout_ms=min(share_ms, limits.connect_timeout_ms),
                handshake_timeout_ms=min(share_ms, limits.handshake_timeout_ms),
                call_timeout_ms=timeout_ms,
            ),
            rng=rng,
        )
        faults = self._endpoint.faults_of(addresses) if addresses else ["there is no address: give at least one"]
        if faults:
            raise ConfigError(faults)
        self._group = group
        self._timeout_s = timeout_ms / 1000
        self._share_s = share_ms / 1000
        self._encrypted = all(scheme(address) in TLS_SCHEMES for address in addresses)
        self._nodes: list[tuple[str, ...]] = [(address,) for address in addresses]  # each node's addresses
        self._links: dict[tuple[str, ...], Link] = {}
        self._preferred = self._nodes[0]  # who answered last, or is said to lead

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(link.aclose() for link in self._links.values()))

    # -- what it is for

    async def propose(self, command: bytes, *, idempotent: bool = False) -> bytes:
        """Have `command` replicated and applied; returns the state machine's result.

        An attempt that surely left no trace is repeated at another node or later, until `timeout_ms`. One that may have
        is repeated only if the caller says that applying the command twice does no harm (`idempotent`), even if other
        commands come in between; otherwise `OutcomeUnknown` is raised. Raises `CommandFailed` and `CommandTooLarge`
        from the node, and the last obstacle (`Unreachable`, `NotLeader`, `Overloaded`) when no node took the command in
        time.
        """
        return (await self._ask(ProposeResponse, ProposeRequest(command=command), repeatable=idempotent)).result

    async def open_session(self) -> "Session":
        """Begin a session: whatever is proposed through it is applied exactly once, however often it must be repeated
        (thesis §6.3).
        """
        opened = await self._ask(OpenSessionResponse, OpenSessionRequest(), repeatable=True)  # a stray one expires
        return Session(self._propose_in_session, opened.session_id)

    async def _propose_in_session(self, request: ProposeRequest) -> bytes:
        return (await self._ask(ProposeResponse, request, repeatable=True)).result

    async def query(
        self, query: bytes, *, consistency: Consistency = Consistency.LOCAL, max_staleness_ms: int = 0
    ) -> bytes:
        """Ask a state machine without changing it; `consistency` says how fresh the answer must be, and who gives it.

        `LOCAL`: some node, from whatever it has applied. `LINEARIZABLE`: the leader, with every write that was
        acknowledged anywhere before. `LEASE`: the same without asking a quorum, where the nodes are configured for it.
        `FOLLOWER_LINEARIZABLE`: some node, as fresh as `LINEARIZABLE`. `BOUNDED_STALE`: some node, with every write
        that was acknowledged more than `max_staleness_ms` ago. Raises `CommandFailed` from the state machine, and the
        last obstacle when no node answered in time.
        """
        request = QueryRequest(query=query, consistency=consistency, max_staleness_ms=max_staleness_ms)
        return (await self._ask(QueryResponse, request, repeatable=True)).result

    async def status(self) -> StatusResponse:
        """How some node is."""
        return await self._ask(StatusResponse, StatusRequest(), repeatable=True)

    # -- for operators

    async def change_membership(self, members: Sequence[Member] = (), remove: Sequence[NodeId] = ()) -> Membership:
        """Add `members`, or put them in the place of those with their ids, and `remove` others, all in one change
        (paper §6). Returns the new membership once it is committed.

        Raises `MembershipRefused` when it was not begun, and `OutcomeUnknown` when it may have been: then ask for
        `status`, which says who the members are.
        """
        request = ChangeMembershipRequest(members=list(members), remove=list(remove))
        return (await self._ask(ChangeMembershipResponse, request, repeatable=False)).membership

    async def transfer_leadership(self, target: NodeId = "") -> NodeId:
        """Have `target` lead, or whichever voter has most of the log; returns who leads then (thesis §3.10). Raises
        `TransferFailed` when the old leader goes on.
        """
        request = TransferLeadershipRequest(target=target)
        return (await self._ask(TransferLeadershipResponse, request, repeatable=False)).leader_id

    async def take_snapshot(self) -> TakeSnapshotResponse:
        """Have some node take a snapshot of its state and cut its log. Raises `SnapshotFailed`."""
        return await self._ask(TakeSnapshotResponse, TakeSnapshotRequest(), repeatable=False)

    # -- attempts

    async def _ask(self, kind: type[_Response], request: Request, *, repeatable: bool) -> _Response:
        """Attempt after attempt, until one is answered, must not be repeated, or comes too late."""
        history = _History(asyncio.get_running_loop().time() + self._timeout_s)
        while True:
            asked = self._preferred
            try:
                response = await self._attempt(asked, request, history, repeatable=repeatable)
                assert isinstance(response, kind), "a channel returns only what answers the request"
                return response
            except _PASSING as error:
                history.obstacle, history.has_waited = error, True
            except TimeoutError:
                break
            if (history.in_doubt and not repeatable) or not await self._before_next(asked, history):
                break
        obstacle = history.obstacle or Unreachable("no node answered in time")
        if history.in_doubt and isinstance(request, _CHANGES):
            what = "the command may be applied" if isinstance(request, ProposeRequest) else "it may be done"
            raise OutcomeUnknown(f"{what}, now or later: {obstacle}") from obstacle
        raise obstacle

    async def _attempt(
        self, node: tuple[str, ...], request: Request, history: "_History", *, repeatable: bool
    ) -> Response:
        """One request to one node, noting in `history` whether it may have acted without our knowing. Raises
        `TimeoutError` when the time for all attempts is over.
        """
        link = self._link(node)
        if not link.status.connected:
            history.has_waited = True
            async with asyncio.timeout_at(history.deadline):
                await link.attempted()
        future = _send(link, request, self._group)
        doubted_before, history.in_doubt = history.in_doubt, True
        if repeatable or history.has_waited:
            response = await self._answer(node, future, history.deadline, repeatable=repeatable)
        else:
            # The connection waits for `timeout_ms` as well, with one timer for all that wait.
            response = await future
        if not isinstance(response, ErrorResponse):
            return response
        if isinstance(request, _CHANGES) and response.code not in list(ErrorCode):
            # Of a later version, or of another implementation: nobody here knows what it lets one conclude.
            raise OutcomeUnknown(f"{', '.join(node)} answered {response.code[:64]!a}: {response.message[:200]!a}")
        if response.code != ErrorCode.OUTCOME_UNKNOWN:
            history.in_doubt = doubted_before
        if response.code == ErrorCode.STOPPED:
            raise Unreachable(response.message)
        raise error_of(response)

    async def _answer(
        self, node: tuple[str, ...], future: asyncio.Future[Response], deadline: float, *, repeatable: bool
    ) -> Response:
        """The response. What may be asked of another node waits for a share of the time; the rest, for all of it."""
        loop = asyncio.get_running_loop()
        # A timer, not `asyncio.timeout`, which would cost as much as all else that a client does for a request.
        limit = min(deadline, loop.time() + self._share_s) if repeatable else deadline
        timer = loop.call_at(limit, _give_up, future, limit < deadline, node, self._share_s)
        try:
            return await future
        finally:
            timer.cancel()

    async def _before_next(self, asked: tuple[str, ...], history: "_History") -> bool:
        """Choose whom to ask next, and wait unless that is the leader. Returns whether there is time for it."""
        obstacle = history.obstacle
        if isinstance(obstacle, NotLeader) and (addresses := self._followed(obstacle.addresses)):
            self._preferred = self._know(addresses)
            if self._preferred != asked:
                return asyncio.get_running_loop().time() < history.deadline
        # When many ask at once, the first who fails moves on, and the others follow.
        elif self._preferred == asked and not isinstance(obstacle, Overloaded | ProposalDropped):
            following = self._nodes.index(asked) + 1
            self._preferred = self._nodes[following % len(self._nodes)]
        pause_ms = obstacle.retry_after_ms if isinstance(obstacle, Overloaded) else PAUSE_MS
        pause_s = self._endpoint.rng.uniform(1.0, 1.5) * pause_ms / 1000
        left_s = history.deadline - asyncio.get_running_loop().time()
        await asyncio.sleep(min(pause_s, left_s))
        return pause_s < left_s

    def _followed(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Those of a redirect's addresses that we let ourselves be sent to."""
        return tuple(address for address in addresses if scheme(address) in TLS_SCHEMES or not self._encrypted)

    def _know(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """The entry of `self._nodes` under which all of these addresses are tried; a new one if there is none yet.

        One with some of them will not do: a leader that has left the address we were given, and named another besides,
        would be looked for where it was, time and again, between two questions to the follower that names it.
        """
        for node in self._nodes:
            if set(addresses) <= set(node):
                return node
        self._nodes.append(addresses)
        return addresses

    def _link(self, node: tuple[str, ...]) -> Link:
        """The one link to `node`; opened when it is first wanted."""
        if node not in self._links:
            self._links[node] = Link(self._endpoint, role="client", addresses=node)
            self._links[node].open()
        return self._links[node]


def _send(link: Link, request: Request, group: int) -> asyncio.Future[Response]:
    try:
        return link.send(request, group)
    except Refused as refused:  # by our own side of the link: the node knows no groups, or its frames are too small
        raise CommandTooLarge(str(refused)) if refused.code == ErrorCode.TOO_LARGE else refused from None


def _give_up(
    future: asyncio.Future[Response], others_may_be_asked: bool, node: tuple[str, ...], waited_s: float
) -> None:
    if not future.done():
        late = Unreachable(f"{', '.join(node)} did not answer within {waited_s} s") if others_may_be_asked else None
        future.set_exception(late or TimeoutError())


_PASSING = (NotLeader, ProposalDropped, Overloaded, Unreachable, OutcomeUnknown)
"""What another attempt may overcome."""


_CHANGES = (ProposeRequest, ChangeMembershipRequest, TransferLeadershipRequest)
"""What cannot be taken back once it is under way."""


class _History(Struct):
    """What the attempts of one request have come to so far."""

    deadline: float  # in the event loop's time, for all of them together
    has_waited: bool = False  # some of that time is over
    in_doubt: bool = False  # some attempt may have been carried out
    obstacle: RaftError | None = None
