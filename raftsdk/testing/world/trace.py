"""Everything that happened, as one hash and as the last lines: two runs of a seed are the same when these are."""

from collections import deque
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from raftsdk.errors import RaftError
from raftsdk.messages import MESSAGE_TYPES
from raftsdk.ports import FRAME_HEADER_BYTES, Codec
from raftsdk.wire.frame import parse_frame

LINES: Final = 60
SHOWN_BYTES: Final = 160


class Trace:
    """A running hash, and the newest events with which to tell how a run came to its end."""

    def __init__(self) -> None:
        self._hash = sha256()
        self._newest: deque[tuple[int, str, bytes]] = deque(maxlen=LINES)

    def add(self, now: int, whom: str, what: bytes) -> None:
        """At `now`, this happened to `whom`: a frame that arrived, or a word."""
        self._hash.update(b"%d %b %b\n" % (now, whom.encode(), what))
        self._newest.append((now, whom, what))

    def digest(self) -> str:
        """SHA-256 of all of it, in hexadecimal."""
        return self._hash.hexdigest()

    def lines(self, codec: Codec) -> Iterator[str]:
        """The newest events, the oldest of them first."""
        for now, whom, what in self._newest:
            yield f"{now / 1000:>12.3f} ms  {whom:<4} {_text(what, codec)}"


def _text(what: bytes, codec: Codec) -> str:
    if len(what) < FRAME_HEADER_BYTES:
        return what.decode(errors="replace")
    try:
        frame = parse_frame(what)
        text = str(codec.decode(next(kind for kind in MESSAGE_TYPES if kind == frame.kind), frame.body))
    except RaftError:
        text = what.decode(errors="replace")
    return text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]}…"
