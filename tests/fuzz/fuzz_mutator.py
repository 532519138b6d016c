"""Damage, by chance and repeatable: the same seed makes the same inputs."""

from collections.abc import Iterator, Sequence
from random import Random

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_TEXTS = (b"-", b".", b"e9", b"null", b"true", b'"', b"{", b"[", b"\\u0000", b"9" * 30)
MAX_INPUT_BYTES = 64 * 1024


def mutations(seeds: Sequence[bytes], chance: Random) -> Iterator[bytes]:
    """Inputs without end, each a seed with one to eight things done to it. Needs at least one seed."""
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 1, 1, 2, 4, 8))):
            chance.choice(_DAMAGES)(data, chance, seeds)
        yield bytes(data[:MAX_INPUT_BYTES])


def _place(data: bytearray, chance: Random) -> int:
    # Headers, lengths and names stand at the front; half of the damage goes there.
    return chance.randint(0, min(len(data), 64) if chance.random() < 0.5 else len(data))


def _flip_a_bit(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    if data:
        data[min(_place(data, chance), len(data) - 1)] ^= 1 << chance.randrange(8)


def _set_a_byte(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    if data:
        data[min(_place(data, chance), len(data) - 1)] = chance.randrange(256)


def _insert_bytes(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    place = _place(data, chance)
    data[place:place] = chance.randbytes(chance.choice((1, 2, 4, 8, 32)))


def _remove_bytes(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    place = _place(data, chance)
    del data[place : place + chance.choice((1, 2, 4, 8, 64))]


def _cut_short(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    del data[_place(data, chance) :]


def _repeat_a_piece(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    place = _place(data, chance)
    piece = data[place : place + chance.choice((1, 4, 16, 64))]
    data[place:place] = piece * chance.choice((1, 2, 16, 128))


def _write_a_number(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    place, length = _place(data, chance), chance.choice((1, 2, 4, 8))
    number = chance.choice(_NUMBERS) + chance.choice((-1, 0, 1))
    data[place : place + length] = (number % 2 ** (8 * length)).to_bytes(length, chance.choice(("big", "little")))


def _write_a_text(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    """For formats made of text."""
    place = _place(data, chance)
    data[place : place + 1] = chance.choice(
        (b"-", b".", b"e9", b"null", b"true", b'"', b"{", b"[", b"\\u0000", b"9" * 30)
    )


def _splice(data: bytearray, chance: Random, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    data[_place(data, chance) :] = other[chance.randint(0, len(other)) :]


_DAMAGES = (
    _flip_a_bit,
    _set_a_byte,
    _insert_bytes,
    _remove_bytes,
    _cut_short,
    _repeat_a_piece,
    _write_a_number,
    _write_a_text,
    _splice,
)
