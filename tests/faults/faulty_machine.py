"""A machine of its own for a node: a disk and clocks that can be made to fail, by a library preloaded into its process;
and what it takes to have one.

The library is `faulty_machine.c`, compiled when first needed. It and this file share a file of a few numbers.
"""

import mmap
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Final

import pytest

from raftsdk.testing.namespaces import obstacle
from raftsdk.testing.processes import NodeProcess

_SOURCE: Final = Path(__file__).with_suffix(".c")
_LAYOUT: Final = Struct("=4qd")


class Machine:
    """What `node` runs on from its next start on. `clock_rate` is that of its monotonic clock."""

    def __init__(self, node: NodeProcess, *, clock_rate: float = 1.0) -> None:
        path = node.directory / "machine"
        path.write_bytes(_LAYOUT.pack(0, 0, 0, 0, clock_rate))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _LAYOUT.size)
        node.environ |= {"LD_PRELOAD": str(library(node.directory.parent)), "FAULTY_MACHINE": str(path)}

    def set(
        self, *, sync_delay_ms: int = 0, sync_errno: int = 0, write_errno: int = 0, wall_offset_ms: int = 0
    ) -> None:
        """What the machine is like from now on. Without an argument: a sound one."""
        rate = _LAYOUT.unpack(self._shared)[-1]
        self._shared[:] = _LAYOUT.pack(sync_delay_ms, sync_errno, write_errno, wall_offset_ms, rate)


@contextmanager
def small_disk(directory: Path, size_kib: int) -> Iterator[None]:
    """A file system of its own at `directory`, in memory and so small that it can be filled. Only root may mount one:
    for others the test is skipped, but under CI, where nothing is.
    """
    directory.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", directory], capture_output=True, text=True
    )
    if mounted.returncode:
        if os.environ.get("CI"):
            raise AssertionError(mounted.stderr)
        pytest.skip(f"a disk that can be filled has to be mounted: run this as root ({mounted.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


def require_namespaces() -> None:
    """Skip the test where no node can have a network of its own, but under CI, where nothing is."""
    if found := obstacle():
        if os.environ.get("CI"):
            raise AssertionError(found)
        pytest.skip(found)


def library(folder: Path) -> Path:
    """The library, compiled into `folder` unless it is there. Without a C compiler the test is skipped, but under CI,
    where nothing is.
    """
    compiled = folder / "faulty_machine.so"
    if not compiled.exists():
        if shutil.which("cc") is None and not os.environ.get("CI"):
            pytest.skip("a C compiler is missing: install gcc, which makes the faulty disk and the faulty clock")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", compiled, _SOURCE, "-ldl"], check=True)
    return compiled
