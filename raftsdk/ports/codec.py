"""Message ↔ bytes, and nothing about delivery."""

from typing import ClassVar, Protocol, runtime_checkable

from raftsdk.messages import Message, MessageKind


@runtime_checkable
class Codec(Protocol):
    """Turns any message of `raftsdk.messages` into bytes and back, exactly.

    *Total.* `encode` accepts every message that passes `checks.check`, of any size, and does not check again.
    *Exact.* `decode(kind, encode(m)) == m`: 63-bit integers keep every bit, `bytes` every byte.
    *Closed.* `decode` returns a fully checked, fully copied message (it calls `checks.check`), or raises
    `DecodeError`; never anything else, whatever the bytes: wrong types (`true` is no integer, `1.0` neither), ranges,
    lengths, nesting to any depth, truncation, trailing bytes, duplicate keys. Its time and memory are bounded by the
    length of the input.
    *Open to the future.* Unknown fields are ignored; a field that is absent is zero.
    *Independent.* No state between calls; safe from any thread; the result keeps no reference to `data`, so the caller
    may reuse the buffer at once.
    """

    name: ClassVar[str]
    """What configuration and the hello call it: lower case, stable for ever, e.g. `"msgpack"`."""

    def encode(self, message: Message) -> bytes:
        """The bytes of `message`. Its kind is not in them: the frame's header carries it."""
        ...

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """The message of that kind in `data`, all of it. Raises `DecodeError`, and nothing else."""
        ...
