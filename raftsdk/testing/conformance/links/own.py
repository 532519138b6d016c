"""Our own node, as far as a link can see it: what answers, where it listens, what it shows over TLS."""

import atexit
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from raftsdk.config import TlsConfig, scheme
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    Request,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    StatusRequest,
    StatusResponse,
)
from raftsdk.ports import Credentials
from raftsdk.runtime.handler import Handler
from raftsdk.testing.certificates import Authority
from raftsdk.types import Identity
from raftsdk.wire.tls import FileCredentials

OWN: Final = Identity(cluster_id="conformance", node_id="n1")

PEER: Final = "conformance-kit"
"""The name under which the kit speaks as a peer: nobody's."""

QUICK: Final[Mapping[str, Any]] = {
    "handshake_timeout_ms": 500,
    "reconnect_min_ms": 5,
    "reconnect_max_ms": 20,
}
"""Settings of a node of ours: those for which a case would otherwise have to wait."""


class Canned(Handler):
    """Answers every request at once with something sound, as a node that knows nothing would."""

    def __init__(self) -> None:
        self.delivered: list[Request] = []

    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        """Answer `request`."""
        self.delivered.append(request)
        reply(canned(request))


class Holding(Canned):
    """Keeps its answers until it is told to give them."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[Callable[[], None]] = []

    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        """Keep the answer to `request`."""
        self.delivered.append(request)
        self._held.append(lambda: reply(canned(request)))

    def release(self) -> None:
        """Give every answer, the latest request's first."""
        while self._held:
            self._held.pop()()


class Verbose(Canned):
    """Answers queries with more than was asked."""

    def __init__(self, result_bytes: int) -> None:
        super().__init__()
        self._result = bytes(result_bytes)

    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        """Answer `request`."""
        reply(QueryResponse(applied_index=1, result=self._result) if _asks(request) else canned(request))


def _asks(request: Request) -> bool:
    return isinstance(request, QueryRequest)


def canned(request: Request) -> Response:
    """A sound answer to `request`."""
    match request:
        case AppendEntriesRequest():
            return AppendEntriesResponse(term=request.term, success=False)
        case RequestVoteRequest():
            return RequestVoteResponse(term=request.term, vote_granted=False)
        case ProposeRequest():
            return ProposeResponse(index=1, result=request.command)
        case QueryRequest():
            return QueryResponse(applied_index=1, result=request.query)
        case StatusRequest():
            return StatusResponse(
                node_id=OWN.node_id, cluster_id=OWN.cluster_id, role="follower", term=1, leader_id="", last_log_index=0,
                durable_index=0, commit_index=0, applied_index=0, peers=[],
            )  # fmt: skip
        case _:
            return ErrorResponse(code="unsupported")


# -- where it listens

_numbers = count(1)


def own_address(name: str) -> str:
    """Somewhere for a node of ours to listen; another place each time."""
    match name:
        case "unix":
            return f"unix://{_directory().name}/{next(_numbers)}.sock"
        case "memory":
            return f"memory://conformance-{next(_numbers)}"
        case _:
            return f"{name}://127.0.0.1:0"


def over_tls(address: str) -> bool:
    """Whether both sides of that address show certificates."""
    return scheme(address) in ("tcp+tls", "wss")


@cache
def _directory() -> TemporaryDirectory[str]:
    made = TemporaryDirectory(prefix="raftsdk-conformance-")
    atexit.register(made.cleanup)
    return made


# -- what it shows


def authority(name: str = "authority") -> Authority:
    """Somebody of our own who vouches for nodes."""
    return _authority(name)


@cache
def _authority(name: str) -> Authority:
    folder = Path(_directory().name) / name
    folder.mkdir()
    return Authority(folder)


@cache
def own_credentials(name: str, of: str = "authority", believing: str = "authority") -> Credentials:
    """A certificate for `name` from one authority of our own, and belief in another, or the same."""
    issued = authority(of).issue(name, lifetime=timedelta(days=2))
    config = TlsConfig(
        certificate=str(issued.certificate),
        key=str(issued.key),
        authorities=str(authority(believing).certificate),
        expiry_warning_days=1,  # they are made for minutes, and nobody wants to be told
    )
    return FileCredentials(config)
