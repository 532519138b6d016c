"""Calls to other nodes: one call is one task is exactly one outcome."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from raftsdk.core.events import Answered, CallFailed
from raftsdk.core.ready import Call
from raftsdk.errors import RaftError
from raftsdk.messages import AppendEntriesRequest, PeerResponse
from raftsdk.ports import RaftNetwork

log = logging.getLogger("raftsdk.peers")


class Peers:
    """Starts the core's calls, in the order given, and posts how each of them ended."""

    def __init__(self, network: RaftNetwork, post: Callable[[Answered | CallFailed], None]) -> None:
        self._network = network
        self._post = post
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, calls: Sequence[Call]) -> None:
        """Begin every call. Tasks take their first step in the order they were made, so the network sees that order."""
        for call in calls:
            task = asyncio.create_task(self._carry(call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, call: Call) -> None:
        response: PeerResponse
        try:
            if isinstance(call.request, AppendEntriesRequest):
                response = await self._network.append_entries(call.target, call.request)
            else:
                response = await self._network.request_vote(call.target, call.request)
        except (RaftError, OSError, TimeoutError):
            self._post(CallFailed(call))
        except Exception:
            # A network of the user's own may have bugs; they cost a call, with a trace, and never the node.
            log.exception("the network raised what its contract does not know, on a call to %s", call.target)
            self._post(CallFailed(call))
        else:
            self._post(Answered(call, response))

    async def aclose(self) -> None:
        """Give up on every call."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
