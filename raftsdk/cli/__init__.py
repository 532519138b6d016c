"""The `raftsdk` command, one module for each command or group of commands."""

import sys


def main() -> None:
    """Run the command line and exit with one of `raftsdk.cli.output.Exit`."""
    try:
        import rich  # noqa: F401 -- only to find out whether it is there
        import typer  # noqa: F401
    except ModuleNotFoundError as error:
        sys.exit(_cannot_run(error))
    from raftsdk.cli.app import run

    run()


def _cannot_run(error: ModuleNotFoundError) -> int:
    sys.stderr.write(f"The command line needs {error.name}, which is not installed; run: pip install raftsdk[cli]\n")
    return 2
