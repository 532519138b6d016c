"""The structs of `raft.capnp`, and how names here and there go together."""

from pathlib import Path
from typing import Any, Final

import capnp

from raftsdk.messages import MESSAGE_TYPES, Message

# Compiling the schema takes a millisecond, a fiftieth of what importing the library takes: no generated code is kept.
_schema = capnp.load(str(Path(__file__).with_name("raft.capnp")))

_loader = capnp.SchemaLoader()  # what it loaded lives as long as it does


def _with_texts_as_data(struct: Any) -> Any:
    """The same struct, for reading: each `Text` is `Data` there, which stands on the wire alike.

    So the length of a text is known before it is a `str`, and a malformed one is ours to refuse.
    """
    node = struct.schema.node.as_builder()
    for field in node.struct.fields:
        declared = field.slot.type
        if declared.which() == "text":
            declared.data = None
            field.slot.defaultValue.data = b""
        elif declared.which() == "list" and declared.list.elementType.which() == "text":
            declared.list.elementType.data = None
    return type(struct)(_loader.load_dynamic(node.as_reader()).as_struct(), struct.schema.node.displayName)


# All of them, records too: the structs of the loader know each other by their ids.
_twins = {name: _with_texts_as_data(struct) for name, struct in vars(_schema).items() if hasattr(struct, "new_message")}

STRUCTS: Final[dict[type[Message], Any]] = {
    message_type: getattr(_schema, message_type.__name__) for message_type in MESSAGE_TYPES.values()
}
"""The Cap'n Proto struct of each message."""

STRUCTS_TO_READ: Final[dict[type[Message], Any]] = {
    message_type: _twins[message_type.__name__] for message_type in MESSAGE_TYPES.values()
}
"""The same, but that texts are read as their bytes, with the zero byte at the end; see `Texts`."""


def wire_name(name: str) -> str:
    """What the schema calls the field `name` of a message.

    >>> wire_name("prev_log_index"), wire_name("term")
    ('prevLogIndex', 'term')
    """
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
