"""Who may speak for whom where certificates are shown: nodes, clients, and those who try to be somebody else."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from certificate_files import Authority
from raftsdk_json import JsonCodec
from raftsdk_tcp import TcpTransport
from raw_peer import CLIENT, Handler, RawPeer, append, dialed, greeted, listening, running, until

from raftsdk.client import Client
from raftsdk.config import Clients, LinkConfig, TlsConfig
from raftsdk.errors import NotLeader, OutcomeUnknown, Unreachable
from raftsdk.messages import AppendEntriesResponse, ErrorResponse, ProposeRequest, ProposeResponse, Request, Response
from raftsdk.ports import Connection, Listener
from raftsdk.ports.transport import OnConnection
from raftsdk.testing import certificates
from raftsdk.types import Identity
from raftsdk.wire import peers
from raftsdk.wire.endpoint import Endpoint, certified_names
from raftsdk.wire.link import Link
from raftsdk.wire.rpc import RpcNetwork
from raftsdk.wire.tls import FileCredentials

QUICK: dict[str, Any] = {"reconnect_min_ms": 1, "reconnect_max_ms": 10}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def transport(config: TlsConfig, node_id: str = "") -> TcpTransport:
    return TcpTransport(credentials=FileCredentials(config, node_id))


@asynccontextmanager
async def node(
    config: TlsConfig, handler: Handler | None = None, listen: tuple[str, ...] = ("tcp+tls://127.0.0.1:0",), **more: Any
) -> AsyncIterator[RpcNetwork]:
    """n1, with that certificate."""
    settings = {"listen": listen, "transports": [transport(config, "n1")]} | more
    async with running("n1", handler, **settings) as network:
        yield network


async def connected(network: RpcNetwork) -> None:
    await until(lambda: network.link("n1").connected)


@asynccontextmanager
async def encrypted(network: RpcNetwork, config: TlsConfig | None = None) -> AsyncIterator[RawPeer]:
    """A raw connection that shows a certificate, or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if config is not None:
        context.load_cert_chain(config.certificate, config.key)
    async with dialed(network, context=context) as peer:
        yield peer


def security_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "wrong_identity" in record.getMessage()]


# -- at the listener


async def test_a_peer_that_shows_its_certificate_is_served(authority: Authority) -> None:
    async with node(authority.issue("n1")) as network, encrypted(network, authority.issue("n2")) as peer:
        assert (await peer.say_hello())["answer"] == "accepted"
        peer.send(append(5))
        assert await peer.receive() == (1, AppendEntriesResponse(term=1, success=True, conflict_index=5))


