"""Writing to a connection once a turn of the loop."""

import asyncio

from raftsdk.ports import FRAME_HEADER_BYTES, Connection
from raftsdk.wire.frame import encode_frame
from raftsdk.wire.packing import Outgoing, pack


class Outbox:
    """Collects the messages of one turn of the event loop and writes them as one: one system call for many small calls,
    and where `packing` was agreed on, few frames.

    Measured with 64 callers on one connection: half as many calls a second again as with a write for each, on asyncio's
    loop and on uvloop's. A single caller loses nothing.
    """

    def __init__(self, connection: Connection, *, packing: bool) -> None:
        self._connection = connection
        self._packing = packing
        self._loop = asyncio.get_running_loop()
        self._messages: list[Outgoing] = []
        self._collected_bytes = 0
        self._unsent_before = 0  # what the connection held when the first message came: it can only have shrunk

    @property
    def unsent_bytes(self) -> int:
        """What was put in and is not yet taken by the operating system, or a little more."""
        return self._collected_bytes + (self._unsent_before if self._messages else self._connection.unsent_bytes)

    def put(
        self, kind: int, flags: int, call_id: int, body: bytes, body_checksum: int | None = None, group: int = 0
    ) -> int:
        """Have a message written before the event loop waits again, whatever becomes of the caller. The arguments are
        those of `encode_frame`. Returns `unsent_bytes`.
        """
        if not self._messages:
            self._loop.call_soon(self._flush)
            self._unsent_before = self._connection.unsent_bytes
        self._messages.append((kind, flags, call_id, body, body_checksum, group))
        self._collected_bytes += FRAME_HEADER_BYTES + len(body)
        return self._collected_bytes + self._unsent_before

    def _flush(self) -> None:
        messages, self._messages = self._messages, []
        self._collected_bytes = 0
        if self._packing and len(messages) > 1:
            self._connection.write(pack(messages, self._connection.max_frame_bytes))
        else:
            self._connection.write([encode_frame(*message) for message in messages])
