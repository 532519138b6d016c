"""What a node proves its identity with, and whom it believes: certificates, as TLS takes them."""

import ssl
from typing import Protocol, runtime_checkable


@runtime_checkable
class Credentials(Protocol):
    """Hands out what TLS needs. A transport that encrypts takes one as the keyword argument `credentials`.

    *When.* A transport asks anew for every connection, and makes no use of what it was given before: certificates are
    exchanged while a node runs, and connections that are open by then live on. A node asks now and then besides, so
    that what there is to say about them (that they run out) is said even where nobody comes.
    *Cost.* Neither method may block for longer than reading a small file, raise, or await: it is called for every
    stranger. Credentials that can be had no more are still the last ones that could.
    *What.* TLS 1.2 or later. The certificate carries the node's id as a DNS name among its alternative names, or as its
    common name when it has none of these. Neither side checks host names: that the name is the right one is seen to
    behind the transport, by `Connection.certified_names`.
    """

    def server_context(self) -> ssl.SSLContext:
        """For a connection that was accepted. Asks for a certificate, and verifies whichever is shown."""
        ...

    def client_context(self) -> ssl.SSLContext:
        """For a connection that is to be opened. Verifies the other side's certificate, but for its names."""
        ...
