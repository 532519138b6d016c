"""Run as a script: decodes what comes on standard input, and says how much memory the process needed for each piece.

The library allocates where `tracemalloc` does not look. `resource.getrusage` would not do: what it calls the peak of a
process includes that of the process which started it, and pytest is larger than anything here.
"""

import ctypes
import gc
import sys
import time
from contextlib import suppress
from pathlib import Path

from raftsdk_protobuf import ProtobufCodec

from raftsdk.errors import DecodeError
from raftsdk.messages import MessageKind

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"


def kibibytes(name: str) -> int:
    """A line of the process's status, e.g. `VmHWM`, the most memory since the peak was reset."""
    (line,) = [line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(name + ":")]
    return int(line.split()[1])


def decoded_or_refused(codec: ProtobufCodec, kind: MessageKind, data: memoryview) -> None:
    """What is measured."""
    with suppress(DecodeError):
        codec.decode(kind, data)


def give_back_what_is_free() -> None:
    """So that memory used before cannot be used again unseen."""
    gc.collect()
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def main() -> None:
    """For each `kind length\\n` and so many bytes, print the peak in KiB and the milliseconds."""
    codec = ProtobufCodec()
    for kind in MessageKind:
        decoded_or_refused(codec, kind, memoryview(b"\x08\x01\x12\x02n1"))
    while header := sys.stdin.buffer.readline():
        kind, length = MessageKind(int(header.split()[0])), int(header.split()[1])
        data = memoryview(sys.stdin.buffer.read(length))
        give_back_what_is_free()
        CLEAR_REFS.write_text(RESET_PEAK, encoding="ascii")
        before = kibibytes("VmHWM")
        started = time.perf_counter()
        decoded_or_refused(codec, kind, data)
        seconds = time.perf_counter() - started
        sys.stdout.write(f"{kibibytes('VmHWM') - before} {seconds * 1000:.1f}\n")


if __name__ == "__main__":
    main()
