"""What commands share: exit codes, JSON or a table on stdout, plain sentences on stderr."""

import errno
import sys
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Annotated, Any, TypeAlias

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from raftsdk.errors import ConfigError, NotLeader, OutcomeUnknown, RaftError, StorageFailed, Unreachable

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting over file and environment: raft.tick_interval_ms=10."),
]

_PIPE_COLUMNS = 200


class Exit(IntEnum):
    """What a command's exit code tells whoever called it. An interrupted one ends with 130, as shells have it."""

    OK = 0
    FAILED = 1  #: What was asked for could not be done.
    USAGE = 2  #: The command line or the configuration is wrong; nothing was tried.
    UNREACHABLE = 3  #: No node, or no leader, could be reached; nothing was changed.
    OUTCOME_UNKNOWN = 4  #: A write may or may not have happened, or happen yet.
    STORAGE_FAILED = 5  #: The node stopped itself because its storage failed: see to the disk before it starts again.


EXIT_CODES_HELP = """Exit codes: 0 done. 1 failed. 2 wrong usage or configuration. 3 no node or no leader reachable.
4 outcome of a write unknown. 5 the node stopped because its storage failed. 130 interrupted."""
"""Stands at the end of every command's help."""

_CODES: Sequence[tuple[type[Exception], Exit]] = (
    (ConfigError, Exit.USAGE),
    (NotLeader, Exit.UNREACHABLE),
    (Unreachable, Exit.UNREACHABLE),
    (OutcomeUnknown, Exit.OUTCOME_UNKNOWN),
    (StorageFailed, Exit.STORAGE_FAILED),
    (RaftError, Exit.FAILED),
    (OSError, Exit.FAILED),
)

EXPECTED = tuple(kind for kind, _ in _CODES)
"""Errors that a command may let out: they end as one sentence and an exit code, never as a traceback."""


def exit_code(error: Exception) -> Exit:
    """The exit code for an expected error."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def sentence(error: Exception) -> str:
    """An expected error as people should read it."""
    if isinstance(error, NotLeader):
        return f"{error}: `raftsdk status ADDRESS…` shows whether a majority of the nodes is up"
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    advice = "; stop what uses it, or give another address" if error.errno == errno.EADDRINUSE else ""
    return f"{where}{error.strerror}{advice}"  # str() would begin with the error's number, which helps nobody


def say(text: str) -> None:
    """One line to stdout, at once: whoever started the process may be waiting for it."""
    typer.echo(text)
    sys.stdout.flush()


def complain(text: str) -> None:
    """A sentence to stderr."""
    typer.echo(text, err=True)


def say_json(value: Any) -> None:
    """One JSON object on one line."""
    say(msgspec.json.encode(value).decode())


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table as wide as it needs to be, and no narrower when nobody looks."""
    table = Table(*columns, box=None, pad_edge=False, show_header=any(columns))
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table, width=None if console.is_terminal else _PIPE_COLUMNS, markup=False)
