"""The process in which the trials of a run happen, so that one that hangs or crashes ends this process and no other.

Reads an assignment from stdin; writes to stdout one JSON line when it is ready, and one for each result.
"""

import sys
from typing import BinaryIO

import msgspec
from msgspec import Struct

from raftsdk.testing.conformance.plan import Order, plan
from raftsdk.testing.conformance.stdout import own_stdout
from raftsdk.testing.conformance.trial import run


class Assignment(Struct, frozen=True, kw_only=True):
    """Which trials of which run, by their places in its plan."""

    order: Order
    places: list[int]


class Ready(Struct, frozen=True):
    """All is imported, and there are so many trials in the whole run."""

    trials: int


def work(assignment: Assignment, output: BinaryIO) -> None:
    """Run the assigned trials, one after the other, each with a line of its own when it is done."""
    trials = plan(assignment.order)
    _write(output, Ready(len(trials)))
    for place in assignment.places:
        _write(output, run(trials[place]))


def _write(output: BinaryIO, value: Struct) -> None:
    output.write(msgspec.json.encode(value) + b"\n")
    output.flush()


def main() -> None:
    """Work on the assignment in stdin."""
    assignment = msgspec.json.decode(sys.stdin.buffer.read(), type=Assignment)
    with own_stdout() as output:
        work(assignment, output)


if __name__ == "__main__":
    main()
