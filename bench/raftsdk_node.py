"""One raftsdk node, with the defaults of its settings; its writers are tasks in the same event loop."""

import sys
from functools import partial
from pathlib import Path

import msgspec

from bench.load import Spec, Status
from bench.writers import carry_out_orders
from raftsdk import Consistency, NodeBuilder, run
from raftsdk.runtime.node import RaftNode
from raftsdk.types import LogIndex


class Register:
    """The state machine: keeps the value last written."""

    def __init__(self) -> None:
        self.value = b""
        self.applied = 0

    def apply(self, command: bytes, index: LogIndex) -> bytes:
        """Keep it."""
        self.value = command
        self.applied += 1
        return b""

    def query(self, query: bytes) -> bytes:
        """What was kept."""
        return self.value


def addresses(spec: Spec) -> dict[str, str]:
    """Where each node is."""
    return {f"n{place}": _address(spec, place, port) for place, port in enumerate(spec.ports, 1)}


def _address(spec: Spec, place: int, port: int) -> str:
    if spec.transport == "unix":
        return f"unix://{Path(spec.directory).parent}/n{place}.sock"
    return f"{spec.transport}://127.0.0.1:{port}"


def make_node(spec: Spec, register: Register) -> RaftNode:
    """The node."""
    builder = NodeBuilder(f"n{spec.node + 1}").cluster("bench").members(addresses(spec)).codec(spec.codec)
    path = spec.directory if spec.variant == "sqlite" else ""
    return builder.storage(spec.variant, path=path).state_machine(register).build()


async def main(spec: Spec) -> None:
    """Carry out orders until there are no more."""
    register = Register()
    async with make_node(spec, register) as node:

        def status() -> Status:
            return Status(node.is_leader, register.applied, node.status().term)

        read = partial(node.query, consistency=Consistency.LINEARIZABLE)
        await carry_out_orders(node.propose, read, status)


if __name__ == "__main__":
    run(main(msgspec.json.decode(sys.argv[1], type=Spec)))
