"""What clients ask for: made by chance, and remembered as a history that `raftsdk.testing.checkers` can judge."""

from random import Random
from typing import Final, Protocol

from msgspec import Struct

from raftsdk.testing.checkers import Answer, Verdict, check
from raftsdk.testing.history import Input, Operation, Outcome, Output
from raftsdk.testing.world.machine import Simulated


class Step(Struct, frozen=True):
    """One command or query, with what a history says of it."""

    data: bytes
    is_query: bool
    kind: str = ""
    key: str = ""
    value: Input = None


class Workload(Protocol):
    """Makes what clients ask for."""

    never_fails: bool  #: No command of it makes the state machine raise.

    def step(self, chance: Random, client: str) -> Step:
        """What `client` is to ask next."""
        ...

    def ended(self, client: str, step: Step, invoked: int, returned: int, outcome: Outcome, result: bytes) -> None:
        """How it ended. Local reads, which may be old, are not told of."""
        ...

    def verdict(self) -> Verdict:
        """Whether all of it together is linearizable."""
        ...


class RegisterWorkload:
    """For `machine.Registers`: values that are never the same, keys that take turns."""

    never_fails = True
    OPERATIONS_PER_KEY: Final = 100
    """After so many, other keys are used: histories of a key stay short enough to be judged exhaustively."""

    def __init__(self, reads: float, keys: int) -> None:
        self._reads = reads
        self._keys = keys
        self._count = 0
        self._last_values: dict[str, str] = {}  # by key: what somebody wrote lately, worth comparing with
        self.history: list[Operation] = []

    def step(self, chance: Random, client: str) -> Step:
        """A read, write, compare-and-set or append."""
        self._count += 1
        turn = self._count // (self.OPERATIONS_PER_KEY * self._keys)
        key = f"{chance.choice(('value', 'cas', 'list'))}-{turn}-{chance.randrange(self._keys)}"
        is_list = key.startswith("list")
        if chance.random() < self._reads:
            return Step(key.encode(), True, "list" if is_list else "read", key)
        value = f"{client}.{self._count}"
        if is_list:
            return Step(f"append {key} {value}".encode(), False, "append", key, value)
        expected = self._last_values.get(key, "")
        self._last_values[key] = value
        if key.startswith("cas") and chance.random() < 0.5:
            return Step(f"cas {key} {expected} {value}".encode(), False, "cas", key, (expected or None, value))
        return Step(f"write {key} {value}".encode(), False, "write", key, value)

    def ended(self, client: str, step: Step, invoked: int, returned: int, outcome: Outcome, result: bytes) -> None:
        """Put it into the history."""
        self.history.append(
            Operation(
                client=client,
                key=step.key,
                kind=step.kind,
                input=step.value,
                output=_output(step.kind, result.decode()) if outcome is Outcome.OK else None,
                invoked=invoked,
                returned=returned,
                outcome=outcome,
            )
        )

    def verdict(self) -> Verdict:
        """What the checkers say of the history."""
        return check(self.history)


def _output(kind: str, result: str) -> Output:
    match kind:
        case "read":
            return result or None
        case "list":
            return tuple(result.split())
        case "cas":
            return result == "ok"
    return None


class SomebodysWorkload:
    """For a state machine of the user's."""

    never_fails = False

    def __init__(self, machine: object, reads: float) -> None:
        self._machine = machine if isinstance(machine, Simulated) else None
        self._reads = reads
        self._count = 0

    def step(self, chance: Random, client: str) -> Step:
        """What the class says, or else a text that is never the same."""
        self._count += 1
        if self._machine is None:
            return Step(f"{client}.{self._count}".encode(), False)
        if chance.random() < self._reads:
            return Step(self._machine.simulated_query(chance), True)
        return Step(self._machine.simulated_command(chance), False)

    def ended(self, client: str, step: Step, invoked: int, returned: int, outcome: Outcome, result: bytes) -> None:
        """Nothing is known of what it means."""

    def verdict(self) -> Verdict:
        """Nobody has a model of it here; the oracle has judged it by the order of the log."""
        return Verdict(answer=Answer.YES)
