"""What the commands that speak to a running cluster share: where it is, whom it believes, and a client for it."""

import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any, Final, TypeAlias

import typer

from raftsdk import plugins
from raftsdk.client import Client
from raftsdk.config import ENVIRONMENT_PREFIX, TLS_SCHEMES, TlsConfig
from raftsdk.config.rules import address_faults, scheme
from raftsdk.errors import ConfigError
from raftsdk.wire.tls import FileCredentials

DEFAULT_ADDRESS = "tcp://127.0.0.1:7001"

At: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--at", metavar="ADDRESS", help=f"Where some member is; may be given again. Default: {DEFAULT_ADDRESS}."
    ),
]

TimeoutMs: TypeAlias = Annotated[int, typer.Option("--timeout-ms", min=1, help="Give up after this long.")]

_TLS_FILES: Final = {
    "certificate": "What to show to nodes that ask who we are, in PEM.",
    "key": "The private key of that certificate.",
    "authorities": "Who vouches for the nodes, in PEM; needed where an address asks for TLS.",
}

_tls_options: ContextVar[dict[str, str]] = ContextVar("_tls_options")
"""What the options of the command that runs say, by the names of `TlsConfig`."""


def takes_tls(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options `--tls-certificate`, `--tls-key` and `--tls-authorities` besides its own; they hold
    for every client that it opens. Typer reads them off the signature.
    """

    @wraps(command)
    def run(**arguments: Any) -> None:
        given = {setting: arguments.pop(f"tls_{setting}") for setting in _TLS_FILES}
        before = _tls_options.set({setting: path for setting, path in given.items() if path is not None})
        try:
            command(**arguments)
        finally:
            _tls_options.reset(before)

    known = signature(command)
    added = [_tls_option(setting, text) for setting, text in _TLS_FILES.items()]
    run.__signature__ = known.replace(parameters=[*known.parameters.values(), *added])  # type: ignore[attr-defined]
    return run


def _tls_option(setting: str, text: str) -> Parameter:
    variable = _variable(setting)
    option = typer.Option(f"--tls-{setting}", metavar="FILE", help=f"{text} Default: what {variable} says.")
    return Parameter(f"tls_{setting}", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option])


def _variable(setting: str) -> str:
    """Where the environment says it, to commands as to nodes."""
    return f"{ENVIRONMENT_PREFIX}TLS__{setting.upper()}"


def open_client(addresses: Sequence[str] | None, timeout_ms: int) -> Client:
    """A client for the cluster that has members at `addresses`, with the codecs and transports that are installed.
    Raises `ConfigError` for what can be no address, and where TLS is asked for, for certificates that will not do.
    """
    known = list(addresses or [DEFAULT_ADDRESS])
    faults = [f"{where} {problem}" for where, problem in address_faults("ADDRESS", known)]
    if faults:
        raise ConfigError(faults)
    files = tls_config(known)
    return Client(
        known,
        codecs=plugins.make_codecs(),
        transports=plugins.make_transports(map(scheme, known), FileCredentials(files) if files else None),
        timeout_ms=timeout_ms,
    )


def tls_config(addresses: Sequence[str]) -> TlsConfig | None:
    """What to show and whom to believe, where an address asks for it, as options and environment say."""
    asking = [address for address in addresses if scheme(address) in TLS_SCHEMES]
    if not asking:
        return None
    said = {setting: os.environ[_variable(setting)] for setting in _TLS_FILES if _variable(setting) in os.environ}
    files: dict[str, Any] = said | _tls_options.get({})
    if "authorities" not in files:
        advice = "give --tls-authorities, and --tls-certificate and --tls-key unless the nodes take anyone"
        raise ConfigError([f"{asking[0]} asks for TLS: {advice}"])
    return TlsConfig(**files)
