"""The example service: a replicated map from keys to values, which `raftsdk node`, `demo` and `kv` serve.

Keys are 1 to 65,535 bytes of UTF-8 text, values any bytes. A command or query is, in any language:

    operation u8 | key length u16, big-endian | key | rest

    operation      key      rest          result
    1  put         the key  the value     u8: 1 if the key was there before, else 0
    2  get         the key  empty         u8: 1 and then the value, or 0 alone
    3  delete      the key  empty         u8: 1 if the key was there, else 0
    4  list        prefix   start after   u8: 1 if there is more, else 0; then of each key: length u16, key
    5  digests     prefix   start after   as list, with the SHA-256 of the value (32 bytes) behind each key
    6  swap        the key  see below     u8: 1 if the value was the expected one and is the new one now, else 0

The rest of a swap is u8 0 if the key is expected not to be there, or u8 1, the expected value's length u32, and that
value; behind either, the new value.

1 to 4 and 6 are commands, for the log; 2, 4 and 5 are queries, for one node's own state. Lists are sorted by the keys'
bytes and come in pages: ask again with the last key of a page as `start after`. Anything else raises `ValueError`,
before any state has changed, on every node alike.

A snapshot is, of each key, in no order: its length u16, its value's length u32, the key, the value.
"""

from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from hashlib import sha256
from itertools import takewhile
from struct import Struct as Layout
from typing import Final, TypeAlias

from msgspec import Struct

PUT: Final = 1
GET: Final = 2
DELETE: Final = 3
LIST: Final = 4
DIGESTS: Final = 5
SWAP: Final = 6

MAX_KEY_BYTES: Final = 2**16 - 1

MAX_PAGE_BYTES: Final = 256 * 1024
"""A page ends with the key that passes this; even as JSON it is far below a frame's limit."""

MAX_PAGE_DIGESTED_BYTES: Final = 16 * 1024 * 1024
"""A page of digests ends after hashing so much: some 20 ms, which no heartbeat notices."""

SNAPSHOT_PIECE_BYTES: Final = 64 * 1024
"""A piece of a snapshot ends with the key that passes this: far below a millisecond's work, unless a value is large."""

_HEADER_BYTES: Final = 3
_RECORD_HEADER: Final = Layout(">HI")  # of a key in a snapshot
_DIGEST_BYTES: Final = 32
_NO: Final = b"\0"
_YES: Final = b"\1"


