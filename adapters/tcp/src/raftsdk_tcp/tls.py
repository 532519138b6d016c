"""TLS between a stream and its framing; sans-I/O."""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from raftsdk.errors import WireError
from raftsdk_tcp.framing import Framing

_MAX_RECORD_BYTES: Final = 16 * 1024

MAX_IDLE_BYTES: Final = 64 * 1024
"""What may arrive in excess of six times what it decrypts to, and what TLS may want said that there is no room to say.
Even a frame of 20 bytes in a record of its own, with the longest checksum, is below that ratio."""

_DECRYPTED_PAYS_FOR: Final = 6

# Object identifiers in DER (RFC 5280 §4.2.1.12).
_EXTENDED_KEY_USAGE: Final = bytes.fromhex("0603551d25")
_FOR_SERVERS: Final = bytes.fromhex("06082b06010505070301")
_FOR_ANYTHING: Final = bytes.fromhex("0604551d2500")


class TlsFraming:
    """Any other framing, encrypted: a `Framing` around a `Framing`.

    The event loops' own TLS is not used. It tells nobody of a stranger until the handshake is done, so that a flood of
    half-open ones had to be bounded a second time; and it closes in one go, so that what the other side was still
    sending resets the connection over our last words. Here a handshake is some bytes that come before the hello.

    Which certificates are believed is the context's business, and whether a name in them is the right one is asked
    after the hello: host names play no part, because nodes are who they are wherever they run.
    """

    def __init__(self, inner: Framing, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._inner = inner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._shaken = False
        self._names: frozenset[str] = frozenset()
        self._fault: WireError | None = None
        self._goodbye = False
        self._idle_bytes = 0  # Received, and of no use to the inner framing.

    @property
    def max_frame_bytes(self) -> int:
        """The inner framing's."""
        return self._inner.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, value: int) -> None:
        self._inner.max_frame_bytes = value

    @property
    def opened(self) -> bool:
        """Whether both handshakes are over, ours and the inner framing's behind it."""
        return self._shaken and self._inner.opened

    @property
    def error(self) -> WireError | None:
        """What stands against the other side: `bad_certificate`, `no_certificate`, `bad_tls`; or the inner fault.

        `tls_refused` is the other way round: it has something against us, and says what.
        """
        return self._fault or self._inner.error

    @property
    def ended(self) -> bool:
        """Whether the other side has said goodbye, in TLS or inside of it."""
        return self._goodbye or self._inner.ended

    @property
    def certified_names(self) -> frozenset[str]:
        """The DNS names of the other side's certificate, or its common name when it has no alternative names at all.
        Empty as long as it has shown none.
        """
        return self._names

    @property
    def has_replies(self) -> bool:
        """Whether `replies` has anything to give."""
        return bool(self._outgoing.pending) or (self._shaken and self._inner.has_replies)

    def open(self) -> bytes:
        """A client's greeting; nothing from a server."""
        self._shake_hands()
        return self._outgoing.read()

    def feed(self, data: bytes) -> list[bytes]:
        """Decrypt `data`, or go on with the handshake."""
        frames: list[bytes] = []
        start, opened = 0, self.opened
        while self._fault is None:
            piece = data[start : start + _MAX_RECORD_BYTES]
            start += len(piece)
            self._incoming.write(piece)
            self._idle_bytes += len(piece)
            if self._shaken or (self._shake_hands() and not self._inner.opened):
                frames += self._decrypt()
            self._refuse_flood()
            if self.opened is not opened:
                self._incoming.write(data[start:])
                break
            if start >= len(data):
                break
        return frames

    def replies(self) -> bytes:
        """What TLS itself wants said, and what the inner framing does."""
        if self._shaken:
            self._encrypt(self._inner.replies())
        return self._outgoing.read()

    def pack(self, frames: Sequence[bytes]) -> bytes:
        """The inner framing's bytes, encrypted."""
        self._encrypt(self._inner.pack(frames))
        return self._outgoing.read()

    def close(self) -> bytes:
        """The inner goodbye, and then that of TLS; or the alert that says why not."""
        if self._shaken:
            self._encrypt(self._inner.close())
            with suppress(ssl.SSLError):  # It would like to read the other side's goodbye, too; nobody waits for that.
                self._tls.unwrap()
        return self._outgoing.read()

    def forget(self) -> None:
        """Free what the inner framing keeps; TLS itself keeps a record at most."""
        self._inner.forget()

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether that was the end of it."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self._fault = _fault(error)
            return False
        self._shaken = True
        try:
            if _may_be_a_nodes(self._tls.getpeercert(binary_form=True) or b""):
                self._names = _names(self._tls.getpeercert() or {})
        except ValueError:  # UnicodeDecodeError: an authority has signed a name that is no text.
            self._fault = WireError("bad_certificate", "its certificate has a name that is no text")
            return False
        self._encrypt(self._inner.open())
        return True

    def _decrypt(self) -> list[bytes]:
        inner = self._inner
        # What came in one record with the end of the inner handshake: nothing else would wake the inner framing.
        frames = inner.feed(b"") if inner.opened else []
        opened = inner.opened
        # Asking first costs a tenth of what it costs to be told by an exception that there is nothing left.
        while self._incoming.pending or self._tls.pending():
            try:
                data = self._tls.read(_MAX_RECORD_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self._fault = _fault(error)
                break
            if not data:
                self._goodbye = True
                break
            self._idle_bytes = max(0, self._idle_bytes - _DECRYPTED_PAYS_FOR * len(data))
            frames += inner.feed(data)
            if inner.opened is not opened:
                break  # What is left is for the next call.
        return frames

    def _refuse_flood(self) -> None:
        # OpenSSL answers every request to change keys, each into a buffer without a bound: to it that is no fault.
        if self._fault is None and max(self._idle_bytes, self._outgoing.pending) > MAX_IDLE_BYTES:
            self._fault = WireError("tls_flood", "it sends records that carry next to nothing")

    def _encrypt(self, data: bytes) -> None:
        if data:
            try:
                self._tls.write(data)
            except ssl.SSLError as error:
                self._fault = self._fault or _fault(error)


def _may_be_a_nodes(certificate: bytes) -> bool:
    """Whether a certificate, in DER, may be that of a node, which is a server too: unless it says what it is for, and
    servers are not among that.

    So those who may ask as clients need not be trusted as members. OpenSSL only sees to it that a dialer's certificate
    is good for clients, and Python does not tell what else it is good for. Its bytes are searched: whom an authority
    gives these bytes in another place of a certificate, it could give any node's name as well.
    """
    listed = _EXTENDED_KEY_USAGE in certificate
    return not listed or _FOR_SERVERS in certificate or _FOR_ANYTHING in certificate


def _names(certificate: Any) -> frozenset[str]:
    alternatives = certificate.get("subjectAltName")
    if alternatives is not None:
        return frozenset(name for kind, name in alternatives if kind == "DNS")
    subject = (pair for pairs in certificate.get("subject", ()) for pair in pairs)
    return frozenset(name for kind, name in subject if kind == "commonName")


def _fault(error: ssl.SSLError) -> WireError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return WireError("bad_certificate", f"the certificate it shows is refused: {error.verify_message}")
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "did not return a certificate" in reason:
        return WireError("no_certificate", "it shows no certificate, and one is asked for")
    if "alert" in reason:
        return WireError("tls_refused", f"it refuses our certificate or our TLS: {reason}")
    return WireError("bad_tls", f"it does not speak TLS as it is spoken here: {reason}")
