"""The examples do what they say, run as a reader runs them."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT_S = 60


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_counter_counts_and_all_nodes_agree(tmp_path: Path) -> None:
    assert run(EXAMPLES / "counter.py", folder=tmp_path).splitlines() == [
        "the counter is 5",
        "the counter is 3",
        "the counter is 42",
        "n1 says 42",
        "n2 says 42",
        "n3 says 42",
    ]


def test_words_are_counted_by_the_groups_they_belong_to(tmp_path: Path) -> None:
    assert run(EXAMPLES / "shards.py", folder=tmp_path).splitlines() == [
        "the: 4",
        "cat: 2",
        "and: 1",
        "3 nodes, 3 groups with a word in them",
    ]


def test_a_network_of_ones_own_carries_a_cluster(tmp_path: Path) -> None:
    assert run(EXAMPLES / "bring_your_own" / "three_nodes.py", folder=tmp_path).splitlines() == [
        *(f"line {number} is on a majority of the nodes" for number in (1, 2, 3)),
        *("one", "two", "three"),
    ]


def test_three_nodes_from_three_files_serve_keys_and_values(tmp_path: Path) -> None:
    ports = free_ports(3)
    names = ("n1", "n2", "n3")
    for name in names:
        text = (EXAMPLES / "key_value" / f"{name}.toml").read_text()
        moved = re.sub(r"127\.0\.0\.1:700([123])", lambda found: f"127.0.0.1:{ports[int(found[1]) - 1]}", text)
        (tmp_path / f"{name}.toml").write_text(moved)
    addresses = [f"tcp://127.0.0.1:{port}" for port in ports]
    with ExitStack() as stack:
        nodes = {name: stack.enter_context(node(tmp_path, name)) for name in names}
        raftsdk = ("-m", "raftsdk.cli")
        run(*raftsdk, "kv", "put", "greeting", "hello", "--at", addresses[0], folder=tmp_path)
        assert run(*raftsdk, "kv", "get", "greeting", "--at", addresses[2], folder=tmp_path) == "hello"
        answers = json.loads(run(*raftsdk, "status", *addresses, "--json", folder=tmp_path))
        leader = next(answer["node_id"] for answer in answers if answer["role"] == "leader")
        nodes[leader].kill()
        nodes[leader].wait(TIMEOUT_S)
        at = [
            part for name, address in zip(names, addresses, strict=True) if name != leader for part in ("--at", address)
        ]
        run(*raftsdk, "kv", "put", "farewell", "bye", *at, folder=tmp_path)
        assert run(*raftsdk, "kv", "list", *at, folder=tmp_path) == "farewell\ngreeting\n"
    assert {path.name for path in (tmp_path / "data").iterdir()} == {*names}


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


@contextmanager
def node(folder: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """`raftsdk node --config NAME.toml`, once it listens."""
    command = [sys.executable, "-m", "raftsdk.cli", "node", "--config", f"{name}.toml"]
    with (
        (folder / f"{name}.log").open("w") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, text=True) as process,
    ):
        try:
            until = time.monotonic() + TIMEOUT_S
            while f"{name} listening on" not in (folder / f"{name}.log").read_text():
                assert process.poll() is None, (folder / f"{name}.log").read_text()
                assert time.monotonic() < until
                time.sleep(0.05)
            yield process
        finally:
            process.kill()
