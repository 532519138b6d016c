"""What a checker says of a history, and what it shows for it."""

from enum import StrEnum

from msgspec import Struct

from raftsdk.testing.history import Operation


class Answer(StrEnum):
    """Whether a history is linearizable."""

    YES = "linearizable"
    NO = "not linearizable"
    UNDECIDED = "undecided"  #: The bound on work was reached first. It proves nothing, so it fails a run.


class NotLinearizable(AssertionError):
    """The history is not linearizable, or nobody could tell; the text is the verdict."""


class Verdict(Struct, frozen=True, kw_only=True):
    """An answer, and what shows it."""

    answer: Answer
    key: str = ""  #: Of a no or an undecided: the key it is about.
    reason: str = ""  #: Of a no or an undecided: one sentence.
    operations: tuple[Operation, ...] = ()
    """Of a no: a few operations that no order explains, whatever became of all the others."""

    def require(self) -> None:
        """Raise `NotLinearizable` unless the answer is yes."""
        if self.answer is not Answer.YES:
            raise NotLinearizable(str(self))

    def __str__(self) -> str:
        if self.answer is Answer.YES:
            return str(self.answer)
        shown = (f"  {operation}" for operation in self.operations)
        return "\n".join((f"{self.answer}, key {self.key}: {self.reason}", *shown))
