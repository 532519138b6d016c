"""Cap'n Proto's stream framing: how many segments there are, how long each is, and then they follow.

The library reads it too, but takes what it needs from the front and does not say what else is there.
"""

from struct import unpack_from
from typing import Final

WORD_BYTES: Final = 8

MAX_SEGMENTS: Final = 512
"""How many segments a message may have. One would do; an encoder that fills small blocks sends several."""


def segments(message: bytes) -> list[memoryview]:
    """The segments of `message`, as views into it. Raises `ValueError` unless they are all of it.

    >>> [bytes(segment) for segment in segments(bytes([0, 0, 0, 0, 1, 0, 0, 0]) + b"one word")]
    [b'one word']
    """
    count = int.from_bytes(message[:4], "little") + 1
    if count > MAX_SEGMENTS:
        raise ValueError(f"{count} segments, and at most {MAX_SEGMENTS} are allowed")
    table_bytes = (4 + 4 * count + WORD_BYTES - 1) // WORD_BYTES * WORD_BYTES
    if table_bytes > len(message):
        raise ValueError(f"the table of segments has {table_bytes} bytes, and {len(message)} came")
    found, end, view = [], table_bytes, memoryview(message)
    for words in unpack_from(f"<{count}I", message, 4):
        start, end = end, end + WORD_BYTES * words
        found.append(view[start:end])
    if end != len(message):
        raise ValueError(f"{end} bytes by the table of segments, and {len(message)} came")
    return found
