"""What is counted in a message before msgspec reads it, because msgspec bounds nothing until it has built it."""

import re
from typing import Final

from raftsdk.messages import MAX_TEXT_BYTES

MAX_TEXTS: Final = 10_300
"""How many texts, names included, a message with lists of texts may hold; an honest one has 2,204 at the most."""

MAX_UNKNOWN_OBJECTS: Final = 4_096
"""How many objects a message may hold beyond its entries, members or peers when a field is absent."""

MAX_WIDE_TEXT_BYTES: Final = 2 * MAX_TEXT_BYTES
"""How many bytes a message may have in texts with characters beyond Latin-1, a `\\uXXXX` or `\\\\` counted as one. In
Python a single such character makes the whole text two or four times as large, and while it is read, half as much
again. Twice what texts may come to, for the other escapes, like `\\n`, are two bytes for one."""

MAX_TEXTS_LOOKED_AT: Final = 65_536
"""Among how many texts, names included, wide ones are looked for; 8,192 entries have half so many."""

_TEXT: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_find_texts = re.compile(_TEXT, re.DOTALL).finditer
_has_too_many_texts = re.compile(rb"(?:[^\"]*+%b){%d}+" % (_TEXT, MAX_TEXTS + 1), re.DOTALL).match
_find_wide = re.compile(rb"[\xc4-\xff]|\\u(?!00)").search


def refuse_too_many_texts(text: bytes) -> None:
    """Raise `ValueError` for lists that would be a dozen times as large once they are Python's."""
    # Counting quotes costs a tenth of looking at the texts, which are rarely half so many.
    if text.count(b'"') > 2 * MAX_TEXTS and _has_too_many_texts(text):
        raise ValueError(f"more than {MAX_TEXTS} texts and names")


def refuse_too_many_objects(text: bytes, max_items: int) -> None:
    """Raise `ValueError` for records that are two bytes long: where fields may be absent, so may all of them."""
    if text.count(b"{") > max_items + MAX_UNKNOWN_OBJECTS:
        raise ValueError(f"more than {max_items + MAX_UNKNOWN_OBJECTS} objects")


def refuse_wide_texts(text: bytes) -> None:
    """Raise `ValueError` for more bytes of text than there may be, if they are wide."""
    if len(text) <= MAX_WIDE_TEXT_BYTES or not _may_be_wide(text):
        return
    wide_bytes = 0
    for count, found in enumerate(_find_texts(text)):
        if count == MAX_TEXTS_LOOKED_AT:
            raise ValueError(f"more than {MAX_TEXTS_LOOKED_AT} texts, where some may be beyond Latin-1")
        piece = found[0]
        if _may_be_wide(piece) and _find_wide(piece):
            # An escaped backslash and a letter, `\\u`, are no `\u` that is six bytes for one.
            piece = piece.replace(b"\\\\", b"_")
            wide_bytes += len(piece) - 5 * piece.count(b"\\u")
            if wide_bytes > MAX_WIDE_TEXT_BYTES:
                raise ValueError(f"more than {MAX_WIDE_TEXT_BYTES} bytes of text beyond Latin-1")


def _may_be_wide(text: bytes) -> bool:
    """Whether it is worth to look for wide characters, which takes fifty times as long."""
    return not text.isascii() or b"\\" in text
