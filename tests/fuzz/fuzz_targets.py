"""What is fuzzed, from which seeds, and what must hold of it whatever the bytes."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from msgspec import Struct

from raftsdk import plugins
from raftsdk.checks import check
from raftsdk.config import CODECS
from raftsdk.errors import DecodeError, WireError
from raftsdk.messages import MESSAGE_KINDS, MESSAGE_TYPES, Message, MessageKind
from raftsdk.ports import Codec
from raftsdk.testing.codec_suite import random_message, sample_messages
from raftsdk.types import MAX_INTEGER, Identity
from raftsdk.wire.frame import Flags, Frame, WireKind, encode_frame, parse_frame
from raftsdk.wire.hello import (
    HelloAnswer,
    HelloRefused,
    Terms,
    decode_answer,
    decode_hello,
    encode_hello,
    make_hello,
    negotiate,
)
from raftsdk.wire.packing import unpack

CORPUS: Final = Path(__file__).parent / "corpus"
MAX_ERROR_CHARS: Final = 1_024
AGREEMENT: Final = "agreement"

_KINDS = sorted(MESSAGE_TYPES)
_TERMS = Terms(identity=Identity("c", "n1"), codecs=("json", "msgpack"), max_frame_bytes=2**20, idle_timeout_ms=60_000)


class Target(Struct, frozen=True):
    """One reader. `run` raises `AssertionError` when an input makes it do what it may not do."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]

    @property
    def kept(self) -> list[bytes]:
        """The inputs that once broke it."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*.bin"))]


def names() -> list[str]:
    """Every reader of ours: the installed codecs, the link's own, and all codecs together."""
    return [*plugins.names()[CODECS], *_MAKERS, AGREEMENT]


def target(name: str, codecs: Mapping[str, Codec] | None = None) -> Target:
    """The one of that name, with the codecs that are installed or those given."""
    if name in _MAKERS:
        return _MAKERS[name]()
    if name == AGREEMENT:
        return _agreement(_installed() if codecs is None else codecs)
    codec: Codec = plugins.make(CODECS, name) if codecs is None else codecs[name]
    return Target(name, partial(_decode, codec), _bodies(codec))


def _installed() -> dict[str, Codec]:
    return {name: plugins.make(CODECS, name) for name in plugins.names()[CODECS]}


def _accepted() -> HelloAnswer:
    other = msgspec.structs.replace(_TERMS, identity=Identity("c", "n2"))
    return negotiate(make_hello(other, "peer", "n1"), _TERMS)


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


# -- decoders: an input is a byte that chooses the kind, and the body


def _bodies(codec: Codec) -> tuple[bytes, ...]:
    return tuple(
        bytes([_KINDS.index(MESSAGE_KINDS[type(message)])]) + codec.encode(message) for message in sample_messages()
    )


def _decode(codec: Codec, data: bytes) -> None:
    """A sound message that survives another round, or a short `DecodeError`."""
    kind = _KINDS[data[0] % len(_KINDS)] if data else _KINDS[0]
    try:
        message = codec.decode(kind, data[1:])
    except DecodeError as error:
        _expect(0 < len(str(error)) <= MAX_ERROR_CHARS, f"a DecodeError of {len(str(error))} characters")
        return
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} instead of DecodeError: {error}") from error
    _expect(type(message) is MESSAGE_TYPES[kind], f"{kind.name} was read as {type(message).__name__}")
    check(message)
    again = codec.decode(kind, codec.encode(message))
    _expect(repr(again) == repr(message), f"{message!r:.200} became {again!r:.200}")


# -- the link's own readers


def _parse(data: bytes) -> None:
    try:
        frame = parse_frame(data)
    except WireError as error:
        _expect(0 < len(str(error)) <= MAX_ERROR_CHARS, f"a WireError of {len(str(error))} characters")
        return
    _expect(len(frame.body) == len(data) - 20, "a body of another length than the frame's")
    again = encode_frame(frame.kind, frame.flags, frame.call_id, bytes(frame.body))
    _expect(parse_frame(again) == frame, "a frame did not come back")


def _unpack(data: bytes) -> None:
    try:
        messages = unpack(Frame(MessageKind.PROPOSE_REQUEST, Flags.PACKED, 1, memoryview(data)))
    except WireError as error:
        _expect((error.reason, len(str(error)) <= MAX_ERROR_CHARS) == ("bad_pack", True), f"{error.reason}: {error}")
        return
    again = b"".join(len(message.body).to_bytes(4) + message.body for message in messages)
    _expect(again == data, "what was packed did not come back")


def _read_hello(data: bytes) -> None:
    try:
        hello = decode_hello(memoryview(data))
    except WireError as error:
        _expect(error.reason == "bad_hello", f"the reason is {error.reason}")
        _expect(len(str(error)) <= MAX_ERROR_CHARS, f"a WireError of {len(str(error))} characters")
        return
    answer = negotiate(hello, _TERMS)
    decode_answer(memoryview(encode_hello(answer)))


def _read_answer(data: bytes) -> None:
    try:
        decode_answer(memoryview(data))
    except WireError as error:
        _expect(error.reason == "bad_answer", f"the reason is {error.reason}")
        _expect(len(str(error)) <= MAX_ERROR_CHARS, f"a WireError of {len(str(error))} characters")


# -- all codecs about one message


def _agree(codecs: Mapping[str, Codec], data: bytes) -> None:
    """All take a message, or all refuse it. The input is the seed of a message that may be dishonest in one field."""
    message = _nearly_honest(Random(data))
    verdicts = {name: _accepts(codec, message) for name, codec in codecs.items()}
    _expect(len(set(verdicts.values())) <= 1, f"the codecs disagree about {message!r:.300}: {verdicts}")


def _agreement(codecs: Mapping[str, Codec]) -> Target:
    return Target(AGREEMENT, partial(_agree, codecs), tuple(bytes([number]) * 8 for number in range(256)))


def _nearly_honest(chance: Random) -> Message:
    message = random_message(chance)
    numbers = [name for name in message.__struct_fields__ if type(getattr(message, name)) is int]
    if numbers and chance.random() < 0.7:
        wrong = chance.choice((0, 1, MAX_INTEGER, MAX_INTEGER + 1, 2**64 - 1))
        return msgspec.structs.replace(message, **{chance.choice(numbers): wrong})
    return message


def _accepts(codec: Codec, message: Message) -> bool:
    kind = MESSAGE_KINDS[type(message)]
    try:
        back = codec.decode(kind, codec.encode(message))
    except DecodeError:
        return False
    _expect(repr(back) == repr(message), f"{codec.name}: {message!r:.200} came back as {back!r:.200}")
    return True


def _frames() -> Target:
    frames = encode_frame(MessageKind.PROPOSE_REQUEST, 0, 7, b"a body"), encode_frame(WireKind.KEEP_ALIVE, 0, 0, b"")
    return Target("frame", _parse, frames)


def _packs() -> Target:
    return Target("pack", _unpack, (b"\0\0\0\2hi\0\0\0\0", bytes(40)))


def _hellos() -> Target:
    return Target("hello", _read_hello, (encode_hello(make_hello(_TERMS, "peer", "n2")),))


def _answers() -> Target:
    answers = HelloRefused(code="own_id"), _accepted()
    return Target("answer", _read_answer, tuple(encode_hello(answer) for answer in answers))


_MAKERS: Final[dict[str, Callable[[], Target]]] = {
    "frame": _frames,
    "pack": _packs,
    "hello": _hellos,
    "answer": _answers,
}
