"""The HTTP request and response that open a WebSocket connection (RFC 6455, section 4); sans-I/O.

What HTTP is here the `websockets` library decides. Ours are the bounds, the subprotocol and the path.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection
from http import HTTPStatus
from typing import Final, cast

from websockets.client import ClientProtocol
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol
from websockets.uri import WebSocketURI

from raftsdk.errors import WireError

SUBPROTOCOL: Final = Subprotocol("raftsdk.v1")
"""Both sides must name it: so that no other service is taken for a node, nor a node for another service."""

MAX_HEAD_BYTES: Final = 16 * 1024
"""What may come before the empty line that ends a request or a response; a browser's request has some 600 bytes."""

_EMPTY_LINE: Final = b"\r\n\r\n"
_MAX_QUOTE_BYTES: Final = 200

# The library logs two lines a connection, and a traceback for what it did not expect.
_silent: Final = logging.Logger("raftsdk_websocket.upgrade", level=logging.CRITICAL + 1)


class HeadReader:
    r"""Collects a request or a response up to its empty line; gives up on what cannot be one.

    >>> reader = HeadReader(b"GET ")
    >>> reader.feed(b"GET / HTTP/1.1\r\n")
    False
    >>> reader.feed(b"\r\nmore")
    True
    >>> reader.head, reader.rest
    (b'GET / HTTP/1.1\r\n\r\n', b'more')
    """

    def __init__(self, beginning: bytes) -> None:
        self.head = b""  #: All of it, the empty line included. Empty if there will be none, and then
        self.fault = ""  #: says why.
        self.rest = b""  #: What came after it.
        self._beginning = beginning
        self._data = bytearray()

    def feed(self, data: bytes) -> bool:
        """Whether that is all that was needed. Linear in the bytes fed, even one at a time."""
        searched_bytes = max(0, len(self._data) - len(_EMPTY_LINE) + 1)
        self._data += data
        end = self._data.find(_EMPTY_LINE, searched_bytes, MAX_HEAD_BYTES) + len(_EMPTY_LINE)
        if not self._data.startswith(self._beginning[: len(self._data)]):
            self.fault = f"it begins with {bytes(self._data[:20])!r}, where {self._beginning!r} was due"
        elif end >= len(_EMPTY_LINE):
            self.head, self.rest = bytes(self._data[:end]), bytes(self._data[end:])
        elif len(self._data) >= MAX_HEAD_BYTES:
            self.fault = f"no empty line within {MAX_HEAD_BYTES} bytes"
        else:
            return False
        self._data.clear()
        return True


class Upgrade(ABC):
    """One side of it."""

    def __init__(self, beginning: bytes, *, dials: bool) -> None:
        self.dials = dials
        self.request = b""  #: What is said before anything was heard.
        self.response = b""  #: What is said once `feed` has returned True.
        self.error: WireError | None = None  #: Why nothing becomes of it; may be set by then, too.
        self._reader = HeadReader(beginning)

    @property
    def rest(self) -> bytes:
        """What came behind the other side's part."""
        return self._reader.rest

    def feed(self, data: bytes) -> bool:
        """Whether the other side's part is complete, or there will be none."""
        if not self._reader.feed(data):
            return False
        self._judge(self._reader.head, self._reader.fault)
        return True

    @abstractmethod
    def _judge(self, head: bytes, fault: str) -> None:
        """Set `response` and `error`."""


class ServerUpgrade(Upgrade):
    """The side that listens: one request in, one response out."""

    def __init__(self, *, path: str, origins: Collection[str] | None) -> None:
        super().__init__(b"GET ", dials=False)
        self._path = path
        self._protocol = ServerProtocol(
            # None stands for a client without that header: only browsers send it, and only they can be misled.
            origins=None if origins is None else [None, *map(Origin, origins)],
            subprotocols=[SUBPROTOCOL],
            logger=_silent,
        )

    def _judge(self, head: bytes, fault: str) -> None:
        if fault:
            self._refuse(HTTPStatus.BAD_REQUEST, fault)
            return
        self._protocol.receive_data(head)
        events = self._protocol.events_received()
        if events:
            self._answer(cast("Request", events[0]))
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, _told(self._protocol.handshake_exc))

    def _answer(self, request: Request) -> None:
        response = self._protocol.accept(request)
        if response.status_code == HTTPStatus.UPGRADE_REQUIRED:
            self._refuse(
                HTTPStatus.UPGRADE_REQUIRED,
                f"a raftsdk node listens here: speak WebSocket with the subprotocol {SUBPROTOCOL} at {self._path}",
            )
        elif response.status_code == HTTPStatus.FORBIDDEN:
            self._refuse(HTTPStatus.FORBIDDEN, _told(self._protocol.handshake_exc))
        elif response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._refuse(HTTPStatus.BAD_REQUEST, _told(self._protocol.handshake_exc))
        elif request.path.partition("?")[0] != self._path:
            self._refuse(HTTPStatus.NOT_FOUND, f"the path of this node is {self._path}")
        else:
            self.response = response.serialize()

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.error = WireError("bad_upgrade", f"answered HTTP {status.value}: {why}")
        response = self._protocol.reject(status, f"{why}.\n")
        if status == HTTPStatus.UPGRADE_REQUIRED:
            response.headers["Upgrade"] = "websocket"
        self.response = response.serialize()


class ClientUpgrade(Upgrade):
    """The side that dials: one request out, one response in."""

    def __init__(self, uri: WebSocketURI) -> None:
        super().__init__(b"HTTP/1.1 ", dials=True)
        self._protocol = ClientProtocol(uri, subprotocols=[SUBPROTOCOL], logger=_silent)
        self.request = self._protocol.connect().serialize()

    def _judge(self, head: bytes, fault: str) -> None:
        why = fault or self._fault_of(head)
        if why:
            self.error = WireError("bad_upgrade", f"no raftsdk node answers there: {why}")

    def _fault_of(self, head: bytes) -> str:
        status = head.partition(b"\r\n")[0]
        if not status.startswith(b"HTTP/1.1 101 "):
            return f"{_quoted(status)}: {_quoted(self.rest)}"
        self._protocol.receive_data(head)
        if self._protocol.state is not State.OPEN:
            return _told(self._protocol.handshake_exc)
        if self._protocol.subprotocol != SUBPROTOCOL:
            return f"the subprotocol {SUBPROTOCOL} was not taken up"
        return ""


def _told(error: BaseException | None) -> str:
    """An error of the library and what led to it, in one line of plain characters."""
    told: list[str] = []
    while error is not None:
        told.append(str(error))
        error = error.__cause__
    return _quoted("; ".join(told).encode(errors="replace"))


def _quoted(text: bytes) -> str:
    return ascii(text[:_MAX_QUOTE_BYTES].decode(errors="replace").strip())[1:-1]
