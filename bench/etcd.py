"""An etcd server: how it is started, and asked how it is. It takes no orders; a client program has its writers."""

import asyncio
import json
from asyncio.subprocess import Process
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from bench.load import Spec, Status
from bench.processes import BenchError, Server

ASK_S = 5.0


def etcd_command(spec: Spec, client_ports: list[int]) -> list[str]:
    """The server's command line: the defaults, but that nothing is compacted while the clock runs, as for all."""
    peers = [f"http://127.0.0.1:{port}" for port in spec.ports]
    own, own_client = peers[spec.node], f"http://127.0.0.1:{client_ports[spec.node]}"
    settings = {
        "name": f"n{spec.node + 1}",
        "data-dir": f"{spec.directory}/etcd",
        "listen-peer-urls": own,
        "initial-advertise-peer-urls": own,
        "listen-client-urls": own_client,
        "advertise-client-urls": own_client,
        "initial-cluster": ",".join(f"n{place}={peer}" for place, peer in enumerate(peers, 1)),
        "initial-cluster-state": "new",
        "snapshot-count": "1000000000",
        "quota-backend-bytes": str(8 << 30),
        "logger": "zap",
        "log-level": "error",
    }
    return ["etcd", *(f"--{name}={value}" for name, value in settings.items())]


class EtcdServer(Server):
    """One member."""

    def __init__(self, name: str, process: Process, stderr: Path, client_port: int) -> None:
        super().__init__(name, process, stderr)
        self._client_port = client_port

    async def status(self) -> Status:
        """By the JSON that etcd speaks on its client port. What it calls applied counts its own entries as well."""
        try:
            found = await asyncio.to_thread(self._ask)
        except (OSError, HTTPException, ValueError):
            if not self.running:
                raise BenchError(f"{self.name} has ended; its last words: {self.last_words()}") from None
            return Status(leading=False, applied=0)  # not listening yet
        header = found.get("header", {})
        leading = found.get("leader") is not None and found["leader"] == header.get("member_id")
        return Status(leading, int(found.get("raftAppliedIndex", 0)), int(header.get("raft_term", 0)))

    def _ask(self) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self._client_port, timeout=ASK_S)
        try:
            connection.request("POST", "/v3/maintenance/status", b"{}", {"Content-Type": "application/json"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()
