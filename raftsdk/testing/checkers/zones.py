"""Registers to which no value is written twice: decided in O(n log n), however many clients there are.

After Gibbons & Korach, "Testing Shared Memories" (SIAM Journal on Computing 26(4), 1997, section 3.3: the case in which
it is known which write every read has seen). A write and the reads that saw it stand together in any order of the
whole history, as a block: nothing else can be between them. So a block X must come before a block Y as soon as one
operation of X ended before one of Y began, that is, when first end of X < last begin of Y. The history is linearizable
if and only if no read ended before its write began and no two blocks must each come before the other.

What lies between first end and last begin is the block's zone. It runs forward when the end is first:

    forward     |--write--|            |--read--|            zone: .         .===========.
    backward        |------write------|                      zone: .    .===============.
                  |------------read------------|

Two blocks exclude each other exactly when both run forward and their zones overlap, or when one runs forward and the
other's zone, which runs backward, lies inside. Ends and begins at the same time are concurrent, so zones are open.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

from raftsdk.testing.checkers.verdict import Answer, Verdict
from raftsdk.testing.history import Input, Operation, Outcome, Output


@dataclass
class _Block:
    """A write and the reads that saw it; without a write, the reads that saw the register as it was at first."""

    write: Operation | None
    reads: list[Operation] = field(default_factory=list)
    first_end: float = field(init=False)
    last_begin: float = field(init=False)

    def __post_init__(self) -> None:
        self.first_end = self.write.end if self.write else -inf
        self.last_begin = self.write.invoked if self.write else -inf

    def add(self, read: Operation) -> None:
        self.reads.append(read)
        self.first_end = min(self.first_end, read.end)
        self.last_begin = max(self.last_begin, read.invoked)

    @property
    def operations(self) -> list[Operation]:
        """All of it, the write first."""
        return [self.write, *self.reads] if self.write else self.reads

    def before(self, other: "_Block") -> list[Operation]:
        """Two operations that show that this block must come before the other: their writes, where these do."""
        if self.write is None:
            return []  # It was there at first, before all others: that needs no showing.
        ended = next(operation for operation in self.operations if operation.end < other.last_begin)
        began = next(operation for operation in other.operations if ended.end < operation.invoked)
        return [ended, began]


def has_unique_writes(operations: Sequence[Operation]) -> bool:
    """Whether `check_zones` can decide: there are only reads and writes, and no two writes of one value or of null."""
    written = [operation.input for operation in operations if operation.kind == "write"]
    simple = all(operation.kind in ("read", "write") for operation in operations)
    single = not any(isinstance(value, tuple) for value in written)  # A list is no value of a register.
    return simple and single and None not in written and len(set(written)) == len(written)


def check_zones(key: str, operations: Sequence[Operation]) -> Verdict:
    """Decide the history of one key, of which `has_unique_writes` holds, without the operations that failed."""
    blocks: dict[Input | Output, _Block] = {None: _Block(write=None)}
    blocks |= {operation.input: _Block(operation) for operation in operations if operation.kind == "write"}
    for read in operations:
        if read.kind != "read" or read.outcome is not Outcome.OK:
            continue
        block = None if isinstance(read.output, bool) else blocks.get(read.output)  # True would find what wrote 1.
        if block is None:
            return _no(key, "no write that may have happened wrote what this read saw", read)
        if block.write and read.end < block.write.invoked:
            return _no(key, "what this read saw was written only later", block.write, read)
        block.add(read)
    return _check_blocks(key, list(blocks.values()))


def _check_blocks(key: str, blocks: Sequence[_Block]) -> Verdict:
    forward = sorted(
        (block for block in blocks if block.first_end < block.last_begin), key=lambda block: block.first_end
    )
    for block, following in pairwise(forward):
        if following.first_end < block.last_begin:
            return _exclude(key, block, following)
    first_ends = [block.first_end for block in forward]
    for block in blocks:
        # The zones that run forward do not overlap, so only the last that begins before this one can go around it.
        place = bisect_left(first_ends, block.last_begin) - 1
        if block.last_begin <= block.first_end and place >= 0 and block.first_end < forward[place].last_begin:
            return _exclude(key, forward[place], block)
    return Verdict(answer=Answer.YES)


def _exclude(key: str, one: _Block, other: _Block) -> Verdict:
    writes = [block.write for block in (one, other) if block.write]
    return _no(
        key, "each of two values must have come before the other", *writes, *one.before(other), *other.before(one)
    )


def _no(key: str, reason: str, *operations: Operation) -> Verdict:
    shown = sorted(set(operations), key=lambda operation: operation.invoked)
    return Verdict(answer=Answer.NO, key=key, reason=reason, operations=tuple(shown))
