"""Reads `spec/vectors`: bytes that every implementation, in any language, must read alike or refuse alike.

`spec/wire.md`, clause 16, says what the files look like. The same files lie in the checkout and in the wheel.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from raftsdk.messages import Message, MessageKind
from raftsdk.testing.conformance.values import message_of

Hex: TypeAlias = str


class MessageVector(Struct, frozen=True):
    """A message, and its bytes in each codec. Other bytes may mean the same; these must mean this."""

    name: str
    clause: str
    kind: MessageKind
    message: Message
    data: dict[str, bytes]  #: By codec.

    @property
    def title(self) -> str:
        """Unique among all: `append_entries_request/term=1`."""
        return f"{self.kind.name.lower()}/{self.name}"


class HostileVector(Struct, frozen=True):
    """Bytes that a codec must refuse when it is asked for a message of that kind."""

    name: str
    clause: str
    kind: MessageKind
    data: bytes
    why: str


class FrameParts(Struct, frozen=True):
    """What a frame says, its body in hex."""

    kind: int
    flags: int
    call_id: int
    body: Hex


class FrameVector(Struct, frozen=True):
    """Bytes that are a frame, or the violation they are. Exactly one of the two is there."""

    name: str
    clause: str
    bytes: Hex
    frame: FrameParts | None = None
    violation: str = ""


class PackedParts(FrameParts, frozen=True):
    """What one message of a packed frame says, as if it had come alone."""

    group: int = 0


class PackVector(Struct, frozen=True):
    """Bytes of a frame where packing is agreed on: the messages in it, or the violation they are."""

    name: str
    clause: str
    bytes: Hex
    messages: list[PackedParts] = []
    violation: str = ""


class HelloVector(Struct, frozen=True):
    """A hello said to a node with certain terms: what it answers, or the violation it sees."""

    name: str
    clause: str
    node: dict[str, Any]
    hello: str
    answer: dict[str, Any] | None = None
    violation: str = ""


class _MessageEntry(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    clause: str
    message: dict[str, Any]
    bytes: dict[str, Hex]


class _MessageFile(Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    vectors: list[_MessageEntry]


class _Part(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    hex: Hex
    times: int


class _HostileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """Long and dull bytes are written as parts: `[["5b", 100000]]` is a hundred thousand opening brackets."""

    name: str
    clause: str
    kind: str
    why: str
    bytes: Hex = ""
    parts: list[_Part] = []


class _HostileFile(Struct, frozen=True, forbid_unknown_fields=True):
    codec: str
    vectors: list[_HostileEntry]


class _FrameFile(Struct, frozen=True, forbid_unknown_fields=True):
    vectors: list[FrameVector]


class _PackFile(Struct, frozen=True, forbid_unknown_fields=True):
    vectors: list[PackVector]


class _HelloFile(Struct, frozen=True, forbid_unknown_fields=True):
    vectors: list[HelloVector]


def _folder() -> Path:
    packaged = Path(__file__).with_name("vectors")
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "spec" / "vectors"


FOLDER: Final = _folder()
"""Where the vectors lie: beside this module when it is installed, in `spec/` when it is a checkout."""


@cache
def messages() -> tuple[MessageVector, ...]:
    """Every vector of `messages/*.json`, by kind."""
    return tuple(vector for kind in MessageKind for vector in _messages_of(kind))


def _messages_of(kind: MessageKind) -> Iterator[MessageVector]:
    file = msgspec.json.decode((FOLDER / "messages" / f"{kind.name.lower()}.json").read_bytes(), type=_MessageFile)
    for entry in file.vectors:
        data = {codec: bytes.fromhex(digits) for codec, digits in entry.bytes.items()}
        yield MessageVector(entry.name, entry.clause, kind, message_of(kind, entry.message), data)


@cache
def hostile(codec: str) -> tuple[HostileVector, ...]:
    """Every vector of `hostile/<codec>.json`; none for a codec that has no such file."""
    path = FOLDER / "hostile" / f"{codec}.json"
    if not codec.isidentifier() or not path.is_file():
        return ()
    file = msgspec.json.decode(path.read_bytes(), type=_HostileFile)
    return tuple(
        HostileVector(entry.name, entry.clause, MessageKind[entry.kind.upper()], _bytes_of(entry), entry.why)
        for entry in file.vectors
    )


def _bytes_of(entry: _HostileEntry) -> bytes:
    return bytes.fromhex(entry.bytes) + b"".join(bytes.fromhex(part.hex) * part.times for part in entry.parts)


@cache
def frames() -> tuple[FrameVector, ...]:
    """Every vector of `frames.json`."""
    return tuple(msgspec.json.decode((FOLDER / "frames.json").read_bytes(), type=_FrameFile).vectors)


@cache
def packs() -> tuple[PackVector, ...]:
    """Every vector of `packed.json`."""
    return tuple(msgspec.json.decode((FOLDER / "packed.json").read_bytes(), type=_PackFile).vectors)


@cache
def hellos() -> tuple[HelloVector, ...]:
    """Every vector of `hellos.json`."""
    return tuple(msgspec.json.decode((FOLDER / "hellos.json").read_bytes(), type=_HelloFile).vectors)
