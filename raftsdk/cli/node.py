"""`raftsdk node`: one member of a cluster, in the foreground until it is told to stop."""

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from raftsdk.builder import NodeBuilder
from raftsdk.cli.config import load_config
from raftsdk.cli.output import AsJson, Set, say, say_json
from raftsdk.config import NodeConfig
from raftsdk.errors import ConfigError
from raftsdk.runtime import event_loop


def node(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A TOML file of settings; see `raftsdk config`.")
    ] = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Run one node until SIGTERM or SIGINT. Settings come from FILE, then the environment (RAFTSDK_NODE_ID,
    RAFTSDK_RAFT__TICK_INTERVAL_MS, …), then --set, later ones winning.

    Says one line when it listens and one when it has stopped; with --json each is an object with an "event".
    """
    settings = load_config(config, set_ or ())
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    event_loop.run(_serve(settings, as_json=as_json))


async def _serve(settings: NodeConfig, *, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(NodeBuilder.from_config(settings).build())
        except ValueError as error:  # what a transport says of an address that only it can judge
            raise ConfigError([str(error)]) from None
        _announce(settings, as_json=as_json)
        await stop.wait()
    if as_json:
        say_json({"event": "stopped", "node_id": settings.node_id})
    else:
        say(f"{settings.node_id} stopped")


def _announce(settings: NodeConfig, *, as_json: bool) -> None:
    addresses = settings.listen_addresses()
    if as_json:
        identity = {"node_id": settings.node_id, "cluster_id": settings.cluster_id}
        say_json({"event": "listening", **identity, "addresses": addresses})
    else:
        say(f"{settings.node_id} listening on {', '.join(addresses)}")
