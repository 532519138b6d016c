"""Calls to other nodes: one call is one task is exactly one outcome."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from raftsdk.config import RaftConfig
from raftsdk.core.events import Answered, CallFailed
from raftsdk.core.ready import Call
from raftsdk.errors import RaftError, Refused, StorageFailed, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    ErrorCode,
    InstallSnapshotRequest,
    PeerResponse,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raftsdk.ports import RaftNetwork, SnapshotStore, Storage, WatchfulNetwork
from raftsdk.runtime.snapshots import meta_of
from raftsdk.types import Membership, NodeId

log = logging.getLogger("raftsdk.peers")


class Peers:
    """Starts the core's calls, in the order given, and posts how each of them ended. Knows where the members are.

    A method that the network lacks, because it was written before there were such calls, is a call that fails.
    """

    def __init__(
        self, network: RaftNetwork, storage: Storage, own_id: NodeId, post: Callable[[Answered | CallFailed], None]
    ) -> None:
        self._network = network
        self._storage = storage
        self._own_id = own_id
        self._post = post
        self._tasks: set[asyncio.Task[None]] = set()
        self._shown_at: dict[NodeId, float] = {}
        self._located: dict[NodeId, tuple[str, ...]] = {}

    def start(self, calls: Sequence[Call]) -> None:
        """Begin every call. Tasks take their first step in the order they were made, so the network sees that order."""
        for call in calls:
            task = asyncio.create_task(self._carry(call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, call: Call) -> None:
        response: object
        try:
            if isinstance(call.request, AppendEntriesRequest):
                response = await self._network.append_entries(call.target, call.request)
            else:
                response = await self._ask(call)
            if not isinstance(response, PeerResponse):
                raise TypeError(f"{type(response).__name__} is no answer of a peer's")
        except (Refused, StorageFailed) as error:
            if not isinstance(error, Refused) or error.code != ErrorCode.STOPPED:  # which is no news
                self._show(call.target, error)
            self._post(CallFailed(call))
        except (RaftError, OSError, TimeoutError):
            self._post(CallFailed(call))
        except asyncio.CancelledError:
            # By `aclose`, or by something inside the network: a call that never ended would shut out its peer for ever.
            self._post(CallFailed(call))
            raise
        except Exception:
            # A network of the user's own may have bugs; they cost a call, with a trace, and never the node.
            log.exception("the network raised what its contract does not know, on a call to %s", call.target)
            self._post(CallFailed(call))
        else:
            self._post(Answered(call, response))

    async def _ask(self, call: Call) -> object:
        """The rarer requests."""
        target, request = call.target, call.request
        if isinstance(request, RequestVoteRequest):
            return await self._network.request_vote(target, request)
        if isinstance(request, InstallSnapshotRequest):
            return await self._send_snapshot(target, request)
        name = "timeout_now" if isinstance(request, TimeoutNowRequest) else "read_index"
        method = getattr(self._network, name, None)
        if method is None:
            raise Unreachable(f"the network has no {name}")
        return await method(target, request)

    async def _send_snapshot(self, target: NodeId, request: InstallSnapshotRequest) -> object:
        if not hasattr(self._network, "install_snapshot") or not isinstance(self._storage, SnapshotStore):
            raise Unreachable("the network has no install_snapshot")
        source = await self._storage.open_snapshot(meta_of(request))
        try:
            return await self._network.install_snapshot(target, request, source)
        finally:
            await source.aclose()

    def locate(self, memberships: Sequence[Membership], to_reach: Sequence[Membership]) -> None:
        """Tell the network where the others are from now on, and who is none of them any more. Those of `to_reach` are
        wanted; where they are is in the last of `memberships` that says so: an outgoing half has ids alone.
        """
        set_addresses = getattr(self._network, "set_addresses", None)
        if set_addresses is None:
            return
        ids = {node_id for of in to_reach for node_id in (*of.outgoing, *(member.id for member in of.members))}
        # Members without any address are found by the network itself.
        known = (member for membership in memberships for member in membership.members if member.addresses)
        where = {member.id: member.addresses for member in known if member.id in ids - {self._own_id}}
        for target in where.keys() | self._located.keys():
            addresses = where.get(target, ())
            if addresses == self._located.get(target):
                continue
            try:
                set_addresses(target, addresses)
            except Exception as error:  # addresses come from whoever changes the members, and cost that member alone
                log.error("%s cannot be reached at %s: %s", target, ", ".join(addresses), error)
        self._located = where

    def watch(self, targets: Collection[NodeId], config: RaftConfig, lost: Callable[[NodeId], None]) -> None:
        """Have the network say which of `targets` is not heard for an election timeout."""
        assert isinstance(self._network, WatchfulNetwork), "over any other network nothing quiesces"
        tick_s = config.tick_interval_ms / 1000
        self._network.watch(
            targets,
            interval_s=config.heartbeat_interval_ticks * tick_s,
            silence_s=config.election_timeout_ticks * tick_s,
            lost=lost,
        )

    def _show(self, target: NodeId, error: RaftError) -> None:
        """One line a second for each peer: what it refuses now it will refuse at every heartbeat."""
        now = asyncio.get_running_loop().time()
        if now - self._shown_at.get(target, -1.0) >= 1.0:
            self._shown_at[target] = now
            said = "refused a call" if isinstance(error, Refused) else "cannot be sent a snapshot"
            log.warning("%s %s: %a", target, said, str(error))

    async def aclose(self) -> None:
        """Give up on every call."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
