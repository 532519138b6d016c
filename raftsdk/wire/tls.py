"""Certificates from files, read again when they change."""

import logging
import os
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from raftsdk.config import Clients, TlsConfig
from raftsdk.errors import ConfigError
from raftsdk.types import NodeId
from raftsdk.wire.hello import listed

if TYPE_CHECKING:
    from raftsdk.wire.certificates import Certificate  # Not here at run time: its library may be missing.

logger = logging.getLogger("raftsdk.wire")

LOOK_INTERVAL_S: Final = 1.0
"""A flood of strangers makes us look at the files no more often than this."""

WARNING_INTERVAL: Final = timedelta(days=1)

MAX_FILE_BYTES: Final = 1024 * 1024
"""A longer file is no certificate. What a system keeps of all public authorities has a quarter of this."""

_HANDSHAKE_TURNS: Final = 3  # Each side speaks twice at most.

_DATE: Final = "%Y-%m-%d %H:%M UTC"

_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class FileCredentials:
    """The `ports.Credentials` of a node, or of a client (`node_id` empty), from the files that `config` names.

    They are read again when one of them has changed: connections made from then on use what they say. When the new ones
    cannot be used, a warning says why and the old ones stay in use: a node with yesterday's certificate is better than
    one that nobody can reach. Before the certificate runs out, and after, a line in the log says so: when it is read,
    and once a day.

    Raises `ConfigError` with all that is wrong with the files, and for a node with what others would hold against it:
    a certificate that does not carry its id, has run out, or is vouched for by none of its own authorities.
    """

    def __init__(
        self,
        config: TlsConfig,
        node_id: NodeId = "",
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._node_id = node_id
        self._clock = clock
        self._now = now
        self._stamp = _stamp(config)
        self._loaded = _load(config, node_id, now())
        self._look_again_at = clock() + LOOK_INTERVAL_S
        self._warned_at: datetime | None = None
        self._warn_of_expiry()

    def server_context(self) -> ssl.SSLContext:
        """For a connection that was accepted; see `ports.Credentials`."""
        self._look()
        return self._loaded.server

    def client_context(self) -> ssl.SSLContext:
        """For a connection that is to be opened; see `ports.Credentials`."""
        self._look()
        return self._loaded.client

    def _look(self) -> None:
        """See whether the files have changed and whether anything is to be said, unless we have just looked."""
        if self._clock() < self._look_again_at:
            return
        self._look_again_at = self._clock() + LOOK_INTERVAL_S
        stamp = _stamp(self._config)
        if stamp != self._stamp:
            self._stamp = stamp  # What cannot be used is complained of once, not every second.
            self._reload()
        self._warn_of_expiry()

    def _reload(self) -> None:
        try:
            self._loaded = _load(self._config, self._node_id, self._now())
        except ConfigError as error:
            logger.warning("changed certificates are not used, the old ones stay in use: %s", "; ".join(error.faults))
            return
        self._warned_at = None
        logger.info("certificates were read again from %s", ", ".join(_files(self._config)))

    def _warn_of_expiry(self) -> None:
        certificate, now = self._loaded.certificate, self._now()
        if certificate is None or certificate.valid_until - now > timedelta(days=self._config.expiry_warning_days):
            return
        if self._warned_at is not None and now - self._warned_at < WARNING_INTERVAL:
            return
        self._warned_at = now
        expired = certificate.valid_until <= now
        logger.log(
            logging.ERROR if expired else logging.WARNING,
            "the certificate in %s %s on %s: others %s. Put a new certificate and its key in the place of %s and %s; "
            "no restart is needed",
            self._config.certificate, "ran out" if expired else "runs out", certificate.valid_until.strftime(_DATE),
            "refuse its connections" if expired else "will refuse its connections from then on",
            self._config.certificate, self._config.key,
        )  # fmt: skip


class _Loaded(Struct, frozen=True):
    """What the files said when they were read. A client need not have a certificate."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    certificate: "Certificate | None"


def _files(config: TlsConfig) -> list[str]:
    return [path for path in (config.certificate, config.key, config.authorities) if path]


def _stamp(config: TlsConfig) -> _Stamp:
    """What tells a file that has changed from one that has not; None where there is none."""
    return tuple(_stamp_of(path) for path in _files(config))


def _stamp_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


# -- reading them


def _load(config: TlsConfig, node_id: NodeId, now: datetime) -> _Loaded:
    """What the files say. Raises `ConfigError` with everything that is wrong with them."""
    faults: list[str] = []
    if not config.authorities:
        faults.append("tls.authorities is missing: give the file of the certificates that vouch for the other side")
    contents = {
        setting: _read(setting, getattr(config, setting), faults) for setting in ("certificate", "key", "authorities")
    }
    certificate = _certificate(config.certificate, contents["certificate"], node_id, now, faults)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
        context.check_hostname = False  # The name that counts is the node's id, and is looked at after the hello.
        context.verify_mode = ssl.CERT_REQUIRED
    server.num_tickets = 0  # Connections last; and a ticket of yesterday would be taken without a certificate.
    if config.clients is Clients.ANYONE:
        server.verify_mode = ssl.CERT_OPTIONAL
    if contents["authorities"] is not None:
        faults += _trust((server, client), config, contents["authorities"])
    if certificate is not None and contents["key"] is not None:
        faults += _show((server, client), config)
    if not faults and node_id:
        faults += _meet(server, client, config)
    if faults:
        raise ConfigError(faults)
    return _Loaded(server, client, certificate)


def _read(setting: str, path: str, faults: list[str]) -> bytes | None:
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        faults.append(f"tls.{setting}: cannot read {path}: {reason}; give the path of a file in PEM")
        return None
    if len(content) > MAX_FILE_BYTES:
        faults.append(f"tls.{setting}: {path} is longer than {MAX_FILE_BYTES} bytes: give a file in PEM")
    return content


def _certificate(
    path: str, content: bytes | None, node_id: NodeId, now: datetime, faults: list[str]
) -> "Certificate | None":
    """The certificate of this node or client, looked over; what is wrong with it goes to `faults`."""
    if content is None:
        return None
    try:
        from raftsdk.wire.certificates import read_certificate
    except ImportError as error:
        faults.append(f"tls: certificates need the package {error.name}; run: pip install 'raftsdk[tls]'")
        return None
    try:
        certificate = read_certificate(content)
    except ValueError:
        faults.append(f"tls.certificate: {path} holds no certificate in PEM, or a broken one: give one")
        return None
    if node_id and node_id not in certificate.names:
        faults.append(
            f"tls.certificate: {path} is a certificate of {listed(certificate.names)}, and this node is {node_id}: "
            "give one that has the node's id among its DNS names"
        )
    if certificate.valid_until <= now:
        faults.append(f"tls.certificate: {path} ran out on {certificate.valid_until.strftime(_DATE)}: give a new one")
    if certificate.valid_from > now:
        since = certificate.valid_from.strftime(_DATE)
        faults.append(f"tls.certificate: {path} is valid from {since} on: wait, or set this machine's clock")
    return certificate


def _trust(contexts: Sequence[ssl.SSLContext], config: TlsConfig, authorities: bytes) -> list[str]:
    """Have the contexts believe the authorities; what is wrong with them."""
    try:
        for context in contexts:
            # What is not ASCII stands in the comments between certificates.
            context.load_verify_locations(cadata=authorities.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError):
        return [f"tls.authorities: {config.authorities} holds no certificates in PEM, or a broken one: give some"]
    return []


def _show(contexts: Sequence[ssl.SSLContext], config: TlsConfig) -> list[str]:
    """Have the contexts show the certificate; what is wrong with it and its key."""
    try:
        for context in contexts:
            context.load_cert_chain(config.certificate, config.key, password=_refuse_passphrase)
    except (ssl.SSLError, OSError, ValueError) as error:
        return [f"tls.key: {config.key} {_key_problem(config, error)}"]
    return []


def _refuse_passphrase() -> str:
    raise ValueError("it has a passphrase")  # Without this, OpenSSL would ask for it at the terminal.


def _key_problem(config: TlsConfig, error: Exception) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"is not the key of the certificate in {config.certificate}: give the one it was made with"
    if isinstance(error, ssl.SSLError):
        why = f" ({error.reason})" if error.reason else ""
        return f"is no private key in PEM that TLS takes{why}: give the one the certificate was made with"
    return f"cannot be used: {error}; give a key in PEM without a passphrase"


def _meet(server: ssl.SSLContext, client: ssl.SSLContext, config: TlsConfig) -> list[str]:
    """Have the node shake hands with itself: what fails there would fail with every other node that has the same
    authorities, and show up in their logs, not in this one's.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for _ in range(_HANDSHAKE_TURNS):
            for side in sides:
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", None) or error.reason
        return [
            f"tls.authorities: {config.authorities} does not vouch for the certificate in {config.certificate} "
            f"({why}): others with the same authorities would refuse this node"
        ]
    return []