@pytest.mark.parametrize("role", [{}, CLIENT], ids=["peer", "client"])
async def test_a_hello_in_the_name_of_another_is_refused_and_both_names_are_logged(
    authority: Authority, role: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler()
    async with node(authority.issue("n1"), handler) as network, encrypted(network, authority.issue("n3")) as impostor:
        answer = await impostor.say_hello(**role | {"node_id": "n2"})
        impostor.send(append())
        assert (answer["answer"], answer["code"]) == ("refused", "wrong_identity")
        await impostor.ended()
        assert network.closed_by_reason == {"wrong_identity": 1}
        assert handler.received == []
    (line,) = security_lines(caplog)
    assert line.startswith("closed the connection with tcp+tls://127.0.0.1:")
    assert line.endswith("wrong_identity: 'you call yourself n2; your certificate is that of n3'")


async def test_a_certificate_of_a_hundred_names_fits_the_answer_and_the_log(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"{'x' * 60}{number}.example" for number in range(100)]
    async with node(authority.issue("n1")) as network, encrypted(network, authority.issue("many", *names)) as impostor:
        assert (await impostor.say_hello())["code"] == "wrong_identity"
    (line,) = security_lines(caplog)
    assert len(line) < 1024


async def test_our_own_id_is_refused_even_with_its_certificate(authority: Authority) -> None:
    config = authority.issue("n1")
    async with node(config) as network, encrypted(network, config) as twin:
        assert (await twin.say_hello(node_id="n1"))["code"] == "own_id"


async def test_a_client_may_go_without_a_name_and_without_a_certificate_where_anyone_may_but_is_no_peer(
    authority: Authority,
) -> None:
    config = msgspec.structs.replace(authority.issue("n1"), clients=Clients.ANYONE)
    async with node(config) as network:
        async with encrypted(network) as browser:
            assert (await browser.say_hello(**CLIENT))["answer"] == "accepted"
            browser.send(ProposeRequest(command=b"x"))
            assert await browser.receive() == (1, ProposeResponse(index=1, result=b"x"))
        async with encrypted(network) as impostor:
            answer = await impostor.say_hello()
            assert (answer["code"], answer["message"]) == (
                "wrong_identity",
                "you call yourself n2; your certificate is that of nobody",
            )
            await impostor.ended()


async def test_a_client_with_any_certificate_of_the_authority_is_served(authority: Authority) -> None:
    async with node(authority.issue("n1")) as network, encrypted(network, authority.issue("alice")) as client:
        assert (await client.say_hello(**CLIENT))["answer"] == "accepted"


async def test_a_certificate_for_clients_alone_is_no_peers_whatever_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = certificates.Authority(tmp_path)
    own, other = ours.issue("n1"), ours.issue("n2", for_a_client=True)
    trusted = str(ours.certificate)
    n1 = TlsConfig(certificate=str(own.certificate), key=str(own.key), authorities=trusted)
    n2 = TlsConfig(certificate=str(other.certificate), key=str(other.key), authorities=trusted)
    async with node(n1) as network:
        async with encrypted(network, n2) as peer:
            assert (await peer.say_hello())["code"] == "wrong_identity"
        assert network.closed_by_reason == {"wrong_identity": 1}
        async with encrypted(network, n2) as client:
            answer = await client.say_hello(role="client", node_id="")
            assert answer["answer"] == "accepted"
    assert len(security_lines(caplog)) == 1


async def test_a_certificate_of_another_authority_ends_in_the_handshake_and_is_counted(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Authority(tmp_path, "another").issue("n2")
    async with node(authority.issue("n1")) as network:
        async with encrypted(network, stranger) as peer:
            await peer.ended()
        await until(lambda: network.closed_by_reason == {"bad_certificate": 1})
        async with encrypted(network) as peer:
            await peer.ended()
        await until(lambda: network.closed_by_reason == {"bad_certificate": 1, "no_certificate": 1})
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\nHost: raft\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", bytes(64), b"\xff" * 64]
)
async def test_whoever_speaks_no_tls_is_closed_at_once_and_counted(
    authority: Authority, noise: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with node(authority.issue("n1")) as network, dialed(network) as stranger:
        stranger.write(noise)
        await stranger.ended()
        assert network.closed_by_reason == {"bad_tls": 1}
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("start", [b"", bytes.fromhex("16030100c8010000c40303")], ids=["nothing", "half a greeting"])
async def test_a_handshake_that_hangs_has_the_time_limit_of_the_hello(authority: Authority, start: bytes) -> None:
    async with node(authority.issue("n1"), handshake_timeout_ms=100) as network, dialed(network) as stranger:
        stranger.write(start)
        await stranger.ended()
        await until(lambda: network.closed_by_reason == {"handshake_timeout": 1})


async def test_a_hello_that_hangs_behind_the_handshake_has_the_same_limit(authority: Authority) -> None:
    async with (
        node(authority.issue("n1"), handshake_timeout_ms=200) as network,
        encrypted(network, authority.issue("n2")) as stranger,
    ):
        await stranger.ended()
        await until(lambda: network.closed_by_reason == {"handshake_timeout": 1})


async def test_of_too_many_hanging_handshakes_the_oldest_gives_way(authority: Authority) -> None:
    async with node(authority.issue("n1"), max_half_open_connections=3) as network, AsyncExitStack() as stack:
        strangers = [await stack.enter_async_context(dialed(network)) for _ in range(5)]
        await strangers[0].ended()
        await strangers[1].ended()
        assert network.closed_by_reason == {"half_open_limit": 2}
        async with encrypted(network, authority.issue("n2")) as peer:
            assert (await peer.say_hello())["answer"] == "accepted"


# -- at the dialer


@asynccontextmanager
async def link_to(address: str, config: TlsConfig, target: str) -> AsyncIterator[Link]:
    endpoint = Endpoint(
        identity=Identity(cluster_id="", node_id=""),
        codecs=[JsonCodec()],
        transports=[transport(config)],
        config=LinkConfig(**QUICK),
    )
    link = Link(endpoint, role="client", addresses=[address], target=target)
    link.open()
    try:
        yield link
    finally:
        await link.aclose()


@pytest.mark.parametrize("target", ["n1", ""], ids=["that asks for n1", "that asks for anyone"])
async def test_a_dialer_is_served_by_a_node_with_its_certificate(authority: Authority, target: str) -> None:
    async with (
        node(authority.issue("n1")) as network,
        link_to(network.listening[0], authority.issue("alice"), target) as link,
    ):
        assert await link.call(ProposeRequest(command=b"x")) == ProposeResponse(index=1, result=b"x")


@pytest.mark.parametrize("target", ["n1", ""], ids=["that asks for n1", "that asks for anyone"])
async def test_a_dialer_refuses_a_node_with_the_certificate_of_another(
    authority: Authority, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    """n1's machine was given n2's certificate; its own check, which would have said so, is left out here."""
    listening_as_n1: dict[str, Any] = {
        "listen": ("tcp+tls://127.0.0.1:0",),
        "transports": [transport(authority.issue("n2"))],
    }
    handler = Handler()
    async with (
        running("n1", handler, **listening_as_n1) as network,
        link_to(network.listening[0], authority.issue("alice"), target) as link,
    ):
        with pytest.raises(Unreachable, match="n1 is expected, and the certificate is that of n2"):
            await link.call(ProposeRequest(command=b"x"))
        assert handler.received == []
    assert "wrong_identity" in caplog.text


async def test_a_dialer_says_nothing_to_a_node_whose_certificate_is_not_that_of_its_target(
    authority: Authority,
) -> None:
    received: list[list[bytes]] = []

    async def keep(connection: Connection) -> None:
        received.append(await connection.read())

    listener = await transport(authority.issue("n2")).listen("tcp+tls://127.0.0.1:0", keep)
    async with link_to(listener.address, authority.issue("alice"), "n1") as link:
        with pytest.raises(Unreachable, match="n1 is expected"):
            await link.call(ProposeRequest(command=b"x"))
        await until(lambda: received)
    await listener.aclose()
    assert received[0] == []


async def test_a_dialer_of_another_authority_says_why_it_cannot_connect_and_counts_it(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Authority(tmp_path, "another").issue("n2")
    async with node(authority.issue("n1")) as network:
        more: dict[str, Any] = {"addresses": {"n1": network.listening}, "transports": [transport(stranger, "n2")]}
        async with running("n2", **more, **QUICK) as other:
            await until(lambda: other.closed_by_reason["bad_certificate"] > 1)
            assert not other.link("n1").connected
    told = [record for record in caplog.records if record.getMessage().startswith("no connection to n1")]
    assert {record.levelno for record in told} == {logging.WARNING}
    assert "the certificate it shows is refused: " in told[0].getMessage()


# -- who is connected with a certificate


async def test_nobody_speaks_without_a_certificate_for_a_peer_that_is_connected_with_one(
    authority: Authority,
) -> None:
    listen = ("tcp+tls://127.0.0.1:0", "tcp://127.0.0.1:0")
    async with (
        node(authority.issue("n1"), listen=listen) as network,
        encrypted(network, authority.issue("n2")) as peer,
    ):
        assert (await peer.say_hello())["answer"] == "accepted"
        async with dialed(network, place=1) as impostor:
            answer = await impostor.say_hello()
            assert (answer["code"], answer["message"]) == (
                "wrong_identity",
                "n2 is connected with a certificate, and you show none",
            )
            await impostor.ended()
        peer.send(append())
        await peer.receive()
        async with greeted(network, place=1, node_id="n3"), greeted(network, place=1, **CLIENT):
            assert network.closed_by_reason == {"wrong_identity": 1}


async def test_a_peer_may_go_over_to_an_address_without_certificates_once_its_old_connections_have_ended(
    authority: Authority,
) -> None:
    listen = ("tcp+tls://127.0.0.1:0", "tcp://127.0.0.1:0")
    async with node(authority.issue("n1"), listen=listen) as network:
        async with encrypted(network, authority.issue("n2")) as peer:
            await peer.say_hello()
        with_plain_only: dict[str, Any] = {"addresses": {"n1": network.listening[1:]}, **QUICK}
        async with running("n2", **with_plain_only) as other:
            await until(lambda: other.link("n1").connected)


def test_a_transport_that_knows_nothing_of_names_authenticates_nobody() -> None:
    class Bare:
        remote = "bare://"

    assert certified_names(Bare()) is None  # type: ignore[arg-type]


# -- several addresses


async def test_one_node_listens_at_tcp_and_unix_and_tls_at_once_and_all_three_work(
    authority: Authority, tmp_path: Path
) -> None:
    everywhere = ("tcp://127.0.0.1:0", f"unix://{tmp_path}/n1.sock", "tcp+tls://127.0.0.1:0")
    handler = Handler()
    async with node(authority.issue("n1"), handler, listen=everywhere) as network:
        config = authority.issue("n2")
        for number, address in enumerate(network.listening):
            more: dict[str, Any] = {"addresses": {"n1": [address]}, "transports": [transport(config, "n2")]}
            async with running("n2", **more) as other:
                await connected(other)
                assert await other.append_entries("n1", append(number, leader_id="n2")) == (
                    AppendEntriesResponse(term=1, success=True, conflict_index=number)
                )
                assert other.link("n1").transport == address.partition("://")[0]
        assert len(handler.received) == 3


async def test_a_client_with_encrypted_addresses_only_is_not_sent_to_another_kind(authority: Authority) -> None:
    class Follower(Handler):
        def response(self, request: Request) -> Response:
            return ErrorResponse(code="not_leader", leader_id="n2", leader_addresses=[plain.address])

    async with listening() as plain, node(authority.issue("n1"), Follower()) as network:
        client = Client(
            network.listening, codecs=[JsonCodec()], transports=[transport(authority.issue("alice"))], timeout_ms=300
        )
        async with client:
            with pytest.raises((NotLeader, OutcomeUnknown)):  # the time may end in the middle of an attempt
                await client.propose(b"x")
        assert plain.arrived.empty()


class Pretending:
    """A transport that says it listens, and does not."""

    schemes = ("tcp", "tcp+tls", "ws", "unix", "memory")

    def __init__(self) -> None:
        self.address = ""

    async def connect(self, address: str) -> Connection:
        raise Unreachable(address)

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        self.address = address
        return self

    async def aclose(self) -> None: ...


@pytest.mark.parametrize(
    ("address", "warned_of"),
    [
        ("tcp://10.0.0.1:7001", True),
        ("tcp://[::]:7001", True),
        ("ws://node-1.example:7001", True),
        ("tcp+tls://10.0.0.1:7001", False),
        ("tcp://127.0.0.2:7001", False),
        ("tcp://[::1]:7001", False),
        ("tcp://localhost:7001", False),
        ("unix:///run/n1.sock", False),
        ("memory://n1", False),
    ],
)
async def test_an_address_that_other_machines_reach_without_certificates_is_warned_of(
    address: str, warned_of: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with running("n1", listen=[address], transports=[Pretending()]):
        assert (f"{address} is open to other machines" in caplog.text) == warned_of


# -- credentials besides


async def test_credentials_are_asked_now_and_then_even_where_nobody_comes(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "CREDENTIALS_INTERVAL_S", 0.01)
    asked = []

    class Asked(FileCredentials):
        def server_context(self) -> ssl.SSLContext:
            asked.append(True)
            return super().server_context()

    async with running("n1", credentials=Asked(authority.issue("n1"), "n1")):
        await until(lambda: len(asked) > 3)
    until_now = len(asked)
    await asyncio.sleep(0.05)
    assert len(asked) == until_now
