"""WebSocket inside TLS, without a socket: two framings that are fed each other's bytes."""

from pathlib import Path

from raftsdk_tcp import TlsFraming
from raftsdk_websocket.address import parse_address
from raftsdk_websocket.framing import WebSocketFraming
from raftsdk_websocket.upgrade import ClientUpgrade, ServerUpgrade

from raftsdk.config import TlsConfig
from raftsdk.testing.certificates import Authority
from raftsdk.testing.transport_suite import frame
from raftsdk.wire.tls import FileCredentials


def both_ends(folder: Path) -> tuple[TlsFraming, TlsFraming]:
    """A dialer and a listener who trust each other."""
    authority = Authority(folder)
    issued = authority.issue("n1")
    files = TlsConfig(certificate=str(issued.certificate), key=str(issued.key), authorities=str(authority.certificate))
    credentials = FileCredentials(files, "n1")
    dialer = WebSocketFraming(ClientUpgrade(parse_address("wss://node:1").uri))
    listener = WebSocketFraming(ServerUpgrade(path="/", origins=None))
    return (
        TlsFraming(dialer, credentials.client_context(), server_side=False),
        TlsFraming(listener, credentials.server_context(), server_side=True),
    )


def test_a_frame_in_the_record_that_ends_the_handshake_comes_out_with_the_next_call(tmp_path: Path) -> None:
    dialer, listener = both_ends(tmp_path)
    said = dialer.open()
    for _ in range(5):
        listener.feed(said)
        if listener.opened:
            break
        dialer.feed(listener.replies())
        said = dialer.replies()
    assert listener.opened
    assert dialer.feed(listener.pack([frame(b"at once")])) == []
    assert dialer.opened
    assert dialer.feed(b"") == [frame(b"at once")]
