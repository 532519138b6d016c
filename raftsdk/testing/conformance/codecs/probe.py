"""A process that decodes a megabyte of everything and tells how much larger that made it, as only the operating system
sees what libraries in C take. Its argument is the codec's name, or `module:Class`.
"""

import os
import resource
import sys
from collections.abc import Iterator
from typing import Final

import msgspec

from raftsdk.config.rules import CODECS
from raftsdk.messages import MESSAGE_KINDS, MessageKind
from raftsdk.ports.codec import Codec
from raftsdk.testing.codec_samples import largest_messages, sample_messages
from raftsdk.testing.conformance.codecs.by_megabyte import OF_ANY_KIND, TOO_MUCH, inputs
from raftsdk.testing.conformance.codecs.costs import decode_or_refuse
from raftsdk.testing.conformance.codecs.growth import Growth
from raftsdk.testing.conformance.naming import part
from raftsdk.testing.conformance.stdout import own_stdout

_KIB: Final = 1024


def measure(name: str) -> Iterator[Growth]:
    """Decode every input once, each in a copy of this process: a peak lasts as long as its process."""
    codec = part(CODECS, name)
    for message in sample_messages():  # what is loaded on first use is none of the input's fault
        codec.decode(MESSAGE_KINDS[type(message)], codec.encode(message))
    for made_of in (*OF_ANY_KIND, *TOO_MUCH):
        for kind, data in inputs(codec, made_of):
            yield Growth(made_of, kind.name.lower(), len(data), _grown_bytes(codec, kind, data))
    for message in largest_messages():
        kind, data = MESSAGE_KINDS[type(message)], codec.encode(message)
        yield Growth("the most there may be", kind.name.lower(), len(data), _grown_bytes(codec, kind, data))


def _grown_bytes(codec: Codec, kind: MessageKind, data: bytes) -> int:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        before = _peak_bytes()
        decode_or_refuse(codec, kind, data)
        os.write(writing, str(_peak_bytes() - before).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        grown = told.read()
    _, status = os.waitpid(child, 0)
    if not grown:
        raise ChildProcessError(f"decoding {len(data)} bytes as {kind.name.lower()} ended the process: {status}")
    return int(grown)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIB


if __name__ == "__main__":
    with own_stdout() as output:
        output.write(msgspec.json.encode(list(measure(sys.argv[1]))))