class KeyValue:
    """The map. A `raftsdk.ports.StateMachine`, and a `raftsdk.ports.SnapshotStateMachine`."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._sorted: list[bytes] | None = None  # All keys in order; None after a key came or went.
        self._commands = {GET: self._get, DELETE: self._delete, LIST: self._list, SWAP: self._swap}
        self._queries = {GET: self._get, LIST: self._list, DIGESTS: self._digests}

    def apply(self, command: bytes, index: int) -> bytes:
        """Carry out one command. Raises `ValueError` for what is none."""
        key_end = _key_end(command)
        key = command[_HEADER_BYTES:key_end]
        if command[0] == PUT:  # Nearly all of them; the value is copied once, here.
            return self._put(key, command[key_end:])
        return _operation(self._commands, command)(key, command[key_end:])

    def query(self, query: bytes) -> bytes:
        """Answer from this node's own state. Raises `ValueError` for what is no query."""
        key_end = _key_end(query)
        return _operation(self._queries, query)(query[_HEADER_BYTES:key_end], query[key_end:])

    def snapshot(self) -> AsyncIterator[bytes]:
        """Every key and value as of now. Held fast by a shallow copy: keys and values are never changed in place."""
        return _written(self._values.copy())

    async def restore(self, pieces: AsyncIterator[bytes]) -> None:
        """Replace everything by what is in `pieces`. Raises `ValueError` for what is no snapshot of this service."""
        self._values = values = {}  # first, so that no two states are in memory
        self._sorted = None
        unread = bytearray()
        async for piece in pieces:
            unread += piece
            place = 0
            while (end := _record_end(unread, place)) <= len(unread):
                value_start = place + _RECORD_HEADER.size + int.from_bytes(unread[place : place + 2])
                values[bytes(unread[place + _RECORD_HEADER.size : value_start])] = bytes(unread[value_start:end])
                place = end
            del unread[:place]
        if unread:
            raise ValueError(f"the snapshot is cut short: {len(unread)} bytes are less than a key and its value")

    def _put(self, key: bytes, value: bytes) -> bytes:
        known = key in self._values
        if not known:
            _require_key(key)
            self._sorted = None
        self._values[key] = value
        return _YES if known else _NO

    def _get(self, key: bytes, rest: bytes) -> bytes:
        _require_empty(rest)
        value = self._values.get(key)
        return _NO if value is None else _YES + value

    def _swap(self, key: bytes, rest: bytes) -> bytes:
        expected, value = _split_swap(rest)
        _require_key(key)
        if self._values.get(key) != expected:
            return _NO
        self._put(key, value)
        return _YES

    def _delete(self, key: bytes, rest: bytes) -> bytes:
        _require_empty(rest)
        if self._values.pop(key, None) is None:
            return _NO
        self._sorted = None
        return _YES

    def _list(self, prefix: bytes, start_after: bytes) -> bytes:
        return self._page(prefix, start_after, lambda key: b"")

    def _digests(self, prefix: bytes, start_after: bytes) -> bytes:
        return self._page(prefix, start_after, lambda key: sha256(self._values[key]).digest(), hashed=True)

    def _page(
        self, prefix: bytes, start_after: bytes, extra: Callable[[bytes], bytes], *, hashed: bool = False
    ) -> bytes:
        page = bytearray(_NO)
        digested_bytes = 0
        for key in self._keys_from(prefix, start_after):
            if len(page) > MAX_PAGE_BYTES or digested_bytes > MAX_PAGE_DIGESTED_BYTES:
                page[:1] = _YES
                break
            page += len(key).to_bytes(2) + key + extra(key)
            digested_bytes += len(self._values[key]) if hashed else 0
        return bytes(page)

    def _keys_from(self, prefix: bytes, start_after: bytes) -> Iterator[bytes]:
        """The keys that begin with `prefix` and come after `start_after`, in order."""
        if self._sorted is None:
            self._sorted = sorted(self._values)
        keys = self._sorted
        first = bisect_right(keys, start_after) if start_after >= prefix else bisect_left(keys, prefix)
        following = (keys[place] for place in range(first, len(keys)))
        return takewhile(lambda key: key.startswith(prefix), following)


async def _written(values: dict[bytes, bytes]) -> AsyncIterator[bytes]:
    piece = bytearray()
    for key, value in values.items():
        piece += _RECORD_HEADER.pack(len(key), len(value)) + key + value
        if len(piece) >= SNAPSHOT_PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _record_end(snapshot: bytearray, place: int) -> int:
    """Where the key and value that begin at `place` end, as far as that can be told."""
    if len(snapshot) < place + _RECORD_HEADER.size:
        return place + _RECORD_HEADER.size
    key_bytes, value_bytes = _RECORD_HEADER.unpack_from(snapshot, place)
    return place + _RECORD_HEADER.size + int(key_bytes) + int(value_bytes)


_Handler: TypeAlias = Callable[[bytes, bytes], bytes]


def _key_end(message: bytes) -> int:
    """Where the key ends and the rest begins."""
    if len(message) < _HEADER_BYTES:
        raise ValueError(f"{len(message)} bytes are too few: give an operation, a key length and a key")
    end = _HEADER_BYTES + (message[1] << 8 | message[2])
    if end > len(message):
        raise ValueError(
            f"the key is cut short: {end - _HEADER_BYTES} bytes declared, {len(message) - _HEADER_BYTES} there"
        )
    return end


def _operation(handlers: Mapping[int, _Handler], message: bytes) -> _Handler:
    handler = handlers.get(message[0])
    if handler is None:
        raise ValueError(f"operation {message[0]} is unknown here; there is {', '.join(map(str, handlers))}")
    return handler


