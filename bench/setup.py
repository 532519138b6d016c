"""What the peers need: their programs are compiled into `.bench`, and what is missing is said in a sentence.

python -m bench.setup      builds everything there is a tool for
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from importlib.util import find_spec
from pathlib import Path

from bench.systems import BUILT, PEERS

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "bench" / "peers"
TAIL_CHARS = 1_000


def prepare(peers: Collection[str]) -> dict[str, str]:
    """Build the programs of `peers` that have changed. Returns, for each that cannot take part, why, and what helps."""
    BUILT.mkdir(parents=True, exist_ok=True)
    return {peer: reason for peer in peers if (reason := _READY[peer]())}


def _raftsdk() -> str:
    return ""


def _pysyncobj() -> str:
    return "" if find_spec("pysyncobj") else "PySyncObj is not installed: `make bench` installs it, the group `bench`"


def _hashicorp() -> str:
    return _go("hashicorp", BUILT / "hashicorp")


def _etcd() -> str:
    if not shutil.which("etcd"):
        return "etcd is not installed: `apt install etcd-server`, or any etcd of 3.4 or newer on the PATH"
    return _go("etcd", BUILT / "etcd-client")


def _go(package: str, program: Path) -> str:
    if not shutil.which("go"):
        return f"{package} needs Go to be built: https://go.dev/dl, or `apt install golang`"
    return _run(package, ["go", "build", "-o", str(program), f"./{package}"], SOURCES / "go")


def _openraft() -> str:
    if not shutil.which("cargo"):
        return "openraft needs Rust to be built: https://rustup.rs, or `apt install cargo`"
    # In a copy: Cargo writes its lock file, which records addresses of registries, beside the sources.
    copy = ROOT / ".bench" / "rust"
    shutil.copytree(SOURCES / "rust", copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("target", "Cargo.lock"))
    failure = _run("openraft", ["cargo", "build", "--release", "--quiet"], copy)
    if not failure:
        fresh = BUILT / "openraft.new"
        shutil.copy2(copy / "target" / "release" / "openraft", fresh)
        fresh.replace(BUILT / "openraft")  # what runs cannot be written to
    return failure


def _run(peer: str, command: list[str], directory: Path) -> str:
    print(f"building {peer}", file=sys.stderr, flush=True)
    built = subprocess.run(command, cwd=directory, stderr=subprocess.PIPE, text=True, check=False)
    if not built.returncode:
        return ""
    return f"{peer} could not be built; `{' '.join(command)}` says: {built.stderr.strip()[-TAIL_CHARS:]}"


_READY: dict[str, Callable[[], str]] = {
    "raftsdk": _raftsdk,
    "pysyncobj": _pysyncobj,
    "hashicorp": _hashicorp,
    "openraft": _openraft,
    "etcd": _etcd,
}


if __name__ == "__main__":
    for missing in prepare(PEERS).values():
        print(missing, file=sys.stderr)
