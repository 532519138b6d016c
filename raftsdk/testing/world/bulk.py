"""Snapshots: taken by policy and on demand, sent in pieces and received, while everything else goes on.

Does what `raftsdk.runtime.snapshots` and `raftsdk.wire` do with tasks and files. Each step takes time, in which the
node may end: a snapshot is there when all of it is durable, and the log is cut only after that.
"""

from collections.abc import AsyncIterator, Coroutine
from functools import partial
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec.structs import replace

from raftsdk.core.events import PieceKept, SnapshotReceived, SnapshotTaken
from raftsdk.core.ready import Call, Piece
from raftsdk.messages import InstallSnapshotRequest, InstallSnapshotResponse, Response
from raftsdk.runtime.snapshots import meta_of
from raftsdk.testing.safety import demand
from raftsdk.types import SnapshotMeta

if TYPE_CHECKING:
    from raftsdk.testing.world.node import Node
    from raftsdk.testing.world.world import World

MAX_STALLS: Final = 4
"""Answers and silences in a row, without a new byte over there, after which sending a snapshot has failed."""

LONG_STEPS: Final = 0.3
"""Share of the steps of a snapshot that take election timeouts, as making much durable does."""

READ_BYTES: Final = 50
"""How much of a snapshot a state machine is given at once: little, so that its pieces are cut anywhere."""

Result = TypeVar("Result")


class Bulk:
    """One node's snapshots."""

    def __init__(self, world: "World", node: "Node") -> None:
        self._world = world
        self._node = node
        self._chance = Random(f"{world.scenario.seed}:{node.id}:bulk")
        # Some nodes cut their logs much later than others, so that a leader has entries that the one before had not.
        self._after = world.scenario.config.snapshot_after_entries * self._chance.choice((1, 1, 3, 20))

    def start(self) -> None:
        """The process has started."""
        self._base_index = self._node.disk.snapshot.index if self._node.disk.snapshot else 0
        self._taking = False

    def _later(self) -> int:
        """How long a step takes: now and then so long that meanwhile somebody else leads and brings the entries."""
        scenario, chance = self._world.scenario, self._chance
        long_us = scenario.election_us * 4 * chance.random()
        is_long = chance.random() < LONG_STEPS and not self._world.is_healing
        return 1 + int((scenario.write_us + scenario.latency_us) * 4 * chance.random() + is_long * long_us)

    # -- of one's own state

    def maybe_take(self) -> None:
        """Take a snapshot if the policy says so."""
        if self._node.state.index - self._base_index >= self._after:
            self.take()

    def take(self) -> None:
        """Take a snapshot now, if it can be and something was applied since the last."""
        node, state = self._node, self._node.state
        if self._taking or not state.can_snapshot or state.index <= self._base_index or node.is_restoring:
            return
        if not state.membership.members:
            return  # Who joins does not know the founders before an entry names members: nobody could use it.
        self._taking = True
        self._base_index = state.index
        taken = SnapshotMeta(state.index, state.term, state.membership, 0, b"")
        self._world.after(self._later(), self._read, node.life, taken, state.snapshot())

    def _read(self, life: int, taken: SnapshotMeta, pieces: AsyncIterator[bytes]) -> None:
        """Read what was held fast: more may have been applied since."""
        node = self._node
        if life == node.life and node.is_up and not node.is_stalled(self._read, life, taken, pieces):
            data = complete(joined(pieces))
            meta = replace(taken, total_bytes=len(data), digest=sha256(data).digest())
            self._world.after(self._later(), self._taken, life, meta, data)

    def _taken(self, life: int, meta: SnapshotMeta, data: bytes) -> None:
        node = self._node
        if life == node.life and node.is_up and not node.is_stalled(self._taken, life, meta, data):
            self._taking = False
            self._world.counters.snapshots += 1
            node.disk.files[meta.digest] = data
            self._world.safety.takes_snapshot(node, meta)
            node.post(SnapshotTaken(meta))

    def restore(self, meta: SnapshotMeta) -> None:
        """Make the state that of a snapshot. One that is not here any more has been followed by another."""
        node = self._node
        data = node.disk.files.get(meta.digest)
        if data is None:
            demand(node.is_restoring, lambda: f"{node.id} is to restore snapshot {meta.index}, which is not here")
            return
        complete(node.state.restore(meta, _pieces(data)))
        self._base_index = max(self._base_index, meta.index)
        self._world.safety.restores(node, meta)

    # -- sending

    def send(self, call: Call, request: InstallSnapshotRequest) -> None:
        """Bring a snapshot to a peer; the call ends with the last piece."""
        data = self._node.disk.files.get(request.digest)
        demand(data is not None, lambda: f"{self._node.id} sends snapshot {request.last_included_index}: it has none")
        self._world.counters.snapshots_sent += 1
        self._send_piece(call, data or b"", replace(request, data=b""), 0)

    def _send_piece(self, call: Call, data: bytes, piece: InstallSnapshotRequest, stalls: int) -> None:
        deadline = self._world.now + self._world.scenario.call_timeout_us
        answered = partial(self._answered, self._node.life, call, data, piece, stalls)
        self._node.call(call.target, piece, deadline, answered)

    def _answered(
        self,
        life: int,
        call: Call,
        data: bytes,
        piece: InstallSnapshotRequest,
        stalls: int,
        response: Response | None,
    ) -> None:
        node = self._node
        if life != node.life or not node.is_up:
            return
        offset = piece.offset
        if isinstance(response, InstallSnapshotResponse):
            if response.installed or response.term > piece.term:
                node.ended(call, response)
                return
            offset = response.next_offset
        stalls = 0 if offset > piece.offset else stalls + 1
        if stalls > MAX_STALLS:
            node.ended(call, response)
            return
        sent = data[offset : offset + self._world.scenario.piece_bytes]
        self._send_piece(call, data, replace(piece, offset=offset, data=sent), stalls)

    # -- receiving

    def keep(self, piece: Piece) -> None:
        """Keep a piece that fits, and say where to go on."""
        request, disk = piece.request, self._node.disk
        if request.digest in disk.files:
            self._received(self._node.life, piece.token, meta_of(request), disk.files[request.digest])
            return
        if request.digest not in disk.parts:
            disk.parts = {request.digest: bytearray()}
        part = disk.parts[request.digest]
        if request.offset == len(part):
            part += request.data
        if len(part) < request.total_bytes:
            self._node.post(PieceKept(piece.token, len(part)))
            return
        data = bytes(part)
        del disk.parts[request.digest]
        demand(sha256(data).digest() == request.digest, lambda: f"{self._node.id} received another snapshot than sent")
        self._world.after(self._later(), self._received, self._node.life, piece.token, meta_of(request), data)

    def _received(self, life: int, token: int, meta: SnapshotMeta, data: bytes) -> None:
        node = self._node
        if life == node.life and node.is_up and not node.is_stalled(self._received, life, token, meta, data):
            node.disk.files[meta.digest] = data
            self._world.counters.snapshots_received += 1
            node.post(SnapshotReceived(token, meta))


def complete(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns that waits for nothing: a state machine's, over pieces that are here already."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # what it returned
    coroutine.close()
    raise RuntimeError("in the simulator a state machine's snapshot and restore must not wait for anything")


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    """All pieces."""
    return b"".join([piece async for piece in pieces])


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), READ_BYTES):
        yield data[start : start + READ_BYTES]
