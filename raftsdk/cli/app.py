"""The application that every command is registered with."""

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from raftsdk.cli import config, conformance, demo, kv, members, node, plugins, simulate, status, wire
from raftsdk.cli.output import EXIT_CODES_HELP, EXPECTED, complain, exit_code, say, say_json, sentence

app = typer.Typer(
    help=f"Replicated services on Raft.\n\n{EXIT_CODES_HELP}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo", epilog=EXIT_CODES_HELP)(demo.demo)
app.command("node", epilog=EXIT_CODES_HELP)(node.node)
app.command("status", epilog=EXIT_CODES_HELP)(status.status)
app.add_typer(kv.app, name="kv")
app.add_typer(members.app, name="members")
app.command("transfer", epilog=EXIT_CODES_HELP)(members.transfer)
app.command("snapshot", epilog=EXIT_CODES_HELP)(members.snapshot)
app.command("plugins", epilog=EXIT_CODES_HELP)(plugins.plugins)
app.add_typer(config.app, name="config")
app.add_typer(wire.app, name="wire")
app.add_typer(conformance.app, name="conformance")
app.command("simulate", epilog=EXIT_CODES_HELP)(simulate.simulate)


@app.callback(invoke_without_command=True)
def _without_command(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --version: print JSON.")] = False,
) -> None:
    if not show_version:
        if as_json:
            context.fail("--json belongs behind the command it is for.")
        return
    if as_json:
        say_json({"version": version("raftsdk")})
    else:
        say(f"raftsdk {version('raftsdk')}")
    raise typer.Exit


def run() -> None:
    """Run the command that the arguments name, and exit."""
    # Links say when they lose a connection; `node` shows that, for the other commands it is not news.
    logging.getLogger("raftsdk").addHandler(logging.NullHandler())
    try:
        app()
    except EXPECTED as error:
        complain(sentence(error))
        sys.exit(exit_code(error))
