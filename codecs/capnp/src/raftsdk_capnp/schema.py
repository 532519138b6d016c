"""The structs of `raft.capnp`, and how names here and there go together."""

from pathlib import Path
from typing import Any, Final

import capnp

from raftsdk.messages import MESSAGE_TYPES, Message

# Compiling the schema takes a millisecond, a fiftieth of what importing the library takes: no generated code is kept.
_schema = capnp.load(str(Path(__file__).with_name("raft.capnp")))

STRUCTS: Final[dict[type[Message], Any]] = {
    message_type: getattr(_schema, message_type.__name__) for message_type in MESSAGE_TYPES.values()
}
"""The Cap'n Proto struct of each message."""


def wire_name(name: str) -> str:
    """What the schema calls the field `name` of a message.

    >>> wire_name("prev_log_index"), wire_name("term")
    ('prevLogIndex', 'term')
    """
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
