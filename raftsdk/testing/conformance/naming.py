"""Parts of a node by the names that people give on a command line: an installed one, or a class of their own."""

from importlib import import_module
from typing import Any

from raftsdk import plugins
from raftsdk.errors import ConfigError
from raftsdk.ports import Credentials


def part(group: str, name: str, credentials: Credentials | None = None) -> Any:
    """What `name` stands for in an entry-point group, made: "msgpack", or "package.module:Class". Credentials are for a
    transport that takes some.

    Raises `ConfigError` when there is no such thing or it cannot be made. The second form imports what it names: it is
    for names that come from whoever runs the command, and from nowhere else.
    """
    if ":" not in name:
        return plugins.make(group, name, credentials=credentials)
    module, _, attribute = name.partition(":")
    try:
        found: Any = import_module(module)
        for step in attribute.split("."):
            found = getattr(found, step)
        return plugins.call(found, credentials=credentials)
    except Exception as error:  # a stranger's module may raise anything
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError([f"{name!a} cannot be made: {problem}; name an installed one, or module:Class"]) from error
