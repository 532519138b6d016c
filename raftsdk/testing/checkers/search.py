"""Any model: tries every order that time allows.

After Wing & Gong, "Testing and Verifying Concurrent Objects" (1993), with the cache of Lowe, "Testing for
Linearizability" (2017): what can follow depends only on which operations are done and on the state, so no such pair is
tried twice. Linearizability is NP-complete; the number of steps is bounded, and beyond it the answer is "undecided".

What is known to change nothing, a read above all, is done as soon as its output is right, and nothing else is tried in
its stead: whatever could be done before it can be done after it.

Operations of unknown outcome are kept apart, for they may be done at any time after their invocation, or never: a
dozen timeouts would multiply the work by a thousand. They are tried last, and only where they matter at once: where
what follows would come to the same without one, leaving it out is a way of its own. And of two ways to do the same
known operations and reach the same state, the one that has spent fewer of the unknown can do all that the other can.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence
from math import inf
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from raftsdk.testing.checkers.models import Model
from raftsdk.testing.checkers.verdict import Answer, Verdict
from raftsdk.testing.history import HistoryError, Operation, Outcome, Output

MAX_STEPS: Final = 1_000_000
"""Applications of the model for one key; as many again to find what to show of a no."""

MAX_STEPS_TO_SHOW_LESS: Final = 50_000
"""Of every attempt to leave something out of what is shown, beyond what the verdict itself took."""


def check_search(key: str, operations: Sequence[Operation], model: Model[Any], max_steps: int = MAX_STEPS) -> Verdict:
    """Decide the history of one key, without the operations that failed. Raises `HistoryError`, naming the operation,
    for an input that the model does not take.
    """
    search = _Search(operations, model)
    linearizable = search.run(max_steps)
    if linearizable is None:
        return Verdict(answer=Answer.UNDECIDED, key=key, reason=f"more than {max_steps} steps")
    if linearizable:
        return Verdict(answer=Answer.YES)
    doubts = _Doubts(model, max_steps, max_steps_each=search.steps + MAX_STEPS_TO_SHOW_LESS)
    few = _few_to_show(operations, doubts)
    return Verdict(answer=Answer.NO, key=key, reason="no order explains these operations", operations=few)


class _Place(Struct, frozen=True):
    """How far a search has come. Sets are bit masks over the operations in order of invocation."""

    done: int  #: Of the known operations.
    first_open: int  #: All known operations before this one are done.
    spent: int  #: Of the unknown operations.
    state: Hashable
    state_before: Hashable = None  #: What an unknown operation, the last that was done, has changed.
    was_unknown: bool = False


class _Search:
    """One search. Its places are tried depth first; the stack is a list, for histories longer than Python's own."""

    def __init__(self, operations: Sequence[Operation], model: Model[Any]) -> None:
        in_order = sorted(operations, key=lambda operation: operation.invoked)
        self._known = [operation for operation in in_order if operation.outcome is Outcome.OK]
        self._unknown = [
            operation
            for operation in in_order
            if operation.outcome is Outcome.UNKNOWN and not model.changes_nothing(operation)
        ]
        self._idle = list(map(model.changes_nothing, self._known))
        self._model = model
        self._is_possible = model.is_possible(self._known)
        self.steps = 0
        self._all_done = (1 << len(self._known)) - 1
        self._seen: dict[tuple[int, Hashable], list[int]] = {}  #: By (done, state): what was spent to come there.

    def run(self, max_steps: int) -> bool | None:
        """Whether some order explains all that clients were told; None when the steps were spent before one could
        tell.
        """
        start = _Place(0, 0, 0, self._model.initial())
        self._enters(start)
        stack = [(start, self._following(start))]
        while stack:
            place, following = stack[-1]
            if place.done == self._all_done:
                return True
            if self.steps > max_steps:
                return None
            onward = next(filter(self._enters, following), None)
            if onward is None:
                stack.pop()
            else:
                stack.append((onward, self._following(onward)))
        return False

    def _enters(self, place: _Place) -> bool:
        """Whether the place is worth trying: nobody was here who had spent a part of this, or the same."""
        earlier = self._seen.setdefault((place.done, place.state), [])
        if any(spent & place.spent == spent for spent in earlier):
            return False
        earlier.append(place.spent)
        return True

    def _following(self, place: _Place) -> Iterator[_Place]:
        """The places one operation further that agree with time and with what clients were told."""
        horizon = inf  # The first end among what is open: nothing that begins later can come first.
        candidates = []
        for number in range(place.first_open, len(self._known)):
            operation = self._known[number]
            if operation.invoked > horizon:
                break
            if not place.done >> number & 1:
                candidates.append(number)
                horizon = min(horizon, operation.end)
        for number in sorted(candidates, key=self._idle.__getitem__, reverse=True):
            operation = self._known[number]
            state, output = self._apply(place.state, operation)
            told = output == operation.output and type(output) is type(operation.output)
            if told and self._is_possible(state) and self._matters(place, operation, state, output):
                done = place.done | 1 << number
                first_open = place.first_open
                while done >> first_open & 1:
                    first_open += 1
                yield _Place(done, first_open, place.spent, state)
                if self._idle[number]:
                    return
        for number, operation in enumerate(self._unknown):
            if operation.invoked > horizon:
                break
            if not place.spent >> number & 1:
                state, _ = self._apply(place.state, operation)
                if state != place.state and self._is_possible(state) and self._matters(place, operation, state):
                    yield _Place(
                        place.done, place.first_open, place.spent | 1 << number, state, place.state, was_unknown=True
                    )

    def _matters(self, place: _Place, operation: Operation, state: Hashable, output: Output = None) -> bool:
        """Whether `operation` would come to something else, had the unknown operation just before it been left out."""
        if not place.was_unknown:
            return True
        otherwise, told = self._apply(place.state_before, operation)
        return otherwise != state or (operation.outcome is Outcome.OK and told != output)

    def _apply(self, state: Hashable, operation: Operation) -> tuple[Hashable, Output]:
        self.steps += 1
        try:
            return self._model.apply(state, operation.kind, operation.input)
        except ValueError as error:
            raise HistoryError(f"{operation}: {error}") from error


