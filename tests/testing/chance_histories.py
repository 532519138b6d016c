"""Histories by chance, some linearizable and some not, and an oracle slow enough to be trusted."""

from collections.abc import Sequence
from math import inf
from random import Random

from msgspec.structs import replace

from raftsdk.testing.history import Input, Operation, Outcome, Output, Scalar

OUTCOMES = (Outcome.OK, Outcome.OK, Outcome.OK, Outcome.UNKNOWN, Outcome.FAILED)


def replay(order: Sequence[Operation]) -> list[Output]:
    """What a service that is asked these one after another tells. Written apart from the models that are tested."""
    value: Scalar = None
    values: list[Scalar] = []
    told: list[Output] = []
    for operation in order:
        asked = operation.input
        match operation.kind:
            case "read":
                told.append(value)
            case "list":
                told.append(tuple(values))
            case "write":
                assert not isinstance(asked, tuple)
                value = asked
                told.append(None)
            case "append":
                assert not isinstance(asked, tuple)
                values.append(asked)
                told.append(None)
            case kind:
                expected, new = _compared(kind, asked)
                told.append(value == expected)
                value = new if value == expected else value
    return told


def _compared(kind: str, asked: Input) -> tuple[Scalar, Scalar]:
    """A mutex is a register of its owner: acquire is a cas from nobody, release a cas to nobody."""
    if isinstance(asked, tuple):
        expected, new = asked
        return expected, new
    return (None, asked) if kind == "acquire" else (asked, None)


def is_explained(operations: Sequence[Operation]) -> bool:
    """Whether some order explains all that clients were told: every order is tried, and nothing is remembered."""
    return _can_go_on([], [operation for operation in operations if operation.outcome is not Outcome.FAILED])


def _can_go_on(order: list[Operation], rest: list[Operation]) -> bool:
    if all(operation.outcome is Outcome.UNKNOWN for operation in rest):
        return True
    for following in rest:
        if any(other.end < following.invoked for other in rest):
            continue  # Another one ended before it began and is still to come.
        longer = [*order, following]
        if following.outcome is Outcome.OK and replay(longer)[-1] != following.output:
            continue
        if _can_go_on(longer, [other for other in rest if other is not following]):
            return True
    return False


# -- made by chance


def any_history(rng: Random, kinds: Sequence[str], *, size: int, unique: bool) -> list[Operation]:
    """Up to `size` operations at any times and with any output. Times are few, so that many of them are equal."""
    return [_any_operation(rng, rng.choice(kinds), number, unique=unique) for number in range(rng.randint(1, size))]


def _any_operation(rng: Random, kind: str, number: int, *, unique: bool) -> Operation:
    invoked = rng.randint(0, 12)
    outcome = rng.choice(OUTCOMES)
    few: list[Scalar] = [None, *range(4)]
    outputs: dict[str, Output] = {
        "read": rng.choice(few),
        "list": tuple(rng.sample(range(4), rng.randint(0, 2))),
        "write": None,
        "append": None,
    }
    return Operation(
        client=f"c{number}",
        key="x",
        kind=kind,
        input=number if unique and kind == "write" else _any_input(rng, kind),
        output=outputs.get(kind, rng.random() < 0.5) if outcome is Outcome.OK else None,
        invoked=invoked,
        returned=invoked + rng.randint(0, 6),
        outcome=outcome,
    )


def _any_input(rng: Random, kind: str) -> Input:
    match kind:
        case "read" | "list":
            return None
        case "cas":
            return (rng.choice((None, 0, 1, 2)), rng.randint(0, 2))
        case "acquire" | "release":
            return rng.choice(("c1", "c2"))
        case _:
            return rng.randint(0, 3)


def served_history(
    rng: Random, kinds: Sequence[str], *, size: int, clients: int = 4, key: str = "x", lies: int = 0
) -> list[Operation]:
    """What `clients` are told by a service that is linearizable, but for so many `lies`: outputs that are made up.

    Every operation is carried out at one time within its interval; of those whose client is not told, some are, too.
    """
    free = [0] * clients  # From when on each client may ask again.
    asked = []
    for number in range(size):
        client = rng.randrange(clients)
        invoked = free[client] + rng.randint(0, 8)
        carried_out = invoked + rng.randint(0, 5)
        returned = carried_out + rng.randint(0, 5)
        free[client] = returned
        outcome = rng.choices((Outcome.OK, Outcome.UNKNOWN, Outcome.FAILED), weights=(90, 6, 4))[0]
        if outcome is Outcome.UNKNOWN:
            carried_out += rng.choice((0, 30))  # Long after its client gave up.
        kind = rng.choice(kinds)
        operation = Operation(
            client=f"c{client}",
            key=key,
            kind=kind,
            input=number if kind in ("write", "append") else _any_input(rng, kind),
            output=None,
            invoked=invoked,
            returned=returned,
            outcome=outcome,
        )
        never = outcome is Outcome.FAILED or (outcome is Outcome.UNKNOWN and rng.random() < 0.5)
        asked.append((inf if never else carried_out, number, operation))
    order = [operation for time, _, operation in sorted(asked, key=lambda one: one[:2]) if time < inf]
    told = dict(zip(map(id, order), replay(order), strict=True))
    history = [
        _answered(operation, told[id(operation)]) if operation.outcome is Outcome.OK else operation
        for _, _, operation in asked
    ]
    for _ in range(lies):
        place = rng.choice([number for number, operation in enumerate(history) if operation.output is not None])
        history[place] = _answered(history[place], _another(rng, history[place].output))
    return history


def _another(rng: Random, output: Output) -> Output:
    if isinstance(output, bool):
        return not output
    if isinstance(output, tuple):
        return output[:-1] if output and rng.random() < 0.5 else (*output, -1)
    others: list[Output] = [None, -1, *range(output if isinstance(output, int) else 0)]
    return rng.choice(others)


def _answered(operation: Operation, output: Output) -> Operation:
    return replace(operation, output=output)
