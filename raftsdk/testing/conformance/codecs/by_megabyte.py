"""A megabyte of anything: hostile bytes for a codec whose format nobody here knows, made with its own `encode`."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle
from random import Random
from typing import Final
from unittest import SkipTest

import msgspec

from raftsdk.messages import (
    MESSAGE_KINDS,
    AppendEntriesRequest,
    ChangeMembershipRequest,
    ErrorResponse,
    InstallSnapshotRequest,
    Message,
    MessageKind,
    PeerStatus,
    StatusResponse,
)
from raftsdk.ports.codec import Codec
from raftsdk.testing.codec_samples import sample_messages
from raftsdk.testing.conformance.codecs.contract import COSTS
from raftsdk.testing.conformance.codecs.costs import MIB, expect_cheap, max_memory_bytes
from raftsdk.testing.conformance.codecs.growth import Growth
from raftsdk.testing.conformance.codecs.subject import Observed
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.suite import Case
from raftsdk.types import Entry, Member, Membership


def _the_same_byte(_: Codec) -> Iterator[bytes]:
    for byte in range(0, 256, 5):
        yield bytes((byte,)) * MIB


def _chance(_: Codec) -> Iterator[bytes]:
    yield Random(1).randbytes(MIB)


def _longest_samples(codec: Codec) -> Iterator[bytes]:
    """The longest encoding of a sample, for every kind in turn."""
    encodings = [(MESSAGE_KINDS[type(message)], codec.encode(message)) for message in sample_messages()]
    for wanted in MessageKind:
        yield max((data for kind, data in encodings if kind is wanted), key=len)


def _its_own_messages_repeated(codec: Codec) -> Iterator[bytes]:
    for data in _longest_samples(codec):
        yield (data * (MIB // max(len(data), 1) + 1))[:MIB]


def _heads_with_a_tail_of(byte: int) -> Callable[[Codec], Iterator[bytes]]:
    def make(codec: Codec) -> Iterator[bytes]:
        for data in _longest_samples(codec):
            yield data[: len(data) // 2] + bytes((byte,)) * (MIB - len(data) // 2)

    return make


OF_ANY_KIND: Final[dict[str, Callable[[Codec], Iterator[bytes]]]] = {
    "one and the same byte": _the_same_byte,
    "random bytes": _chance,
    "its own messages, one after the other": _its_own_messages_repeated,
    "half a message and then zeros": _heads_with_a_tail_of(0x00),
    "half a message and then bytes of all ones": _heads_with_a_tail_of(0xFF),
}
"""Inputs that a codec is asked to read as a message of every kind, in turns."""


# -- messages that are well-formed and too much


def _batch(entries: int, data: bytes) -> Message:
    listed = [Entry(1, 0, data)] * entries
    return AppendEntriesRequest(
        term=1, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=listed
    )


def _error(addresses: int, text: str) -> Message:
    return ErrorResponse(code="", leader_addresses=[text] * addresses)


def _status(peers: int) -> Message:
    peer = PeerStatus(
        node_id="n",
        addresses=[],
        state="",
        match_index=0,
        next_index=0,
        outstanding_calls=0,
        connected=False,
        codec="",
        transport="",
    )
    return StatusResponse(
        node_id="n",
        cluster_id="",
        role="",
        term=0,
        leader_id="",
        last_log_index=0,
        durable_index=0,
        commit_index=0,
        applied_index=0,
        peers=[peer] * peers,
    )


def _snapshot(members: int, addresses: int) -> Message:
    listed = tuple(Member(f"n{number}", ("",) * addresses) for number in range(members))
    return InstallSnapshotRequest(
        term=1,
        leader_id="n1",
        last_included_index=1,
        last_included_term=1,
        membership=Membership(listed, tuple(member.id for member in listed)),
        total_bytes=0,
        digest=bytes(32),
        offset=0,
        data=b"",
    )


def _change(members: int, removed: int) -> Message:
    return ChangeMembershipRequest(
        members=[Member(f"n{number}") for number in range(members)], remove=[f"n{number}" for number in range(removed)]
    )


TOO_MUCH: Final[dict[str, Callable[[int], Message]]] = {
    "empty entries": lambda count: _batch(count, b""),
    "entries of two bytes": lambda count: _batch(count, b"ab"),
    "empty addresses": lambda count: _error(count, ""),
    "addresses of two letters": lambda count: _error(count, "ab"),
    "peers": _status,
    "members": lambda count: _snapshot(count, 0),
    "addresses of one member": lambda count: _snapshot(1, count),
    "members to be": lambda count: _change(count, 0),
    "members to go": lambda count: _change(0, count),
}
"""Messages with lists of any length: the smallest things there are, as many as fit into a megabyte."""


def _a_megabyte_of(message: Callable[[int], Message], codec: Codec) -> bytes | None:
    """The encoding of as many as fit into a megabyte; None when the codec refuses to write so many."""
    base, one_more = (_encoding(codec, message(count)) for count in (1_000, 1_100))
    if base is None or one_more is None or len(one_more) <= len(base):
        return None
    count = 1_000 + (MIB - len(base)) * 100 // (len(one_more) - len(base))
    while (data := _encoding(codec, message(count))) is not None and len(data) > MIB:
        count -= count // 50  # the ids of members grow as there are more of them
    return data


def _encoding(codec: Codec, message: Message) -> bytes | None:
    try:
        return codec.encode(message)
    except Exception:  # beyond its limits `encode` promises nothing
        return None


def inputs(codec: Codec, made_of: str) -> Iterator[tuple[MessageKind, bytes]]:
    """Every input that is made of that (a key of one of the tables above)."""
    if made_of in OF_ANY_KIND:
        yield from zip(cycle(MessageKind), OF_ANY_KIND[made_of](codec), strict=False)
        return
    filled = _a_megabyte_of(TOO_MUCH[made_of], codec)
    if filled is not None:
        yield MESSAGE_KINDS[type(TOO_MUCH[made_of](0))], filled


# -- cases


def megabyte_cases() -> list[Case[Observed]]:
    """A case for every sort of input, and one for the memory that is not Python's."""
    return [
        *(Case(f"a megabyte of {name} costs no more than it may", _cheap(name), COSTS) for name in OF_ANY_KIND),
        *(
            Case(f"a megabyte of {name}, well-formed, costs no more than it may", _cheap(name), COSTS)
            for name in TOO_MUCH
        ),
        Case("nothing costs more memory than it may, that of libraries in C included", _native_memory, COSTS),
    ]


def _cheap(name: str) -> Callable[[Observed], Awaitable[None]]:
    async def check(codec: Observed) -> None:
        for kind, data in inputs(codec.codec, name):
            expect_cheap(codec, kind, data)

    return check


async def _native_memory(codec: Observed) -> None:
    """In another process, where nothing but the decoding grows."""
    if not hasattr(os, "fork"):
        raise SkipTest("measured in copies of a process, which this system has not")
    if not codec.import_name:
        raise SkipTest("another process could not make this codec: give it a class that is called without arguments")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "raftsdk.testing.conformance.codecs.probe", codec.import_name),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, words = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        raise Mismatch(f"its process ended with {process.returncode}: {words.decode(errors='replace')[-500:]}")
    for growth in msgspec.json.decode(output, type=list[Growth]):
        # Smaller inputs too: a process grows by more at a time than they could be held to.
        if growth.grown_bytes > max_memory_bytes(MIB):
            raise Mismatch(
                f"{growth.grown_bytes} bytes of memory for {growth.input_bytes} of {growth.made_of}, "
                f"read as {growth.kind}, and {max_memory_bytes(MIB)} are allowed"
            )
