"""Who hears whom: shapes of networks that fell apart, callers told apart by their hello, cuts between two nodes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftsdk.testing.processes import free_addresses
from raftsdk.testing.proxy import Way
from raftsdk.testing.wiring import Pairs, Wiring, alone, bridge, caller_of, chain, groups, ring
from raftsdk.wire.frame import WireKind, encode_frame
from raftsdk.wire.hello import PROTOCOL, Hello, encode_hello

FIVE = ("a", "b", "c", "d", "e")
A_WHILE_S = 0.15
PATIENCE_S = 10.0


def pairs(*texts: str) -> Pairs:
    return frozenset(map(frozenset, texts))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (groups("abc", "de"), pairs("ab", "bc", "ac", "de")),
        (alone("b", "abc"), pairs("ac")),
        (bridge("c", FIVE), pairs("ab", "ac", "bc", "cd", "ce", "de")),
        (bridge("b", "abc"), pairs("ab", "bc")),
        (chain("abc"), pairs("ab", "bc")),
        (ring(FIVE), pairs("ab", "bc", "cd", "de", "ea")),
    ],
)
def test_a_shape_is_the_pairs_that_hear_each_other(shape: Pairs, expected: Pairs) -> None:
    assert shape == expected


def test_in_a_ring_of_five_everybody_hears_a_majority_and_no_two_the_same() -> None:
    heard = [frozenset(node for pair in ring(FIVE) if place in pair for node in pair) for place in FIVE]
    assert all(len(nodes) == 3 for nodes in heard)
    assert all(one != other for one, other in combinations(heard, 2))


def hello(node_id: str) -> bytes:
    said = Hello(protocol=PROTOCOL, role="peer", codecs=["json"], max_frame_bytes=1, node_id=node_id)
    return encode_frame(WireKind.HELLO, 0, 1, encode_hello(said))


def test_a_caller_is_named_by_its_hello_once_all_of_it_is_there() -> None:
    said = hello("n1")
    assert [caller_of(said[:length]) for length in range(len(said))] == [None] * len(said)
    assert caller_of(said) == caller_of(said + b"more") == "n1"
    assert caller_of(hello("")) == ""


@given(st.binary(min_size=4))
def test_whoever_sends_no_hello_is_nobody_in_particular(first: bytes) -> None:
    assert caller_of(first) in ("", None)


class Ears:
    """A node that keeps what it hears and says the same back."""

    def __init__(self) -> None:
        self.heard = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                self.heard += data
                writer.write(data)
        except ConnectionResetError:
            self.heard += b"reset"
        writer.close()


@asynccontextmanager
async def two_nodes(directory: Path) -> AsyncIterator[tuple[Wiring, dict[str, str], Ears]]:
    """Their wiring, where it listens, and what n2 hears."""
    fronts = free_addresses(directory, {"n1": "tcp", "n2": "tcp"})
    targets = free_addresses(directory, {"n1": "tcp", "n2": "tcp"})
    ears = Ears()
    port = int(targets["n2"].rpartition(":")[2])
    async with await asyncio.start_server(ears.serve, "127.0.0.1", port), Wiring(fronts, targets) as wiring:
        yield wiring, fronts, ears


async def dial(address: str, node_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    writer.write(hello(node_id))
    return reader, writer


async def test_a_cut_from_one_node_to_another_holds_its_requests_and_the_answers_it_owes(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (wiring, fronts, ears):
        reader, writer = await dial(fronts["n2"], "n1")
        async with asyncio.timeout(PATIENCE_S):
            await reader.readexactly(len(hello("n1")))
        wiring.set("n2", "n1", Way(cut=True))  # n2's answers are what n2 says to n1
        writer.write(b"asked")
        await asyncio.sleep(A_WHILE_S)
        assert ears.heard == hello("n1") + b"asked"
        answer = asyncio.create_task(reader.readexactly(5))
        await asyncio.sleep(A_WHILE_S)
        assert not answer.done()
        wiring.connect(alone("n1", wiring.nodes))
        writer.write(b"again")
        await asyncio.sleep(A_WHILE_S)
        assert ears.heard.endswith(b"asked")
        wiring.heal()
        async with asyncio.timeout(PATIENCE_S):
            assert await answer == b"asked"
            assert await reader.readexactly(5) == b"again"
        writer.close()


async def test_no_cut_between_nodes_touches_a_client_and_a_reset_of_a_node_touches_all(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (wiring, fronts, _):
        wiring.set_all(Way(cut=True))
        reader, writer = await dial(fronts["n2"], "")
        async with asyncio.timeout(PATIENCE_S):
            await reader.readexactly(len(hello("")))
            wiring.reset(["n2"])
            with pytest.raises(ConnectionResetError):
                await reader.read()
        writer.close()
