"""Play seeds until one fails, with whichever raftsdk stands first on the path; print what was found as JSON.

Used by `mutant_run.py`, once for each mutant: `python mutant_hunt.py SEEDS EVENTS`.
"""

import sys

import msgspec

import raftsdk
from raftsdk.testing.world import Order, play


class Found(msgspec.Struct):
    """What a hunt came to."""

    home: str  #: Of the package that was played.
    seeds: int  #: Played, the one that failed included.
    events: int  #: In all of them.
    failure: str  #: Empty: none.


def hunt(seeds: int, order: Order) -> Found:
    """Play seeds from 0 on."""
    events = 0
    for seed in range(seeds):
        played = play(order, seed)
        events += played.counters.events
        if played.failure:
            return Found(str(raftsdk.__file__), seed + 1, events, played.failure)
    return Found(str(raftsdk.__file__), seeds, events, "")


if __name__ == "__main__":
    found = hunt(int(sys.argv[1]), Order(events=int(sys.argv[2])))
    sys.stdout.write(msgspec.json.encode(found).decode())
