"""One raftsdk node, put together from its parts; its writers are tasks in the same event loop."""

import asyncio
import sys
from pathlib import Path
from time import perf_counter

import msgspec
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from bench.load import Answer, Failed, Order, Recorder, Sample, Spec, Status, values
from raftsdk.config import RaftConfig
from raftsdk.errors import RaftError
from raftsdk.ports import Codec, Storage
from raftsdk.runtime.event_loop import run
from raftsdk.runtime.node import RaftNode
from raftsdk.storage.memory import MemoryStorage
from raftsdk.storage.sqlite import SqliteStorage
from raftsdk.types import Identity, LogIndex, Member, Membership
from raftsdk.wire.rpc import RpcNetwork

CODECS: dict[str, type[Codec]] = {"msgpack": MsgpackCodec, "json": JsonCodec}


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


def make_node(spec: Spec, register: Register) -> RaftNode:
    """The node, as `NodeBuilder` would assemble it."""
    members = [Member(f"n{place}", (f"tcp://127.0.0.1:{port}",)) for place, port in enumerate(spec.ports, 1)]
    own = members[spec.node]
    identity = Identity("bench", own.id)
    network = RpcNetwork(
        identity=identity,
        addresses={member.id: member.addresses for member in members},
        listen=own.addresses,
        codecs=[CODECS[spec.codec]()],
        transports=[TcpTransport()],
    )
    storage: Storage = MemoryStorage() if spec.variant == "memory" else SqliteStorage(Path(spec.directory))
    return RaftNode(
        identity=identity,
        membership=Membership(tuple(members)),
        network=network,
        storage=storage,
        state_machine=register,
        config=RaftConfig(),
    )


async def _write(node: RaftNode, value: bytes, recorder: Recorder) -> None:
    """One closed-loop writer."""
    started = perf_counter()
    while True:
        await node.propose(value)
        ended = perf_counter()
        if not recorder.note(started, ended):
            return
        started = ended


async def _load(node: RaftNode, order: Order) -> Sample | Failed:
    recorder = Recorder(order.seconds)
    writers = [asyncio.create_task(_write(node, value, recorder)) for value in values(order.writers)]
    try:
        await asyncio.gather(*writers)
    except RaftError as error:
        for writer in writers:
            writer.cancel()
        return Failed(f"{type(error).__name__}: {error}")
    return recorder.sample()


async def _answer(node: RaftNode, register: Register, order: Order) -> Answer:
    if not order.writers:
        return Answer(status=Status(node.is_leader, register.applied))
    outcome = await _load(node, order)
    return Answer(sample=outcome) if isinstance(outcome, Sample) else Answer(failed=outcome)


async def main(spec: Spec) -> None:
    """Carry out orders from standard input until it ends."""
    register = Register()
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with make_node(spec, register) as node:
        while line := await orders.readline():
            answer = await _answer(node, register, msgspec.json.decode(line, type=Order))
            print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    run(main(msgspec.json.decode(sys.argv[1], type=Spec)))
