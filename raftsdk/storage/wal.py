"""Tells a torn end of SQLite's write-ahead log from rot in the middle of it.

SQLite stops reading the log at the first frame whose checksum is wrong and forgets what follows. That is right for a
write that a crash cut off: nobody was told that it is durable. It is wrong for a byte that rotted: the writes behind it
were acknowledged. One write is in flight at a time, so whatever a crash cut off ends with at most one commit. Two
commits from a bad frame on mean that at least one of them had been acknowledged. (Rot in the very last write is beyond
telling.)

The layout is that of "WAL-mode File Format", section 1, https://sqlite.org/walformat.html.
"""

from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from struct import Struct, iter_unpack
from typing import Final, NamedTuple, TypeAlias

from raftsdk.storage.records import Damaged

_HEADER: Final = Struct(">8I")
_FRAME_HEADER: Final = Struct(">6I")
_CHECKED_HEADER_BYTES: Final = 24
_CHECKED_FRAME_HEADER_BYTES: Final = 8
_BIG_ENDIAN_SUMS: Final = 1
_MAX_COMMITS_CUT_OFF: Final = 1

_Sums: TypeAlias = tuple[int, int]


class _Frame(NamedTuple):
    is_whole: bool
    is_commit: bool


def check_wal(path: Path) -> None:
    """Raise `Damaged` if the write-ahead log at `path` is broken before its end; costs about 20 ms for each MB."""
    with path.open("rb") as file:
        log = file.read()
    broken = dropwhile(lambda frame: frame.is_whole, frames(log))
    if sum(frame.is_commit for frame in broken) > _MAX_COMMITS_CUT_OFF:
        raise Damaged(f"{path.name} is damaged before its end: this node has lost data")


def frames(log: bytes) -> Iterator[_Frame]:
    """The frames of the log's present generation. Once one is not whole, none behind it counts as whole."""
    header = _HEADER.unpack_from(log.ljust(_HEADER.size, b"\0"))
    magic, _version, page_bytes, _sequence, *salts = header[:6]
    order = ">" if magic & _BIG_ENDIAN_SUMS else "<"
    sums = _add(log[:_CHECKED_HEADER_BYTES], (0, 0), order)
    if sums != header[6:]:
        raise Damaged("the write-ahead log has a damaged header: this node has lost data")
    frame_bytes = _FRAME_HEADER.size + page_bytes
    is_whole = True
    for start in range(_HEADER.size, len(log) - frame_bytes + 1, frame_bytes):
        _page, size_after_commit, *frame_salts, first_sum, second_sum = _FRAME_HEADER.unpack_from(log, start)
        if is_whole:
            sums = _add(log[start : start + _CHECKED_FRAME_HEADER_BYTES], sums, order)
            sums = _add(log[start + _FRAME_HEADER.size : start + frame_bytes], sums, order)
            is_whole = frame_salts == salts and sums == (first_sum, second_sum)
        # Frames with other salts are left over from before the log was last begun anew.
        yield _Frame(is_whole, is_commit=size_after_commit > 0 and frame_salts == salts)


def _add(data: bytes, sums: _Sums, order: str) -> _Sums:
    first, second = sums
    for even, odd in iter_unpack(f"{order}II", data):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