def _require_key(key: bytes) -> None:
    if not key:
        raise ValueError(f"a key has 1 to {MAX_KEY_BYTES} bytes")
    key.decode()  # UnicodeDecodeError is a ValueError


def _split_swap(rest: bytes) -> tuple[bytes | None, bytes]:
    """The expected value and the new one, of what follows the key in a swap."""
    if rest[:1] == _NO:
        return None, rest[1:]
    end = 5 + int.from_bytes(rest[1:5])
    if rest[:1] != _YES or len(rest) < end:
        raise ValueError("the expected value of a swap is cut short, or there is no telling whether there is one")
    return rest[5:end], rest[end:]


def _require_empty(rest: bytes) -> None:
    if rest:
        raise ValueError(f"{len(rest)} bytes behind the key, where none belong")


# -- for whoever asks: commands and queries, and what their results mean


class Page(Struct, frozen=True):
    """Some keys in order, each with its value's SHA-256 where that was asked for."""

    keys: list[str]
    digests: list[bytes]
    more: bool  #: Ask again with the last key as `start_after`.


def put_command(key: str, value: bytes) -> bytes:
    """Set `key` to `value`; the result is read by `parse_flag`: whether the key was there before."""
    return _message(PUT, key, value)


def get_message(key: str) -> bytes:
    """The value of `key`, as a command (linearizable) or a query (local); read by `parse_value`."""
    return _message(GET, key)


def delete_command(key: str) -> bytes:
    """Remove `key`; the result is read by `parse_flag`: whether it was there."""
    return _message(DELETE, key)


def swap_command(key: str, expected: bytes | None, value: bytes) -> bytes:
    """Set `key` to `value` if its value is `expected`, None being none; the result is read by `parse_flag`: whether it
    was.
    """
    held = _NO if expected is None else _YES + len(expected).to_bytes(4) + expected
    return _message(SWAP, key, held + value)


def list_message(prefix: str = "", start_after: str = "") -> bytes:
    """A page of keys, as a command (linearizable) or a query (local); read by `parse_keys`."""
    return _message(LIST, prefix, start_after.encode())


def digests_query(prefix: str = "", start_after: str = "") -> bytes:
    """A page of keys and their values' SHA-256; read by `parse_digests`."""
    return _message(DIGESTS, prefix, start_after.encode())


def parse_flag(result: bytes) -> bool:
    """Of a put or delete: whether the key was there before. Of a swap: whether the value is the new one now."""
    if result not in (_NO, _YES):
        raise ValueError("not the result of a put, a delete or a swap")
    return result == _YES


def parse_value(result: bytes) -> bytes | None:
    """Of a get: the value, or None when there is none."""
    if result == _NO:
        return None
    if result[:1] != _YES:
        raise ValueError("not the result of a get")
    return result[1:]


def parse_keys(result: bytes) -> Page:
    """Of a list: the page, without digests."""
    return _parse_page(result, digest_bytes=0)


def parse_digests(result: bytes) -> Page:
    """Of a query for digests: the page."""
    return _parse_page(result, digest_bytes=_DIGEST_BYTES)


def _message(operation: int, key: str, rest: bytes = b"") -> bytes:
    text = key.encode()
    if len(text) > MAX_KEY_BYTES:
        raise ValueError(f"a key of {len(text)} bytes; at most {MAX_KEY_BYTES} fit")
    return b"%c%b%b%b" % (operation, len(text).to_bytes(2), text, rest)


def _parse_page(result: bytes, digest_bytes: int) -> Page:
    keys, digests, place = [], [], 1
    while place < len(result):
        key_end = place + 2 + int.from_bytes(result[place : place + 2])
        keys.append(result[place + 2 : key_end].decode())
        digests.append(result[key_end : key_end + digest_bytes])
        place = key_end + digest_bytes
    if place != len(result) or result[0] > 1:
        raise ValueError("not a page of keys")
    return Page(keys=keys, digests=digests if digest_bytes else [], more=result[:1] == _YES)
