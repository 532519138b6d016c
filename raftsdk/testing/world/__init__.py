"""A whole cluster in one thread under one seed: the same core, state, store and wire; clock, network and disk replaced.

    raftsdk simulate --seeds 400 --events 10000        # everything drawn by seed; invariants after every event
    raftsdk simulate --seed 17                         # one of them again, with its last events
    raftsdk simulate --state-machine my_package:Mine   # with a state machine of yours

Theory of operation
-------------------
A seed stands for a `Scenario`: the size of the cluster, its settings, rates of everything that can go wrong, and a list
of faults. A `World` plays it: an event is a message that arrives, a tick, a write that is durable, a fault, something a
client does. After each, `Invariants` look at whoever moved. What clients are told is judged at once by an `Oracle`, and
in the end by the checkers of `raftsdk.testing.checkers`. Then all faults stop, and the cluster has twenty election
timeouts to agree on one leader and one log and to serve a fresh write.

All chance comes from generators named after the seed and whoever uses them, so that one fault fewer leaves the others
as they are, as far as that can be: a failing schedule can be shrunk. Nothing depends on hashes, addresses or clocks:
the same seed gives the same trace, in any process.

Roads not taken
---------------
- *asyncio with a replaced clock.* It is the real runtime, tasks and all, and a tenth as fast; and the order in which
  tasks run is asyncio's business, not the seed's. The runtime's pure parts (`applied`, `sessions`, `proposals`) are the
  real ones; what it does with tasks is done here with events, in the same order.
- *Drawing faults while the world goes on.* Nothing could be left out without changing everything after it.
"""

from raftsdk.testing.world.campaign import Order, Played, joint_trace, play, play_all
from raftsdk.testing.world.counters import Counters, added, below_floors
from raftsdk.testing.world.faults import Fault, FaultKind
from raftsdk.testing.world.machine import Registers, Simulated
from raftsdk.testing.world.scenario import Scenario, draw
from raftsdk.testing.world.shrink import shrink
from raftsdk.testing.world.world import World

__all__ = [
    "Counters",
    "Fault",
    "FaultKind",
    "Order",
    "Played",
    "Registers",
    "Scenario",
    "Simulated",
    "World",
    "added",
    "below_floors",
    "draw",
    "joint_trace",
    "play",
    "play_all",
    "shrink",
]
