"""The example service's commands and queries, byte by byte."""

from collections.abc import AsyncIterator
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftsdk.cli.key_value import (
    MAX_KEY_BYTES,
    MAX_PAGE_BYTES,
    MAX_PAGE_DIGESTED_BYTES,
    SNAPSHOT_PIECE_BYTES,
    KeyValue,
    Page,
    delete_command,
    digests_query,
    get_message,
    list_message,
    parse_digests,
    parse_flag,
    parse_keys,
    parse_value,
    put_command,
    swap_command,
)
from raftsdk.ports import SnapshotStateMachine, StateMachine

LARGEST = bytes(range(256)) * 16_384


def filled(*keys: str) -> KeyValue:
    store = KeyValue()
    for index, key in enumerate(keys, start=1):
        store.apply(put_command(key, key.encode()), index)
    return store


def test_it_is_a_state_machine() -> None:
    assert isinstance(KeyValue(), StateMachine)
    assert isinstance(KeyValue(), SnapshotStateMachine)


def test_the_bytes_of_a_command_are_as_documented() -> None:
    assert put_command("kä", b"v") == b"\x01\x00\x03k\xc3\xa4v"
    assert get_message("k") == b"\x02\x00\x01k"
    assert delete_command("k") == b"\x03\x00\x01k"
    assert list_message("p", "q") == b"\x04\x00\x01pq"
    assert digests_query() == b"\x05\x00\x00"
    assert swap_command("k", None, b"v") == b"\x06\x00\x01k\x00v"
    assert swap_command("k", b"old", b"v") == b"\x06\x00\x01k\x01\x00\x00\x00\x03oldv"


@pytest.mark.parametrize("value", [b"", b"v", b"\0\xff", LARGEST])
def test_what_was_put_is_got_by_command_and_by_query(value: bytes) -> None:
    store = KeyValue()
    assert parse_flag(store.apply(put_command("k", b"before"), 1)) is False
    assert parse_flag(store.apply(put_command("k", value), 2)) is True
    assert parse_value(store.apply(get_message("k"), 3)) == value
    assert parse_value(store.query(get_message("k"))) == value


def test_what_was_deleted_is_gone() -> None:
    store = filled("k", "l")
    assert parse_flag(store.apply(delete_command("k"), 3)) is True
    assert parse_flag(store.apply(delete_command("k"), 4)) is False
    assert parse_value(store.query(get_message("k"))) is None
    assert parse_keys(store.query(list_message())).keys == ["l"]


def test_a_value_is_swapped_only_for_the_expected_one() -> None:
    store = KeyValue()
    swaps = [(b"1", b"2", False), (None, b"1", True), (None, b"2", False), (b"2", b"3", False), (b"1", b"", True)]
    for expected, value, happens in swaps:
        assert parse_flag(store.apply(swap_command("k", expected, value), 1)) is happens
    assert parse_value(store.query(get_message("k"))) == b""
    assert parse_keys(store.query(list_message())).keys == ["k"]


def test_a_list_holds_the_keys_of_a_prefix_in_order() -> None:
    store = filled("b/2", "a", "b/1", "b", "ü", "c")
    assert parse_keys(store.query(list_message())) == Page(["a", "b", "b/1", "b/2", "c", "ü"], [], more=False)
    assert parse_keys(store.apply(list_message("b/"), 7)).keys == ["b/1", "b/2"]
    assert parse_keys(store.query(list_message("b", "b/1"))).keys == ["b/2"]
    assert parse_keys(store.query(list_message("b", "c"))).keys == []


def test_a_list_sees_a_key_put_after_the_last_list() -> None:
    store = filled("a")
    store.query(list_message())
    store.apply(put_command("0", b""), 2)
    assert parse_keys(store.query(list_message())).keys == ["0", "a"]


def test_digests_are_the_sha256_of_the_values() -> None:
    page = parse_digests(filled("a", "b").query(digests_query()))
    assert page == Page(["a", "b"], [sha256(b"a").digest(), sha256(b"b").digest()], more=False)


def test_pages_together_hold_every_key_once_and_each_fits_a_frame() -> None:
    store = KeyValue()
    keys = [f"{number:05}" for number in range(20_000)]
    for key in keys:
        store.apply(put_command(key, b""), 1)
    found: list[str] = []
    pages = 0
    more = True
    while more:
        answer = store.query(digests_query(start_after=found[-1] if found else ""))
        assert len(answer) <= MAX_PAGE_BYTES + MAX_KEY_BYTES + 35
        page = parse_digests(answer)
        found += page.keys
        more = page.more
        pages += 1
    assert found == keys
    assert pages == 3


