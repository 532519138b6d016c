"""The style of the house, as far as a machine can see it."""

import ast
import subprocess
from pathlib import Path

import raftsdk

ROOT = Path(__file__).parents[2]

PUBLIC_NAMES = {
    "Client",
    "Codec",
    "CommandFailed",
    "CommandTooLarge",
    "ConfigError",
    "Consistency",
    "Credentials",
    "DecodeError",
    "Entry",
    "FileCredentials",
    "LinkConfig",
    "Member",
    "Membership",
    "MembershipRefused",
    "NodeBuilder",
    "NodeConfig",
    "NodeStopped",
    "NotLeader",
    "OutcomeUnknown",
    "Overloaded",
    "ProposalDropped",
    "RaftConfig",
    "RaftError",
    "RaftHost",
    "RaftNetwork",
    "RaftNode",
    "Refused",
    "Session",
    "SessionExpired",
    "SnapshotFailed",
    "StateMachine",
    "Storage",
    "StorageFailed",
    "StorageRefused",
    "Suffrage",
    "TlsConfig",
    "TransferFailed",
    "Transport",
    "Unreachable",
    "run",
}

UNSAFE_WHERE_BYTES_COME_FROM_OUTSIDE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if ".venv" not in path.parts]


def imported_names(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_front_door_shows_these_names_and_no_others() -> None:
    assert set(raftsdk.__all__) == PUBLIC_NAMES
    assert all(hasattr(raftsdk, name) for name in PUBLIC_NAMES)


def test_shelves_are_folders_not_packages() -> None:
    """`codecs` is also the standard library's: a stray __init__.py here would hide that one from type checkers."""
    strays = [
        found
        for shelf in ("codecs", "adapters")
        for found in (ROOT / shelf).rglob("__init__.py")
        if "src" not in found.relative_to(ROOT).parts
    ]
    assert strays == []


def test_the_standard_library_is_intact() -> None:
    import codecs

    assert codecs.lookup("utf-8").name == "utf-8"


def test_nothing_that_runs_code_when_it_decodes_is_imported_anywhere() -> None:
    offenders = {
        path.relative_to(ROOT).as_posix(): unsafe
        for path in python_files("raftsdk", "codecs", "adapters")
        if (unsafe := imported_names(path) & UNSAFE_WHERE_BYTES_COME_FROM_OUTSIDE)
    }
    assert offenders == {}


def test_what_ships_to_users_imports_no_pytest_but_its_plugin() -> None:
    importers = [path for path in python_files("raftsdk") if "pytest" in imported_names(path)]
    assert importers == [ROOT / "raftsdk" / "testing" / "pytest_plugin.py"]


def test_test_files_have_names_of_their_own() -> None:
    """Under pytest's `prepend` mode two files of one name are one module, and the second is never run."""
    names = [path.name for path in python_files("tests", "codecs", "adapters") if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


def test_no_lock_file_records_where_a_registry_was() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    locks = {"uv.lock", "Cargo.lock", "poetry.lock", "yarn.lock", "pnpm-lock.yaml"}
    assert [name for name in tracked if Path(name).name in locks] == []


def test_every_member_of_the_workspace_is_installed_by_its_name() -> None:
    from importlib.metadata import version

    members = sorted(
        path.parent for shelf in ("codecs", "adapters") for path in (ROOT / shelf).glob("*/pyproject.toml")
    )
    assert members
    for member in members:
        assert version(f"raftsdk-{member.name}")
