"""What is too old for the log: a snapshot instead of the entries that were compacted away (paper §7, Figure 13)."""

from typing import TYPE_CHECKING

from raftsdk.core import replication
from raftsdk.core.events import Answered, PieceKept, Received, SnapshotReceived, SnapshotTaken
from raftsdk.core.progress import Progress
from raftsdk.core.ready import Call, Piece
from raftsdk.messages import InstallSnapshotRequest, InstallSnapshotResponse
from raftsdk.types import NodeId

if TYPE_CHECKING:
    from raftsdk.core.raft import Raft


# -- of one's own state


def handle_taken(raft: "Raft", event: SnapshotTaken) -> None:
    """Cut the log, with the same write that makes the snapshot the store's: never before (thesis §5.1)."""
    if raft.log.snapshot is None or event.meta.index > raft.log.snapshot.index:
        raft.log.compact(event.meta, raft.config.snapshot_trailing_entries)


# -- the leader sends


def send(raft: "Raft", peer: NodeId, progress: Progress) -> None:
    """Begin to bring this leader's snapshot to a peer whose next entry is gone."""
    meta = raft.log.snapshot
    assert meta is not None, "the log was compacted without a snapshot"
    progress.become_snapshot()
    request = InstallSnapshotRequest(
        term=raft.term,
        leader_id=raft.id,
        last_included_index=meta.index,
        last_included_term=meta.term,
        membership=meta.membership,
        total_bytes=meta.total_bytes,
        digest=meta.digest,
        offset=0,
        data=b"",
    )
    raft.call(raft.new_call(peer, request, progress.epoch))


def handle_answer(
    raft: "Raft", event: Answered, request: InstallSnapshotRequest, response: InstallSnapshotResponse
) -> None:
    """The peer has it, or would not take it."""
    progress = raft.leading(event.call)
    if progress is None:
        return
    replication.note_sign_of_life(raft, event.call, progress, response.term)
    if not response.installed:
        _give_up(progress, event.call)
        return
    progress.maybe_match(request.last_included_index)  # which is no more than what is committed already
    progress.become_replicate()


def handle_failure(raft: "Raft", call: Call, request: InstallSnapshotRequest) -> None:
    """It did not arrive: begin again after a sign of life. The network goes on from what is there."""
    progress = raft.leading(call)
    if progress is not None:
        _give_up(progress, call)


def _give_up(progress: Progress, call: Call) -> None:
    if call.epoch == progress.epoch:
        progress.become_probe(progress.next_index)
        progress.waiting = True


# -- the follower takes


def handle_request(raft: "Raft", event: Received, request: InstallSnapshotRequest) -> None:
    """Have a piece kept, unless its sender leads no more or everything in it is known."""
    if request.term < raft.term or replication.is_second_leader(raft, request):
        raft.respond(event.token, InstallSnapshotResponse(term=raft.term, next_offset=0, installed=False))
        return
    raft.become_follower(request.term, leader_id=request.leader_id)
    if request.last_included_index <= raft.log.commit_index:
        _say_installed(raft, event.token, request)
    else:
        raft.keep_piece(Piece(event.token, request))


def handle_kept(raft: "Raft", event: PieceKept) -> None:
    """Say how much there is of it."""
    raft.respond(event.token, InstallSnapshotResponse(term=raft.term, next_offset=event.next_offset, installed=False))


def handle_received(raft: "Raft", event: SnapshotReceived) -> None:
    """All of it is here, and durable. It is of committed entries: good whoever leads by now."""
    meta = event.meta
    if meta.index > raft.log.commit_index and not raft.leads:
        raft.log.install(meta)
        raft.restore(meta)
    installed = meta.index <= raft.log.commit_index
    raft.respond(
        event.token,
        InstallSnapshotResponse(term=raft.term, next_offset=meta.total_bytes if installed else 0, installed=installed),
        match_index=meta.index if installed else 0,
    )


def _say_installed(raft: "Raft", token: int, request: InstallSnapshotRequest) -> None:
    response = InstallSnapshotResponse(term=raft.term, next_offset=request.total_bytes, installed=True)
    raft.respond(token, response, match_index=request.last_included_index)
