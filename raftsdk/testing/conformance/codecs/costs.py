"""What decoding may cost: of a megabyte of anything 50 ms, and memory of four times the input and a megabyte.

Time is that of the fastest of a few attempts, and ten times as much is let pass: a slow or busy machine is no fault of
the codec. What the bound is there to find hangs, or takes a hundred times as long.
"""

import time
import tracemalloc
from typing import Final

from raftsdk.errors import DecodeError
from raftsdk.messages import Message, MessageKind
from raftsdk.ports.codec import Codec
from raftsdk.testing.conformance.evidence import Mismatch

MIB: Final = 1024 * 1024
MAX_DECODE_S: Final = 10 * 0.050
MAX_ERROR_CHARS: Final = 1_024
_ATTEMPTS: Final = 3


def max_memory_bytes(input_bytes: int) -> int:
    """How much memory decoding so many bytes may take at a time."""
    return 4 * input_bytes + MIB


def expect_cheap(codec: Codec, kind: MessageKind, data: bytes) -> Message | None:
    """The message in `data`, or None when it is refused as it should be. Raises `Mismatch` when that costs too much."""
    message = _read(codec, kind, data)
    seconds = _fastest_s(codec, kind, data)
    if seconds > MAX_DECODE_S:
        problem = f"{seconds * 1_000:.0f} ms for {len(data)} bytes, and {MAX_DECODE_S * 1_000:.0f} ms are allowed"
        raise Mismatch(problem, data=data)
    peak = peak_bytes(codec, kind, data)
    if peak > max_memory_bytes(len(data)):
        problem = f"{peak} bytes of memory for {len(data)}, and {max_memory_bytes(len(data))} are allowed"
        raise Mismatch(problem, data=data)
    return message


def _read(codec: Codec, kind: MessageKind, data: bytes) -> Message | None:
    try:
        return codec.decode(kind, data)
    except DecodeError as error:
        if not 0 < len(str(error)) <= MAX_ERROR_CHARS:
            problem = f"the DecodeError has a text of {len(str(error))} characters, and {MAX_ERROR_CHARS} are allowed"
            raise Mismatch(problem, data=data) from None
        return None
    except Exception as error:
        problem = f"{type(error).__name__} instead of DecodeError: {error}"
        raise Mismatch(problem, data=data, expected="DecodeError", found=type(error).__name__) from error


def _fastest_s(codec: Codec, kind: MessageKind, data: bytes) -> float:
    """The time of the fastest decoding, of a few: until one is fast enough, or so slow that no busy machine is why."""
    fastest_s = float("inf")
    for _ in range(_ATTEMPTS):
        started = time.perf_counter()
        decode_or_refuse(codec, kind, data)
        fastest_s = min(fastest_s, time.perf_counter() - started)
        if not MAX_DECODE_S < fastest_s < 4 * MAX_DECODE_S:
            break
    return fastest_s


def peak_bytes(codec: Codec, kind: MessageKind, data: bytes) -> int:
    """The most memory from Python's allocator that one decoding holds at a time."""
    already_tracing = tracemalloc.is_tracing()
    if not already_tracing:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        decode_or_refuse(codec, kind, data)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not already_tracing:
            tracemalloc.stop()


def decode_or_refuse(codec: Codec, kind: MessageKind, data: bytes) -> None:
    """Decode, and let go of whatever comes of it."""
    try:
        codec.decode(kind, data)
    except DecodeError:
        return
