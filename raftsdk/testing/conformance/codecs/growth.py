"""How much larger decoding makes a process: what the memory of libraries in C can be measured by."""

from msgspec import Struct


class Growth(Struct, frozen=True):
    """How far the largest size of a process, while it decoded once, was above its size before that."""

    made_of: str
    kind: str
    input_bytes: int
    grown_bytes: int
