"""Calls to other nodes: one call is one task is exactly one outcome."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from raftsdk.core.events import Answered, CallFailed
from raftsdk.core.ready import Call
from raftsdk.errors import RaftError, Refused
from raftsdk.messages import AppendEntriesRequest, PeerResponse
from raftsdk.ports import RaftNetwork
from raftsdk.types import NodeId

log = logging.getLogger("raftsdk.peers")


class Peers:
    """Starts the core's calls, in the order given, and posts how each of them ended."""

    def __init__(self, network: RaftNetwork, post: Callable[[Answered | CallFailed], None]) -> None:
        self._network = network
        self._post = post
        self._tasks: set[asyncio.Task[None]] = set()
        self._shown_at: dict[NodeId, float] = {}

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
                response = await self._network.request_vote(call.target, call.request)
            if not isinstance(response, PeerResponse):
                raise TypeError(f"{type(response).__name__} is no answer of a peer's")
        except Refused as refused:
            self._show(call.target, refused)
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

    def _show(self, target: NodeId, refused: Refused) -> None:
        """One line a second for each peer: what it refuses now it will refuse at every heartbeat."""
        now = asyncio.get_running_loop().time()
        if now - self._shown_at.get(target, -1.0) >= 1.0:
            self._shown_at[target] = now
            log.warning("%s refused a call: %a", target, str(refused))

    async def aclose(self) -> None:
        """Give up on every call."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
