"""The command line as its users have it: real processes, their output and their exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from raftsdk.cli.output import exit_code, sentence
from raftsdk.errors import (
    CommandFailed,
    ConfigError,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    StorageFailed,
    StorageRefused,
    Unreachable,
)

EXAMPLES = Path(__file__).parents[2] / "examples" / "key_value"


def raftsdk(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAFTSDK_")}
    return subprocess.run(
        [sys.executable, "-m", "raftsdk.cli", *arguments],
        env={**own, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_the_script_and_the_module_are_the_same_command() -> None:
    script = subprocess.run(
        [Path(sys.executable).with_name("raftsdk"), "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert script.stdout == raftsdk("--version").stdout == f"raftsdk {version('raftsdk')}\n"
    assert json.loads(raftsdk("--version", "--json").stdout) == {"version": version("raftsdk")}


@pytest.mark.parametrize(
    "command",
    [
        "",
        "demo",
        "node",
        "status",
        "kv put",
        "kv get",
        "kv list",
        "plugins",
        "config schema",
        "config check",
        "wire decode",
    ],
)
def test_the_help_of_every_command_names_every_exit_code_and_json(command: str) -> None:
    done = raftsdk(*command.split(), "--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "--json" in text
    for code in ("0 done", "1 failed", "2 wrong usage", "3 no node or no leader", "4 outcome", "5 the node stopped"):
        assert code in text


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (CommandFailed("ValueError: no"), 1, "ValueError: no"),
        (Overloaded("too much"), 1, "too much"),
        (StorageRefused("locked"), 1, "locked"),
        (PermissionError(13, "Permission denied", "data/n1"), 1, "data/n1: Permission denied"),
        (ConfigError(["no codec"]), 2, "1 fault in the configuration:\n  - no codec"),
        (Unreachable("n1 is not connected"), 3, "n1 is not connected"),
        (NotLeader(), 3, "none is known: `raftsdk status ADDRESS…` shows whether a majority of the nodes is up"),
        (OutcomeUnknown("it may be applied"), 4, "it may be applied"),
        (StorageFailed("the disk said no"), 5, "the disk said no"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_becomes_a_sentence_and_its_exit_code(error: Exception, code: int, said: str) -> None:
    assert exit_code(error) == code
    assert sentence(error).endswith(said)


@pytest.mark.parametrize(
    "arguments", [(), ("nod",), ("--json",), ("config",), ("config", "check"), ("config", "schema", "--yaml")]
)
def test_wrong_usage_ends_with_2_and_no_traceback(arguments: tuple[str, ...]) -> None:
    done = raftsdk(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert "Usage: " in done.stdout + done.stderr


def test_plugins_lists_what_is_installed_with_its_owner() -> None:
    listed = json.loads(raftsdk("plugins", "--json").stdout)["plugins"]
    assert {
        "group": "raftsdk.codecs",
        "name": "msgpack",
        "distribution": "raftsdk-msgpack",
        "version": version("raftsdk-msgpack"),
        "value": "raftsdk_msgpack:MsgpackCodec",
        "claimed_twice": False,
    } in listed
    assert {row["name"] for row in listed} >= {"json", "msgpack", "tcp", "unix", "memory", "sqlite", "key-value"}


def test_plugins_prints_a_row_each_that_is_not_cut_short() -> None:
    rows = [line.split() for line in raftsdk("plugins").stdout.splitlines()]
    assert rows[0] == ["group", "name", "distribution", "version", "note"]
    assert ["raftsdk.state_machines", "key-value", "raftsdk", version("raftsdk")] in rows


def test_the_schema_is_json_either_way() -> None:
    pretty, line = raftsdk("config", "schema").stdout, raftsdk("config", "schema", "--json").stdout
    assert json.loads(pretty) == json.loads(line)
    assert len(line.splitlines()) == 1
    assert json.loads(line)["$ref"] == "#/$defs/NodeConfig"


@pytest.mark.parametrize("name", ["n1", "n2", "n3"])
def test_each_example_file_is_sound(name: str) -> None:
    done = raftsdk("config", "check", str(EXAMPLES / f"{name}.toml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{name} of cluster key-value (n1, n2, n3); listens on tcp://127.0.0.1:700{name[1]}" in done.stdout


def test_check_shows_the_settings_in_force_as_json() -> None:
    done = raftsdk(
        *("config", "check", str(EXAMPLES / "n1.toml"), "--json", "--set", "raft.tick_interval_ms=7"),
        environ={"RAFTSDK_CODECS": "json", "RAFTSDK_RAFT__TICK_INTERVAL_MS": "5"},
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"]) == (0, True)
    assert answer["config"]["codecs"] == ["json"]
    assert answer["config"]["raft"]["tick_interval_ms"] == 7


def test_check_reports_every_fault_as_sentences_or_as_json(tmp_path: Path) -> None:
    text = (EXAMPLES / "n1.toml").read_text()
    file = write(tmp_path / "n.toml", text.replace('"n1"', '"n9"', 1).replace("7002", "70002") + 'kind = "sqlite"\n')
    done = raftsdk("config", "check", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}, line " in done.stderr
    assert "Cannot overwrite a value" in done.stderr
    file = write(tmp_path / "n.toml", text.replace('"n1"', '"n9"', 1).replace("7002", "70002"))
    faults = [
        'members[1].addresses[0] is "tcp://127.0.0.1:70002": give a host and a port from 1 to 65535',
        'node_id is "n9", which is not among the members (n1, n2, n3): correct it, or add the member',
    ]
    done = raftsdk("config", "check", file)
    assert done.stderr == f"{file}: 2 faults in the configuration:\n  - {faults[0]}\n  - {faults[1]}\n"
    done = raftsdk("config", "check", file, "--json")
    assert (done.returncode, json.loads(done.stdout)) == (2, {"ok": False, "faults": faults})


def test_a_file_that_is_not_there_and_a_malformed_override_end_with_2(tmp_path: Path) -> None:
    done = raftsdk("config", "check", str(tmp_path / "none.toml"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such file or directory" in done.stderr
    done = raftsdk("config", "check", str(EXAMPLES / "n1.toml"), "--set", "node_id")
    assert done.returncode == 2
    assert "--set node_id: give KEY=VALUE" in done.stderr


@pytest.mark.parametrize("library", ["typer", "rich"])
def test_without_its_libraries_the_command_says_what_to_install(tmp_path: Path, library: str) -> None:
    message = f"No module named '{library}'"
    write(tmp_path / f"{library}.py", f"raise ModuleNotFoundError({message!r}, name={library!r})\n")
    done = raftsdk("plugins", environ={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert done.stderr == (f"The command line needs {library}, which is not installed; run: pip install raftsdk[cli]\n")
