"""What every connection of one node (or client) has in common."""

import random
from collections.abc import Sequence

from raftsdk.config import LinkConfig, scheme
from raftsdk.errors import ConfigError
from raftsdk.ports import Codec, Connection, Transport
from raftsdk.types import Identity
from raftsdk.wire.hello import FEATURES, Terms
from raftsdk.wire.violations import Violations


class Endpoint:
    """Who speaks, in which codecs (best first), over which transports, within which limits.

    A client that belongs to no node has the empty node id, and may have the empty cluster id. Raises `ConfigError` for
    codecs or transports that nobody could tell apart.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        codecs: Sequence[Codec],
        transports: Sequence[Transport],
        config: LinkConfig,
        rng: random.Random | None = None,
    ) -> None:
        self.identity = identity
        self.codecs = {codec.name: codec for codec in codecs}
        self.config = config
        self.rng = rng or random.Random()
        self.violations = Violations()
        self._transports = {name: transport for transport in transports for name in transport.schemes}
        faults = [] if codecs else ["there is no codec: give at least one"]
        faults += _repeated("codec", [codec.name for codec in codecs])
        faults += _repeated("scheme", [name for transport in transports for name in transport.schemes])
        if faults:
            raise ConfigError(faults)
        self.terms = Terms(
            identity=identity,
            codecs=tuple(self.codecs),
            max_frame_bytes=config.max_frame_bytes,
            idle_timeout_ms=config.idle_timeout_ms,
            features=FEATURES,
        )

    def transport_for(self, address: str) -> Transport:
        """Whoever understands the scheme of `address`. Raises `ValueError` when nobody does."""
        transport = self._transports.get(scheme(address))
        if transport is None:
            raise ValueError(
                f"no transport for {address!r}: there is one for {', '.join(self._transports) or 'nothing'}"
            )
        return transport

    def faults_of(self, addresses: Sequence[str]) -> list[str]:
        """A line for each of `addresses` that no transport understands by its scheme."""
        found = []
        for address in addresses:
            try:
                self.transport_for(address)
            except ValueError as error:
                found.append(str(error))
        return found


def certified_names(connection: Connection) -> frozenset[str] | None:
    """The names that the other side of `connection` has proven; None when its transport authenticates nobody, as those
    do that know nothing of it.
    """
    names: frozenset[str] | None = getattr(connection, "certified_names", None)
    return names


def _repeated(what: str, names: list[str]) -> list[str]:
    return [f"two have the {what} {name!r}: keep one" for name in sorted({n for n in names if names.count(n) > 1})]
