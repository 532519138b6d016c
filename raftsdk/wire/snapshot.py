"""A snapshot on its way to a peer: pieces over a connection that may end, and go on over the next one."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec.structs import replace

from raftsdk.config import LinkConfig
from raftsdk.errors import Refused, SnapshotDamaged, StorageFailed, Unreachable
from raftsdk.messages import ErrorCode, InstallSnapshotRequest, InstallSnapshotResponse, Response
from raftsdk.ports import SnapshotSource
from raftsdk.wire.link import Link, expect

PIECES_UNDER_WAY: Final = 4
"""So many at once; what a cut link may cost, and what of a snapshot is in memory."""

PIECE_TIMEOUTS: Final = 3
"""A piece waits for the peer's disk, and the last one for the whole snapshot to be looked over: so many call timeouts
are its deadline.
"""

STALL_TIMEOUTS: Final = 5
"""After so many call timeouts in which the peer got no further, the transfer is given up."""

_FRAME_SHARE: Final = 2  # As JSON carries bytes as base64 (4/3), and a membership stands beside them.


class Throttle:
    """Keeps all snapshots that a node sends below so many bytes a second together; 0 does not."""

    def __init__(self, bytes_per_second: int) -> None:
        self._bytes_per_second = bytes_per_second
        self._free_at = 0.0

    async def wait(self, size_bytes: int) -> float:
        """Return when `size_bytes` more may be sent, and for how many seconds that took."""
        if not self._bytes_per_second:
            return 0.0
        now = asyncio.get_running_loop().time()
        starts_at = max(now, self._free_at)
        self._free_at = starts_at + size_bytes / self._bytes_per_second
        await asyncio.sleep(starts_at - now)
        return starts_at - now


class _Piece(NamedTuple):
    """One that is under way."""

    end: int
    sent_at: float
    answer: asyncio.Future[Response]


class Transfer:
    """Brings a snapshot to the peer at the end of `link`, for `group`.

    It begins by asking how much of it the peer has, and so does every attempt after a lost answer, as the peer knows
    best. Pieces are under way one at a time at first, and more for as long as answers come soon, so that a slow line is
    not filled with what it cannot carry within a deadline. Of the snapshot no more is read than is under way. Once
    `is_wanted` says no, there is no further attempt.
    """

    def __init__(
        self,
        link: Link,
        group: int,
        request: InstallSnapshotRequest,
        source: SnapshotSource,
        *,
        config: LinkConfig,
        throttle: Throttle,
        is_wanted: Callable[[], bool],
    ) -> None:
        self._link = link
        self._group = group
        self._request = request
        self._source = source
        self._config = config
        self._throttle = throttle
        self._is_wanted = is_wanted
        self._loop = asyncio.get_running_loop()
        self._furthest = -1  # that the peer has ever said to be: what it lost and gets again is no progress
        self._moved_at = self._loop.time()
        self._pauses = 0

    async def run(self) -> InstallSnapshotResponse:
        """Return the answer that ends it: the peer has installed the snapshot, or needs it no more, or knows a later
        term. Raises `Unreachable` when nothing has moved for long, `Refused` when the peer cannot take it,
        `SnapshotDamaged` when what arrived is not what the request calls it, and what `source` raises.
        """
        while True:
            try:
                response = await self._attempt()
                if self._is_last(response):
                    return response
                trouble = f"it has {response.next_offset} of {self._request.total_bytes} bytes and gets no further"
            except Unreachable as error:
                trouble = str(error)
            except Refused as refused:
                if refused.code != ErrorCode.OVERLOADED:
                    raise
                trouble = str(refused)
            limit_s = STALL_TIMEOUTS * self._config.call_timeout_ms / 1000
            if not self._is_wanted() or self._loop.time() - self._moved_at >= limit_s:
                raise Unreachable(
                    f"the snapshot at index {self._request.last_included_index} did not arrive: {trouble}"
                )
            await asyncio.sleep(self._pause_s())

    def _pause_s(self) -> float:
        """Longer each time, until something moves."""
        pause_ms = min(self._config.reconnect_max_ms, self._config.reconnect_min_ms << self._pauses)
        self._pauses += pause_ms < self._config.reconnect_max_ms
        return pause_ms / 1000

    def _is_last(self, response: InstallSnapshotResponse) -> bool:
        return response.installed or response.term > self._request.term

    async def _attempt(self) -> InstallSnapshotResponse:
        """Send what the peer lacks, until it answers anything but where the piece just sent ends."""
        asked = replace(self._request, offset=0, data=b"")
        response = self._heard(await self._link.call(asked, self._group))
        piece_bytes = min(self._config.snapshot_piece_bytes, max(self._link.max_body_bytes // _FRAME_SHARE, 1))
        offset, window = response.next_offset, 1
        under_way: deque[_Piece] = deque()
        try:
            while not self._is_last(response):
                while len(under_way) < window and offset < self._request.total_bytes:
                    under_way.append(await self._send_piece(offset, piece_bytes))
                    offset = under_way[-1].end
                if not under_way:
                    return response  # It has everything, and is not done with it.
                piece = under_way.popleft()
                response = self._heard(await piece.answer)
                if response.next_offset != piece.end and not self._is_last(response):
                    return self._sent_back(piece.end, response)
                soon = self._loop.time() - piece.sent_at < self._config.call_timeout_ms / 1000 / 2
                window = min(window + 1, PIECES_UNDER_WAY) if soon else max(window - 1, 1)
            return response
        finally:
            # They are on their way, and the connection keeps their order: whatever is asked next finds them arrived.
            # Of an answer that failed already, this says that nobody wants to know.
            for piece in under_way:
                piece.answer.cancel()

    async def _send_piece(self, offset: int, piece_bytes: int) -> _Piece:
        """Put the piece at `offset` on its way."""
        data = await self._source.read(offset, min(piece_bytes, self._request.total_bytes - offset))
        if not data:
            raise StorageFailed(f"the snapshot ends after {offset} of {self._request.total_bytes} bytes")
        self._moved_at += await self._throttle.wait(len(data))
        if not self._is_wanted():
            raise Unreachable("nobody wants it to any more")
        answer = self._link.send(replace(self._request, offset=offset, data=data), self._group)
        return _Piece(offset + len(data), self._loop.time(), answer)

    def _heard(self, response: Response) -> InstallSnapshotResponse:
        answer = expect(InstallSnapshotResponse, response)
        if answer.next_offset > self._furthest:
            self._furthest = answer.next_offset
            self._moved_at = self._loop.time()
            self._pauses = 0
        return answer

    def _sent_back(self, end: int, response: InstallSnapshotResponse) -> InstallSnapshotResponse:
        """`response` to the piece that ended at `end`, which it does not go on behind."""
        if end == self._request.total_bytes and response.next_offset == 0:
            raise SnapshotDamaged(
                f"all {end} bytes of the snapshot at index {self._request.last_included_index} were sent, and what "
                "arrived has another digest: nothing of it is kept"
            )
        return response
