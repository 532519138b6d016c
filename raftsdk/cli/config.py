"""`raftsdk config`: what settings there are, and whether a file of them is sound."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from raftsdk import plugins
from raftsdk.builder import NodeBuilder
from raftsdk.cli.output import EXIT_CODES_HELP, AsJson, Exit, Set, complain, say, say_json
from raftsdk.config import NodeConfig, node_config, schema
from raftsdk.config.reading import read_file
from raftsdk.errors import ConfigError

app = typer.Typer(help="What settings there are, and whether a file of them is sound.", no_args_is_help=True)


@app.command("schema", epilog=EXIT_CODES_HELP)
def show_schema(as_json: AsJson = False) -> None:
    """Print the JSON Schema of a node's settings.

    With --json on one line.
    """
    if as_json:
        say_json(schema())
    else:
        say(msgspec.json.format(msgspec.json.encode(schema())).decode())


@app.command("check", epilog=EXIT_CODES_HELP)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file of settings.")],
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a file of settings is sound.

    That is, whether `raftsdk node --config FILE` would find all it needs here and now, environment included.
    """
    try:
        config = load_config(file, set_ or ())
        NodeBuilder.from_config(config).check()
    except ConfigError as error:
        if as_json:
            say_json({"ok": False, "faults": error.faults})
        else:
            complain(f"{file}: {error}")
        raise typer.Exit(Exit.USAGE) from None
    if as_json:
        say_json({"ok": True, "config": config})
    else:
        say(f"{file}: sound. {_summary(config)}")


def load_config(file: Path | None, assignments: Sequence[str]) -> NodeConfig:
    """The settings of a file, the environment over them, and `KEY=VALUE` assignments over both."""
    malformed = [text for text in assignments if "=" not in text]
    if malformed:
        raise ConfigError([f"--set {text}: give KEY=VALUE, e.g. raft.tick_interval_ms=10" for text in malformed])
    overrides = {key.strip(): value for key, _, value in (text.partition("=") for text in assignments)}
    data = read_file(file) if file else {}
    return node_config(data, environ=os.environ, overrides=overrides, installed=plugins.names())


def _summary(config: NodeConfig) -> str:
    members = ", ".join(member.id for member in config.members)
    addresses = ", ".join(config.listen_addresses())
    return (
        f"{config.node_id} of cluster {config.cluster_id} ({members}); listens on {addresses}; "
        f"offers {', '.join(config.codecs)}; stores in {config.storage.kind} {config.storage.path}".rstrip()
    )
