"""Which nodes are alive, found out once for all groups that rest on it."""

import asyncio
import math
from collections.abc import Callable, Collection
from typing import TypeAlias

from raftsdk.types import NodeId

Lost: TypeAlias = Callable[[NodeId], None]
_Pace: TypeAlias = tuple[NodeId, float, float]  # whom, how often, and after how long a silence


class Watching:
    """Whom the groups of a node watch; see `ports.WatchfulNetwork.watch`.

    Groups that watch the same node at the same pace share one vigil: while nothing happens, a thousand of them cost
    what one does. `heard_at` says when that node was last heard, by whatever clock, and minus infinity for never;
    `stay_alive` has that node hear us.
    """

    def __init__(self, heard_at: Callable[[NodeId], float], stay_alive: Callable[[NodeId], None]) -> None:
        self._heard_at = heard_at
        self._stay_alive = stay_alive
        self._vigils: dict[_Pace, _Vigil] = {}
        self._kept: dict[int, dict[NodeId, _Vigil]] = {}  # by group

    def watch(
        self, group: int, targets: Collection[NodeId], *, interval_s: float, silence_s: float, lost: Lost
    ) -> None:
        """Have `group` watch `targets` and nobody else. Whom it watched before at the same pace is given no new time: a
        group that changes its mind every second would never miss anybody.
        """
        before = self._kept.get(group, {})
        kept = {target: self._vigil((target, interval_s, silence_s)) for target in targets}
        for vigil in kept.values():
            vigil.join(group, lost)
        self._keep(group, kept)
        for target, vigil in before.items():
            if kept.get(target) is not vigil:
                self._end_part(group, vigil)

    def leave(self, group: int) -> None:
        """Have `group` watch nobody, and be told nothing more."""
        for vigil in self._kept.pop(group, {}).values():
            self._end_part(group, vigil)

    def end(self) -> None:
        """Have all groups watch nobody."""
        for group in [*self._kept]:
            self.leave(group)

    def _vigil(self, pace: _Pace) -> "_Vigil":
        if pace not in self._vigils:
            self._vigils[pace] = _Vigil(pace, self._heard_at, self._stay_alive, self._end_one)
        return self._vigils[pace]

    def _keep(self, group: int, kept: "dict[NodeId, _Vigil]") -> None:
        if kept:
            self._kept[group] = kept
        else:
            self._kept.pop(group, None)

    def _end_one(self, group: int, vigil: "_Vigil") -> None:
        """Have `group` watch all but one of whom it watches."""
        self._keep(group, {target: kept for target, kept in self._kept[group].items() if kept is not vigil})
        self._end_part(group, vigil)

    def _end_part(self, group: int, vigil: "_Vigil") -> None:
        vigil.leave(group)
        if not vigil.groups:
            vigil.end()
            del self._vigils[vigil.pace]


class _Vigil:
    """One node that groups watch at one pace.

    Silence is counted in beats of our own, not in seconds. However long this process stands still, that is one beat;
    what arrived meanwhile is yet to be read, and is, before there are enough of them to call anybody lost.
    """

    def __init__(
        self,
        pace: _Pace,
        heard_at: Callable[[NodeId], float],
        stay_alive: Callable[[NodeId], None],
        end_one: "Callable[[int, _Vigil], None]",
    ) -> None:
        self.pace = pace
        self.groups: dict[int, tuple[int, Lost]] = {}  # with the first beat that counts; it rises from group to group
        self._target, self._interval_s, silence_s = pace
        self._heard_at = heard_at
        self._stay_alive = stay_alive
        self._end_one = end_one
        self._patience_beats = math.ceil(silence_s / self._interval_s)
        self._beats = 0
        self._last_heard_at = -math.inf
        self._heard_beats = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle = self._loop.call_soon(self._beat)

    def join(self, group: int, lost: Lost) -> None:
        """Tell `group` by `lost` from now on. What it had to wait already still counts."""
        since, _ = self.groups.get(group, (self._beats + 1, lost))
        self.groups[group] = since, lost

    def leave(self, group: int) -> None:
        """Tell `group` nothing more."""
        del self.groups[group]

    def end(self) -> None:
        """Beat no more."""
        self._timer.cancel()

    def _beat(self) -> None:
        """Have the target hear us, and look whether we heard it."""
        self._timer = self._loop.call_later(self._interval_s, self._beat)
        self._beats += 1
        self._stay_alive(self._target)
        heard_at = self._heard_at(self._target)
        if heard_at > self._last_heard_at:
            self._last_heard_at, self._heard_beats = heard_at, self._beats
        if self._beats - self._heard_beats >= self._patience_beats:
            self._miss()

    def _miss(self) -> None:
        """Tell the groups that have waited long enough. One that is told may well have others begin, or leave."""
        while self.groups:
            group, (since, lost) = next(iter(self.groups.items()))
            if self._beats - since < self._patience_beats:
                return
            self._end_one(group, self)
            lost(self._target)
