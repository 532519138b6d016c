"""Exactly once, at real nodes: across retries, another leader, and a restart (that one is with the snapshots)."""

import asyncio

import pytest
from node_cluster import NODE_IDS, alone, deaf, outcome, team

from raftsdk.config import RaftConfig
from raftsdk.errors import CommandFailed, CommandTooLarge, NotLeader, OutcomeUnknown, SessionExpired
from raftsdk.messages import (
    ErrorCode,
    ErrorResponse,
    OpenSessionRequest,
    OpenSessionResponse,
    ProposeRequest,
    ProposeResponse,
)

PATIENT = RaftConfig(tick_interval_ms=10, election_timeout_ticks=20, proposal_timeout_ms=300)


async def test_a_command_that_is_proposed_again_is_applied_once_on_every_node() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        session = await leader.open_session()
        results = [await leader.propose(b"once", session_id=session, sequence=1) for _ in range(3)]
        assert results == [results[0]] * 3
        assert results[0].endswith(b":once")
        await nodes.all_applied()
        assert [machine.lines for machine in nodes.machines.values()] == [[b"once"]] * 3


async def test_a_command_whose_outcome_was_unknown_is_repeated_at_the_next_leader_and_applied_once() -> None:
    async with team(PATIENT) as nodes:
        old = await nodes.leader()
        session = await old.open_session()
        await old.propose(b"known", session_id=session, sequence=1)
        # Its followers get the command, and it does not hear that they have it.
        network = old._network
        network.append_entries = deaf(network.append_entries)  # type: ignore[method-assign, assignment]
        unknown = await outcome(old.propose(b"once", session_id=session, sequence=2))
        assert isinstance(unknown, OutcomeUnknown | NotLeader)
        nodes.switch.cut = {old.identity.node_id}
        new = await nodes.leader([node_id for node_id in NODE_IDS if node_id != old.identity.node_id])
        for _ in range(2):
            assert (await new.propose(b"once", session_id=session, sequence=2)).endswith(b":once")
        assert nodes.machines[new.identity.node_id].lines == [b"known", b"once"]


async def test_many_clients_may_have_many_commands_under_way() -> None:
    async with alone() as node:
        sessions = await asyncio.gather(*(node.open_session() for _ in range(10)))
        assert len(set(sessions)) == 10
        commands = [
            node.propose(b"%d/%d" % (session, sequence), session_id=session, sequence=sequence)
            for session in sessions
            for sequence in range(1, 20)
            for _ in range(2)
        ]
        await asyncio.gather(*commands, node.propose(b"without a session"))
        lines = (await node.query(b"")).split(b",")
        assert len(lines) == len(set(lines)) == 10 * 19 + 1


async def test_the_state_machines_refusal_is_repeated_too() -> None:
    async with alone() as node:
        session = await node.open_session()
        for _ in range(2):
            with pytest.raises(CommandFailed, match=r"^ValueError: raise$"):
                await node.propose(b"raise", session_id=session, sequence=1)


async def test_the_largest_command_fits_also_in_a_session() -> None:
    async with alone() as node:
        session = await node.open_session()
        assert await node.propose(bytes(4 * 1024 * 1024), session_id=session, sequence=1)
        with pytest.raises(CommandTooLarge, match="4194305 bytes; max_command_bytes is 4194304"):
            await node.propose(bytes(4 * 1024 * 1024 + 1), session_id=session, sequence=2)


async def test_a_session_nobody_knows_is_said_to_be_none() -> None:
    async with alone() as node:
        with pytest.raises(SessionExpired):
            await node.propose(b"x", session_id=77, sequence=1)
        assert await node.query(b"") == b""


async def test_a_follower_opens_no_session() -> None:
    async with team() as nodes:
        await nodes.leader()
        for follower in await nodes.followers():
            with pytest.raises(NotLeader):
                await follower.open_session()


async def test_a_client_opens_a_session_and_has_its_commands_applied_once() -> None:
    async with alone() as node:
        opened = await node.handle(OpenSessionRequest())
        assert isinstance(opened, OpenSessionResponse)
        request = ProposeRequest(command=b"x", session_id=opened.session_id, sequence=1)
        first, second = await node.handle(request), await node.handle(request)
        assert isinstance(first, ProposeResponse)
        assert isinstance(second, ProposeResponse)
        assert first.result == second.result
        late = await node.handle(ProposeRequest(command=b"x", session_id=opened.session_id + 1, sequence=1))
        assert isinstance(late, ErrorResponse)
        assert late.code == ErrorCode.SESSION_EXPIRED
