"""What a megabyte of anything costs: at most four of memory and one, the library's own included, and little time."""

import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from random import Random

import pytest
from capnp_by_hand import (
    BYTE,
    MAX_COUNT,
    NULL,
    POINTER,
    VOID,
    Target,
    batch,
    data,
    list_of,
    list_pointer,
    message,
    numbers,
    pointers_to,
    rooted,
    struct_of,
    struct_pointer,
    structs,
    text,
)
from raftsdk_capnp import CapnpCodec
from raftsdk_capnp.framing import MAX_SEGMENTS

from raftsdk.errors import DecodeError
from raftsdk.messages import MAX_ADDRESSES, MAX_ENTRIES, MAX_MEMBERS, MAX_TEXT_BYTES, MessageKind

CODEC = CapnpCodec()
MIB = 1024 * 1024
APPEND = MessageKind.APPEND_ENTRIES_REQUEST
PROPOSE = MessageKind.PROPOSE_REQUEST
QUERY = MessageKind.QUERY_REQUEST
STATUS = MessageKind.STATUS_RESPONSE
ERROR = MessageKind.ERROR
MAX_SECONDS = 0.5  # ten times what is promised: a busy machine is not hostile


ROOM = MIB - 256  # beside the other fields of a message of a megabyte


def entries(payload: bytes, *, of_one_term: bool) -> bytes:
    """As many entries as a message may have. Their terms and kinds are no small integers, which Python has at hand."""
    column = numbers(1_000) if of_one_term else numbers(*range(1_000, 1_000 + MAX_ENTRIES))
    return batch(struct_of(b"", column, column, pointers_to(*[data(payload)] * MAX_ENTRIES)), term=10_000)


def error(message_text: Target, addresses: Target = NULL) -> bytes:
    return rooted(struct_of(bytes(8), NULL, message_text, NULL, addresses))


def status(peers: Target) -> bytes:
    return rooted(struct_of(bytes(5 * 8), text("n1"), NULL, NULL, NULL, peers))


def peer(address: Target) -> tuple[bytes, list[Target]]:
    return bytes(4 * 8), [text("n2"), pointers_to(*[address] * MAX_ADDRESSES), NULL, NULL, NULL]


