"""A failing seed with as few of its faults as still make it fail (delta debugging; Zeller and Hildebrandt, 2002)."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from raftsdk.testing.world.campaign import Order, Played, play

MAX_PLAYS: Final = 120
"""After so many runs, what is left is shown, shrunk or not."""


def shrink(order: Order, failed: Played, on_play: Callable[[], None] = lambda: None) -> Order:
    """The order with a part of its faults that makes the same seed fail; with all of them when no part does.

    `on_play` is called for each run that it takes.
    """
    faults = order.scenario(failed.seed).faults
    places = order.faults or tuple(range(len(faults)))
    struck = [place for place, fault in zip(places, faults, strict=False) if fault.at_event <= failed.counters.events]
    plays = 0

    def fails(kept: Sequence[int]) -> bool:
        nonlocal plays
        plays += 1
        on_play()
        return plays <= MAX_PLAYS and bool(play(replace(order, faults=tuple(kept)), failed.seed).failure)

    if not fails(struck):
        return order
    return replace(order, faults=tuple(minimal(struck, fails)))


def minimal(items: Sequence[int], fails: Callable[[Sequence[int]], bool]) -> list[int]:
    """A part of `items` that fails, and from which nothing single can be left out, as long as `fails` says yes at all.

    >>> minimal(range(20), lambda kept: {3, 11} <= set(kept))
    [3, 11]
    """
    kept, parts = list(items), 2
    while kept:
        size = -(-len(kept) // parts)
        without = (kept[:start] + kept[start + size :] for start in range(0, len(kept), size))
        smaller = next((rest for rest in without if fails(rest)), None)
        if smaller is not None:
            kept, parts = smaller, max(parts - 1, 2)
        elif size == 1:
            break
        else:
            parts = min(parts * 2, len(kept))
    return kept
