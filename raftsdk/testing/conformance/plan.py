"""What is to be run, in a form that a worker process understands too: both make the same trials from it."""

from importlib import import_module
from typing import Any, Final, Literal

from msgspec import Struct

from raftsdk.config import TlsConfig
from raftsdk.testing.conformance.trial import Trial

_TIERS: Final = {
    "codecs": "raftsdk.testing.conformance.codecs",
    "links": "raftsdk.testing.conformance.links",
}
"""The module whose `plan(order)` makes the trials of a tier: always the same ones in the same order."""


class Order(Struct, frozen=True, kw_only=True):
    """A run, as the command line asks for it."""

    tier: Literal["codecs", "links"]
    codecs: list[str] = []  #: Names of installed codecs, or `module:Class`. Empty: all that are installed.
    transports: list[str] = []  #: Likewise, by scheme.
    addresses: list[str] = []  #: Of live nodes.
    listen: str = ""  #: Where nodes on a transport of one's own listen, e.g. "mine://127.0.0.1:0".
    tls: TlsConfig = TlsConfig()  #: What is shown to live nodes that speak TLS.
    clauses: list[str] = []  #: Only the cases of these clauses of `spec/wire.md`, and of those below them. Empty: all.
    examples: int = 100  #: Messages made by chance in each case that makes some.


def plan(order: Order) -> list[Trial[Any]]:
    """Every trial of that run. Raises `ConfigError` for a name that leads nowhere."""
    made: list[Trial[Any]] = import_module(_TIERS[order.tier]).plan(order)
    return [trial for trial in made if not order.clauses or _within(trial.case.clause, order.clauses)]


def _within(clause: str, wanted: list[str]) -> bool:
    return any(f"{clause}.".startswith(f"{other}.") for other in wanted)
