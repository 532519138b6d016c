"""What a service does when it is asked one thing at a time: the sequential specifications that histories are held to.

    model         kind       input              output
    Register      write      the value          null
                  read       null               the value last written, null before the first
                  cas        [expected, new]    true if `expected` was the value and `new` is now, else false
    AppendList    append     the value          null
                  list       null               all values appended, in order
    Mutex         acquire    the owner          true if nobody held it and the owner does now, else false
                  release    the owner          true if the owner held it and nobody does now, else false

`interop/go/porcupine` has the same three.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar

from raftsdk.testing.history import Input, Operation, Output, Scalar

State = TypeVar("State", bound=Hashable)


class Model(ABC, Generic[State]):
    """A state machine without a service around it: deterministic, and with states that can be compared and hashed."""

    kinds: ClassVar[frozenset[str]]
    """Of the operations it knows. No other model of a check knows them, and no key has operations of two models."""

    @abstractmethod
    def initial(self) -> State:
        """The state of a key of which nothing was asked yet."""

    @abstractmethod
    def apply(self, state: State, kind: str, value: Input) -> tuple[State, Output]:
        """The state after one operation, and what the client is told. Raises `ValueError` for an input it cannot be."""

    # -- what is known beyond that. It only saves work, and need not be known

    def changes_nothing(self, operation: Operation) -> bool:
        """Whether it left the state as it was, in whichever state it was carried out, for its client was told so."""
        return False

    def is_possible(self, operations: Sequence[Operation]) -> Callable[[State], bool]:
        """A quick test that every state passes which the service can have been in, given all that clients were told."""
        return lambda state: True


class Register(Model[Scalar]):
    """One value, with compare-and-set."""

    kinds: ClassVar = frozenset({"read", "write", "cas"})

    def initial(self) -> Scalar:
        """Nothing was written."""
        return None

    def apply(self, state: Scalar, kind: str, value: Input) -> tuple[Scalar, Output]:
        """Carry out one operation."""
        if kind == "read":
            return state, state
        if kind == "write":
            return _scalar(value), None
        if not isinstance(value, tuple) or len(value) != 2:
            raise ValueError("the input of a cas is a pair: what is expected, and what to write")
        expected, new = value
        return (new, True) if state == expected else (state, False)

    def changes_nothing(self, operation: Operation) -> bool:
        """Reads, and every cas that found something else."""
        return operation.kind == "read" or operation.output is False


class AppendList(Model[tuple[Scalar, ...]]):
    """Values in the order in which they were appended."""

    kinds: ClassVar = frozenset({"append", "list"})

    def initial(self) -> tuple[Scalar, ...]:
        """Nothing was appended."""
        return ()

    def apply(self, state: tuple[Scalar, ...], kind: str, value: Input) -> tuple[tuple[Scalar, ...], Output]:
        """Carry out one operation."""
        return (state, state) if kind == "list" else ((*state, _scalar(value)), None)

    def changes_nothing(self, operation: Operation) -> bool:
        """Only appends do."""
        return operation.kind == "list"

    def is_possible(self, operations: Sequence[Operation]) -> Callable[[tuple[Scalar, ...]], bool]:
        """A list only grows: of the longest that was seen and any other, the shorter begins the longer."""
        lists = [operation.output for operation in operations if isinstance(operation.output, tuple)]
        longest = max(lists, key=len, default=())
        return lambda state: state[: len(longest)] == longest[: len(state)]


class Mutex(Model[Scalar]):
    """Who holds it. It does not wait and is not re-entrant."""

    kinds: ClassVar = frozenset({"acquire", "release"})

    def initial(self) -> Scalar:
        """Nobody holds it."""
        return None

    def apply(self, state: Scalar, kind: str, value: Input) -> tuple[Scalar, Output]:
        """Carry out one operation."""
        owner = _scalar(value)
        if owner is None:
            raise ValueError(f"the input of {kind} is its owner")
        if kind == "acquire":
            return (owner, True) if state is None else (state, False)
        return (None, True) if state == owner else (state, False)

    def changes_nothing(self, operation: Operation) -> bool:
        """Whatever was refused."""
        return operation.output is False


def _scalar(value: Input) -> Scalar:
    if isinstance(value, tuple):
        raise ValueError("the input is one value, not a list")
    return value


MODELS: Final[tuple[Model[Any], ...]] = (Register(), AppendList(), Mutex())
