"""Names that occur twice in an object. The typed decoder takes the last of several values in silence."""

import codecs
import json
import re
from typing import Final

import msgspec

from raftsdk.messages import (
    AppendEntriesRequest,
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    InstallSnapshotRequest,
    Message,
    ProposeRequest,
    ProposeResponse,
    QueryResponse,
    StatusResponse,
)
from raftsdk_json.writing import encode

MAX_UNKNOWN_TOKENS: Final = 16_384
"""How many names, other texts and braces a message may hold beyond those of its lists when it is not in our own words.
It bounds what unknown fields may cost; a newer peer adds a handful."""

MAX_NAME_BYTES: Final = 1_024

# Colons in a message of these types that names each field once: no checked value holds a colon. An AppendEntriesRequest
# has three more for each entry.
_COLONS: dict[type[Message], int] = {
    AppendEntriesRequest: 7,
    ProposeRequest: 4,
    ProposeResponse: 2,
    QueryResponse: 2,
}
_COLONS_PER_ENTRY: Final = 3

# Names that the typed decoder does not miss. Each that is found has a colon of its own, as every required field has:
# when there are no more colons than such fields, none is left for a second one.
_WITH_DEFAULTS: dict[type[Message], tuple[bytes, ...]] = {
    message_type: tuple(
        f'"{field.name}":'.encode() for field in msgspec.structs.fields(message_type) if not field.required
    )
    for message_type in _COLONS
}

_LONGEST_COMPARED_BYTES: Final = 65_536

# A brace, or a text: if that is a name, its colon, and if its value is a text, that too. Each alternative begins with a
# letter of its own, outside of groups: then what is none of the three is skipped eight times as fast.
_LETTERS: Final = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_TOKEN: Final = re.compile(rb'\{|\}|"(%b)"(?:\s*+(:)\s*+(?:"%b")?+)?+' % (_LETTERS, _LETTERS), re.DOTALL)
_OPENING_BRACE, _CLOSING_BRACE = b"{}"
_CHUNK_BYTES: Final = 65_536


def are_each_there_once(message: Message, text: bytes) -> bool:
    """A quick proof that `text`, in which every required field of `message` was found, repeats no name.

    Without proof, False. Looking at every name costs more than decoding did; but as many colons as there are fields of
    ours means each of them once.
    """
    colons = _COLONS.get(type(message))
    if colons is None:
        return len(text) <= _LONGEST_COMPARED_BYTES and text == encode(message)
    if isinstance(message, AppendEntriesRequest):
        colons += _COLONS_PER_ENTRY * len(message.entries)
    for name in _WITH_DEFAULTS[type(message)]:
        # Looked for from behind: what an older writer leaves out stands after the entries, or the command, in ours.
        if text.rfind(name) < 0:
            colons -= 1
    # Not text.count(b":"): before Python 3.13 it looks at every byte by itself, four times slower on 16 KiB of base64.
    return len(text) - len(text.replace(b":", b"")) == colons


def refuse_repeated(message: Message, text: bytes) -> None:
    """Read all of `text` again with an eye on its names only. Raises `ValueError` for one that occurs twice.

    `text` has to be JSON, and `message` what it says. The standard library's parser would do, but for its memory: a
    single character beyond the Basic Multilingual Plane makes the whole text four times as large.
    """
    _refuse_what_is_no_utf8(text)
    max_tokens = MAX_UNKNOWN_TOKENS + _tokens_of_items(message)
    names_of_open_objects: list[set[bytes]] = []
    for count, token in enumerate(_TOKEN.finditer(text)):
        if count > max_tokens:
            raise ValueError("more unknown fields, or texts in them, than are looked through")
        name, colon = token.groups()
        if colon:
            _add(name, names_of_open_objects[-1])
        elif text[token.start()] == _OPENING_BRACE:
            names_of_open_objects.append(set())
        elif text[token.start()] == _CLOSING_BRACE:
            names_of_open_objects.pop()


def _add(name: bytes, names: set[bytes]) -> None:
    if len(name) > MAX_NAME_BYTES:
        raise ValueError(f"a name of {len(name)} bytes, and at most {MAX_NAME_BYTES} are looked at")
    if b"\\" in name:
        name = json.loads(b'"%b"' % name).encode()
    if name in names:
        raise ValueError(f"the name {name[:64].decode(errors='replace')!a} occurs twice in one object")
    names.add(name)


def _refuse_what_is_no_utf8(text: bytes) -> None:
    """Raise `ValueError`: the typed decoder does not look into texts of unknown fields."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(text), _CHUNK_BYTES):
        decoder.decode(text[start : start + _CHUNK_BYTES])
    decoder.decode(b"", final=True)


def _tokens_of_items(message: Message) -> int:
    """A generous count for the message's lists: an entry has 5 of them, a peer 12 and its addresses, a member less."""
    match message:
        case AppendEntriesRequest():
            return 5 * len(message.entries)
        case StatusResponse():
            return 32 * len(message.peers)
        case InstallSnapshotRequest() | ChangeMembershipResponse():
            return 32 * len(message.membership.members)
        case ChangeMembershipRequest():
            return 32 * len(message.members)
    return 0
