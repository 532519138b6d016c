"""Who hears whom in a cluster of real processes, by the kernel: each node in a network namespace of its own (Linux).

    with Namespaces(["n1", "n2", "n3"]) as network:
        …                                          # start n1 by `network.launcher("n1")`, at `network.hosts["n1"]`
        network.cut("n1", "n2")                    # the kernel drops what n1 sends to n2, acknowledgements included
        network.heal()

What a proxy cannot do: packets vanish and nobody is told, connections stay half open, attempts to connect hang, and
once a cut is lifted, TCP sends again when its own timer says so. The namespaces have no names and no way to the rest of
the machine; addresses are the same every time and are in nobody's way. They are gone with the last process in them,
however it ended.
"""

import ctypes
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import permutations
from types import TracebackType
from typing import Final, Self

from raftsdk.errors import RaftError
from raftsdk.testing.wiring import Pairs
from raftsdk.types import NodeId

NETWORK: Final = "10.0.0"
BRIDGE_HOST: Final = f"{NETWORK}.254"
MAX_NODES: Final = 253

_CLONE_NEWNET: Final = 0x4000_0000
"""Of Linux: the network, among what a process or a thread may have of its own."""


class NoNamespaces(RaftError):
    """Here they cannot be made, or not by this user; the text says what it takes."""


class Namespaces:
    """A namespace for each of `nodes`, joined by a bridge, between `with` and its end.

    So long the thread that entered is on the bridge itself, where no cut reaches it, and in no other network: what it
    dials are the nodes. It has to be the one that leaves. Raises `NoNamespaces` when it enters.
    """

    def __init__(self, nodes: Sequence[NodeId]) -> None:
        if len(nodes) > MAX_NODES:
            raise ValueError(f"{len(nodes)} nodes, and {MAX_NODES} have room in one network")
        self.hosts = {node: f"{NETWORK}.{number}" for number, node in enumerate(nodes, 1)}  #: By node, its address.
        self._cuts: dict[NodeId, set[NodeId]] = {node: set() for node in nodes}  # by node, whom it does not hear
        self._places: dict[NodeId, str] = {}
        self._stack = ExitStack()

    @property
    def nodes(self) -> list[NodeId]:
        """Everybody there is."""
        return list(self.hosts)

    def __enter__(self) -> Self:
        try:
            with ExitStack() as stack:
                self._build(stack)
                self._stack = stack.pop_all()
        except (OSError, AttributeError, subprocess.CalledProcessError) as error:
            said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
            raise NoNamespaces(
                "network namespaces take Linux, root, and the commands ip, iptables-restore and nsenter "
                f"(apt install iproute2 iptables util-linux): {said}"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def launcher(self, node: NodeId) -> tuple[str, ...]:
        """What a command line begins with that is to run in the node's namespace. Its process stays the same one."""
        return ("nsenter", f"--net={self._places[node]}")

    # -- cuts

    def cut(self, source: NodeId, target: NodeId) -> None:
        """Nothing that `source` sends reaches `target` any more, be it requests, answers or acknowledgements."""
        self._cuts[target].add(source)
        self._drop(target)

    def connect(self, pairs: Pairs) -> None:
        """Let these hear each other, and nobody else."""
        for source, target in permutations(self.hosts, 2):
            if frozenset((source, target)) in pairs:
                self._cuts[target].discard(source)
            else:
                self._cuts[target].add(source)
        for target in self.hosts:
            self._drop(target)

    def heal(self) -> None:
        """No cuts any more, between any."""
        for target, sources in self._cuts.items():
            sources.clear()
            self._drop(target)

    def _drop(self, target: NodeId) -> None:
        rules = "".join(f"-A INPUT -s {self.hosts[source]} -j DROP\n" for source in sorted(self._cuts[target]))
        _run(*self.launcher(target), "iptables-restore", "--wait", told=f"*filter\n:INPUT ACCEPT\n{rules}COMMIT\n")

    # -- the network

    def _build(self, stack: ExitStack) -> None:
        home = _open_namespace(stack)
        _enter(home)  # whoever may not come back must not leave
        stack.callback(_enter, home)
        for node in self.hosts:
            _call("unshare", _CLONE_NEWNET)
            self._places[node] = f"/proc/{os.getpid()}/fd/{_open_namespace(stack)}"
        _call("unshare", _CLONE_NEWNET)  # where this thread stays, and the bridge is
        _run("ip", "link", "add", "bridge", "type", "bridge")
        _run("ip", "address", "add", f"{BRIDGE_HOST}/24", "dev", "bridge")
        _run("ip", "link", "set", "bridge", "up")
        for number, (node, host) in enumerate(self.hosts.items(), 1):
            inside, port = self.launcher(node), f"port{number}"
            _run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self._places[node])
            _run("ip", "link", "set", port, "master", "bridge", "up")
            _run(*inside, "ip", "address", "add", f"{host}/24", "dev", "eth0")
            _run(*inside, "ip", "link", "set", "eth0", "up")
            _run(*inside, "ip", "link", "set", "lo", "up")
            self._drop(node)


def obstacle() -> str:
    """Why they cannot be made here; "" when they can. For tests that are skipped where they cannot."""
    try:
        with Namespaces(["n1"]):
            return ""
    except NoNamespaces as error:
        return str(error)


def _open_namespace(stack: ExitStack) -> int:
    """The network that this thread is in; it lasts at least as long as the descriptor."""
    descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    stack.callback(os.close, descriptor)
    return descriptor


def _enter(descriptor: int) -> None:
    _call("setns", descriptor, _CLONE_NEWNET)


def _call(name: str, *arguments: int) -> None:
    """A function of the C library, which Python has from 3.12 on."""
    function: Callable[..., int] = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _run(*command: str, told: str = "") -> None:
    subprocess.run(  # noqa: S603 -- our own words and addresses, and no shell
        command, input=told, capture_output=True, text=True, check=True
    )
