"""Networks that are wrong in one way each; `network_suite` must catch every one of them, by name."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeAlias

import msgspec

from raftsdk.errors import Refused, SnapshotDamaged, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    Request,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raftsdk.ports import LinkStatus, RaftHandler, RaftNetwork, SnapshotSource, WatchfulNetwork
from raftsdk.runtime.handler import Handler
from raftsdk.types import NodeId, SnapshotMeta

_Lost: TypeAlias = Callable[[NodeId], None]


class _Wrapped:
    """A good network, and the steps in which the ones below go wrong."""

    api_version = 1

    def __init__(self, inner: RaftNetwork) -> None:
        assert isinstance(inner, WatchfulNetwork), "whatever a network may have is broken here"
        self._inner = inner

    async def start(self, handler: RaftHandler) -> None:
        await self._begin(handler)

    async def request_vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        return await self._vote(target, request)

    async def append_entries(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        return await self._append(target, request)

    async def install_snapshot(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        return await self._install(target, request, source)

    async def timeout_now(self, target: NodeId, request: TimeoutNowRequest) -> TimeoutNowResponse:
        response: TimeoutNowResponse = await self._ask(self._inner.timeout_now, target, request)
        return response

    async def read_index(self, target: NodeId, request: ReadIndexRequest) -> ReadIndexResponse:
        response: ReadIndexResponse = await self._ask(self._inner.read_index, target, request)
        return response

    def set_addresses(self, target: NodeId, addresses: Sequence[str]) -> None:
        self._move(target, addresses)

    def watch(self, targets: Collection[NodeId], *, interval_s: float, silence_s: float, lost: _Lost) -> None:
        self._look(targets, interval_s, silence_s, lost)

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

    async def _install(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        return await self._inner.install_snapshot(target, request, source)

    async def _ask(self, call: Callable[[NodeId, Any], Awaitable[Any]], target: NodeId, request: Any) -> Any:
        return await call(target, request)

    def _move(self, target: NodeId, addresses: Sequence[str]) -> None:
        self._inner.set_addresses(target, addresses)

    def _look(self, targets: Collection[NodeId], interval_s: float, silence_s: float, lost: _Lost) -> None:
        self._inner.watch(targets, interval_s=interval_s, silence_s=silence_s, lost=lost)

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


# -- about methods that a network may lack


class AsksN2(_Wrapped):
    """Has leadership go to, and a read index come from, the same node whoever was named."""

    async def _ask(self, call: Callable[[NodeId, Any], Awaitable[Any]], target: NodeId, request: Any) -> Any:
        return await call("n2", request)


class AgreesForTheUnwilling(_Wrapped):
    """Takes a refusal for an answer."""

    async def _ask(self, call: Callable[[NodeId, Any], Awaitable[Any]], target: NodeId, request: Any) -> Any:
        try:
            return await call(target, request)
        except Refused:
            return _consent(request)


class AgreesForTheSilent(_Wrapped):
    """Takes silence for an answer."""

    async def _ask(self, call: Callable[[NodeId, Any], Awaitable[Any]], target: NodeId, request: Any) -> Any:
        try:
            return await call(target, request)
        except Unreachable:
            return _consent(request)


def _consent(request: TimeoutNowRequest | ReadIndexRequest) -> TimeoutNowResponse | ReadIndexResponse:
    if isinstance(request, TimeoutNowRequest):
        return TimeoutNowResponse(term=request.term)
    return ReadIndexResponse(term=request.term, read_index=0)


class LendsItsName(_Wrapped):
    """Puts its own name under whatever it is given to ask."""

    async def _ask(self, call: Callable[[NodeId, Any], Awaitable[Any]], target: NodeId, request: Any) -> Any:
        name = "leader_id" if isinstance(request, TimeoutNowRequest) else "node_id"
        return await call(target, msgspec.structs.replace(request, **{name: "n1"}))


class OneAtATimeForAll(_Wrapped):
    """Has one queue for everything: what is small and urgent waits behind what is neither."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._lock = asyncio.Lock()

    async def _append(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        async with self._lock:
            return await self._inner.append_entries(target, request)

    async def _ask(self, call: Callable[[NodeId, Any], Awaitable[Any]], target: NodeId, request: Any) -> Any:
        async with self._lock:
            return await call(target, request)

    async def _install(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        async with self._lock:
            return await self._inner.install_snapshot(target, request, source)


class _Backwards:
    """A snapshot each piece of which is read from its end to its beginning."""

    def __init__(self, good: SnapshotSource) -> None:
        self._good = good

    @property
    def meta(self) -> SnapshotMeta:
        return self._good.meta

    async def read(self, offset: int, max_bytes: int) -> bytes:
        return (await self._good.read(offset, max_bytes))[::-1]

    async def aclose(self) -> None:
        await self._good.aclose()


class MixesPiecesUp(_Wrapped):
    """Sends the bytes in another order."""

    async def _install(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        return await self._inner.install_snapshot(target, request, _Backwards(source))


class _HasNothing(Handler):
    """A node of which nobody learns that it has pieces already."""

    def __init__(self, good: RaftHandler) -> None:
        self._good = good

    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        asked = isinstance(request, InstallSnapshotRequest) and not request.data and bool(request.total_bytes)

        def answer(response: Response) -> None:
            if asked and isinstance(response, InstallSnapshotResponse):
                response = msgspec.structs.replace(response, next_offset=0)
            reply(response)

        self._good.deliver(request, answer)


class StartsOver(_Wrapped):
    """Begins every snapshot at its beginning, whatever the node says that it has."""

    async def _begin(self, handler: RaftHandler) -> None:
        await self._inner.start(_HasNothing(handler))


class GivesUpSnapshotsForGood(_Wrapped):
    """Takes a snapshot whose connection ended for one that cannot arrive."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._begun: set[NodeId] = set()

    async def _install(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        if target in self._begun:
            raise Unreachable(f"{target} lost a snapshot once")
        self._begun.add(target)
        installing = asyncio.ensure_future(self._inner.install_snapshot(target, request, source))
        while not installing.done():
            await asyncio.sleep(0)  # not for longer: a connection may be back in a few turns
            if not self._inner.link(target).connected:
                installing.cancel()
                raise Unreachable(f"{target} lost a snapshot")
        return installing.result()


class MakesSure(_Wrapped):
    """Sends everything twice."""

    async def _install(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        await self._inner.install_snapshot(target, request, source)
        return await self._inner.install_snapshot(target, request, source)


class HearsOfNoLaterTerm(_Wrapped):
    """Goes on for a leader that is none any more."""

    async def _install(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        response = await self._inner.install_snapshot(target, request, source)
        if response.term > request.term:
            raise Unreachable(f"{target} does not take it")
        return response


class CallsEverythingInstalled(_Wrapped):
    """Takes a snapshot for installed because it was sent."""

    async def _install(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        try:
            return await self._inner.install_snapshot(target, request, source)
        except (Refused, SnapshotDamaged):
            return InstallSnapshotResponse(term=request.term, next_offset=request.total_bytes, installed=True)


class WaitsForSnapshots(_Wrapped):
    """Has all the patience in the world."""

    async def _install(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        while True:
            try:
                return await self._inner.install_snapshot(target, request, source)
            except Unreachable:
                await asyncio.sleep(0.01)


class RemembersEverybody(_Wrapped):
    """Does not let go of a node."""

    def _move(self, target: NodeId, addresses: Sequence[str]) -> None:
        if addresses:
            self._inner.set_addresses(target, addresses)


class TakesNobodyBack(_Wrapped):
    """Takes a node that left for gone for good."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._gone: set[NodeId] = set()

    def _move(self, target: NodeId, addresses: Sequence[str]) -> None:
        if not addresses:
            self._gone.add(target)
        if not addresses or target not in self._gone:
            self._inner.set_addresses(target, addresses)


class StartsAfresh(_Wrapped):
    """Ends every connection to a node whose addresses it is told, changed or not."""

    def _move(self, target: NodeId, addresses: Sequence[str]) -> None:
        self._inner.set_addresses(target, ())
        self._inner.set_addresses(target, addresses)


class NeverMissesAnybody(_Wrapped):
    """Takes everybody for alive."""

    def _look(self, targets: Collection[NodeId], interval_s: float, silence_s: float, lost: _Lost) -> None:
        self._inner.watch(targets, interval_s=interval_s, silence_s=silence_s, lost=lambda _: None)


class MissesEverybody(_Wrapped):
    """Takes for lost whoever does not call while it is watched, and whoever does."""

    def _look(self, targets: Collection[NodeId], interval_s: float, silence_s: float, lost: _Lost) -> None:
        for target in targets:
            asyncio.get_running_loop().call_later(silence_s, lost, target)


class MissesTwice(_Wrapped):
    """Makes sure that it was understood."""

    def _look(self, targets: Collection[NodeId], interval_s: float, silence_s: float, lost: _Lost) -> None:
        def tell_twice(target: NodeId) -> None:
            lost(target)
            lost(target)

        self._inner.watch(targets, interval_s=interval_s, silence_s=silence_s, lost=tell_twice)


class MissesOnce(_Wrapped):
    """Takes a node that was lost for one of which everybody knows."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._missed: set[NodeId] = set()

    def _look(self, targets: Collection[NodeId], interval_s: float, silence_s: float, lost: _Lost) -> None:
        def tell_once(target: NodeId) -> None:
            self._missed.add(target)
            lost(target)

        sought = {*targets} - self._missed
        self._inner.watch(sought, interval_s=interval_s, silence_s=silence_s, lost=tell_once)


class MissesStrangersAtOnce(_Wrapped):
    """Takes a node that it did not reach yet for one that was silent for long."""

    def _look(self, targets: Collection[NodeId], interval_s: float, silence_s: float, lost: _Lost) -> None:
        known = [target for target in targets if self._inner.link(target).connected]
        self._inner.watch(known, interval_s=interval_s, silence_s=silence_s, lost=lost)
        for target in {*targets} - {*known}:
            lost(target)


class HasNoPatience(_Wrapped):
    """Takes the end of a connection for the end of the node."""

    def _look(self, targets: Collection[NodeId], interval_s: float, silence_s: float, lost: _Lost) -> None:
        def look(target: NodeId) -> None:
            if self._inner.link(target).connected:
                asyncio.get_running_loop().call_soon(look, target)
            else:
                lost(target)

        for target in targets:
            look(target)


class WatchesOnForGood(_Wrapped):
    """Adds to what it watches, and takes nothing away."""

    def __init__(self, inner: RaftNetwork) -> None:
        super().__init__(inner)
        self._watched: set[NodeId] = set()

    def _look(self, targets: Collection[NodeId], interval_s: float, silence_s: float, lost: _Lost) -> None:
        self._watched.update(targets)
        self._inner.watch(self._watched, interval_s=interval_s, silence_s=silence_s, lost=lost)
