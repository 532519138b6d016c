"""Names → objects, by the entry points of installed distributions.

A distribution offers codecs, transports, stores and state machines by registering a class (or any callable that makes
one) under `raftsdk.codecs`, `.transports`, `.storage` or `.state_machines`:

- a codec, a transport and a state machine are called without arguments;
- a store is called with the configured path, or without arguments when none is configured;
- a transport is registered once under each URL scheme it understands; if it encrypts, it takes a keyword argument
  `credentials`, which is given to it when there are some (see `raftsdk.ports.Credentials`).

Nothing is imported until it is asked for by name; listing imports nothing. A name never leads to an import other than
of what some installed distribution registered under it.
"""

import logging
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from inspect import signature
from typing import Any, Final

from msgspec import Struct

from raftsdk.config import DEFAULT_CODECS
from raftsdk.config.rules import CODECS, STATE_MACHINES, STORAGE, TRANSPORTS, unknown_name
from raftsdk.errors import ConfigError
from raftsdk.ports import Codec, Credentials, Transport

logger = logging.getLogger("raftsdk.plugins")

GROUPS: Final = (CODECS, TRANSPORTS, STORAGE, STATE_MACHINES)


class Plugin(Struct, frozen=True, order=True):
    """What one distribution registers under one name. `value` is where it says the object is: `module:attribute`."""

    name: str
    distribution: str
    version: str
    value: str


def installed(group: str) -> list[Plugin]:
    """Everything registered in an entry-point group, by name. Imports none of it."""
    return sorted(_plugin(point) for point in _points(group))


def names() -> dict[str, list[str]]:
    """The names registered in each of our groups: what `raftsdk.config` checks names against."""
    return {group: sorted(_points(group).names) for group in GROUPS}


def load(group: str, name: str) -> Callable[..., Any]:
    """Import what is registered under `name`: a class, or another callable that makes the part.

    Raises `ConfigError` when nothing is (with the nearest name, or what to install), when two distributions claim the
    name (naming both), and when importing it fails (naming the distribution and the error).
    """
    point = _find(group, name)
    try:
        loaded: object = point.load()
    except Exception as error:  # A stranger's module may raise anything while it is imported.
        raise ConfigError([f"{_described(point)} cannot be loaded: {_told(error)}; mend or reinstall it"]) from error
    if not callable(loaded):
        raise ConfigError([f"{_described(point)} is of type {type(loaded).__name__}; it has to be a class"])
    return loaded


def make(group: str, name: str, *arguments: Any, credentials: Credentials | None = None) -> Any:
    """Load what is registered under `name` and call it; `credentials` are for those that take a keyword of that name.
    Raises `ConfigError` as `load`, and when the call raises.
    """
    factory = load(group, name)
    try:
        return call(factory, *arguments, credentials=credentials)
    except Exception as error:
        raise ConfigError([f"{_described(_find(group, name))} cannot be made: {_told(error)}"]) from error


def make_codecs() -> list[Codec]:
    """Every installed codec, the usual ones first: for whoever speaks with nodes that may speak anything.

    One that cannot be loaded is told of in the log: it must not keep us from those that can.
    """
    made: list[Codec] = []
    for name in sorted(names()[CODECS], key=lambda name: (name not in DEFAULT_CODECS, name)):
        try:
            made.append(make(CODECS, name))
        except ConfigError as error:
            logger.warning("%s", error.faults[0])
    return made


def make_transports(schemes: Iterable[str], credentials: Credentials | None = None) -> list[Transport]:
    """Transports that understand all of `schemes`: one object for those that a plug-in stands under. Raises
    `ConfigError` as `make`.
    """
    made: list[Transport] = []
    for name in schemes:
        if not any(name in transport.schemes for transport in made):
            made.append(make(TRANSPORTS, name, credentials=credentials))
    return made


def call(factory: Callable[..., Any], *arguments: Any, credentials: Credentials | None = None) -> Any:
    """Have the part made, with the credentials if it takes some."""
    if credentials is not None and _takes_credentials(factory):
        return factory(*arguments, credentials=credentials)
    return factory(*arguments)


def _takes_credentials(factory: Callable[..., Any]) -> bool:
    try:
        return "credentials" in signature(factory).parameters
    except ValueError:  # It is written in C, and does not say.
        return False


def _find(group: str, name: str) -> EntryPoint:
    points = [point for point in _points(group) if point.name == name]
    if not points:
        raise ConfigError([f'"{name}": {unknown_name(group, name, _points(group).names)}'])
    if len(points) > 1:
        owners = " and ".join(sorted(_plugin(point).distribution for point in points))
        raise ConfigError([f'"{name}" is registered in {group} by {owners}: uninstall all but one of them'])
    return points[0]


def _points(group: str) -> EntryPoints:
    return _read_points(group, tuple(sys.path))


@lru_cache(maxsize=len(GROUPS))
def _read_points(group: str, _path: tuple[str, ...]) -> EntryPoints:
    """What there is where Python looks. Reading it takes milliseconds, and a host of a thousand groups asks thousands
    of times.
    """
    return entry_points(group=group)


def _plugin(point: EntryPoint) -> Plugin:
    distribution = point.dist.name if point.dist else "?"
    version = point.dist.version if point.dist else "?"
    return Plugin(point.name, distribution, version, point.value)


def _described(point: EntryPoint) -> str:
    plugin = _plugin(point)
    return f'"{plugin.name}" ({plugin.value} of {plugin.distribution} {plugin.version})'


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
