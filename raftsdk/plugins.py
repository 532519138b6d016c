"""Names → objects, by the entry points of installed distributions.

A distribution offers codecs, transports, stores and state machines by registering a class (or any callable that makes
one) under `raftsdk.codecs`, `.transports`, `.storage` or `.state_machines`:

- a codec, a transport and a state machine are called without arguments;
- a store is called with the configured path, or without arguments when none is configured;
- a transport is registered once under each URL scheme it understands.

Nothing is imported until it is asked for by name; listing imports nothing. A name never leads to an import other than
of what some installed distribution registered under it.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from msgspec import Struct

from raftsdk.config.rules import CODECS, STATE_MACHINES, STORAGE, TRANSPORTS, unknown_name
from raftsdk.errors import ConfigError

GROUPS: Final = (CODECS, TRANSPORTS, STORAGE, STATE_MACHINES)


class Plugin(Struct, frozen=True, order=True):
    """What one distribution registers under one name. `value` is where it says the object is: `module:attribute`."""

    name: str
    distribution: str
    version: str
    value: str


def installed(group: str) -> list[Plugin]:
    """Everything registered in an entry-point group, by name. Imports none of it."""
    return sorted(_plugin(point) for point in entry_points(group=group))


def names() -> dict[str, list[str]]:
    """The names registered in each of our groups: what `raftsdk.config` checks names against."""
    return {group: sorted(entry_points(group=group).names) for group in GROUPS}


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


def make(group: str, name: str, *arguments: Any) -> Any:
    """Load what is registered under `name` and call it. Raises `ConfigError` as `load`, and when the call raises."""
    factory = load(group, name)
    try:
        return factory(*arguments)
    except Exception as error:
        raise ConfigError([f"{_described(_find(group, name))} cannot be made: {_told(error)}"]) from error


def _find(group: str, name: str) -> EntryPoint:
    points = [point for point in entry_points(group=group) if point.name == name]
    if not points:
        raise ConfigError([f'"{name}": {unknown_name(group, name, entry_points(group=group).names)}'])
    if len(points) > 1:
        owners = " and ".join(sorted(_plugin(point).distribution for point in points))
        raise ConfigError([f'"{name}" is registered in {group} by {owners}: uninstall all but one of them'])
    return points[0]


def _plugin(point: EntryPoint) -> Plugin:
    distribution = point.dist.name if point.dist else "?"
    version = point.dist.version if point.dist else "?"
    return Plugin(point.name, distribution, version, point.value)


def _described(point: EntryPoint) -> str:
    plugin = _plugin(point)
    return f'"{plugin.name}" ({plugin.value} of {plugin.distribution} {plugin.version})'


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
