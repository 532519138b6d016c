"""`raftsdk kv`: read and write the example service."""

import os
import sys
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias

import typer

from raftsdk.cli import key_value
from raftsdk.cli.cluster import At, TimeoutMs, open_client, takes_tls
from raftsdk.cli.output import EXIT_CODES_HELP, AsJson, say, say_json
from raftsdk.client import Client
from raftsdk.errors import RaftError
from raftsdk.messages import Consistency
from raftsdk.runtime import event_loop

app = typer.Typer(help="Read and write the key-value service that `raftsdk node` runs.", no_args_is_help=True)


def _checked(text: str) -> str:
    try:
        fits = len(text.encode()) <= key_value.MAX_KEY_BYTES
    except UnicodeEncodeError:
        raise typer.BadParameter("it is no UTF-8 text") from None
    if not fits:
        raise typer.BadParameter(f"it has more than {key_value.MAX_KEY_BYTES} bytes")
    return text


def _checked_key(text: str) -> str:
    if not text:
        raise typer.BadParameter("it is empty: give 1 to 65,535 bytes of text")
    return _checked(text)


Fresh: TypeAlias = Annotated[
    Consistency,
    typer.Option(
        help="How fresh the answer must be: linearizable or lease, from the leader; follower_linearizable, "
        "bounded_stale (see --max-staleness-ms) or local, from the asked node, and local may be old."
    ),
]

Staleness: TypeAlias = Annotated[
    int, typer.Option(min=0, help="With bounded_stale: every write acknowledged longer ago than this is seen.")
]

Key: typer.models.ArgumentInfo = typer.Argument(metavar="KEY", help="Text of 1 to 65,535 bytes.", callback=_checked_key)


@app.command(epilog=EXIT_CODES_HELP)
@takes_tls
def put(
    key: Annotated[str, Key],
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="The value; or say --file.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Take the value from FILE (- is stdin).")
    ] = None,
    at: At = None,
    timeout_ms: TimeoutMs = 10_000,
    as_json: AsJson = False,
) -> None:
    """Set KEY to VALUE, durably on a majority.

    When an answer is lost it is put again, also over what somebody else has put there meanwhile.
    """
    content = _content(value, file)

    async def go() -> bool:
        async with open_client(at, timeout_ms) as client:
            return key_value.parse_flag(await client.propose(key_value.put_command(key, content), idempotent=True))

    replaced = event_loop.run(go())
    if as_json:
        say_json({"key": key, "bytes": len(content), "replaced": replaced})
    else:
        say(f"{'replaced' if replaced else 'put'} {key}: {len(content)} bytes")


@app.command(epilog=EXIT_CODES_HELP)
@takes_tls
def get(
    key: Annotated[str, Key],
    consistency: Fresh = Consistency.LINEARIZABLE,
    max_staleness_ms: Staleness = 0,
    at: At = None,
    timeout_ms: TimeoutMs = 10_000,
    as_json: AsJson = False,
) -> None:
    """Print the value of KEY, bytes as they are.

    It has every acknowledged write, unless --consistency says otherwise. With --json the value is base64, or null when
    there is none.
    """
    read = _Read(consistency, max_staleness_ms)
    value = event_loop.run(_get(key, read, at=at, timeout_ms=timeout_ms))
    if as_json:
        say_json({"key": key, "value": value})  # bytes are base64 in JSON
    elif value is None:
        raise RaftError(f"there is no {key}")
    else:
        sys.stdout.buffer.write(value)
        sys.stdout.buffer.flush()
    if value is None:
        raise typer.Exit(1)


async def _get(key: str, read: "_Read", *, at: list[str] | None, timeout_ms: int) -> bytes | None:
    async with open_client(at, timeout_ms) as client:
        return key_value.parse_value(await read(client, key_value.get_message(key)))


@app.command("list", epilog=EXIT_CODES_HELP)
@takes_tls
def list_(
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="Only keys that begin with this.", callback=_checked)
    ] = "",
    consistency: Fresh = Consistency.LINEARIZABLE,
    max_staleness_ms: Staleness = 0,
    at: At = None,
    timeout_ms: TimeoutMs = 10_000,
    as_json: AsJson = False,
) -> None:
    """Print the keys, sorted, one a line. Each page of them is one moment's; the whole list need not be."""
    read = _Read(consistency, max_staleness_ms)
    keys = event_loop.run(_list(prefix, read, at=at, timeout_ms=timeout_ms))
    if as_json:
        say_json({"keys": keys})
        return
    for key in keys:
        say(key)


async def _list(prefix: str, read: "_Read", *, at: list[str] | None, timeout_ms: int) -> list[str]:
    keys: list[str] = []
    more = True
    async with open_client(at, timeout_ms) as client:
        while more:
            message = key_value.list_message(prefix, start_after=keys[-1] if keys else "")
            page = key_value.parse_keys(await read(client, message))
            keys += page.keys
            more = page.more
    return keys


class _Read(NamedTuple):
    """How fresh an answer must be."""

    consistency: Consistency
    max_staleness_ms: int

    async def __call__(self, client: Client, message: bytes) -> bytes:
        return await client.query(message, consistency=self.consistency, max_staleness_ms=self.max_staleness_ms)


def _content(value: str | None, file: Path | None) -> bytes:
    if (value is None) == (file is None):
        raise typer.BadParameter("give either a VALUE or --file")
    if value is not None:
        return os.fsencode(value)  # the bytes that were typed, text or not
    assert file is not None
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from None
