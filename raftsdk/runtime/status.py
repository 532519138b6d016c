"""How a node is, in one consistent picture."""

from raftsdk.core.raft import Raft
from raftsdk.messages import PeerStatus, StatusResponse
from raftsdk.ports import RaftNetwork
from raftsdk.types import LogIndex, Member, NodeId


def status_of(raft: Raft, applied_index: LogIndex, network: RaftNetwork, cluster_id: str) -> StatusResponse:
    """What `raftsdk status` shows. Looks, and changes nothing."""
    log, membership = raft.log, raft.membership
    members = {member.id: member for member in membership.members}
    own = members.get(raft.id)
    peers = sorted({*members, *membership.outgoing} - {raft.id}, key=[*members, *membership.outgoing].index)
    return StatusResponse(
        node_id=raft.id,
        cluster_id=cluster_id,
        role=raft.role.value,
        term=raft.term,
        leader_id=raft.leader_id or "",
        last_log_index=log.last_index,
        durable_index=log.durable_index,
        commit_index=log.commit_index,
        applied_index=applied_index,
        peers=[_peer_status(raft, peer, members.get(peer), network) for peer in peers],
        suffrage=own.suffrage.value if own else "",
        membership_index=log.membership_index,
        joint=bool(membership.outgoing),
        first_log_index=log.first_index,
        snapshot_index=log.snapshot.index if log.snapshot else 0,
    )


def _peer_status(raft: Raft, peer: NodeId, member: Member | None, network: RaftNetwork) -> PeerStatus:
    progress = raft.progress.get(peer)
    link = network.link(peer)
    return PeerStatus(
        node_id=peer,
        addresses=list(member.addresses) if member else [],
        state=progress.state.value if progress else "",
        match_index=progress.match_index if progress else 0,
        next_index=progress.next_index if progress else 0,
        outstanding_calls=progress.outstanding if progress else 0,
        connected=link.connected,
        codec=link.codec,
        transport=link.transport,
        suffrage=member.suffrage.value if member else "",
    )
