"""The two kinds of address: `ws://HOST:PORT/PATH` and `wss://HOST:PORT/PATH`; the path may be left out."""

import re
from typing import Final, NamedTuple

from raftsdk_tcp.address import TcpAddress, parse_tcp_address
from websockets.uri import WebSocketURI

SECURE_SCHEME: Final = "wss"

_ADDRESS = re.compile(r'(wss?)://([^/?#\s]+)(/[!"$->@-~]*)?(?:\?([!"$-~]*))?', re.ASCII)


class WebSocketAddress(NamedTuple):
    """A host and a port, the path there, and a query, which is sent along and means nothing to us."""

    place: TcpAddress
    path: str
    query: str

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken there."""
        return self.place.scheme == SECURE_SCHEME

    @property
    def uri(self) -> WebSocketURI:
        """The same for the `websockets` library."""
        return WebSocketURI(self.is_secure, self.place.host, self.place.port, self.path, self.query)


def parse_address(text: str) -> WebSocketAddress:
    """What `text` stands for. Raises `ValueError`, saying what was expected.

    >>> parse_address("ws://[::1]:7001/raft")
    WebSocketAddress(place=TcpAddress(host='::1', port=7001, scheme='ws'), path='/raft', query='')
    >>> parse_address("ws://127.0.0.1:7001").path
    '/'
    >>> parse_address("ws://127.0.0.1/")
    Traceback (most recent call last):
      ...
    ValueError: 'ws://127.0.0.1/' is not an address: write ws://HOST:PORT, as in ws://127.0.0.1:7001 or ws://[::1]:7001
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not an address: write ws://HOST:PORT/PATH or wss://HOST:PORT/PATH, in plain ASCII"
        )
    scheme, place, path, query = match.groups()
    return WebSocketAddress(parse_tcp_address(text, scheme, place), path or "/", query or "")
