"""Codecs that a process does not survive, or that do not survive it; named by module and class, as strangers' are."""

import os
import sys
from typing import ClassVar

from raftsdk_json import JsonCodec

from raftsdk.messages import Message, MessageKind, ProposeRequest


class Hangs(JsonCodec):
    """Never comes back from a command."""

    name: ClassVar[str] = "hangs"

    def encode(self, message: Message) -> bytes:
        while isinstance(message, ProposeRequest):
            pass
        return super().encode(message)


class Crashes(JsonCodec):
    """Takes its process along when it meets a command."""

    name: ClassVar[str] = "crashes"

    def encode(self, message: Message) -> bytes:
        if isinstance(message, ProposeRequest):
            sys.stderr.write("segmentation fault, nearly\n")
            sys.stderr.flush()
            os._exit(77)
        return super().encode(message)


class Leaves(JsonCodec):
    """Ends the program when it meets a command."""

    name: ClassVar[str] = "leaves"

    def encode(self, message: Message) -> bytes:
        if isinstance(message, ProposeRequest):
            sys.exit("enough")
        return super().encode(message)


class Talks(JsonCodec):
    """Prints what it reads."""

    name: ClassVar[str] = "talks"

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        sys.stdout.write(f"{kind.name} {bytes(data)[:20]!r}\n")
        return super().decode(kind, data)


class LosesPreVote(JsonCodec):
    """Is wrong in one thing, so that there is something to report."""

    name: ClassVar[str] = "forgetful"

    def encode(self, message: Message) -> bytes:
        return super().encode(message).replace(b'"pre_vote":true', b'"pre_vote":false')
