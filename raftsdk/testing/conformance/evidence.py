"""What a check held in its hands when it failed: bytes, what they should have been, and where the two part."""

from typing import Final, TypeAlias

from msgspec import Struct

EXCERPT_BYTES: Final = 128
ROW_BYTES: Final = 16
MAX_TEXT_CHARS: Final = 2_000


class Mismatch(AssertionError):
    """A check that fails and shows why. What it cannot show it leaves out."""

    def __init__(
        self,
        message: str,
        *,
        data: bytes | None = None,
        reference: bytes | None = None,
        expected: str = "",
        found: str = "",
    ) -> None:
        super().__init__(message)
        self.evidence = Evidence(data, reference, expected, found)


class Evidence(Struct, frozen=True):
    """The bytes in question and what to compare them with; what was expected and what was found, as text."""

    data: bytes | None = None
    reference: bytes | None = None
    expected: str = ""
    found: str = ""


class Excerpt(Struct, frozen=True):
    """A piece of some bytes that is short enough to look at."""

    total_bytes: int
    offset: int  #: Of the piece in the whole, a multiple of `ROW_BYTES`.
    hex: str


class Exhibit(Struct, frozen=True, omit_defaults=True):
    """Evidence as reports carry it: cut to what a person looks at."""

    data: Excerpt | None = None
    reference: Excerpt | None = None
    differs_at: int | None = None  #: The first position at which `data` is not as `reference`.
    expected: str = ""
    found: str = ""


def exhibit(evidence: Evidence) -> Exhibit | None:
    """`evidence`, cut around the place where its bytes differ; None when there is none."""
    if evidence == Evidence():
        return None
    differs_at = first_difference(evidence.data, evidence.reference)
    reference = None if evidence.reference == evidence.data else evidence.reference
    return Exhibit(
        data=_excerpt(evidence.data, differs_at),
        reference=_excerpt(reference, differs_at),
        differs_at=differs_at,
        expected=_cut(evidence.expected),
        found=_cut(evidence.found),
    )


def first_difference(data: bytes | None, reference: bytes | None) -> int | None:
    """Where two byte strings part, or None when they do not, or one is missing.

    >>> first_difference(b"abc", b"abd"), first_difference(b"ab", b"abc"), first_difference(b"ab", b"ab")
    (2, 2, None)
    """
    if data is None or reference is None or data == reference:
        return None
    shorter = min(len(data), len(reference))
    return next((place for place in range(shorter) if data[place] != reference[place]), shorter)


def _excerpt(data: bytes | None, differs_at: int | None) -> Excerpt | None:
    if data is None:
        return None
    start = max((differs_at or 0) - EXCERPT_BYTES // 2, 0) // ROW_BYTES * ROW_BYTES
    return Excerpt(len(data), start, data[start : start + EXCERPT_BYTES].hex())


def _cut(text: str) -> str:
    return printable(text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]}… ({len(text)} characters)")


def printable(text: str) -> str:
    """`text` without surrogates, which a stranger's error may quote and no report can write."""
    return text.encode("utf-8", "replace").decode()


class Row(Struct, frozen=True):
    """A line of a hex dump: the bytes before the marked one, the marked one, those after it, and all of them as text.

    Without a mark in this row, `marked` is empty and everything is `before`.
    """

    offset: int
    before: str
    marked: str
    after: str
    text: str


Dump: TypeAlias = list[Row]


def dump(excerpt: Excerpt, mark: int | None) -> Dump:
    """The rows of `excerpt`, with the byte at position `mark` of the whole marked.

    >>> [row] = dump(Excerpt(total_bytes=3, offset=0, hex="616200"), mark=1)
    >>> row.before, row.marked, row.after, row.text
    ('61', '62', '00', 'ab.')
    """
    data = bytes.fromhex(excerpt.hex)
    return [_row(excerpt.offset + start, data[start : start + ROW_BYTES], mark) for start in range(0, len(data), 16)]


def _row(offset: int, data: bytes, mark: int | None) -> Row:
    place = len(data) if mark is None or not offset <= mark < offset + len(data) else mark - offset
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
    return Row(offset, data[:place].hex(" "), data[place : place + 1].hex(), data[place + 1 :].hex(" "), text)


def exhibit_text(shown: Exhibit | None) -> str:
    """An exhibit as plain text: what was expected, what was found, the bytes; the first that differs in brackets."""
    if shown is None:
        return ""
    lines = []
    if shown.expected:
        lines.append(f"expected: {shown.expected}")
    if shown.found:
        lines.append(f"found:    {shown.found}")
    for name, excerpt in (("bytes", shown.data), ("beside", shown.reference)):
        if excerpt:
            lines.append(f"{name}, {excerpt.total_bytes} in all:")
            lines.extend(_line(row) for row in dump(excerpt, shown.differs_at))
    return "\n".join(lines)


def _line(row: Row) -> str:
    parts = (row.before, row.marked and f"[{row.marked}]", row.after)
    return f"  {row.offset:08x}  {' '.join(filter(None, parts)):<49}  {row.text}"
