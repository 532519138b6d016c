"""The table [tls], and what a node is told about certificates before its cluster has to."""

import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from raftsdk import plugins
from raftsdk.builder import NodeBuilder
from raftsdk.config import TRANSPORTS, Clients, NodeConfig, TlsConfig, node_config
from raftsdk.errors import ConfigError
from raftsdk.ports import Credentials

PLAIN, ENCRYPTED = "tcp://127.0.0.1:7001", "tcp+tls://127.0.0.1:7002"
FILES: dict[str, Any] = {"certificate": "n1.pem", "key": "n1.key", "authorities": "ca.pem"}

Install = Callable[..., None]


def settings(*addresses: str, **more: Any) -> dict[str, Any]:
    return {
        "node_id": "n1",
        "cluster_id": "demo",
        "members": [{"id": "n1", "addresses": list(addresses or [ENCRYPTED])}],
        "state_machine": "key-value",
        "storage": {"kind": "memory"},
    } | more


def faults_of(action: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        action()
    return list(caught.value.faults)


def issue(folder: Path, *names: str) -> dict[str, Any]:
    authority = trustme.CA()
    issued = authority.issue_cert(*names)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "n1.pem"))
    issued.private_key_pem.write_to_path(str(folder / "n1.key"))
    return {setting: str(folder / file) for setting, file in FILES.items()}


# -- the table


def test_without_addresses_that_ask_for_it_no_table_is_needed() -> None:
    assert node_config(settings(PLAIN)).tls == TlsConfig()


def test_a_table_says_which_files_who_may_ask_and_when_to_warn() -> None:
    config = node_config(settings(tls=FILES | {"clients": "anyone", "expiry_warning_days": 30}))
    assert config.tls == TlsConfig(**FILES, clients=Clients.ANYONE, expiry_warning_days=30)
    assert node_config(settings(tls=FILES)).tls.clients is Clients.CERTIFICATE


def test_the_environment_may_name_the_files() -> None:
    environ = {f"RAFTSDK_TLS__{setting.upper()}": file for setting, file in FILES.items()}
    assert node_config(settings(), environ=environ).tls == TlsConfig(**FILES)


@pytest.mark.parametrize("scheme", ["tcp+tls", "wss"])
@pytest.mark.parametrize("place", ["members[1].addresses[1]", "listen[1]"])
def test_an_address_that_asks_for_tls_needs_the_table(scheme: str, place: str) -> None:
    encrypted = f"{scheme}://127.0.0.1:7002"
    data = settings(PLAIN)
    if place == "listen[1]":
        data["listen"] = [PLAIN, encrypted]
    else:
        data["members"].append({"id": "n2", "addresses": ["tcp://127.0.0.1:7003", encrypted]})
    assert faults_of(lambda: node_config(data)) == [
        f"tls.certificate is missing, and {place} asks for TLS: "
        "give a table [tls] with certificate, key and authorities"
    ]


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        (["certificate", "authorities"], ["tls.key is missing: give the file of the certificate's private key"]),
        (
            ["key", "authorities"],
            ["tls.certificate is missing: give the file of the certificate that the key belongs to"],
        ),
        (
            ["certificate", "key"],
            ["tls.authorities is missing: give the file of the certificates that vouch for the other nodes"],
        ),
        (
            ["certificate"],
            [
                "tls.key is missing: give the file of the certificate's private key",
                "tls.authorities is missing: give the file of the certificates that vouch for the other nodes",
            ],
        ),
        (
            ["authorities"],
            [
                "tls.certificate is missing, and members[0].addresses[0] asks for TLS: "
                "give a table [tls] with certificate, key and authorities"
            ],
        ),
    ],
)
def test_half_a_table_is_refused_with_what_is_missing(given: list[str], faults: list[str]) -> None:
    assert faults_of(lambda: node_config(settings(tls={name: FILES[name] for name in given}))) == faults


@pytest.mark.parametrize(
    ("tls", "fault"),
    [
        ({"clients": "nobody"}, 'tls.clients is "nobody": give one of "certificate", "anyone"'),
        ({"expiry_warning_days": 0}, "tls.expiry_warning_days is 0: give a whole number from 1 to 2147483647"),
        ({"certificates": "x"}, 'tls.certificates is no setting; did you mean "certificate"?'),
    ],
)
def test_nonsense_in_the_table_is_refused(tls: dict[str, Any], fault: str) -> None:
    assert fault in faults_of(lambda: node_config(settings(tls=FILES | tls)))