# -- the few to show


class _Doubts:
    """Tries whether less is still not linearizable, with so many steps for each attempt and so many for all."""

    def __init__(self, model: Model[Any], max_steps: int, max_steps_each: int) -> None:
        self._model = model
        self._steps_left = max_steps
        self._max_steps_each = max_steps_each

    def leave_a_no(self, operations: Sequence[Operation]) -> bool:
        """Whether these are not linearizable; False also when the steps were not enough to tell."""
        search = _Search(operations, self._model)
        answer = search.run(min(self._max_steps_each, self._steps_left))
        self._steps_left = max(0, self._steps_left - search.steps)
        return answer is False


def _few_to_show(operations: Sequence[Operation], doubts: _Doubts) -> tuple[Operation, ...]:
    """Operations that no order explains, whatever became of all the others.

    First the shortest beginning of the history that is not linearizable: with one more, none can become so. Of that
    the last few, if they are enough: most contradictions are between neighbours, and a search among few known
    operations is as quick as one without unknown ones; it is the middle that takes long. At last, halves, quarters
    and so on down to single operations are left out, as long as the answer stays no.
    """
    ends = sorted(operation.end for operation in operations if operation.outcome is Outcome.OK)
    shortest = bisect_left(ends, True, key=lambda end: doubts.leave_a_no(_until(end, operations)), hi=len(ends) - 1)
    beginning = sorted(_until(ends[shortest], operations), key=lambda operation: operation.end)
    few = [operation for operation in beginning if operation.outcome is Outcome.OK]
    rest = [operation for operation in beginning if operation.outcome is Outcome.UNKNOWN]
    size = 1
    while size < len(few):
        doubted = list(map(_doubted, few[:-size]))
        if doubts.leave_a_no([*few[-size:], *rest, *doubted]):
            few, rest = few[-size:], [*rest, *doubted]
        size *= 2
    size = len(few)
    while size := size // 2:
        first = 0
        while first < len(few):
            fewer, doubted = few[:first] + few[first + size :], list(map(_doubted, few[first : first + size]))
            if doubts.leave_a_no([*fewer, *rest, *doubted]):
                few, rest = fewer, [*rest, *doubted]
            else:
                first += size
    return tuple(sorted(few, key=lambda operation: operation.invoked))


def _until(time: float, operations: Sequence[Operation]) -> list[Operation]:
    """The history as it was at `time`."""
    begun = (operation for operation in operations if operation.invoked <= time)
    return [operation if operation.end <= time else _doubted(operation) for operation in begun]


def _doubted(operation: Operation) -> Operation:
    """The same, had the client never been told."""
    return replace(operation, outcome=Outcome.UNKNOWN, output=None)
