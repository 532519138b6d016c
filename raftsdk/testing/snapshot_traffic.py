"""Both ends of a snapshot's way: one to send, of any size and in no memory, and what clause 12 makes of its pieces."""

import asyncio
import random
from hashlib import sha256
from typing import Final

from raftsdk.messages import InstallSnapshotRequest, InstallSnapshotResponse, Response
from raftsdk.types import Member, Membership, SnapshotMeta

_PERIOD: Final = random.Random(7).randbytes(1_048_573)  # a prime, so that no piece of two is the same as another


class MadeUpSnapshot:
    """A `ports.SnapshotSource` of `total_bytes`, which are anything and always the same; counts what is read of it."""

    def __init__(self, total_bytes: int, *, said_bytes: int | None = None) -> None:
        self._total_bytes = total_bytes
        self.read_bytes = 0
        self.reads = 0
        digest = sha256()
        for offset in range(0, total_bytes, len(_PERIOD)):
            digest.update(_PERIOD[: total_bytes - offset])
        self._meta = SnapshotMeta(
            index=9,
            term=3,
            membership=Membership((Member("n1"), Member("n2"), Member("n3"))),
            total_bytes=total_bytes if said_bytes is None else said_bytes,
            digest=digest.digest(),
        )

    @property
    def meta(self) -> SnapshotMeta:
        """What it is said to be."""
        return self._meta

    def request(self, *, leader_id: str = "n1", term: int = 3) -> InstallSnapshotRequest:
        """What its leader says of it, without a piece."""
        return InstallSnapshotRequest(
            term=term,
            leader_id=leader_id,
            last_included_index=self._meta.index,
            last_included_term=self._meta.term,
            membership=self._meta.membership,
            total_bytes=self._meta.total_bytes,
            digest=self._meta.digest,
            offset=0,
            data=b"",
        )

    async def read(self, offset: int, max_bytes: int) -> bytes:
        """See `ports.SnapshotSource`."""
        await asyncio.sleep(0)  # as a disk would
        start, size_bytes = offset % len(_PERIOD), min(max_bytes, self._total_bytes - offset)
        data = _PERIOD[start : start + size_bytes]
        while len(data) < size_bytes:
            data += _PERIOD[: size_bytes - len(data)]
        self.reads += 1
        self.read_bytes += len(data)
        return data

    async def aclose(self) -> None:
        """Nothing is open."""


class SnapshotReceiver:
    """Takes the pieces of a snapshot, and keeps none of them: only how many bytes there were, and their digest."""

    def __init__(self) -> None:
        self.next_offset = 0
        self.installed = False
        self.spoils = False  #: What arrives, so that it is never what was sent.
        self.asked = 0  #: How often it was asked how much it has.
        self.received_bytes = 0
        self.largest_piece_bytes = 0
        self._digest = sha256()

    def lose(self) -> None:
        """Forget every piece."""
        self.next_offset = 0
        self._digest = sha256()

    def take(self, request: InstallSnapshotRequest) -> Response:
        """The answer to a request, by clause 12.1.4."""
        self.asked += not request.data
        self.received_bytes += len(request.data)
        self.largest_piece_bytes = max(self.largest_piece_bytes, len(request.data))
        if not self.installed and request.offset == self.next_offset:
            self._digest.update(request.data)
            self.next_offset += len(request.data)
        if self.next_offset == request.total_bytes and not self.installed:
            self.installed = self._digest.digest() == request.digest and not self.spoils
            if not self.installed:
                self.lose()
        return InstallSnapshotResponse(term=request.term, next_offset=self.next_offset, installed=self.installed)
