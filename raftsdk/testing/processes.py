"""A cluster of real processes on this machine: for the demo, for tests under faults, for whoever wants to pull a plug.

Every node is `raftsdk node --config FILE` in a process of its own, on loopback, its data in a directory of its own.
Processes are stopped by their id, all of them, however the `async with` ends.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from raftsdk.config import ENVIRONMENT_PREFIX, TLS_SCHEMES, TlsConfig
from raftsdk.config.reading import merge
from raftsdk.errors import RaftError
from raftsdk.testing.namespaces import Namespaces
from raftsdk.testing.wiring import Cuts, Wiring
from raftsdk.types import NodeId
from raftsdk.wire.tls import FileCredentials

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0

PORT = 7001
"""Where a node listens that has a network of its own."""

CLIENT = "client"
"""The name in the certificate of a cluster's clients."""


class NodeDied(RaftError):
    """A process ended before it was ready; the text has what it said last."""


class NodeProcess:
    """One node: what it was told, and its process while it runs."""

    def __init__(self, node_id: NodeId, directory: Path) -> None:
        self.node_id = node_id
        self.directory = directory
        self.config: dict[str, Any] = {}
        self.environ: dict[str, str] = {}  #: What its process finds in its environment beside this one's.
        self.launcher: tuple[str, ...] = ()  #: What its command line begins with.
        self.starts = 0  #: How many lives it has had.
        self._process: asyncio.subprocess.Process | None = None

    @property
    def addresses(self) -> list[str]:
        """Where the members look for it, by its configuration."""
        return next(list(member["addresses"]) for member in self.config["members"] if member["id"] == self.node_id)

    @property
    def address(self) -> str:
        """The first of `addresses`."""
        return self.addresses[0]

    @property
    def config_file(self) -> Path:
        """The node's configuration."""
        return self.directory / "node.toml"

    @property
    def log_file(self) -> Path:
        """Everything the process said, over all its lives."""
        return self.directory / "node.log"

    def said(self) -> str:
        """What is in `log_file`."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    @property
    def running(self) -> bool:
        """Whether the process is there (a paused one is)."""
        return self._process is not None and self._process.returncode is None

    @property
    def exit_code(self) -> int | None:
        """How its last process ended; None while it runs, and before the first."""
        return None if self._process is None else self._process.returncode

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Merge `settings` into the node's configuration; they hold from its next start on."""
        self.config = merge(self.config, settings)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(to_toml(self.config), encoding="utf-8")

    async def start(self) -> None:
        """Start the process and wait until it listens. Raises `NodeDied` when it does not come to that."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
        self.starts += 1
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.launcher,
                *(sys.executable, "-m", "raftsdk.cli", "node", "--config", str(self.config_file), "--json"),
                env=environ | self.environ,  # without settings of this process: they would go over the file's
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                ready = await self._process.stdout.readline()
        except TimeoutError:
            ready = b""
        if not ready:
            await self.kill()
            raise NodeDied(f"{self.node_id} did not start:\n" + "\n".join(self.said().strip().splitlines()[-5:]))

    def signal(self, number: int) -> None:
        """Send a signal, if there is somebody to get it."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def wait(self) -> None:
        """Return when the process has ended by itself; at once when there is none."""
        if self._process is not None:
            await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL: no chance to save anything. Returns when the process is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for a process that does not heed it."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._process.communicate()
            except TimeoutError:
                await self.kill()


