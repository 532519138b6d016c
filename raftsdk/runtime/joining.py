"""Becoming a member of a cluster that runs already: as a learner first, and a voter once caught up (thesis §4.2.1).

A voter that lacks the log would cost the cluster its quorum the moment it is counted; a learner costs nothing. All of
it may be done again after any failure: whoever is a member already is not made one twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from raftsdk.core.raft import LOST, Raft
from raftsdk.errors import RaftError
from raftsdk.messages import ChangeMembershipRequest, Consistency
from raftsdk.runtime.applied import AppliedState
from raftsdk.runtime.loop import Loop
from raftsdk.runtime.outcomes import Outcome
from raftsdk.types import LogIndex, Member, Suffrage

log = logging.getLogger("raftsdk.node")

ATTEMPTS: Final = 60
"""In a row, without anything having moved; then the node gives up, and says why. With the pauses, some five minutes."""

PAUSE_MIN_S: Final = 0.1
PAUSE_MAX_S: Final = 5.0

AskCluster: TypeAlias = Callable[[ChangeMembershipRequest], Awaitable[object]]
"""Has the running cluster change its members, and returns once that is done. Raises a `RaftError` otherwise."""


class Join(Struct, frozen=True):
    """How a node wants to be a member, and whom it asks for it."""

    member: Member  #: Itself; its incarnation is drawn when its data directory is new.
    ask: AskCluster


class Joining:
    """One node's way into its cluster. Runs beside the loop, and ends when there is nothing left to want.

    A node whose log has memberships without its id does not ask to be added: if it was removed, that is somebody's
    will. If it is yet to hear that it was added, it waits. Who is listed under its id with other data is not this node.
    """

    def __init__(self, join: Join, raft: Raft, loop: Loop, state: AppliedState, rng: Random, *, is_new: bool) -> None:
        self._join = join
        self._raft = raft
        self._loop = loop
        self._state = state
        self._rng = rng
        self._is_new = is_new  # its incarnation was drawn a moment ago

    async def run(self) -> None:
        """Become what is wanted. Raises what stood in the way when it cannot be had."""
        membership, own = self._raft.membership, self._own()
        if not membership.members or (own is None and membership.member(self._raft.id)):
            await self._persist(self._become_learner)
        while self._own() is None and not self._has_lost_data():
            await self._loop.changed.wait()
        if self._join.member.suffrage is Suffrage.VOTER:
            await self._persist(self._become_voter)
        if not self._has_lost_data():
            log.info("%s has joined its cluster as a %s", self._raft.id, self._join.member.suffrage)

    def _own(self) -> Member | None:
        member = self._raft.membership.member(self._raft.id)
        return member if member and member.incarnation == self._raft.incarnation else None

    def _has_lost_data(self) -> bool:
        """Then it can be a voter no more, whoever is asked; the core has said so, and what is to be done."""
        return self._raft.incarnation == LOST

    async def _become_learner(self) -> None:
        # Asked for before its incarnation is on the disk, the node might come back as somebody else after a crash.
        if self._is_new:
            await self._loop.has_written.wait()
        await self._ask_as(Suffrage.LEARNER)

    async def _become_voter(self) -> None:
        own = self._own()
        if own is None or own.suffrage is not Suffrage.VOTER:
            await self._catch_up()
            await self._ask_as(Suffrage.VOTER)

    async def _ask_as(self, suffrage: Suffrage) -> None:
        member = replace(self._join.member, suffrage=suffrage, incarnation=self._raft.incarnation)
        await self._join.ask(ChangeMembershipRequest(members=[member]))

    async def _catch_up(self) -> None:
        """Return once this node has applied all that was committed a moment ago."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle(_index: LogIndex, outcome: Outcome) -> None:
            if reached.done():
                return
            if isinstance(outcome, RaftError):
                reached.set_exception(outcome)
            else:
                reached.set_result(None)

        self._loop.read(None, Consistency.FOLLOWER_LINEARIZABLE, 0, settle)
        await reached

    async def _persist(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """`attempt`, again and again, as long as anything moves."""
        failed, pause_s, applied_index, told = 0, PAUSE_MIN_S, self._state.index, ""
        while not self._has_lost_data():
            try:
                await attempt()
                return
            except RaftError as error:
                moved = self._state.index > applied_index
                failed, applied_index = (1 if moved else failed + 1), self._state.index
                if failed >= ATTEMPTS:
                    raise
                if str(error) != told:
                    told = str(error)
                    log.warning("%s is yet to join: %s", self._raft.id, told)
            await asyncio.sleep(pause_s * self._rng.uniform(1.0, 1.5))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
