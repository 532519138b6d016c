"""Frames of WebSocket made by hand, good and bad, and a stranger with a plain socket who sends them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Self

from raftsdk_websocket.masking import apply_mask
from websockets.frames import Opcode

KEY = b"\x17\x2a\x00\xff"
GOOD_HEADERS = {
    "Host": "node-1.example:7001",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "raftsdk.v1",
}


def request(path: str = "/raft", line: str = "GET {path} HTTP/1.1", **changes: str | None) -> bytes:
    """A proper request but for `changes`; None leaves a header out."""
    headers = GOOD_HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [line.format(path=path), *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def piece(
    payload: bytes,
    opcode: int = Opcode.BINARY,
    *,
    masked: bool = True,
    final: bool = True,
    reserved: int = 0,
    length: bytes | None = None,
) -> bytes:
    """A frame of WebSocket, which need not be a proper one: `length` is what stands there, the mask bit aside."""
    head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    if length is None:
        length = shortest_length(len(payload))
    head += bytes([length[0] | (0x80 if masked else 0)]) + length[1:]
    return head + KEY + apply_mask(payload, KEY) if masked else head + payload


def shortest_length(count: int) -> bytes:
    if count < 126:
        return bytes([count])
    return b"\x7e" + count.to_bytes(2, "big") if count < 2**16 else b"\x7f" + count.to_bytes(8, "big")


def in_fragments(message: bytes, sizes: list[int], *, masked: bool = True) -> bytes:
    """A message in pieces of those sizes, and one of the rest."""
    edges = [0]
    for size in sizes:
        edges.append(min(edges[-1] + size, len(message)))
    edges.append(len(message))
    pieces = [message[start:stop] for start, stop in pairwise(edges)]
    return b"".join(
        piece(each, Opcode.CONT if place else Opcode.BINARY, masked=masked, final=place == len(pieces) - 1)
        for place, each in enumerate(pieces)
    )


class Stranger:
    """The side that dials, by hand."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._received = b""

    @classmethod
    @asynccontextmanager
    async def dial(cls, address: str, *, upgraded: bool = True) -> AsyncIterator[Self]:
        """Connected to `address`, and greeted properly if `upgraded`."""
        host, _, port = address.removeprefix("ws://").rpartition(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.setblocking(False)
            stranger = cls(sock)
            if upgraded:
                await stranger.send(request("/"))
                assert (await stranger.receive_head()).startswith(b"HTTP/1.1 101 ")
            yield stranger

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def shutdown(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    async def receive_head(self) -> bytes:
        """The response, with its empty line."""
        while b"\r\n\r\n" not in self._received:
            assert await self._receive_more(), f"the end came after {self._received!r}"
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    async def receive_frame(self) -> tuple[int, bytes] | None:
        """The first byte and the payload of the next frame, which may not be masked; None at the end."""
        while not (frame := self._next_frame()):
            if not await self._receive_more():
                assert self._received == b""
                return None
        return frame

    async def receive_close(self) -> tuple[int, str]:
        """The code and the reason of the close that comes next, and the end right behind it."""
        frame = await self.receive_frame()
        assert frame is not None, "the end came without a close"
        first, payload = frame
        assert first == 0x80 | Opcode.CLOSE
        assert await self.receive_frame() is None
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def receive_all(self) -> bytes:
        while await self._receive_more():
            pass
        return self._received

    async def _receive_more(self) -> bool:
        async with asyncio.timeout(5):
            try:
                data = await asyncio.get_running_loop().sock_recv(self._socket, 65_536)
            except ConnectionResetError:
                return False
        self._received += data
        return bool(data)

    def _next_frame(self) -> tuple[int, bytes] | None:
        received = self._received
        if len(received) < 2:
            return None
        start, count = 2, received[1]
        if count in (126, 127):
            start = 4 if count == 126 else 10
            count = int.from_bytes(received[2:start], "big")
        if len(received) < max(start, start + count):
            return None
        self._received = received[start + count :]
        return received[0], received[start : start + count]