class LocalCluster:
    """`nodes` processes named n1, n2, … whose files lie below `directory`.

    `settings` are merged into every node's configuration: `{"codecs": ["json"], "raft": {"tick_interval_ms": 10}}`;
    `NodeProcess.configure` is for those of one node. `transport` is the scheme of the nodes' addresses, or several that
    they take in turn: `"unix"` (sockets below `directory`), or any that goes by host and port (the system chooses it).
    Where one of them is TLS, everybody gets a certificate from an authority below `directory`.

    `joining` more processes are configured, are members of nothing, and have to be started by whoever wants them: each
    then asks the others to take it in. `wired` puts a proxy before every node, for faults between any two (`wiring`);
    `namespaces` has every node in a network of its own, for cuts by the kernel (`Namespaces`, which takes root): while
    the cluster is there, so is this thread, and reaches nothing else.
    """

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int = 3,
        joining: int = 0,
        transport: str | Sequence[str] = "tcp",
        storage: str = "sqlite",
        state_machine: str = "key-value",
        settings: Mapping[str, Any] | None = None,
        wired: bool = False,
        namespaces: bool = False,
    ) -> None:
        ids = [f"n{number}" for number in range(1, nodes + joining + 1)]
        schemes = [transport] if isinstance(transport, str) else transport
        if wired and set(schemes) != {"tcp"}:
            raise ValueError(f"wired and over {', '.join(schemes)}: proxies tell callers apart over tcp alone")
        if namespaces and (wired or "unix" in schemes):
            raise ValueError(
                "in namespaces nodes are without proxies, and not at unix sockets, which no cut would part"
            )
        self.namespaces = Namespaces(ids) if namespaces else None
        listening, addresses = self._places(directory, dict(zip(ids, cycle(schemes), strict=False)), wired=wired)
        self.cluster_id = "local"
        self.nodes = [NodeProcess(i, directory / i) for i in ids[:nodes]]
        self.joining = [NodeProcess(i, directory / i) for i in ids[nodes:]]
        self.wiring = Wiring(addresses, listening) if wired else None
        members = [{"id": i, "addresses": [addresses[i]]} for i in ids]
        tls = _issue_certificates(directory, [*ids, CLIENT]) if TLS_SCHEMES & set(schemes) else {}
        self.credentials = FileCredentials(tls[CLIENT]) if tls else None  #: For whoever dials the nodes.
        for node, member in zip([*self.nodes, *self.joining], members, strict=True):
            path = {} if storage == "memory" else {"path": str(node.directory / "data")}
            founds = node in self.nodes
            node.configure(
                {
                    "node_id": node.node_id,
                    "cluster_id": self.cluster_id,
                    "state_machine": state_machine,
                    **(settings or {}),
                    "storage": {"kind": storage, **path},
                    "members": members[:nodes] if founds else [member],
                    **({} if founds else {"join": [addresses[i] for i in ids[:nodes]]}),
                    **({"listen": [listening[node.node_id]]} if wired else {}),
                    **({"tls": msgspec.to_builtins(tls[node.node_id])} if tls else {}),
                }
            )
        self._stack = AsyncExitStack()

    @property
    def cuts(self) -> Cuts:
        """What parts the nodes from each other, in a cluster that is wired or in namespaces."""
        cuts = self.namespaces or self.wiring
        assert cuts is not None, "neither wired nor in namespaces"
        return cuts

    @property
    def addresses(self) -> list[str]:
        """Where the nodes are, in order."""
        return [node.address for node in self.nodes]

    def node(self, node_id: NodeId) -> NodeProcess:
        """The node of that id."""
        return next(node for node in [*self.nodes, *self.joining] if node.node_id == node_id)

    async def __aenter__(self) -> Self:
        """Start every node but those that join."""
        async with AsyncExitStack() as stack:
            if self.namespaces is not None:
                stack.enter_context(self.namespaces)
                for node in [*self.nodes, *self.joining]:
                    node.launcher = self.namespaces.launcher(node.node_id)
            if self.wiring is not None:
                await stack.enter_async_context(self.wiring)
            stack.push_async_callback(self._stop)
            # Every start is waited for, also beside one that failed: a process must be known to be stopped.
            ends = await asyncio.gather(*(node.start() for node in self.nodes), return_exceptions=True)
            for error in filter(None, ends):
                raise error
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _places(
        self, directory: Path, schemes: Mapping[NodeId, str], *, wired: bool
    ) -> tuple[dict[NodeId, str], dict[NodeId, str]]:
        """Where each node listens, and where it is looked for: at its proxy, if there are any."""
        if self.namespaces is not None:
            hosts = self.namespaces.hosts
            addresses = {node_id: f"{scheme}://{hosts[node_id]}:{PORT}" for node_id, scheme in schemes.items()}
            return addresses, addresses
        if not wired:
            addresses = free_addresses(directory, schemes)
            return addresses, addresses
        # Both of all nodes are chosen at once, so that no two are the same.
        fronts = {f"proxy of {node_id}": scheme for node_id, scheme in schemes.items()}
        places = free_addresses(directory, {**schemes, **fronts})
        return {i: places[i] for i in schemes}, {i: places[f"proxy of {i}"] for i in schemes}

    async def _stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in [*self.nodes, *self.joining]))


def _issue_certificates(directory: Path, names: Sequence[str]) -> dict[str, TlsConfig]:
    """What each shows, and whom it believes."""
    from raftsdk.testing.certificates import (
        Authority,  # its library is an extra, which clusters without TLS do not need
    )

    directory.mkdir(parents=True, exist_ok=True)
    authority = Authority(directory)
    issued = {name: authority.issue(name, for_a_client=name == CLIENT) for name in names}
    return {
        name: TlsConfig(certificate=str(own.certificate), key=str(own.key), authorities=str(authority.certificate))
        for name, own in issued.items()
    }


def to_toml(config: Mapping[str, Any]) -> str:
    """`config` as TOML: texts, numbers, booleans, lists, tables. (The standard library only reads it.)

    >>> print(to_toml({"codecs": ["json"], "raft": {"tick_interval_ms": 10}}), end="")
    codecs = ["json"]
    raft = {tick_interval_ms = 10}
    """
    return "".join(f"{key} = {_value(value)}\n" for key, value in config.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)  # texts, numbers and booleans are written alike in both


def free_addresses(directory: Path, schemes: Mapping[NodeId, str]) -> dict[NodeId, str]:
    """An address of that scheme for each node, where nobody listens now."""
    # All sockets are open at once, so that the ports differ. Another process may take one before its node does; the
    # node then says so and does not start.
    with ExitStack() as open_sockets:
        return {
            node_id: f"unix://{directory / node_id}.sock"
            if scheme == "unix"
            else f"{scheme}://127.0.0.1:{_free_port(open_sockets)}"
            for node_id, scheme in schemes.items()
        }


def _free_port(open_sockets: ExitStack) -> int:
    port: int = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
    return port
