"""The canonical JSON of messages: what vectors are written in, and what reports show.

Every field, in the order of `raftsdk.messages`; integers above 2^53-1 as decimal text, bytes as base64. It is made
without any codec, so that it can judge all of them.
"""

from typing import Any, Final

import msgspec

from raftsdk.messages import MESSAGE_TYPES, Message, MessageKind

MAX_EXACT_INTEGER: Final = 2**53 - 1
"""Above this a reader of doubles would round."""


def canonical(message: Message) -> dict[str, Any]:
    """`message` as plain JSON values.

    >>> from raftsdk.messages import ProposeResponse
    >>> canonical(ProposeResponse(index=2**53, result=b"ok"))
    {'index': '9007199254740992', 'result': 'b2s='}
    """
    plain: dict[str, Any] = _exact(msgspec.to_builtins(message))
    return plain


def _exact(value: Any) -> Any:
    match value:
        case dict():
            return {name: _exact(item) for name, item in value.items()}
        case list() | tuple():
            return [_exact(item) for item in value]
        case int() if value > MAX_EXACT_INTEGER:
            return str(value)
    return value


def message_of(kind: MessageKind, plain: dict[str, Any]) -> Message:
    """The message that `canonical` makes `plain` of, but for fields that were added after `plain` was written: they are
    zero. Raises `ValueError` when there is none.

    >>> message_of(MessageKind.PROPOSE_REQUEST, {"command": "eA=="})
    ProposeRequest(command=b'x', session_id=0, sequence=0, first_unanswered=0)
    """
    message = msgspec.convert(plain, MESSAGE_TYPES[kind], strict=False)
    if not _says(canonical(message), plain):
        raise ValueError(f"not the canonical JSON of a {kind.name}: {plain}")
    return message


def _says(full: Any, plain: Any) -> bool:
    """Whether `plain` is `full`, fields that are absent from the end of a record left out."""
    match full:
        case dict():
            names = list(full)[: len(plain)]
            return list(plain) == names and all(_says(full[name], plain[name]) for name in names)
        case list():
            return len(full) == len(plain) and all(map(_says, full, plain))
    return type(full) is type(plain) and full == plain


def text(message: Message) -> str:
    """The canonical JSON of `message` on one line."""
    return msgspec.json.encode(canonical(message)).decode()


def difference(found: Any, expected: Any, path: str = "") -> str:
    """The first place at which two messages part, in words; "" when they are the same, types included.

    >>> from raftsdk.messages import RequestVoteResponse
    >>> difference(RequestVoteResponse(term=1, vote_granted=True), RequestVoteResponse(term=2, vote_granted=True))
    'term is 1 and should be 2'
    """
    if type(found) is not type(expected):
        return f"{path or 'it'} is {_typed(found)} and should be {_typed(expected)}"
    if isinstance(expected, msgspec.Struct):
        names = expected.__struct_fields__
        places = [(f"{path}.{name}".lstrip("."), getattr(found, name), getattr(expected, name)) for name in names]
        return next(filter(None, (difference(f, e, place) for place, f, e in places)), "")
    if isinstance(expected, (list, tuple)):
        if len(found) != len(expected):
            return f"{path} has {len(found)} items and should have {len(expected)}"
        items = enumerate(zip(found, expected, strict=True))
        return next(filter(None, (difference(f, e, f"{path}[{place}]") for place, (f, e) in items)), "")
    return "" if found == expected else f"{path} is {_brief(found)} and should be {_brief(expected)}"


def _typed(value: Any) -> str:
    return f"the {type(value).__name__} {_brief(value)}"


def _brief(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:100]}… ({len(shown)} characters)"