@pytest.mark.parametrize("address", ["tcp+tls://", "tcp+tls://127.0.0.1", "tcp+tls://127.0.0.1:0", "tcp+tls://h:x"])
def test_an_address_with_tls_needs_a_host_and_a_port(address: str) -> None:
    (fault,) = faults_of(lambda: node_config(settings(address, tls=FILES)))
    assert fault.startswith(f'members[0].addresses[0] is "{address}": give ')


# -- the builder


def builder(config: NodeConfig) -> NodeBuilder:
    return NodeBuilder.from_config(config)


def test_a_node_with_its_certificate_is_sound(tmp_path: Path) -> None:
    builder(node_config(settings(tls=issue(tmp_path, "n1")))).check()


def test_files_that_are_not_there_are_found_before_the_node_starts(tmp_path: Path) -> None:
    files = issue(tmp_path, "n1") | {"key": "/no/such/key"}
    assert faults_of(builder(node_config(settings(tls=files))).check) == [
        "tls.key: cannot read /no/such/key: No such file or directory; give the path of a file in PEM"
    ]


def test_the_certificate_of_another_node_is_found_before_the_cluster_finds_it(tmp_path: Path) -> None:
    assert faults_of(builder(node_config(settings(tls=issue(tmp_path, "n2")))).build) == [
        f"tls.certificate: {tmp_path}/n1.pem is a certificate of n2, and this node is n1: "
        "give one that has the node's id among its DNS names"
    ]


def test_certificates_are_looked_at_even_where_no_address_asks_for_them(tmp_path: Path) -> None:
    assert len(faults_of(builder(node_config(settings(PLAIN, tls=issue(tmp_path, "n2")))).check)) == 1


class Vault:
    """Credentials that are no files."""

    def server_context(self) -> ssl.SSLContext:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def client_context(self) -> ssl.SSLContext:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def in_parts(address: str = ENCRYPTED) -> NodeBuilder:
    return NodeBuilder("n1").cluster("demo").member("n1", address).storage("memory").state_machine("key-value")


def test_credentials_of_ones_own_need_no_files() -> None:
    in_parts().credentials(Vault()).check()


def test_either_files_or_credentials_are_given(tmp_path: Path) -> None:
    both = in_parts().credentials(Vault()).tls_config(TlsConfig(**issue(tmp_path, "n1")))
    assert faults_of(both.check) == ["there are certificates in files and credentials besides: leave out either"]


def test_credentials_that_lack_a_method_are_refused_by_name() -> None:
    class HalfAVault:
        server_context = Vault.server_context

    incomplete: Any = HalfAVault()
    assert faults_of(in_parts().credentials(incomplete).check) == [
        "HalfAVault is no Credentials: it lacks client_context"
    ]


def test_a_builder_without_either_is_told_what_to_give() -> None:
    assert faults_of(in_parts().check) == [
        "tls.certificate is missing, and members[0].addresses[0] asks for TLS: "
        "give a table [tls] with certificate, key and authorities"
    ]


# -- plug-ins

TRANSPORT = """
class Transport:
    schemes = ("{name}",)
    def __init__(self{parameters}):
        self.given = {given}
    async def connect(self, address): ...
    async def listen(self, address, on_connection): ...
"""


@pytest.mark.parametrize(
    ("parameters", "given", "is_given"),
    [(", *, credentials=None", "credentials", True), ("", "None", False)],
    ids=["that encrypts", "that does not"],
)
def test_a_transport_is_given_credentials_if_it_takes_them(
    install: Install, parameters: str, given: str, is_given: bool
) -> None:
    sys.modules.pop("acme_radio", None)
    code = TRANSPORT.format(name="radio", parameters=parameters, given=given)
    install("acme-radio", TRANSPORTS, {"radio": "Transport"}, module="acme_radio", code=code)
    vault: Credentials = Vault()
    assert (plugins.make(TRANSPORTS, "radio", credentials=vault).given is vault) == is_given
    assert plugins.make(TRANSPORTS, "radio").given is None
    in_parts("radio://n1").credentials(vault).check()


def test_a_transport_written_in_another_language_is_made_without(
    install: Install,
) -> None:
    """`inspect.signature` raises on classes such as `type`."""
    install("acme-foreign", TRANSPORTS, {"foreign": "Foreign"}, module="acme_foreign", code="Foreign = type('x').mro")
    assert plugins.make(TRANSPORTS, "foreign", credentials=Vault()) is not None
