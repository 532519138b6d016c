"""Messages that must come back exactly: what every case about one or two codecs is made of."""

from raftsdk.errors import DecodeError
from raftsdk.messages import MESSAGE_KINDS, Message
from raftsdk.testing.conformance import values
from raftsdk.testing.conformance.codecs.subject import Observed, Pair
from raftsdk.testing.conformance.evidence import Mismatch


def expect_return(codec: Observed, message: Message, golden: bytes | None = None) -> None:
    """`codec` reads what it writes of `message` as `message`. `golden` is what others write of it, to compare with."""
    expect_read(codec, message, codec.encode(message), "what it wrote itself", golden)


def expect_read(codec: Observed, message: Message, data: bytes, whose: str, reference: bytes | None = None) -> None:
    """`codec` reads `data` as `message`, type by type. Otherwise raises `Mismatch`, which shows both."""
    try:
        back = codec.decode(MESSAGE_KINDS[type(message)], data)
    except DecodeError as error:
        problem = f"refused {whose}: {error}"
        raise Mismatch(problem, data=data, reference=reference, expected=values.text(message)) from error
    if problem := values.difference(back, message):
        raise Mismatch(
            f"{problem}, in {whose}",
            data=data,
            reference=reference,
            expected=values.text(message),
            found=_shown(back),
        )


def expect_passed_on(pair: Pair, message: Message, data: bytes) -> None:
    """What the first codec reads from `data`, the second writes and reads again as `message`."""
    expect_read(pair.writer, message, data, f"the bytes of {pair.writer.name}")
    read = pair.writer.decode(MESSAGE_KINDS[type(message)], data)
    expect_read(pair.reader, message, pair.reader.encode(read), f"what it wrote of what {pair.writer.name} had read")


def _shown(message: Message) -> str:
    """As canonical JSON, or as Python shows it when a field has a type that JSON does not."""
    try:
        return values.text(message)
    except (TypeError, ValueError):
        return repr(message)
