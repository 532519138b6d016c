"""Writing to a connection once a turn of the loop."""

import asyncio

from raftsdk.ports import Connection


class Outbox:
    """Collects the frames of one turn of the event loop and writes them as one: one system call for many small calls.

    Measured with 64 callers on one connection: half as many calls a second again as with a write for each, on asyncio's
    loop and on uvloop's. A single caller loses nothing.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._frames: list[bytes] = []
        self._collected_bytes = 0
        self._unsent_before = 0  # what the connection held when the first of `_frames` came: it can only have shrunk

    @property
    def unsent_bytes(self) -> int:
        """What was put in and is not yet taken by the operating system, or a little more."""
        return self._collected_bytes + (self._unsent_before if self._frames else self._connection.unsent_bytes)

    def put(self, frame: bytes) -> None:
        """Have `frame` written before the event loop waits again, whatever becomes of the caller."""
        if not self._frames:
            self._loop.call_soon(self._flush)
            self._unsent_before = self._connection.unsent_bytes
        self._frames.append(frame)
        self._collected_bytes += len(frame)

    def _flush(self) -> None:
        frames, self._frames = self._frames, []
        self._collected_bytes = 0
        self._connection.write(frames)
