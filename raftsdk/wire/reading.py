"""Reading a connection without starving the others."""

import asyncio
from collections.abc import Callable
from typing import Final

from raftsdk.ports import Connection
from raftsdk.wire.frame import Frame, parse_frame

FRAMES_A_TURN: Final = 64


async def read_frames(connection: Connection, take: Callable[[Frame], None], *, groups: bool) -> None:
    """Give every frame of `connection` to `take` until its end; after `FRAMES_A_TURN` of them, others have a turn.

    Raises `WireError` for what is no frame, and whatever `take` raises. Frames are counted across reads: one read may
    bring thousands of small ones, and a read that always finds something buffered need not suspend. `groups` as in
    `parse_frame`.
    """
    served = 0
    while received := await connection.read():
        for data in received:
            if served == FRAMES_A_TURN:
                served = 0
                await asyncio.sleep(0)
            served += 1
            take(parse_frame(data, connection.max_frame_bytes, groups))
