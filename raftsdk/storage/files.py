"""Changes to files and directories that a loss of power does not undo. Everything here blocks."""

import fcntl
import os
import sys
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make the directory and those above it, so that they are still there after a loss of power."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_directory(folder.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Give the file this content, durably; a crash leaves the old one or the new."""
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        sync(file.fileno())
    put_in_place(draft, path)


def put_in_place(draft: Path, path: Path) -> None:
    """Give a file that is synced its final name, durably, in place of what had that name."""
    draft.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the directory's own list of files durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync(descriptor: int) -> None:
    """Have the disk keep what was written to this file, or directory, so far."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # `fsync` alone leaves the data in the drive's cache
    else:
        os.fsync(descriptor)
