"""A process with one `raftsdk.Client`: its writers are tasks that share it, as the handlers of a web server would."""

import sys
from functools import partial

import msgspec

from bench.load import Spec, Status
from bench.raftsdk_node import addresses
from bench.writers import carry_out_orders
from raftsdk import Client, Consistency, plugins, run
from raftsdk.config import CODECS, TRANSPORTS


async def main(spec: Spec) -> None:
    """Carry out orders until there are no more."""
    client = Client(
        [*addresses(spec).values()],
        codecs=[plugins.make(CODECS, spec.codec)],
        transports=[plugins.make(TRANSPORTS, spec.transport)],
        cluster_id="bench",
    )
    async with client:
        read = partial(client.query, consistency=Consistency.LINEARIZABLE)
        await carry_out_orders(client.propose, read, lambda: Status(leading=False, applied=0))


if __name__ == "__main__":
    run(main(msgspec.json.decode(sys.argv[1], type=Spec)))
