"""A codec under trial, and a pair of them. Both remember what they did last, so that a failure has bytes to show."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from raftsdk.errors import ConfigError
from raftsdk.messages import MESSAGE_KINDS, Message, MessageKind
from raftsdk.ports.codec import Codec
from raftsdk.testing.conformance import values
from raftsdk.testing.conformance.evidence import Evidence
from raftsdk.testing.conformance.trial import Subject

_NO_BLANKS = re.compile(r"\S+")


class Observed:
    """A codec that passes every call on to another one and remembers the last of each."""

    name: ClassVar[str]

    def __init__(self, codec: Codec, import_name: str = "") -> None:
        vars(self)["name"] = codec.name  # the port has it of a class; here every instance has another's
        self.codec = codec
        self.import_name = import_name  #: What another process makes it by; "" when none can.
        self._written: tuple[Message, bytes | None] | None = None
        self._read: tuple[MessageKind, bytes | memoryview] | None = None

    def encode(self, message: Message) -> bytes:
        """As the codec does."""
        self._written, self._read = (message, None), None
        data = self.codec.encode(message)
        self._written = message, data
        return data

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """As the codec does."""
        self._read = kind, data
        return self.codec.decode(kind, data)

    def evidence(self) -> Evidence:
        """What was last read, beside what was last written; and the message written, where it should have come back."""
        message, written = self._written or (None, None)
        kind, read = self._read or (None, written)
        data = None if read is None else bytes(read)
        returns = message is not None and (kind is None or (data == written and kind is MESSAGE_KINDS[type(message)]))
        return Evidence(
            data=data,
            reference=written if data != written else None,
            expected=values.text(message) if message is not None and returns else "",
        )


@dataclass(frozen=True)
class Pair:
    """Two codecs that serve one node: what comes in through `writer`'s link goes out through `reader`'s."""

    writer: Observed
    reader: Observed

    def evidence(self) -> Evidence:
        """That of the second: the first has its own cases."""
        return self.reader.evidence()


def codec_subject(codec: Any, import_name: str = "") -> Subject[Observed]:
    """`codec` as a subject. Raises `ConfigError` when it is none, or has a name that no report could show.

    `import_name`, `module:Class`, is what its process under measurement makes it by; without, it is found by its class.
    """
    if not isinstance(codec, Codec):
        raise ConfigError(
            [f"{type(codec).__name__} is no codec: it needs a name, encode and decode (raftsdk.ports.Codec)"]
        )
    name: Any = codec.name
    if not isinstance(name, str) or not _NO_BLANKS.fullmatch(name):
        raise ConfigError([f"{type(codec).__name__}.name is {codec.name!a}: give a text without blanks"])
    observed = Observed(codec, import_name or _import_name(codec))
    return Subject(codec.name, observed, codec=codec.name, evidence=observed.evidence)


def _import_name(codec: Codec) -> str:
    """`module:Class` of `codec`, if calling that makes another one like it."""
    codec_type = type(codec)
    try:
        codec_type()
    except TypeError:
        return ""
    return "" if "<locals>" in codec_type.__qualname__ else f"{codec_type.__module__}:{codec_type.__qualname__}"


def pair_subject(writer: Subject[Observed], reader: Subject[Observed]) -> Subject[Pair]:
    """`writer->reader` as a subject."""
    pair = Pair(writer.target, reader.target)
    name = f"{writer.name}->{reader.name}"
    return Subject(name, pair, codec=writer.codec, reader=reader.codec, evidence=pair.evidence)
