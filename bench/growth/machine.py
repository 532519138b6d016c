"""A state machine with as much state as is asked for, and snapshots of it."""

from collections.abc import AsyncIterator, Iterator
from random import Random
from struct import Struct as Layout

from bench.raftsdk_node import Register
from raftsdk.types import LogIndex

PAGE_BYTES = 4096
PAGES_A_PIECE = 64

_HEADER = Layout(">QI")  # commands applied, length of the value behind it


class Pages(Register):
    """Keeps the value last written, and pages, one of which every write changes.

    A page is replaced and never changed in place: a list of them holds the state fast for a snapshot.
    """

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self._pages = [*_first_pages(size_bytes // PAGE_BYTES)]

    def apply(self, command: bytes, index: LogIndex) -> bytes:
        """Keep it, also in front of a page."""
        if pages := self._pages:
            place = index % len(pages)
            pages[place] = (command + pages[place][len(command) :])[:PAGE_BYTES]
        return super().apply(command, index)

    def snapshot(self) -> AsyncIterator[bytes]:
        """All of it, as it is now."""
        return _written(_HEADER.pack(self.applied, len(self.value)) + self.value, self._pages.copy())

    async def restore(self, pieces: AsyncIterator[bytes]) -> None:
        """Become what was written."""
        unread = bytearray()
        start = 0
        pages: list[bytes] = []
        self._pages = pages  # first, so that no two states are in memory
        async for piece in pieces:
            unread += piece
            if not start:
                self.applied, length = _HEADER.unpack_from(unread)
                start = _HEADER.size + length
                self.value = bytes(unread[_HEADER.size : start])
                del unread[:start]
            whole = len(unread) // PAGE_BYTES * PAGE_BYTES
            pages += _pages(bytes(unread[:whole]))
            del unread[:whole]


def _first_pages(count: int) -> Iterator[bytes]:
    """On every node the same, hardly two of them alike, and 1 GiB of them within a second or two."""
    rng = Random(1)
    noise = rng.randbytes(256 * PAGE_BYTES)
    return (noise[start : start + PAGE_BYTES] for start in (rng.randrange(255 * PAGE_BYTES) for _ in range(count)))


def _pages(data: bytes) -> Iterator[bytes]:
    return (data[start : start + PAGE_BYTES] for start in range(0, len(data), PAGE_BYTES))


async def _written(header: bytes, pages: list[bytes]) -> AsyncIterator[bytes]:
    yield header
    for start in range(0, len(pages), PAGES_A_PIECE):
        yield b"".join(pages[start : start + PAGES_A_PIECE])
