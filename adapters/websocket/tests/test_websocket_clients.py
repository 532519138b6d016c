"""Real nodes at ws:// and wss://, and clients that share no line with them: the `websockets` library's own."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from struct import pack
from typing import Any
from zlib import crc32

import pytest
from raftsdk_websocket import SUBPROTOCOL, WebSocketTransport
from websocket_by_hand import Stranger, request
from websocket_nodes import Cluster, running
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from raftsdk.config import LinkConfig, TlsConfig
from raftsdk.errors import WireError
from raftsdk.testing.certificates import Authority
from raftsdk.testing.transport_suite import frame
from raftsdk.wire.tls import FileCredentials

HELLO, HELLO_ANSWER, PROPOSE, QUERY, STATUS = 0x02, 0x03, 0x20, 0x22, 0x24
CLIENT = {"protocol": {"min": 1, "max": 1}, "role": "client", "codecs": ["json"], "max_frame_bytes": 1_048_576}


# -- the library's client


def by_hand(kind: int, call_id: int, message: dict[str, Any]) -> bytes:
    """A frame as spec/wire.md describes it, with a body in JSON."""
    body = json.dumps(message).encode()
    head = pack(">IBBBBII", len(body), 1, kind, 0, 0, 0, call_id)
    return head + pack(">I", crc32(head, crc32(body))) + body


async def ask(client: ClientConnection, kind: int, call_id: int, message: dict[str, Any]) -> tuple[int, int, Any]:
    """The kind, the call id and the body of what comes back."""
    await client.send(by_hand(kind, call_id, message))
    async with asyncio.timeout(5):
        answer = await client.recv(decode=False)
    assert int.from_bytes(answer[:4], "big") == len(answer) - 20
    assert crc32(answer[:16], crc32(answer[20:])).to_bytes(4, "big") == answer[16:20]
    return answer[5], int.from_bytes(answer[12:16], "big"), json.loads(answer[20:])


async def test_an_independent_client_says_hello_proposes_and_asks_in_json() -> None:
    async with running("n1") as cluster, connect(cluster.address(), subprotocols=[SUBPROTOCOL]) as client:
        await cluster.leader()
        assert client.protocol.extensions == []  # It has offered to compress.
        kind, _, accepted = await ask(client, HELLO, 0, CLIENT)
        assert (kind, accepted["answer"], accepted["codec"], accepted["node_id"]) == (
            HELLO_ANSWER,
            "accepted",
            "json",
            "n1",
        )
        command = base64.b64encode(b"one").decode()
        kind, call_id, response = await ask(client, PROPOSE, 7, {"command": command})
        assert (kind, call_id, base64.b64decode(response["result"])) == (PROPOSE + 1, 7, b"line 1")
        _, _, response = await ask(client, QUERY, 8, {"query": ""})
        assert base64.b64decode(response["result"]) == b"one"
        _, _, status = await ask(client, STATUS, 9, {})
        assert status["role"] == "leader"


async def test_a_ping_of_an_independent_client_is_answered_and_its_goodbye_too() -> None:
    async with running("n1") as cluster:
        async with connect(cluster.address(), subprotocols=[SUBPROTOCOL]) as client:
            await ask(client, HELLO, 0, CLIENT)
            async with asyncio.timeout(5):
                await (await client.ping(b"there?"))
        assert (client.close_code, cluster.closed_by_reason()) == (1000, {})


async def test_a_node_that_stops_tells_its_clients_that_it_is_going_away() -> None:
    async with running("n1") as cluster:
        client = await connect(cluster.address(), subprotocols=[SUBPROTOCOL])
        await ask(client, HELLO, 0, CLIENT)
    async with asyncio.timeout(5):
        await client.wait_closed()
    assert client.close_code == 1001


async def test_frames_in_fragments_are_understood_and_text_is_refused_with_1003() -> None:
    async with running("n1") as cluster, connect(cluster.address(), subprotocols=[SUBPROTOCOL]) as client:
        hello = by_hand(HELLO, 0, CLIENT)
        await client.send([hello[:1], hello[1:20], hello[20:]])
        assert (await client.recv(decode=False))[5] == HELLO_ANSWER
        await client.send("text")
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1003
        assert cluster.closed_by_reason() == {"text_message": 1}


async def test_a_client_of_another_subprotocol_is_refused_with_400_and_counted() -> None:
    async with running("n1") as cluster:
        for subprotocols in (None, [Subprotocol("chat")]):
            with pytest.raises(InvalidStatus) as caught:
                await connect(cluster.address(), subprotocols=subprotocols)
            assert caught.value.response.status_code == 400
        assert cluster.closed_by_reason() == {"bad_upgrade": 2}


async def test_who_is_slow_to_ask_for_websocket_falls_under_the_time_limit_of_the_hello() -> None:
    async with (
        running("n1", link=LinkConfig(handshake_timeout_ms=1_000)) as cluster,
        Stranger.dial(cluster.address().removesuffix("/raft"), upgraded=False) as slow,
        Stranger.dial(cluster.address().removesuffix("/raft"), upgraded=False) as silent,
    ):
        await slow.send(request("/raft")[:-2])
        await silent.send(request("/raft"))
        assert await slow.receive_all() == b""
        assert (await silent.receive_head()).startswith(b"HTTP/1.1 101 ")
        assert await silent.receive_close() == (1000, "")
        assert cluster.closed_by_reason() == {"handshake_timeout": 2}


async def test_strangers_in_the_middle_of_the_handshake_are_bounded_the_oldest_gives_way() -> None:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(running("n1", link=LinkConfig(max_half_open_connections=4)))
        address = cluster.address().removesuffix("/raft")
        strangers = [await stack.enter_async_context(Stranger.dial(address, upgraded=False)) for _ in range(10)]
        assert await strangers[0].receive_all() == b""
        async with connect(cluster.address(), subprotocols=[SUBPROTOCOL]) as client:
            assert (await ask(client, HELLO, 0, CLIENT))[0] == HELLO_ANSWER
        assert cluster.closed_by_reason()["half_open_limit"] >= 6


# -- the library's server


@asynccontextmanager
async def serving(subprotocol: Subprotocol | None) -> AsyncIterator[str]:
    """A server of the library that echoes, in fragments, and pings before it does."""

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            assert isinstance(message, bytes)
            await (await connection.ping(b"there?"))
            await connection.send([message[:10], message[10:]])

    async with serve(
        echo, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], select_subprotocol=lambda _connection, _offered: subprotocol
    ) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_our_dialer_understands_an_independent_server() -> None:
    async with serving(SUBPROTOCOL) as address:
        connection = await WebSocketTransport().connect(address)
        connection.max_frame_bytes = 100_000
        for body in (b"", bytes(200), bytes(90_000)):
            reading = asyncio.create_task(connection.read())
            connection.write([frame(body)])
            async with asyncio.timeout(5):
                assert await reading == [frame(body)]
        await connection.aclose()


async def test_our_dialer_leaves_a_server_that_does_not_take_up_the_subprotocol() -> None:
    async with serving(None) as address:
        with pytest.raises(WireError, match=r"the subprotocol raftsdk\.v1 was not taken up"):
            await WebSocketTransport().connect(address)


# -- clusters


async def _writes_go_on_without_a_leader_that_stops(cluster: Cluster) -> None:
    first = await cluster.leader()
    await asyncio.gather(*(cluster.nodes[first].propose(b"%d" % number) for number in range(200)))
    lines = cluster.machines[first].lines
    assert sorted(lines) == sorted(b"%d" % number for number in range(200))
    await cluster.all_have(lines)
    await cluster.nodes.pop(first).__aexit__(None, None, None)
    second = await cluster.leader()
    assert await cluster.nodes[second].propose(b"more") == b"line 201"
    await cluster.all_have([*lines, b"more"])
    assert [cluster.closed_by_reason(node_id) for node_id in cluster.nodes] == [{}, {}]


async def test_three_nodes_at_ws_commit_writes_before_and_after_one_stops() -> None:
    async with running("n1", "n2", "n3") as cluster:
        await _writes_go_on_without_a_leader_that_stops(cluster)


async def test_three_nodes_at_wss_commit_writes_before_and_after_one_stops(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    authority = Authority(tmp_path_factory.mktemp("authority"))

    def credentials(node_id: str) -> FileCredentials:
        issued = authority.issue(node_id)
        files = str(issued.certificate), str(issued.key), str(authority.certificate)
        return FileCredentials(TlsConfig(certificate=files[0], key=files[1], authorities=files[2]), node_id)

    async with running("n1", "n2", "n3", scheme="wss", credentials=credentials) as cluster:
        await _writes_go_on_without_a_leader_that_stops(cluster)
