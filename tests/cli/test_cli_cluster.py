"""The commands that speak to a cluster of real processes: `demo`, as a process, too; `status` and `kv`, in this one."""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import TypeAlias

import pytest

from raftsdk.cli import main
from raftsdk.testing.processes import LocalCluster

TIMEOUT_S = 90


Done: TypeAlias = subprocess.CompletedProcess[bytes]
Run: TypeAlias = Callable[..., Done]


@pytest.fixture
def raftsdk(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line with these arguments, and `stdin`, up to its exit."""

    def run(*arguments: str | bytes, stdin: bytes = b"") -> Done:
        argv = ["raftsdk", *map(os.fsdecode, arguments)]
        monkeypatch.setattr(sys, "argv", argv)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exited:
            main()
        said = capfdbinary.readouterr()
        return Done(argv, int(exited.value.code or 0), said.out, said.err)

    return run


def demo(*arguments: str) -> Done:
    command = [sys.executable, "-m", "raftsdk.cli", "demo", *arguments]
    return subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)


def complaint(done: Done, code: int) -> str:
    """What a command that ended with `code` said, without a traceback."""
    said = done.stderr.decode()
    assert (done.returncode, "Traceback" in said) == (code, False), said
    return " ".join(said.replace("│", " ").split())


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder to replicate: nested, with an empty file, bytes that are no text, and a name with a space."""
    folder = tmp_path / "input"
    (folder / "deeper" / "still").mkdir(parents=True)
    (folder / "empty").touch()
    (folder / "deeper" / "no text").write_bytes(bytes(range(256)) * 16)
    for number in range(60):
        (folder / "deeper" / "still" / f"{number}.txt").write_bytes(b"%d\n" % number * 500)
    return folder


# -- demo


@pytest.mark.parametrize(
    ("codec", "transport", "storage"),
    [
        ("json", "tcp", "sqlite"),
        ("msgpack", "unix", "memory"),
        ("protobuf", "ws", "sqlite"),
        ("capnp", "tcp+tls", "sqlite"),
        ("flatbuffers", "wss", "memory"),
    ],
)
def test_the_demo_loses_nothing_when_its_leader_is_killed(
    files: Path, codec: str, transport: str, storage: str
) -> None:
    done = demo("--json", "--input", str(files), "--codec", codec, "--transport", transport, "--storage", storage)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report.pop("failover_ms") > 0
    assert report.pop("elapsed_s") > 0
    links = report.pop("links")
    assert {(link["source"], link["target"]) for link in links} == set(permutations(["n1", "n2", "n3"], 2))
    assert {(link["codec"], link["transport"]) for link in links} == {(codec, transport)}
    assert report.pop("snapshot_index") == 0
    assert report == {
        "files": 62,
        "bytes": sum(path.stat().st_size for path in files.rglob("*") if path.is_file()),
        "acknowledged": 62,
        "lost": 0,
        "digests_equal": True,
        "nodes": 3,
        "codec": codec,
        "transport": transport,
        "storage": storage,
        "members": ["n1", "n2", "n3"],
    }


def test_the_demo_grows_by_two_nodes_and_loses_two_others_and_everybody_has_a_snapshot(files: Path) -> None:
    done = demo("--json", "--input", str(files), "--grow", "--snapshot-every", "20")
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert (report["acknowledged"], report["lost"], report["digests_equal"]) == (62, 0, True)
    assert report["failover_ms"] > 0
    assert len(report["members"]) == 3
    assert set(report["members"]) & {"n4", "n5"}
    assert report["snapshot_index"] >= 20


def test_a_mixed_demo_has_a_codec_for_every_two_nodes_and_a_transport_for_every_node(files: Path) -> None:
    done = demo("--json", "--input", str(files), "--mix")
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert (report["lost"], report["digests_equal"], report["codec"]) == (0, True, "mixed")
    transports = {link["target"]: link["transport"] for link in report["links"]}
    assert transports == {"n1": "tcp", "n2": "ws", "n3": "unix"}
    codecs = {frozenset((link["source"], link["target"])): link["codec"] for link in report["links"]}
    assert len(report["links"]) == 6
    assert sorted(codecs.values()) == ["flatbuffers", "json", "msgpack"]


def test_a_demo_in_memory_alone_is_refused() -> None:
    done = demo("--transport", "memory")
    assert (done.returncode, b"name another transport" in done.stderr) == (2, True)


def test_the_demo_prints_a_table_and_may_leave_its_leader_alone(files: Path) -> None:
    done = demo("--input", str(files), "--nodes", "1", "--no-kill-leader", "--transport", "unix")
    assert done.returncode == 0, done.stderr.decode()
    rows = dict(line.split(maxsplit=1) for line in done.stdout.decode().splitlines() if line.strip())
    assert {name: text.strip() for name, text in rows.items()}.items() >= {
        ("files", "62"),
        ("acknowledged", "62"),
        ("lost", "0"),
        ("failover_ms", "None"),
        ("digests_equal", "True"),
        ("transport", "unix"),
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_told_to_end_leaves_no_process_and_no_file_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "raftsdk.cli", "demo", "--json"]
    with subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        pids = pids_of_nodes(tmp_path, 3)
        process.send_signal(number)
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, output) == (130, b"")
    assert [pid for pid in pids if is_running(pid)] == []
    assert list(tmp_path.iterdir()) == []


