"""Commands and nodes with certificates."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import trustme
import typer
from typer.testing import CliRunner

from raftsdk.cli import main
from raftsdk.cli.cluster import open_client, takes_tls
from raftsdk.client import Client
from raftsdk.errors import ConfigError
from raftsdk.runtime import event_loop

TIMEOUT_S = 60

CONFIG = """
node_id = "n1"
cluster_id = "c"
state_machine = "key-value"
members = [{{ id = "n1", addresses = ["{address}"] }}]
storage = {{ kind = "memory" }}

[tls]
certificate = "{folder}/n1.pem"
key = "{folder}/n1.key"
authorities = "{folder}/ca.pem"
"""

Said: TypeAlias = tuple[int, str, str]
Raftsdk: TypeAlias = Callable[..., Said]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of n1 and of alice, and of somebody whom another authority vouches for."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, another = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, issuer in (("n1", authority), ("alice", authority), ("mallory", another)):
        issued = issuer.issue_cert(name)
        issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
    return folder


@contextmanager
def node(folder: Path, config: str) -> Iterator[subprocess.Popen[str]]:
    (folder / "n1.toml").write_text(config)
    command = [sys.executable, "-m", "raftsdk.cli", "node", "--json", "--config", str(folder / "n1.toml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Where a node listens that shows its certificate, and wants to see one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp+tls://127.0.0.1:{server.getsockname()[1]}"
    with node(folder, CONFIG.format(address=address, folder=folder)) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["addresses"] == [address]
        yield address


@pytest.fixture
def raftsdk(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Raftsdk:
    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["raftsdk", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capfd.readouterr()
        return int(exited.value.code or 0), said.out, said.err

    return run


def be(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"CERTIFICATE": f"{name}.pem", "KEY": f"{name}.key", "AUTHORITIES": "ca.pem"}
    for setting, file in files.items():
        monkeypatch.setenv(f"RAFTSDK_TLS__{setting}", str(folder / file))


def test_a_command_finds_its_certificate_in_the_environment(
    raftsdk: Raftsdk, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be("alice", folder, monkeypatch)
    assert raftsdk("kv", "put", "k", "v", "--at", address) == (0, "put k: 1 bytes\n", "")
    assert raftsdk("kv", "get", "k", "--at", address) == (0, "v", "")
    code, out, _ = raftsdk("status", address, "--json")
    assert (code, json.loads(out)[0]["role"]) == (0, "leader")


def test_a_certificate_of_another_authority_is_refused_and_the_command_says_so(
    raftsdk: Raftsdk, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be("mallory", folder, monkeypatch)
    code, _, complaint = raftsdk("status", address, "--timeout-ms", "500")
    assert code == 3
    assert "it refuses our certificate or our TLS: tlsv1 alert unknown ca" in complaint
    assert "Traceback" not in complaint


def test_a_command_without_certificates_is_told_what_to_give(raftsdk: Raftsdk, address: str) -> None:
    code, _, complaint = raftsdk("kv", "get", "k", "--at", address)
    assert code == 2
    assert f"{address} asks for TLS: give --tls-authorities, and --tls-certificate and --tls-key unless" in complaint


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("RAFTSDK_TLS__AUTHORITIES", "/no/such", "tls.authorities: cannot read /no/such: No such file or directory"),
        ("RAFTSDK_TLS__KEY", "", "key is missing: give the file of the certificate's private key"),
    ],
)
def test_files_that_will_not_do_are_a_fault_of_usage(
    raftsdk: Raftsdk, folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, fault: str
) -> None:
    be("alice", folder, monkeypatch)
    monkeypatch.setenv(variable, value)
    code, _, complaint = raftsdk("status", "tcp+tls://127.0.0.1:1")
    assert (code, fault in complaint) == (2, True), complaint


def test_a_node_whose_certificate_is_not_its_own_does_not_start(folder: Path, tmp_path: Path) -> None:
    config = CONFIG.format(address="tcp+tls://127.0.0.1:1", folder=folder).replace("n1.pem", "alice.pem")
    with node(tmp_path, config.replace("n1.key", "alice.key")) as process:
        _, complaint = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2
    assert f"tls.certificate: {folder}/alice.pem is a certificate of alice, and this node is n1" in complaint
    assert "Traceback" not in complaint


# -- options


def asking(address: str) -> typer.Typer:
    """A command with options for TLS, as `raftsdk status` and `raftsdk kv` are some."""
    app = typer.Typer()

    @app.command()
    @takes_tls
    def term() -> None:
        """Say which term it is."""

        async def ask() -> int:
            async with open_client([address], 5_000) as client:
                return (await client.status()).term

        typer.echo(event_loop.run(ask()))

    return app


def options(name: str, folder: Path) -> list[str]:
    files = {"certificate": f"{name}.pem", "key": f"{name}.key", "authorities": "ca.pem"}
    return [part for setting, file in files.items() for part in (f"--tls-{setting}", str(folder / file))]


def test_options_name_the_files_and_win_over_the_environment(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be("mallory", folder, monkeypatch)
    done = CliRunner().invoke(asking(address), options("alice", folder))
    assert (done.exit_code, done.output) == (0, "1\n")


def test_options_hold_for_one_command_and_not_for_the_next(address: str, folder: Path) -> None:
    assert CliRunner().invoke(asking(address), options("alice", folder)).exit_code == 0
    assert isinstance(CliRunner().invoke(asking(address), []).exception, ConfigError)


def test_the_options_stand_in_the_help_of_the_command(address: str) -> None:
    said = CliRunner().invoke(asking(address), ["--help"]).output
    assert "Say which term it is." in said
    assert [name for name in ("certificate", "key", "authorities") if f"--tls-{name}" not in said] == []


def test_one_transport_serves_all_the_schemes_it_knows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    be("alice", folder, monkeypatch)

    async def opened() -> Client:
        return open_client(["tcp://127.0.0.1:1", "unix:///no/such", "tcp+tls://127.0.0.1:2"], 100)

    assert isinstance(event_loop.run(opened()), Client)
