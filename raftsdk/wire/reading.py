"""Reading a connection without starving the others."""

import asyncio
from collections.abc import Callable
from typing import Final

from raftsdk.ports import Connection
from raftsdk.wire.frame import Frame, parse_frame
from raftsdk.wire.hello import GROUPS, PACKING, HelloAccepted
from raftsdk.wire.packing import unpack

FRAMES_A_TURN: Final = 64


async def read_frames(connection: Connection, agreed: HelloAccepted, take: Callable[[Frame], None]) -> None:
    """Give every frame of `connection` to `take` until its end, each message of a packed one as a frame by itself;
    after `FRAMES_A_TURN` of them, and what is packed with the last, others have a turn.

    Raises `WireError` for what is no frame by what was `agreed` on, and whatever `take` raises. Frames are counted
    across reads: one read may bring thousands of small ones, and a read that always finds something buffered need not
    suspend.
    """
    groups, packing = GROUPS in agreed.features, PACKING in agreed.features
    served = 0
    while received := await connection.read():
        for data in received:
            if served >= FRAMES_A_TURN:
                served = 0
                await asyncio.sleep(0)
            messages = unpack(parse_frame(data, connection.max_frame_bytes, groups, packing))
            served += len(messages)
            for message in messages:
                take(message)