def shared(count: int) -> Target:
    """A list of texts that are one and the same, of half a megabyte."""
    pointers = b"".join(list_pointer(BYTE, MIB // 2, count - 1 - place) for place in range(count))
    return list_of(POINTER, count, pointers + b"a" * (MIB // 2 - 1) + b"\0")


def growing(utf8_bytes: int) -> Target:
    """A text of that length or one less. Python makes it anew twice: for a letter wider than `a`, and one wider yet."""
    letters = "a" * ((utf8_bytes - len("日\U0001f98b".encode())) // 2)
    return text(letters + "日" + letters + "\U0001f98b")


COSTS = {
    "the smallest entries, each of its own term": (APPEND, entries(b"", of_one_term=False)),
    "the smallest entries": (APPEND, entries(b"", of_one_term=True)),
    "entries of a hundred bytes": (APPEND, entries(bytes(100), of_one_term=False)),
    "more entries than any batch has": (APPEND, batch(struct_of(b"", NULL, NULL, list_of(POINTER, 2**17, bytes(MIB))))),
    "one entry": (APPEND, batch(struct_of(b"", numbers(9), numbers(1), pointers_to(data(bytes(ROOM)))))),
    "a command": (PROPOSE, rooted(struct_of(b"", data(bytes(ROOM))))),
    "a text": (ERROR, error(text("a" * ROOM))),
    "a text of two bytes a letter": (ERROR, error(text("é" * (ROOM // 2)))),
    "a text that ends in no UTF-8": (ERROR, error(data(b"a" * ROOM + b"\xff\0"))),
    "a text whose letters grow": (ERROR, error(growing(ROOM))),
    "texts whose letters grow": (ERROR, error(NULL, pointers_to(*[growing(ROOM // MAX_ADDRESSES)] * MAX_ADDRESSES))),
    "as long a one as may be": (ERROR, error(growing(MAX_TEXT_BYTES))),
    "a consistency that cannot be printed": (QUERY, rooted(struct_of(b"", NULL, text("\x01" * MAX_TEXT_BYTES)))),
    "an id": (APPEND, batch(NULL, leader=text("a" * ROOM))),
    "addresses without end": (ERROR, error(NULL, list_of(POINTER, 2**17, bytes(MIB)))),
    "addresses that are one": (ERROR, error(NULL, shared(16))),
    "peers with addresses": (STATUS, status(structs(*[peer(text("a" * 900))] * MAX_MEMBERS))),
    "peers with empty addresses": (STATUS, status(structs(*[peer(NULL)] * MAX_MEMBERS))),
    "peers without end": (STATUS, status(structs(*[(bytes(8), [])] * 2**17))),
    "peers of no size": (STATUS, status(list_of(VOID, MAX_COUNT, b""))),
    "unknown fields": (PROPOSE, message(struct_pointer(0xFFFF, 0xFFFF, 0) + bytes(8 * 2 * 0xFFFF))),
    "structs in structs": (PROPOSE, message(struct_pointer(0, 1, 0) * (MIB // 8))),
    "segments without end": (PROPOSE, (2**18 - 2).to_bytes(4, "little") + bytes(MIB - 4)),
    "as many segments as are allowed": (PROPOSE, message(*[bytes(2048)] * MAX_SEGMENTS)),
    "random bytes": (APPEND, message(Random(1).randbytes(MIB))),
    "zero bytes": (APPEND, bytes(MIB)),
}


def decoded_or_refused(kind: MessageKind, encoded: bytes | memoryview) -> bool:
    try:
        CODEC.decode(kind, encoded)
    except DecodeError:
        return False
    return True


def peak_bytes(kind: MessageKind, encoded: bytes) -> int:
    framed = memoryview(bytes(20) + encoded)  # as the link hands it over: after a frame's header
    tracemalloc.start()
    try:
        decoded_or_refused(kind, framed[20:])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", COSTS)
def test_a_megabyte_costs_at_most_four_of_memory_and_one(what: str) -> None:
    kind, encoded = COSTS[what]
    peak = peak_bytes(kind, encoded)
    assert peak <= 4 * len(encoded) + MIB, f"{peak / len(encoded):.1f} × the input"


@pytest.mark.parametrize("what", COSTS)
def test_a_megabyte_is_read_or_refused_in_a_moment(what: str) -> None:
    kind, encoded = COSTS[what]
    start = time.process_time()
    decoded_or_refused(kind, encoded)
    assert time.process_time() - start < MAX_SECONDS


# Python's own accounts know nothing of what a library takes. The input comes as the link hands it over: as a view that
# begins after a frame's header, at no multiple of eight.
PEAK = """
import pathlib, re, sys
from raftsdk.errors import DecodeError
from raftsdk.messages import MessageKind
from raftsdk_capnp import CapnpCodec
codec, kind = CapnpCodec(), MessageKind(int(sys.argv[1]))
def decode(encoded):
    try:
        codec.decode(kind, encoded)
    except DecodeError:
        return
def resident(which):
    return int(re.search(which + r":\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) * 1024
decode(bytes.fromhex("0000000001000000 ffffffffffffffff"))  # the first error of the library's loads what errors need
framed = memoryview(pathlib.Path(sys.argv[2]).read_bytes())
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the high-water mark becomes what is in use now
before = resident("VmRSS")
decode(framed[20:])
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("what", COSTS)
def test_nor_does_it_in_the_library(what: str, tmp_path: Path) -> None:
    kind, encoded = COSTS[what]
    path = tmp_path / "framed"
    path.write_bytes(bytes(20) + encoded)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(int(kind)), str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 4 * len(encoded) + MIB, f"{int(done.stdout) / len(encoded):.1f} × the input"
