"""`raftsdk plugins`: what is installed to choose from."""

from collections import Counter

from raftsdk import plugins as registry
from raftsdk.cli.output import AsJson, say_json, say_table


def plugins(as_json: AsJson = False) -> None:
    """List the installed codecs, transports, stores and state machines. Imports none of them."""
    found = [(group, plugin) for group in registry.GROUPS for plugin in registry.installed(group)]
    claims = Counter((group, plugin.name) for group, plugin in found)
    if as_json:
        rows = [
            {
                "group": group,
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "value": plugin.value,
                "claimed_twice": claims[group, plugin.name] > 1,
            }
            for group, plugin in found
        ]
        say_json({"plugins": rows})
        return
    notes = {True: "claimed twice: uninstall one", False: ""}
    say_table(
        ("group", "name", "distribution", "version", "note"),
        (
            (group, plugin.name, plugin.distribution, plugin.version, notes[claims[group, plugin.name] > 1])
            for group, plugin in found
        ),
    )
