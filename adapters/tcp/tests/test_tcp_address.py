import pytest
from raftsdk_tcp.address import TcpAddress, UnixAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://127.0.0.1:7001", TcpAddress("127.0.0.1", 7001)),
        ("tcp://localhost:0", TcpAddress("localhost", 0)),
        ("tcp://node-1.example:65535", TcpAddress("node-1.example", 65535)),
        ("tcp://[::1]:7001", TcpAddress("::1", 7001)),
        ("tcp://[fe80::1%eth0]:7001", TcpAddress("fe80::1%eth0", 7001)),
        ("unix:///run/raft.sock", UnixAddress("/run/raft.sock")),
        ("unix:///a b%20c", UnixAddress("/a b%20c")),
    ],
)
def test_an_address_is_understood_and_written_back_alike(text: str, address: TcpAddress | UnixAddress) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "write tcp://HOST:PORT, tcp+tls://HOST:PORT or unix:///PATH"),
        ("127.0.0.1:7001", "write tcp://HOST:PORT, tcp+tls://HOST:PORT or unix:///PATH"),
        ("TCP://127.0.0.1:7001", "write tcp://HOST:PORT, tcp+tls://HOST:PORT or unix:///PATH"),
        ("http://127.0.0.1:7001", "write tcp://HOST:PORT, tcp+tls://HOST:PORT or unix:///PATH"),
        ("tcp:", "write tcp://HOST:PORT, tcp+tls://HOST:PORT or unix:///PATH"),
        ("tcp://127.0.0.1", "write tcp://HOST:PORT, as in"),
        ("tcp://:7001", "write tcp://HOST:PORT, as in"),
        ("tcp://::1:7001", "write tcp://HOST:PORT, as in"),
        ("tcp://127.0.0.1:7001/", "write tcp://HOST:PORT, as in"),
        ("tcp://127.0.0.1:70\n01", "write tcp://HOST:PORT, as in"),
        ("tcp://127.0.0.1:7001\n", "write tcp://HOST:PORT, as in"),
        ("tcp://me@127.0.0.1:7001", "write tcp://HOST:PORT, as in"),
        ("tcp://127.0.0.1:-1", "write tcp://HOST:PORT, as in"),
        ("tcp://127.0.0.1:٧", "write tcp://HOST:PORT, as in"),
        ("tcp://127.0.0.1:65536", "the port is at most 65535"),
        ("tcp://[localhost]:7001", "[localhost] is no IPv6 address"),
        (f"tcp://{'a' * 64}:7001", "is no host name"),
        ("tcp://a..b:7001", "is no host name"),
        ("unix:", "write tcp://HOST:PORT, tcp+tls://HOST:PORT or unix:///PATH"),
        ("unix://run/raft.sock", "an absolute path"),
        ("unix:///", "an absolute path"),
        ("unix:///run/", "an absolute path"),
        ("unix:///run/\0", "an absolute path"),
    ],
)
def test_nonsense_is_refused_with_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)
    assert advice in str(caught.value)
