"""What the commands that speak to a running cluster share: where it is, and a client for it."""

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer

from raftsdk import plugins
from raftsdk.client import Client
from raftsdk.config import DEFAULT_CODECS
from raftsdk.config.rules import CODECS, TRANSPORTS, address_faults, scheme
from raftsdk.errors import ConfigError

DEFAULT_ADDRESS = "tcp://127.0.0.1:7001"

At: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--at", metavar="ADDRESS", help=f"Where some member is; may be given again. Default: {DEFAULT_ADDRESS}."
    ),
]

TimeoutMs: TypeAlias = Annotated[int, typer.Option("--timeout-ms", min=1, help="Give up after this long.")]


def open_client(addresses: Sequence[str] | None, timeout_ms: int) -> Client:
    """A client for the cluster that has members at `addresses`, with the codecs and transports that are installed.
    Raises `ConfigError` for what can be no address.
    """
    known = list(addresses or [DEFAULT_ADDRESS])
    faults = [f"{where} {problem}" for where, problem in address_faults("ADDRESS", known)]
    if faults:
        raise ConfigError(faults)
    return Client(
        known,
        codecs=[plugins.make(CODECS, name) for name in DEFAULT_CODECS],
        transports=[plugins.make(TRANSPORTS, name) for name in dict.fromkeys(map(scheme, known))],
        timeout_ms=timeout_ms,
    )
