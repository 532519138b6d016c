"""Commands that are applied exactly once: each has a number, and the cluster keeps results until they are fetched."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from raftsdk.messages import ProposeRequest

MAX_UNANSWERED: Final = 256
"""Commands of one session under way at once: well under the results that the cluster keeps for it."""


class Session:
    """A session of one client (thesis §6.3), made by `Client.open_session`. For any number of tasks of its event loop.

    A command whose answer was lost is asked for again, of whoever leads by then, and not applied again: through
    failovers, snapshots and restarts. The state machine's result is the one it returned the first time.

    A session that nobody used for an hour of the cluster's time, or that had to make room for others, is forgotten with
    all its results; then nobody can tell whether a command was applied before, and `SessionExpired` says so.
    """

    def __init__(self, propose: Callable[[ProposeRequest], Awaitable[bytes]], session_id: int) -> None:
        self.session_id = session_id  #: Its name in the log, the same on every node.
        self._propose = propose
        self._last_sequence = 0
        self._unanswered: dict[int, None] = {}  # oldest first: a dict keeps its order
        self._room = asyncio.Semaphore(MAX_UNANSWERED)

    async def propose(self, command: bytes) -> bytes:
        """Have `command` replicated and applied once; returns the state machine's result.

        Repeated until it is answered, at most for the client's `timeout_ms`. Raises as `Client.propose` does, and
        `SessionExpired`. After `OutcomeUnknown` it may be applied, now or later, but once.
        """
        async with self._room:
            self._last_sequence = sequence = self._last_sequence + 1
            self._unanswered[sequence] = None
            request = ProposeRequest(
                command=command,
                session_id=self.session_id,
                sequence=sequence,
                first_unanswered=next(iter(self._unanswered)),
            )
            try:
                return await self._propose(request)
            finally:
                del self._unanswered[sequence]
