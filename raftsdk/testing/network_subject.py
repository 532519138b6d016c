"""What the cases about a `RaftNetwork` are made of: three networks, and a node behind each that keeps what it hears."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from raftsdk.errors import Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    InstallSnapshotRequest,
    ReadIndexRequest,
    ReadIndexResponse,
    Request,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raftsdk.ports import RaftNetwork
from raftsdk.runtime.handler import Handler
from raftsdk.testing.snapshot_traffic import SnapshotReceiver
from raftsdk.types import Entry, NodeId

NODE_IDS: Final = ("n1", "n2", "n3")

PATIENCE_S: Final = 5.0
"""How long anything may take here that takes milliseconds, and how late a deadline may be."""

TERM: Final = 7

_POLL_S: Final = 0.01
_WARM_UP_TERM: Final = 2

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class NetworkSubject:
    """How to make networks that reach each other."""

    network: Callable[[NodeId], RaftNetwork]
    """A new network, not started, for that one of `NODE_IDS`, which can reach the others. Asked for the same id
    again, after the first was closed, it makes one that the others find where they found the first.
    """

    call_timeout_s: float
    """Within how long every call ends. A second is a good choice: some cases wait for it."""

    stall_timeout_s: float = 10.0
    """Within how long `install_snapshot` raises when nothing moves. A case takes 30 seconds at the most."""

    addresses: Mapping[NodeId, Sequence[str]] = field(default_factory=dict)
    """What to give `set_addresses` so that a node is found; for networks that have it."""


class RecordingHandler(Handler):
    """Keeps what is delivered, and answers each request at once, or holds it, or refuses it.

    An answer says whose it is and to what: `conflict_term` is the number of the node, `conflict_index` the request's
    `prev_log_index`; of a vote, `term` is the request's `last_log_index`. Pieces of a snapshot go to `snapshots`.
    """

    def __init__(self, node_number: int) -> None:
        self.received: list[Request] = []
        self.held: list[Callable[[], None]] = []
        self.holds: Callable[[Request], bool] = lambda _: False
        self.refusal: ErrorResponse | None = None
        self.snapshots = SnapshotReceiver()
        self._node_number = node_number

    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        """As `RaftHandler.deliver`."""
        response = self.refusal or self._answer(request)
        if _is_warm_up(request):
            reply(response)
            return
        self.received.append(request)
        if self.holds(request):
            self.held.append(lambda: reply(response))
        else:
            reply(response)

    def _answer(self, request: Request) -> Response:
        if isinstance(request, InstallSnapshotRequest):
            return self.snapshots.take(request)
        return answer(request, self._node_number)


def answer(request: Request, node_number: int) -> Response:
    """What node `node_number` answers to `request`."""
    if isinstance(request, AppendEntriesRequest):
        return AppendEntriesResponse(
            term=TERM, success=True, conflict_index=request.prev_log_index, conflict_term=node_number
        )
    if isinstance(request, RequestVoteRequest):
        return RequestVoteResponse(term=request.last_log_index, vote_granted=node_number == 2)
    if isinstance(request, TimeoutNowRequest):
        return TimeoutNowResponse(term=request.term + node_number)
    assert isinstance(request, ReadIndexRequest), f"nobody sent a {type(request).__name__}"
    return ReadIndexResponse(term=request.term, read_index=node_number)


@dataclass(frozen=True)
class Trio:
    """Three started networks; `n1` has reached both others."""

    n1: RaftNetwork
    n2: RaftNetwork
    n3: RaftNetwork
    handler2: RecordingHandler


@asynccontextmanager
async def trio(subject: NetworkSubject) -> AsyncIterator[Trio]:
    """Three networks for one case, closed after it."""
    n1, n2, n3 = networks = [subject.network(node_id) for node_id in NODE_IDS]
    handlers = [RecordingHandler(number) for number in (1, 2, 3)]
    async with AsyncExitStack() as stack:
        for network, handler in zip(networks, handlers, strict=True):
            stack.push_async_callback(network.aclose)
            await network.start(handler)
        for target in ("n2", "n3"):
            await reach(n1, target)
        yield Trio(n1, n2, n3, handler2=handlers[1])


async def reach(network: RaftNetwork, target: NodeId) -> None:
    """Return once `network`, of n1, gets answers to calls of each sort from `target`."""
    calls = (
        lambda: network.request_vote(target, vote(1, term=_WARM_UP_TERM)),
        lambda: network.append_entries(target, heartbeat(0, term=_WARM_UP_TERM)),
        lambda: network.append_entries(target, append(0, term=_WARM_UP_TERM)),
    )
    for call in calls:
        await soon(_answered(call), f"{target} answers")


async def _answered(call: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await call()
        except Unreachable:
            await asyncio.sleep(_POLL_S)
        else:
            return


def append(number: int, data: bytes = b"x", term: int = TERM) -> AppendEntriesRequest:
    """n1's request with one entry after index `number`."""
    return AppendEntriesRequest(
        term=term,
        leader_id="n1",
        prev_log_index=number,
        prev_log_term=min(number, 1),
        leader_commit=0,
        entries=[Entry(term=term, kind=1, data=data)],
    )


def heartbeat(number: int, term: int = TERM) -> AppendEntriesRequest:
    """n1's request without entries, about index `number`."""
    return AppendEntriesRequest(
        term=term, leader_id="n1", prev_log_index=number, prev_log_term=min(number, 1), leader_commit=0, entries=[]
    )


def vote(number: int, candidate_id: NodeId = "n1", term: int = TERM) -> RequestVoteRequest:
    """A plea for a vote, told apart by its `last_log_index`."""
    return RequestVoteRequest(term=term, candidate_id=candidate_id, last_log_index=number, last_log_term=min(number, 1))


def _is_warm_up(request: Request) -> bool:
    return isinstance(request, AppendEntriesRequest | RequestVoteRequest) and request.term == _WARM_UP_TERM


async def soon(awaitable: Awaitable[_Result], what: str, within_s: float = PATIENCE_S) -> _Result:
    """What `awaitable` returns, in time."""
    try:
        async with asyncio.timeout(within_s):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"{what}: not within {within_s} s") from None


async def until(holds: Callable[[], bool], what: str) -> None:
    """Return once `holds()` is true."""
    for _ in range(int(PATIENCE_S / _POLL_S)):
        if holds():
            return
        await asyncio.sleep(_POLL_S)
    raise AssertionError(f"{what}: not within {PATIENCE_S} s")


async def raises(
    call: Callable[[], Awaitable[object]], kinds: tuple[type[Exception], ...], what: str, within_s: float = PATIENCE_S
) -> Exception:
    """The error of one of `kinds` that `call` raises, in time."""
    try:
        response = await soon(call(), what, within_s)
    except kinds as error:
        return error
    raise AssertionError(f"{what}: it returned {response}")


async def start(*calls: Coroutine[None, None, _Result]) -> list[asyncio.Task[_Result]]:
    """Tasks for `calls`, each after its first step."""
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


async def give_up(calls: Sequence[asyncio.Task[_Result]]) -> None:
    """Cancel `calls`, whatever has become of them."""
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
