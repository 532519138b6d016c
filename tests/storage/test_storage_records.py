"""Bytes on disk: exact for what was written, refused for anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftsdk.storage.records import Damaged, Ownership, pack_entries, seal, split_entries, unpack_entries, unseal
from raftsdk.types import MAX_INTEGER, Entry

UNSIGNED = st.integers(0, MAX_INTEGER)
ENTRIES = st.lists(st.builds(Entry, UNSIGNED, UNSIGNED, st.binary(max_size=40)), max_size=6)
OWNERSHIP = Ownership(1, "orchard", "n1", 7)


@given(ENTRIES, st.integers(1, MAX_INTEGER - 10))
def test_packed_entries_come_back_as_they_were(entries: list[Entry], first_index: int) -> None:
    assert unpack_entries(pack_entries(first_index, entries), first_index) == entries


@given(ENTRIES, st.data())
def test_splitting_leaves_exactly_the_first_entries_and_the_others(entries: list[Entry], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(entries)))
    first, others = split_entries(pack_entries(1, entries), count)
    assert unpack_entries(first, 1) == entries[:count]
    assert unpack_entries(others, 1 + count) == entries[count:]


def test_every_flipped_bit_of_a_packed_entry_is_noticed() -> None:
    packed = pack_entries(5, [Entry(3, 1, b"apple"), Entry(3, 2, b"")])
    for bit in range(len(packed) * 8):
        flipped = bytearray(packed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged, match=r"the entry at index [56] "):
            unpack_entries(bytes(flipped), 5)


def test_every_cut_inside_an_entry_is_noticed() -> None:
    packed = pack_entries(5, [Entry(3, 1, b"apple")])
    for size in range(1, len(packed)):
        with pytest.raises(Damaged, match="the entry at index 5 "):
            unpack_entries(packed[:size], 5)


def test_entries_found_at_another_index_than_their_own_are_noticed() -> None:
    with pytest.raises(Damaged, match="the entry at index 6 "):
        unpack_entries(pack_entries(5, [Entry(3, 1, b"apple")]), 6)


def test_every_flipped_bit_of_a_sealed_record_is_noticed() -> None:
    sealed = seal(OWNERSHIP)
    assert unseal(sealed, Ownership, "ownership") == OWNERSHIP
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged, match="the ownership does not match its checksum"):
            unseal(bytes(flipped), Ownership, "ownership")


@pytest.mark.parametrize("missing", [None, 7, "text"])
def test_a_record_that_is_no_bytes_is_missing(missing: object) -> None:
    with pytest.raises(Damaged, match="the ownership is missing"):
        unseal(missing, Ownership, "ownership")


def test_a_well_sealed_record_of_another_shape_makes_no_sense() -> None:
    with pytest.raises(Damaged, match="makes no sense"):
        unseal(seal(Entry(1, 1, b"")), Ownership, "ownership")
