"""The kinds of address: `tcp://HOST:PORT`, `tcp+tls://HOST:PORT` and `unix:///PATH`."""

import ipaddress
import re
from typing import Final, NamedTuple

TLS_SCHEME: Final = "tcp+tls"

_PLACE = re.compile(r"(?:\[(?P<ipv6>[^\[\]/?#\s]+)\]|(?P<host>[^\[\]/:@?#\s]+)):(?P<port>[0-9]{1,5})", re.ASCII)
_MAX_PORT = 65_535


class TcpAddress(NamedTuple):
    """A host, by name or number (IPv6 without its brackets), and a port; 0 asks for any free one."""

    host: str
    port: int
    scheme: str = "tcp"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class UnixAddress(NamedTuple):
    """The absolute path of a Unix socket, taken literally: `%20` is three characters."""

    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"


def parse_address(text: str) -> TcpAddress | UnixAddress:
    """What `text` stands for. Raises `ValueError`, saying what was expected.

    >>> parse_address("tcp://[::1]:7001")
    TcpAddress(host='::1', port=7001, scheme='tcp')
    >>> parse_address("unix:///run/raft.sock")
    UnixAddress(path='/run/raft.sock')
    >>> parse_address("127.0.0.1:7001")
    Traceback (most recent call last):
      ...
    ValueError: '127.0.0.1:7001' is not an address: write tcp://HOST:PORT, tcp+tls://HOST:PORT or unix:///PATH
    """
    scheme, _, place = text.partition("://")
    if scheme == "unix":
        return _unix_address(text, place)
    if scheme in ("tcp", TLS_SCHEME):
        return parse_tcp_address(text, scheme, place)
    raise _fault(text, f"write tcp://HOST:PORT, {TLS_SCHEME}://HOST:PORT or unix:///PATH")


def parse_tcp_address(text: str, scheme: str, place: str) -> TcpAddress:
    """The host and the port in `place`, a part of the address `text`. Raises `ValueError`, saying what was expected."""
    match = _PLACE.fullmatch(place)
    if match is None:
        raise _fault(text, f"write {scheme}://HOST:PORT, as in {scheme}://127.0.0.1:7001 or {scheme}://[::1]:7001")
    if int(match["port"]) > _MAX_PORT:
        raise _fault(text, f"the port is at most {_MAX_PORT}")
    host = _ipv6(text, match["ipv6"]) if match["ipv6"] else _host(text, match["host"])
    return TcpAddress(host, int(match["port"]), scheme)


def _unix_address(text: str, path: str) -> UnixAddress:
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise _fault(text, "write unix:// and an absolute path to a file, as in unix:///run/raft.sock")
    return UnixAddress(path)


def _ipv6(text: str, host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise _fault(text, f"[{host}] is no IPv6 address") from None


def _host(text: str, host: str) -> str:
    try:
        host.encode("idna")  # What the resolver will do; it would fail there with a bare UnicodeError.
    except UnicodeError:
        raise _fault(text, f"{host!r} is no host name") from None
    return host


def _fault(text: str, advice: str) -> ValueError:
    return ValueError(f"{text!r} is not an address: {advice}")