def pids_of_nodes(folder: Path, count: int) -> list[int]:
    """Their ids, which each writes into its data directory's lock."""
    for _ in range(TIMEOUT_S * 20):
        written = [lock.read_text() for lock in folder.glob("*/n*/data/lock")]
        if len(written) == count and all(written):
            return [int(text) for text in written]
        time.sleep(0.05)
    raise AssertionError(f"there are not {count} nodes")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_nodes_that_never_come_to_hold_everything_end_the_demo_with_1_and_one_sentence(
    raftsdk: Run, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftsdk.cli.demo.SETTLE_TIMEOUT_S", 0)
    done = raftsdk("demo", "--input", str(files), "--nodes", "1", "--no-kill-leader", "--transport", "unix")
    assert complaint(done, 1).endswith("not every node had applied everything after 0 s")


def test_two_nodes_cannot_lose_one(raftsdk: Run) -> None:
    said = complaint(raftsdk("demo", "--nodes", "2", "--kill-leader"), 2)
    assert "2 nodes cannot lose one and go on" in said


@pytest.mark.parametrize(
    ("option", "wrong", "right"),
    [("--codec", "msgpak", "msgpack"), ("--transport", "tpc", "tcp"), ("--storage", "sqlight", "sqlite")],
)
def test_an_unknown_name_ends_the_demo_with_2_and_the_nearest_one(
    raftsdk: Run, option: str, wrong: str, right: str
) -> None:
    said = complaint(raftsdk("demo", option, wrong), 2)
    assert f'did you mean "{right}"?' in said


def test_an_input_that_cannot_be_replicated_is_told_before_anything_starts(raftsdk: Run, tmp_path: Path) -> None:
    assert "does not exist" in complaint(raftsdk("demo", "--input", str(tmp_path / "none")), 2)
    (tmp_path / "empty").mkdir()
    assert "no files below" in complaint(raftsdk("demo", "--input", str(tmp_path / "empty")), 1)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(5 * 1024 * 1024)
    assert "the most one command can carry" in complaint(raftsdk("demo", "--input", str(tmp_path)), 1)
    (tmp_path / "empty" / os.fsdecode(b"\xff")).touch()
    assert "no UTF-8 text" in complaint(raftsdk("demo", "--input", str(tmp_path / "empty")), 1)


# -- status and kv, against one cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Three processes, in memory; this module writes to them, each test under keys of its own."""
    with asyncio.Runner() as runner:
        made = LocalCluster(tmp_path_factory.mktemp("cluster"), storage="memory")
        runner.run(made.__aenter__())
        try:
            yield made
        finally:
            runner.run(made.__aexit__(None, None, None))


@pytest.fixture
def nobody() -> str:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_a_value_is_put_got_and_listed(raftsdk: Run, cluster: LocalCluster) -> None:
    at = ("--at", cluster.addresses[0])
    assert raftsdk("kv", "put", "text/a", "one", *at).stdout == b"put text/a: 3 bytes\n"
    assert raftsdk("kv", "put", "text/a", "three", *at).stdout == b"replaced text/a: 5 bytes\n"
    assert raftsdk("kv", "put", "text/b", "", *at).stdout == b"put text/b: 0 bytes\n"
    assert raftsdk("kv", "get", "text/a", *at).stdout == b"three"
    assert raftsdk("kv", "get", "text/b", *at).stdout == b""
    assert raftsdk("kv", "list", "text/", *at).stdout == b"text/a\ntext/b\n"
    assert raftsdk("kv", "list", "none/", *at).stdout == b""


def test_with_json_every_answer_is_one_object(raftsdk: Run, cluster: LocalCluster) -> None:
    at = ("--at", cluster.addresses[1], "--json")
    put = json.loads(raftsdk("kv", "put", "json/a", "one", *at).stdout)
    assert put == {"key": "json/a", "bytes": 3, "replaced": False}
    got = json.loads(raftsdk("kv", "get", "json/a", *at).stdout)
    assert (got["key"], b64decode(got["value"])) == ("json/a", b"one")
    assert json.loads(raftsdk("kv", "list", "json/", *at).stdout) == {"keys": ["json/a"]}


def test_a_value_may_be_any_bytes_from_a_file_from_stdin_or_typed(
    raftsdk: Run, cluster: LocalCluster, tmp_path: Path
) -> None:
    at, content = ("--at", cluster.addresses[2]), bytes(range(256)) * 40
    (tmp_path / "value").write_bytes(content)
    assert raftsdk("kv", "put", "bytes/file", "--file", str(tmp_path / "value"), *at).returncode == 0
    assert raftsdk("kv", "put", "bytes/stdin", "--file", "-", *at, stdin=content).returncode == 0
    assert raftsdk("kv", "put", "bytes/typed", b"\xff\xfe", *at).returncode == 0
    got = [raftsdk("kv", "get", f"bytes/{name}", *at).stdout for name in ("file", "stdin", "typed")]
    assert got == [content, content, b"\xff\xfe"]


def test_local_reads_ask_one_node_alone(raftsdk: Run, cluster: LocalCluster) -> None:
    raftsdk("kv", "put", "local/a", "one", "--at", cluster.addresses[0])
    for address in cluster.addresses:
        local = ("--consistency", "local", "--at", address)
        for _ in range(100):  # it may lag behind the others
            if raftsdk("kv", "list", "local/", *local).stdout == b"local/a\n":
                break
        assert raftsdk("kv", "get", "local/a", *local).stdout == b"one"


def test_a_key_that_is_not_there_ends_with_1(raftsdk: Run, cluster: LocalCluster) -> None:
    at = ("--at", cluster.addresses[0])
    done = raftsdk("kv", "get", "never/put", *at)
    assert (complaint(done, 1), done.stdout) == ("there is no never/put", b"")
    done = raftsdk("kv", "get", "never/put", *at, "--json")
    assert (complaint(done, 1), json.loads(done.stdout)) == ("", {"key": "never/put", "value": None})


def test_what_the_service_refuses_ends_with_1_and_one_sentence(
    raftsdk: Run, cluster: LocalCluster, tmp_path: Path
) -> None:
    at = ("--at", cluster.addresses[0])
    with (tmp_path / "large").open("wb") as file:
        file.truncate(5 * 1024 * 1024)
    assert "max_command_bytes" in complaint(raftsdk("kv", "put", "large", "--file", str(tmp_path / "large"), *at), 1)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("put", "k"), "give either a VALUE or --file"),
        (("put", "k", "v", "--file", "-"), "give either a VALUE or --file"),
        (("put", "k", "--file", "/nowhere/at/all"), "cannot read /nowhere/at/all: No such file or directory"),
        (("put", "", "v"), "give 1 to 65,535 bytes of text"),
        (("put", "k" * 65_536, "v"), "more than 65535 bytes"),
        (("get", b"\xff"), "no UTF-8 text"),
        (("list", "k" * 65_536), "more than 65535 bytes"),
        (("get", "k", "--at", "127.0.0.1:7001"), "give scheme://where, e.g. tcp://127.0.0.1:7001"),
        (("get", "k", "--at", "tcp://127.0.0.1"), "give a host and a port from 1 to 65535"),
        (("get", "k", "--at", "tpc://127.0.0.1:7001"), 'did you mean "tcp"?'),
        (("get", "k", "--timeout-ms", "0"), "--timeout-ms"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_to_give(
    raftsdk: Run, arguments: tuple[str | bytes, ...], advice: str
) -> None:
    assert advice in complaint(raftsdk("kv", *arguments), 2)


def test_without_a_node_every_command_ends_with_3(raftsdk: Run, nobody: str) -> None:
    quickly = ("--at", nobody, "--timeout-ms", "300")
    for command in (("put", "k", "v"), ("get", "k"), ("get", "k", "--consistency", "local"), ("list",)):
        assert nobody in complaint(raftsdk("kv", *command, *quickly), 3)
    assert "1 of 1 nodes did not answer" in complaint(raftsdk("status", nobody, "--timeout-ms", "300"), 3)


def test_status_shows_every_node_and_every_link(raftsdk: Run, cluster: LocalCluster) -> None:
    raftsdk("kv", "put", "status/a", "one", "--at", cluster.addresses[0])  # so there is a leader
    answers = json.loads(raftsdk("status", *cluster.addresses, "--json").stdout)
    assert [answer["node_id"] for answer in answers] == ["n1", "n2", "n3"]
    assert sorted(answer["role"] for answer in answers) == ["follower", "follower", "leader"]
    (leader,) = [answer for answer in answers if answer["role"] == "leader"]
    assert {answer["leader_id"] for answer in answers} == {leader["node_id"]}
    for peer in leader["peers"]:
        assert (peer["connected"], peer["codec"], peer["transport"]) == (True, "msgpack", "tcp")
    rows = [line.split() for line in raftsdk("status", *cluster.addresses).stdout.decode().splitlines()]
    assert rows[0] == [
        *("node", "suffrage", "role", "term", "leader", "last", "durable", "commit", "applied", "snapshot")
    ]
    assert {(row[0], row[1], row[2], row[4]) for row in rows[1:4]} == {
        (answer["node_id"], "voter", answer["role"], leader["node_id"]) for answer in answers
    }
    assert [leader["node_id"], leader["peers"][0]["node_id"], "yes", "msgpack", "tcp", "replicate"] in [
        row[:6] for row in rows
    ]


def test_status_shows_who_answers_and_names_who_does_not(raftsdk: Run, cluster: LocalCluster, nobody: str) -> None:
    done = raftsdk("status", cluster.addresses[0], nobody, "--timeout-ms", "1000")
    said = complaint(done, 3)
    assert nobody in said
    assert said.endswith("1 of 2 nodes did not answer")
    assert done.stdout.decode().splitlines()[1].split()[0] == "n1"
    done = raftsdk("status", cluster.addresses[0], nobody, "--timeout-ms", "1000", "--json")
    complaint(done, 3)
    first, second = json.loads(done.stdout)
    assert first["node_id"] == "n1"
    assert second.keys() == {"address", "error"}


def test_status_of_what_is_no_address_ends_with_2(raftsdk: Run) -> None:
    assert "give scheme://where" in complaint(raftsdk("status", "n1"), 2)
