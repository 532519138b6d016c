"""Listeners that are wrong about what is agreed and with whom, in one way each: clauses 5 and 6 of `spec/wire.md`."""

import ssl
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from raftsdk.ports import Credentials
from raftsdk.testing.broken.link import BrokenLink, End, seen
from raftsdk.testing.conformance.links.own import OWN, PEER
from raftsdk.types import is_identifier

_OWN_LIMIT_BYTES = 8 * 1024 * 1024


class ChoosesTheLowestVersion(BrokenLink):
    """Chooses the lowest version that was offered."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Remember the offer."""
        end.hello = hello.copy()

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Take the other end of it."""
        if answer["answer"] == "accepted":
            answer["version"] = end.hello["protocol"]["min"]


class IgnoresTheRange(BrokenLink):
    """Believes that everybody speaks version 1."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Say so."""
        if isinstance(hello.get("protocol"), dict):
            hello["protocol"] = {"min": 1, "max": 1}


class FavoursTheDialer(BrokenLink):
    """Takes the first codec of the dialer that it has, whatever its own order."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Put the others far behind."""
        if (
            isinstance(hello.get("codecs"), list)
            and 2 <= len(hello["codecs"]) <= 3
            and "zz-later" not in hello["codecs"]
        ):
            hello["codecs"] = [hello["codecs"][0], *["zz-none"] * 13, *hello["codecs"][1:]][:16]


class HasOneCodecForAll(BrokenLink):
    """Goes on with the codec of its first connection."""

    _first = ""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Remember the first."""
        if answer["answer"] == "accepted":
            self._first = self._first or answer["codec"]
            answer["codec"] = self._first


class AcceptsACompression(BrokenLink):
    """Agrees to compress, and knows nothing of it."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Remember the offer."""
        end.hello = hello.copy()

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Take it."""
        if answer["answer"] == "accepted" and end.hello.get("compression"):
            answer["compression"] = end.hello["compression"][0]


class GrantsEveryFeature(BrokenLink):
    """Agrees to features that it does not have."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Remember the offer."""
        end.hello = hello.copy()

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Take it."""
        if answer["answer"] == "accepted":
            answer["features"] = end.hello.get("features", [])


class InsistsOnItsLimit(BrokenLink):
    """Tells its own frame limit, whatever the other side takes."""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Tell it."""
        if answer["answer"] == "accepted":
            answer["max_frame_bytes"] = _OWN_LIMIT_BYTES


# -- clause 6: identity


class TakesEveryId(BrokenLink):
    """Takes any text for an id."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Put a good one in its place."""
        good = {"cluster_id": OWN.cluster_id, "node_id": PEER, "target_id": OWN.node_id}
        for name, value in good.items():
            if isinstance(hello.get(name), str) and hello[name] and not is_identifier(hello[name]):
                hello[name] = value


class WantsShortIds(BrokenLink):
    """Closes on an id of more than 64 characters."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Hang up."""
        if len(str(hello.get("node_id", ""))) > 64:
            end.abort()


class TakesEveryCluster(BrokenLink):
    """Lets peers of other clusters in."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Call it its own."""
        if is_identifier(hello.get("cluster_id", "")):
            hello["cluster_id"] = OWN.cluster_id


class IgnoresCase(BrokenLink):
    """Takes CONFORMANCE for conformance."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Make it lower case."""
        if is_identifier(hello.get("cluster_id", "")):
            hello["cluster_id"] = hello["cluster_id"].lower()


class TakesEveryTarget(BrokenLink):
    """Lets in who looks for another node."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Be that node."""
        if is_identifier(hello.get("target_id", "")):
            hello["target_id"] = OWN.node_id


class TakesItsOwnId(BrokenLink):
    """Lets in who claims to be the node itself."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Give it another name."""
        if hello.get("role") == "peer" and hello.get("node_id") == OWN.node_id:
            hello["node_id"] = "n2"


class HasOneConnectionAPeer(BrokenLink):
    """Closes a peer's connection when it makes another."""

    _latest: End | None = None

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Close the one before."""
        if hello.get("role") == "peer":
            if self._latest is not None:
                self._latest.abort()
            self._latest = end


class DisplacesNobody(BrokenLink):
    """Keeps every connection of a peer, and knows no peer when it comes."""

    _count = 0

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Give everybody another name."""
        if hello.get("role") == "peer" and hello.get("node_id") == PEER:
            self._count += 1
            hello["node_id"] = f"{PEER}-{self._count}"


class RefusesWhomItDoesNotKnow(BrokenLink):
    """Closes on a peer that no membership names."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Hang up."""
        if hello.get("role") == "peer":
            end.abort()


class RefusesNobody(BrokenLink):
    """Takes as many strangers as come."""

    settings: ClassVar[Mapping[str, Any]] = {"max_connections": 10_000}


class BelievesTheHello(BrokenLink):
    """Takes whoever has a certificate for whom it says it is."""

    def names(self, names: frozenset[str] | None) -> frozenset[str] | None:
        """Forget the certificate."""
        return None


class AsksForNoCertificate:
    """Credentials, not a link: those of a node that lets anybody in, and of a dialer that believes anybody."""

    def __init__(self, good: Credentials) -> None:
        self._good = good

    def server_context(self) -> ssl.SSLContext:
        """Ask nobody."""
        return _unasking(self._good.server_context())

    def client_context(self) -> ssl.SSLContext:
        """Believe everybody."""
        return _unasking(self._good.client_context())


def _unasking(context: ssl.SSLContext) -> ssl.SSLContext:
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class _Pattern(frozenset[str]):
    """Names with wildcards in them."""

    def __contains__(self, name: object) -> bool:
        return any(fnmatchcase(str(name), each) for each in self)


class TakesWildcards(BrokenLink):
    """Takes a certificate of *.example for one of a.example."""

    def names(self, names: frozenset[str] | None) -> frozenset[str] | None:
        """Match them as web browsers do."""
        return names if names is None else _Pattern(names)


class ServesEveryRole(BrokenLink):
    """Says that it does not know what the other role may ask, and whom it may not ask for."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Give another reason."""
        part = seen(data)
        return [part.made(body=part.body.replace(b"wrong_identity", b"unsupported")) if part.is_response else data]


class BelievesEveryName(BrokenLink):
    """Delivers what one peer says in another's name."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Put the peer's name in its place."""
        part = seen(data)
        if part.is_request:
            return [part.made(body=part.body.replace(b'"somebody-else"', f'"{PEER}"'.encode()))]
        return [data]


class WantsClientsToBeNobody(BrokenLink):
    """Closes on a client that goes by the id of a node."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Hang up."""
        if hello.get("role") == "client" and hello.get("node_id") == OWN.node_id:
            end.abort()
