"""Networks that are wrong in one way each; `network_suite` must catch every one of them, by name."""

import asyncio
import itertools

import msgspec

from raftsdk.errors import Refused, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftsdk.ports import LinkStatus, RaftHandler, RaftNetwork
from raftsdk.types import NodeId


class _Wrapped:
    """A good network, and the steps in which the ones below go wrong."""

    api_version = 1

    def __init__(self, inner: RaftNetwork) -> None:
        self._inner = inner

    async def start(self, handler: RaftHandler) -> None:
        await self._begin(handler)

    async def request_vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        return await self._vote(target, request)

    async def append_entries(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        return await self._append(target, request)

    def link(self, target: NodeId) -> LinkStatus:
        return self._status(target)

    async def aclose(self) -> None:
        await self._close()

    async def _begin(self, handler: RaftHandler) -> None:
        await self._inner.start(handler)

    async def _vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        return await self._inner.request_vote(target, request)

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        return await self._inner.append_entries(target, request)

    def _status(self, target: NodeId) -> LinkStatus:
        return self._inner.link(target)

    async def _close(self) -> None:
        await self._inner.aclose()


class AnswersForTheSilent(_Wrapped):
    """Takes silence for consent: a call without an answer returns success."""

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        try:
            return await self._inner.append_entries(target, request)
        except Unreachable:
            return AppendEntriesResponse(term=request.term, success=True)


class HidesRefusals(_Wrapped):
    """Turns "I cannot" into "no": the core would take it for a vote withheld or a log that disagrees."""

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        try:
            return await self._inner.append_entries(target, request)
        except Refused:
            return AppendEntriesResponse(term=request.term, success=False)


class NeverGivesUp(_Wrapped):
    """Has no deadline: a call without an answer waits for ever, and its place in the window with it."""

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        try:
            return await self._inner.append_entries(target, request)
        except Unreachable:
            await asyncio.Event().wait()
            raise


class AnswersInOrder(_Wrapped):
    """Believes that answers come in the order of the calls, and hands them out that way."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._waiting: list[asyncio.Future[AppendEntriesResponse]] = []

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        mine: asyncio.Future[AppendEntriesResponse] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            response = await self._inner.append_entries(target, request)
        except BaseException:
            self._waiting.remove(mine)
            raise
        self._waiting.pop(0).set_result(response)
        return await mine


class Overtakes(_Wrapped):
    """Sends every other request a little later: a task for each, and no queue."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._late = itertools.cycle((False, True))

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        if next(self._late):
            await asyncio.sleep(0.01)
        return await self._inner.append_entries(target, request)


class OvertakesVotes(_Wrapped):
    """Sends votes a little later than heartbeats that were started after them."""

    async def _vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        await asyncio.sleep(0.01)
        return await self._inner.request_vote(target, request)


class SuspendsFirst(_Wrapped):
    """Lets others run before it sends anything: a cancelled call is lost without a trace."""

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return await self._inner.append_entries(target, request)


class OneAtATime(_Wrapped):
    """One lock for all: a node that hangs takes the others with it."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._lock = asyncio.Lock()

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        async with self._lock:
            return await self._inner.append_entries(target, request)


class HeartbeatsQueue(_Wrapped):
    """One call at a time to each node: the heartbeat waits until the entries are answered."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._locks = {target: asyncio.Lock() for target in ("n1", "n2", "n3")}

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        async with self._locks[target]:
            return await self._inner.append_entries(target, request)


class CancelsAll(_Wrapped):
    """Ends every connection when one call is cancelled."""

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        try:
            return await self._inner.append_entries(target, request)
        except asyncio.CancelledError:
            await self._inner.aclose()
            raise


class RoundsNumbers(_Wrapped):
    """Carries indexes as floating point, as JavaScript would."""

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        rounded = msgspec.structs.replace(request, prev_log_index=int(float(request.prev_log_index)))
        return await self._inner.append_entries(target, rounded)


class SignsForAnyone(_Wrapped):
    """Puts its own name under whatever it is given, so nobody finds out who asked."""

    async def _vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        return await self._inner.request_vote(target, msgspec.structs.replace(request, candidate_id="n1"))


class AsksAnyone(_Wrapped):
    """Sends everything to the same node, which agrees with itself."""

    async def _vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        return await self._inner.request_vote("n2", request)


class GivesUpForGood(_Wrapped):
    """Takes a node that was lost for gone, and never tries it again."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._reached: set[NodeId] = set()
        self._lost: set[NodeId] = set()

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        if target in self._lost:
            raise Unreachable(f"{target} was lost once")
        try:
            response = await self._inner.append_entries(target, request)
        except Unreachable:
            self._lost |= self._reached & {target}
            raise
        self._reached.add(target)
        return response


class AlwaysConnected(_Wrapped):
    """Tells people what they hope for."""

    def _status(self, target: NodeId) -> LinkStatus:
        return LinkStatus(connected=True)


class ClosesOnce(_Wrapped):
    """Fails when it is closed a second time."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._closed = False

    async def _close(self) -> None:
        if self._closed:
            raise RuntimeError("closed already")
        self._closed = True
        await self._inner.aclose()


class ListensOnFaith(_Wrapped):
    """Starts although its address is taken, and hears nothing ever."""

    async def _begin(self, handler: RaftHandler) -> None:
        try:
            await self._inner.start(handler)
        except OSError:
            return
