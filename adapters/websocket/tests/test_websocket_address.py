import pytest
from raftsdk_tcp.address import TcpAddress
from raftsdk_websocket.address import WebSocketAddress, parse_address


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("ws://127.0.0.1:7001", WebSocketAddress(TcpAddress("127.0.0.1", 7001, "ws"), "/", "")),
        ("ws://127.0.0.1:7001/", WebSocketAddress(TcpAddress("127.0.0.1", 7001, "ws"), "/", "")),
        ("wss://node-1.example:443/raft", WebSocketAddress(TcpAddress("node-1.example", 443, "wss"), "/raft", "")),
        ("ws://[::1]:0/a/b%20c?d=/e?f", WebSocketAddress(TcpAddress("::1", 0, "ws"), "/a/b%20c", "d=/e?f")),
        ("ws://localhost:80?token=1", WebSocketAddress(TcpAddress("localhost", 80, "ws"), "/", "token=1")),
    ],
)
def test_an_address_is_a_host_a_port_and_a_path(text: str, parsed: WebSocketAddress) -> None:
    assert parse_address(text) == parsed


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("ws:", "write ws://HOST:PORT/PATH"),
        ("ws://", "write ws://HOST:PORT/PATH"),
        ("http://127.0.0.1:7001", "write ws://HOST:PORT/PATH"),
        ("WS://127.0.0.1:7001", "write ws://HOST:PORT/PATH"),
        ("ws://127.0.0.1:7001/#top", "write ws://HOST:PORT/PATH"),
        ("ws://127.0.0.1:7001/a b", "write ws://HOST:PORT/PATH"),
        ("ws://127.0.0.1:7001/r\u00e4ft", "in ASCII"),
        ("ws://127.0.0.1:7001/\r\nHost: evil", "write ws://HOST:PORT/PATH"),
        ("ws://127.0.0.1", "write ws://HOST:PORT, as in ws://127.0.0.1:7001"),
        ("wss://user:secret@127.0.0.1:7001/", "write wss://HOST:PORT"),
        ("ws://127.0.0.1:65536", "the port is at most 65535"),
        ("ws://[::1:7001", "write ws://HOST:PORT"),
        ("ws://[::g]:7001", "is no IPv6 address"),
    ],
)
def test_what_is_not_an_address_is_told_what_one_looks_like(text: str, advice: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert advice in str(caught.value)
    assert repr(text) in str(caught.value)
