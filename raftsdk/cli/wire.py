"""`raftsdk wire`: what is in recorded bytes."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from raftsdk import plugins
from raftsdk.cli.output import EXIT_CODES_HELP, AsJson, Exit, complain, say, say_json
from raftsdk.config import CODECS
from raftsdk.wire.capture import Seen, agreed_codec, frames_in, streams_in

MAX_RECORDING_BYTES: Final = 1024 * 1024 * 1024
_SHOWN_BYTES: Final = 32
_SHOWN_ITEMS: Final = 16

app = typer.Typer(help="Look at what goes over the wire.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """One command today; without this it would be `raftsdk wire` itself."""


@app.command(epilog=EXIT_CODES_HELP)
def decode(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Recordings; - or none is standard input.")
    ] = None,
    codec: Annotated[
        str,
        typer.Option(help="Of the messages. Default: what a hello in there agrees on; else whichever can read them."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show the frames in recorded bytes: header, message, and what is wrong with them.

    A recording is what one side sent: the bytes, the same in hex, or what tshark prints of a capture (tshark -r
    FILE -q -z follow,tcp,raw,0), which has both sides. Give both sides of a connection, and the hello tells the codec.
    With --json, one object a line for each frame. Exit code 1 when something in it is no sound frame.
    """
    made = [plugins.make(CODECS, codec)] if codec else plugins.make_codecs()
    codecs = {each.name: each for each in made}
    streams = [(name, stream) for path in files or [Path("-")] for name, stream in _streams(path)]
    agreed = codec or next(filter(None, (agreed_codec(stream) for _, stream in streams)), "")
    if agreed not in codecs:
        agreed = ""  # of a third party, and not installed here
    troubles = 0
    for name, stream in streams:
        if not as_json:
            say(f"{name}: {len(stream)} bytes")
        for seen in frames_in(stream, codecs, agreed):
            troubles += bool(seen.trouble)
            _show(name, seen, as_json=as_json)
    if troubles:
        complain(f"{troubles} of these are no sound frames")
        raise typer.Exit(Exit.FAILED)


def _streams(path: Path) -> list[tuple[str, bytes]]:
    data = _read(path)
    try:
        streams = streams_in(data)
    except ValueError as error:
        raise typer.BadParameter(f"{path}: {error}") from None
    names = [str(path)] if len(streams) == 1 else [f"{path}, the dialer", f"{path}, the dialed"]
    return list(zip(names, streams, strict=True))


def _read(path: Path) -> bytes:
    with sys.stdin.buffer if path == Path("-") else path.open("rb") as file:
        data = file.read(MAX_RECORDING_BYTES + 1)
    if len(data) > MAX_RECORDING_BYTES:
        raise typer.BadParameter(f"{path} has more than {MAX_RECORDING_BYTES} bytes: cut out what you want to see")
    return data


def _show(name: str, seen: Seen, *, as_json: bool) -> None:
    if as_json:
        say_json({"file": name, **{field: getattr(seen, field) for field in seen.__struct_fields__}})
        return
    flags = f" {'+'.join(seen.flags)}" if seen.flags else ""
    codec = f" in {seen.codec}" if seen.codec else ""
    group = f" group {seen.group}" if seen.group else ""
    say(f"@{seen.offset} {seen.kind or '?'}{flags}{group} call {seen.call_id}, {seen.body_bytes} bytes{codec}")
    if seen.trouble:
        say(f"    !! {_printable(seen.trouble)}")
    for field, value in (seen.content or {}).items():
        say(f"    {field}: {_told(value)}")


def _told(value: Any) -> str:
    """A value on one line, however large it is."""
    match value:
        case bytes() if len(value) > _SHOWN_BYTES:
            return f"{value[:_SHOWN_BYTES].hex()}… ({len(value)} bytes)"
        case bytes():
            return value.hex() or "(no bytes)"
        case list():
            more = f", … ({len(value)} in all)" if len(value) > _SHOWN_ITEMS else ""
            return f"[{', '.join(map(_told, value[:_SHOWN_ITEMS]))}{more}]"
        case dict():
            return "{" + ", ".join(f"{name}: {_told(item)}" for name, item in value.items()) + "}"
        case str():
            return _printable(value) or '""'
    return str(value)


def _printable(text: str) -> str:
    """Text of a stranger, who must not write on our terminal what he likes."""
    return text if text.isprintable() else ascii(text)
