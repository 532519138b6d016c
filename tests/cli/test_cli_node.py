"""`raftsdk node` as a process: how it starts, how it stops, and how it says why it cannot."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CONFIG = """
node_id = "n1"
cluster_id = "{cluster}"
state_machine = "key-value"
members = [{{ id = "n1", addresses = ["tcp://127.0.0.1:{port}"] }}]
storage = {{ kind = "{kind}", path = "{path}" }}
"""

FAILING_STORAGE = """
from raftsdk.errors import StorageFailed
from raftsdk.storage.memory import MemoryStorage

class Failing(MemoryStorage):
    async def persist(self, write):
        raise StorageFailed("the disk said no")
"""

TIMEOUT_S = 60


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def write_config(
    folder: Path, port: int, *, kind: str = "sqlite", path: str | None = None, cluster: str = "demo"
) -> Path:
    file = folder / "node.toml"
    file.write_text(
        CONFIG.format(port=port, kind=kind, path=folder / "data" if path is None else path, cluster=cluster)
    )
    return file


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "raftsdk.cli", "node", *arguments]


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environ}
    return subprocess.run(command(*arguments), env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], TIMEOUT_S)
    assert ready, "the node said nothing"
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_says_where_it_listens_and_stops_on_a_signal(tmp_path: Path, port: int, number: signal.Signals) -> None:
    with running("--config", str(write_config(tmp_path, port))) as node:
        assert next_line(node) == f"n1 listening on tcp://127.0.0.1:{port}\n"
        socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S).close()
        node.send_signal(number)
        output, errors = node.communicate(timeout=TIMEOUT_S)
    assert (node.returncode, output) == (0, "n1 stopped\n")
    assert "Traceback" not in errors


def test_with_json_each_line_is_one_object(tmp_path: Path, port: int) -> None:
    with running("--config", str(write_config(tmp_path, port)), "--json") as node:
        assert json.loads(next_line(node)) == {
            "event": "listening",
            "node_id": "n1",
            "cluster_id": "demo",
            "addresses": [f"tcp://127.0.0.1:{port}"],
        }
        node.send_signal(signal.SIGTERM)
        output, _ = node.communicate(timeout=TIMEOUT_S)
    assert json.loads(output) == {"event": "stopped", "node_id": "n1"}


def test_a_node_starts_from_the_environment_alone(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "NODE_ID": "n1",
        "CLUSTER_ID": "demo",
        "STATE_MACHINE": "key-value",
        "MEMBERS": f'[{{ id = "n1", addresses = ["tcp://127.0.0.1:{port}"] }}]',
        "STORAGE__PATH": str(tmp_path / "data"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"RAFTSDK_{name}", value)
    with running("--set", "storage.kind=memory", "--set", "storage.path=") as node:
        assert next_line(node) == f"n1 listening on tcp://127.0.0.1:{port}\n"
    assert not (tmp_path / "data").exists()


def test_a_faulty_configuration_ends_with_2_and_every_fault(tmp_path: Path, port: int) -> None:
    done = run("--config", str(write_config(tmp_path, port, kind="sqlight", cluster="")))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("2 faults in the configuration:\n")
    assert 'did you mean "sqlite"?' in done.stderr
    assert "cluster_id" in done.stderr


def test_an_address_that_only_the_transport_can_judge_ends_with_2(tmp_path: Path, port: int) -> None:
    done = run("--config", str(write_config(tmp_path, port)), "--set", f"listen=tcp://a..b:{port}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'tcp://a..b" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_ends_with_1_and_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("--config", str(write_config(tmp_path, port)))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.lower().startswith(f"cannot listen at tcp://127.0.0.1:{port}: ")
    assert "address already in use" in done.stderr.lower()
    assert done.stderr.endswith("; stop what uses it, or give another address\n")
    assert len(done.stderr.splitlines()) == 1


def test_the_data_of_another_cluster_ends_with_1_and_one_sentence(tmp_path: Path, port: int) -> None:
    with running("--config", str(write_config(tmp_path, port))) as node:
        next_line(node)
        node.send_signal(signal.SIGTERM)
        node.communicate(timeout=TIMEOUT_S)
    done = run("--config", str(write_config(tmp_path, port, cluster="other")))
    assert (done.returncode, done.stdout) == (1, "")
    assert "demo" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_directory_in_use_ends_with_1_and_one_sentence(tmp_path: Path, port: int) -> None:
    file = str(write_config(tmp_path, port))
    with running("--config", file) as node:
        next_line(node)
        done = run("--config", file, "--set", f"listen=unix://{tmp_path}/n1.sock")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_node_whose_storage_fails_stops_with_5_and_says_why(tmp_path: Path, port: int) -> None:
    (tmp_path / "acme_disk.py").write_text(FAILING_STORAGE)
    metadata = tmp_path / "acme_disk-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-disk\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[raftsdk.storage]\nfailing = acme_disk:Failing\n")
    done = run("--config", str(write_config(tmp_path, port, kind="failing", path="")), PYTHONPATH=str(tmp_path))
    assert done.returncode == 5
    assert done.stdout == f"n1 listening on tcp://127.0.0.1:{port}\n"
    assert done.stderr.endswith("the disk said no\n")
    assert "Traceback" not in done.stderr