def test_a_page_of_digests_ends_when_enough_was_hashed() -> None:
    store = KeyValue()
    for key in "abcdefgh":
        store.apply(put_command(key, LARGEST), 1)
    page = parse_digests(store.query(digests_query()))
    assert len(page.keys) == MAX_PAGE_DIGESTED_BYTES // len(LARGEST) + 1
    assert page.more


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"\x01\x00\x05k",
        b"\x01\x00\x00value without a key",
        b"\x01\x00\x01\xffnot UTF-8",
        b"\x00\x00\x01k",
        b"\x06\x00\x01k",
        b"\xff" * 9,
        b"\x02\x00\x01krest",
        b"\x03\x00\x01krest",
        b"\x05\x00\x00",
        b"\x06\x00\x01k\x02v",
        b"\x06\x00\x01k\x01\x00\x00\x00\x05k",
        b"\x06\x00\x00\x00v",
    ],
)
def test_a_malformed_command_is_refused_and_changes_nothing(message: bytes) -> None:
    store = filled("k")
    with pytest.raises(ValueError):
        store.apply(message, 2)
    assert parse_digests(store.query(digests_query())) == parse_digests(filled("k").query(digests_query()))


@pytest.mark.parametrize("message", [b"", put_command("k", b"v"), delete_command("k"), b"\x02\x00\x01krest"])
def test_a_query_that_would_change_something_or_is_malformed_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError):
        filled("k").query(message)


def test_a_key_that_is_too_long_is_refused_by_whoever_sends_it() -> None:
    with pytest.raises(ValueError, match="at most 65535 fit"):
        put_command("k" * (MAX_KEY_BYTES + 1), b"")


@given(
    st.lists(st.binary(max_size=8) | st.tuples(st.sampled_from([1, 2, 3, 4, 6]), st.binary(max_size=2)), max_size=20)
)
def test_the_same_commands_give_the_same_results_and_state_whatever_they_are(
    script: list[bytes | tuple[int, bytes]],
) -> None:
    commands = [
        item if isinstance(item, bytes) else bytes([item[0]]) + len(item[1]).to_bytes(2) + item[1] for item in script
    ]

    def replay() -> tuple[list[bytes | str], bytes]:
        store = KeyValue()
        results: list[bytes | str] = []
        for index, command in enumerate(commands, start=1):
            try:
                results.append(store.apply(command, index))
            except ValueError as error:
                results.append(str(error))
        return results, store.query(digests_query())

    assert replay() == replay()


@given(st.binary(max_size=64))
def test_a_result_that_is_none_is_refused_by_its_reader(result: bytes) -> None:
    for parse in (parse_flag, parse_value, parse_keys, parse_digests):
        try:
            parse(result)
        except ValueError:
            continue


# -- snapshots


async def cut(snapshot: bytes, size: int) -> AsyncIterator[bytes]:
    """A snapshot in pieces of that size."""
    for start in range(0, len(snapshot), size):
        yield snapshot[start : start + size]


async def written(store: KeyValue) -> bytes:
    return b"".join([piece async for piece in store.snapshot()])


@pytest.mark.parametrize("size", [1, 7, 2**20])
async def test_a_restored_store_holds_what_the_snapshot_was_taken_of_however_its_pieces_are_cut(size: int) -> None:
    store = filled("a", "b/1", "ü")
    store.apply(put_command("empty", b""), 4)
    restored = filled("stale")
    await restored.restore(cut(await written(store), size))
    assert parse_digests(restored.query(digests_query())) == parse_digests(store.query(digests_query()))
    assert restored.apply(put_command("ü", b""), 5) == store.apply(put_command("ü", b""), 5)


async def test_a_snapshot_is_of_the_moment_it_was_asked_for_whatever_is_applied_while_it_is_written() -> None:
    store = filled("a", "b")
    pieces = store.snapshot()
    store.apply(delete_command("a"), 3)
    store.apply(put_command("c", b"new"), 4)
    restored = KeyValue()
    await restored.restore(pieces)
    assert parse_keys(restored.query(list_message())).keys == ["a", "b"]


async def test_a_snapshot_comes_in_pieces_of_bounded_size() -> None:
    store = KeyValue()
    for number in range(1_000):
        store.apply(put_command(f"k{number}", bytes(1_000)), number + 1)
    sizes = [len(piece) async for piece in store.snapshot()]
    assert len(sizes) > 10
    assert max(sizes) < SNAPSHOT_PIECE_BYTES + 2_000


@pytest.mark.parametrize("kept", [1, 5, 7])
async def test_a_snapshot_that_is_cut_short_is_refused(kept: int) -> None:
    snapshot = await written(filled("k"))
    with pytest.raises(ValueError, match="cut short"):
        await KeyValue().restore(cut(snapshot[:kept], 3))
