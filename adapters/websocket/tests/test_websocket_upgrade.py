"""The HTTP at the beginning, both sides of it, without a socket."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftsdk_websocket.address import parse_address
from raftsdk_websocket.upgrade import MAX_HEAD_BYTES, ClientUpgrade, HeadReader, ServerUpgrade
from websocket_by_hand import GOOD_HEADERS, request
from websockets.utils import accept_key


def listen(origins: list[str] | None = None) -> ServerUpgrade:
    return ServerUpgrade(path="/raft", origins=origins)


def status_of(upgrade: ServerUpgrade) -> int:
    return int(upgrade.response.split(b" ", 2)[1])


# -- the side that listens


def test_a_proper_request_is_answered_101_with_the_subprotocol_and_nothing_else_agreed() -> None:
    ours = listen()
    assert ours.feed(request(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
    assert ours.error is None
    head = ours.response.decode().lower()
    assert head.startswith("http/1.1 101 ")
    assert "sec-websocket-protocol: raftsdk.v1\r\n" in head
    assert f"sec-websocket-accept: {accept_key(GOOD_HEADERS['Sec-WebSocket-Key'])}\r\n".lower() in head
    assert "sec-websocket-extensions" not in head


def test_what_comes_behind_the_request_is_kept() -> None:
    ours = listen()
    assert ours.feed(request() + b"\x82more")
    assert ours.rest == b"\x82more"


def test_browsers_and_proxies_may_write_it_their_way() -> None:
    ours = listen()
    ours.feed(
        request(
            "/raft?token=1",
            Connection="keep-alive, Upgrade",
            Upgrade="WebSocket",
            Sec_WebSocket_Protocol="chat, raftsdk.v1",
            Origin="https://anywhere.example",
            X_Forwarded_For="10.0.0.1",
        )
    )
    assert ours.error is None


REFUSED = {
    "no subprotocol": (400, request(Sec_WebSocket_Protocol=None)),
    "another subprotocol": (400, request(Sec_WebSocket_Protocol="raftsdk.v2, chat")),
    "no key": (400, request(Sec_WebSocket_Key=None)),
    "a key of 3 bytes": (400, request(Sec_WebSocket_Key="YWJj")),
    "another version of WebSocket": (400, request(Sec_WebSocket_Version="8")),
    "a plain GET": (426, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "an upgrade to something else": (426, request(Upgrade="h2c")),
    "another path": (404, request("/")),
    "a path below it": (404, request("/raft/")),
    "a whole URL for a path": (404, request("http://localhost/raft")),
    "HTTP/1.0": (400, request(line="GET {path} HTTP/1.0")),
    "a POST": (400, request(line="POST {path} HTTP/1.1")),
    "a body": (400, request(Content_Length="5")),
    "a header that is none": (400, b"GET / HTTP/1.1\r\nnonsense\r\n\r\n"),
    "129 headers": (400, request(**{f"X_{number}": "1" for number in range(129)})),
    "a line of 9,000 bytes": (400, request(X_Long="x" * 9_000)),
    "half a line ending": (400, b"GET / HTTP/1.1\nHost: localhost\r\n\r\n"),
    "a path that is not ASCII": (400, request("/r\u00e4ft")),
    "a TLS hello": (400, bytes.fromhex("16030100c8010000c40303")),
    "a frame of raftsdk": (400, bytes(20)),
    "SSH": (400, b"SSH-2.0-OpenSSH_9.6\r\n"),
}


@pytest.mark.parametrize(("status", "stream"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_answered_with_a_status_and_a_sentence(status: int, stream: bytes) -> None:
    ours = listen()
    assert ours.feed(stream)
    assert status_of(ours) == status
    head, _, body = ours.response.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}\r\n".encode() in head.lower()
    assert body.endswith(b".\n")
    assert b"Connection: close" in head
    assert ours.error is not None
    assert ours.error.reason == "bad_upgrade"
    assert str(status) in str(ours.error)
    assert len(str(ours.error)) < 500


def test_a_plain_get_is_told_what_to_speak_and_where() -> None:
    ours = listen()
    ours.feed(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"\r\nUpgrade: websocket\r\n" in ours.response
    assert b"speak WebSocket with the subprotocol raftsdk.v1 at /raft." in ours.response


@pytest.mark.parametrize("origin", [None, "https://ops.example", "http://localhost:8080"])
def test_with_a_list_of_origins_those_and_requests_without_one_are_let_in(origin: str | None) -> None:
    ours = listen(["https://ops.example", "http://localhost:8080"])
    ours.feed(request(Origin=origin))
    assert ours.error is None


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "https://ops.example.evil.example"])
def test_with_a_list_of_origins_others_are_answered_403(origin: str) -> None:
    ours = listen(["https://ops.example"])
    ours.feed(request(Origin=origin))
    assert status_of(ours) == 403


def test_with_an_empty_list_no_page_is_let_in() -> None:
    ours = listen([])
    ours.feed(request(Origin="https://ops.example"))
    assert status_of(ours) == 403


def test_a_request_without_an_end_is_refused_at_its_limit_and_not_kept() -> None:
    reader = HeadReader(b"GET ")
    assert not reader.feed(b"GET /" + b"x" * (MAX_HEAD_BYTES - 6))
    assert reader.feed(b"x")
    assert str(MAX_HEAD_BYTES) in reader.fault
    assert reader.rest == b""


def test_what_cannot_be_a_request_is_refused_by_its_first_byte() -> None:
    reader = HeadReader(b"GET ")
    assert reader.feed(b"P")
    assert reader.fault


@given(st.lists(st.integers(min_value=0), max_size=20))
def test_every_cut_of_a_request_gives_the_same_answer(cuts: list[int]) -> None:
    ours, stream = listen(), request()
    edges = [0, *sorted(cut % len(stream) for cut in cuts)]
    for start, stop in pairwise(edges):
        assert not ours.feed(stream[start:stop])
    assert ours.feed(stream[edges[-1] :] + b"more")
    assert (status_of(ours), ours.error, ours.rest) == (101, None, b"more")


# -- the side that dials


def dial(address: str = "ws://127.0.0.1:7001/raft?token=1") -> ClientUpgrade:
    return ClientUpgrade(parse_address(address).uri)


def answer(upgrade: ClientUpgrade, *extra: str, subprotocol: str = "raftsdk.v1") -> bytes:
    """What a good listener says, and some lines more."""
    (key,) = (line[19:] for line in upgrade.request.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key: "))
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Accept: {accept_key(key)}", *extra]
    lines += [f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []
    return "\r\n".join([*lines, "", ""]).encode()


def test_the_request_asks_for_the_subprotocol_at_the_path_and_offers_no_compression() -> None:
    text = dial().request.decode()
    assert text.startswith("GET /raft?token=1 HTTP/1.1\r\n")
    assert "\r\nHost: 127.0.0.1:7001\r\n" in text
    assert "\r\nSec-WebSocket-Protocol: raftsdk.v1\r\n" in text
    assert "Extensions" not in text
    assert "Origin" not in text
    assert "\r\nHost: [::1]:7001\r\n" in dial("wss://[::1]:7001").request.decode()


def test_our_request_and_our_response_suit_each_other() -> None:
    theirs, ours = dial(), listen()
    ours.feed(theirs.request)
    assert theirs.feed(ours.response + b"greeting")
    assert (ours.error, theirs.error) == (None, None)
    assert theirs.rest == b"greeting"
    assert theirs.response == b""


def test_an_answer_that_does_not_take_up_the_subprotocol_is_refused() -> None:
    for subprotocol in ("", "chat", "raftsdk.v1, raftsdk.v2"):
        ours = dial()
        ours.feed(answer(ours, subprotocol=subprotocol))
        assert ours.error is not None
        assert ours.error.reason == "bad_upgrade"


def test_an_answer_that_switches_compression_on_unasked_is_refused() -> None:
    ours = dial()
    ours.feed(answer(ours, "Sec-WebSocket-Extensions: permessage-deflate"))
    assert ours.error is not None
    assert "no extensions supported" in str(ours.error)


def test_an_answer_to_another_request_is_refused() -> None:
    ours = dial()
    ours.feed(answer(dial()))
    assert ours.error is not None


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nelsewhere", "404 Not Found: elsewhere"),
        (b"HTTP/1.1 301 Moved\r\nLocation: ws://evil.example/\r\n\r\n", "301 Moved"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK"),
        (b"HTTP/1.1 500 \x1b[31m\xff\r\n\r\n", r"500 \x1b[31m\ufffd"),
        (b"HTTP/1.1 101 Switching Protocols\r\nnonsense\r\n\r\n", "invalid HTTP header line: nonsense"),
        (b"\x00\x00\x00\x10\x01\x02", "it begins with b'\\x00"),
        (b"HTTP/1.1 404 " + b"x" * MAX_HEAD_BYTES, f"within {MAX_HEAD_BYTES} bytes"),
    ],
)
def test_anything_else_is_told_in_a_line_of_plain_characters(stream: bytes, told: str) -> None:
    ours = dial()
    assert ours.feed(stream)
    assert ours.error is not None
    assert told in str(ours.error)
    assert str(ours.error).isprintable()
    assert len(str(ours.error)) < 700
