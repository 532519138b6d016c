"""`raftsdk members`, `transfer` and `snapshot`: who the members are, who leads, and how long the log is."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from raftsdk.cli.cluster import At, TimeoutMs, open_client, takes_tls
from raftsdk.cli.output import EXIT_CODES_HELP, AsJson, say, say_json, say_table
from raftsdk.client import Client
from raftsdk.config.rules import address_faults
from raftsdk.errors import ConfigError
from raftsdk.runtime import event_loop
from raftsdk.types import Member, Membership, Suffrage, is_identifier

Result = TypeVar("Result")

app = typer.Typer(help="See and change who the members of a running cluster are.", no_args_is_help=True)


def _checked_id(text: str) -> str:
    if not is_identifier(text):
        raise typer.BadParameter("an id has 1 to 128 letters, digits, '.', '_', '-', and begins with none of these")
    return text


Id: typer.models.ArgumentInfo = typer.Argument(metavar="ID", help="The node's id.", callback=_checked_id)


def _ask(at: list[str] | None, timeout_ms: int, what: Callable[[Client], Awaitable[Result]]) -> Result:
    async def go() -> Result:
        async with open_client(at, timeout_ms) as client:
            return await what(client)

    return event_loop.run(go())


def _show(membership: Membership, *, as_json: bool) -> None:
    if as_json:
        say_json(membership)
    else:
        rows = [(member.id, member.suffrage.value, " ".join(member.addresses)) for member in membership.members]
        say_table(("member", "suffrage", "addresses"), rows)


@app.command("list", epilog=EXIT_CODES_HELP)
@takes_tls
def list_(at: At = None, timeout_ms: TimeoutMs = 10_000, as_json: AsJson = False) -> None:
    """Print who the members are, as the asked node has it in its log."""
    status = _ask(at, timeout_ms, lambda client: client.status())
    own = [(status.node_id, status.suffrage, "")] if status.suffrage else []
    rows = sorted([*own, *((peer.node_id, peer.suffrage, " ".join(peer.addresses)) for peer in status.peers)])
    if as_json:
        say_json({"members": [dict(zip(("id", "suffrage"), row, strict=False)) for row in rows], "joint": status.joint})
    else:
        say_table(("member", "suffrage", "addresses"), rows)
        if status.joint:
            say("A change of members is under way: two majorities decide at present.")


@app.command(epilog=EXIT_CODES_HELP)
@takes_tls
def add(
    node_id: Annotated[str, Id],
    addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS", help="Where it is to be found, best first.")],
    learner: Annotated[bool, typer.Option("--learner", help="Have it get the log and count for nothing.")] = False,
    at: At = None,
    timeout_ms: TimeoutMs = 30_000,
    as_json: AsJson = False,
) -> None:
    """Make a node a member, or change a member's addresses.

    A node whose configuration says `join` does this by itself. One that is already a voter stays one.
    """
    faults = [f"{where} {problem}" for where, problem in address_faults("ADDRESS", addresses)]
    if faults:
        raise ConfigError(faults)
    suffrage = Suffrage.LEARNER if learner else Suffrage.VOTER
    member = Member(node_id, tuple(addresses), suffrage)
    _show(_ask(at, timeout_ms, lambda client: client.change_membership([member])), as_json=as_json)


@app.command(epilog=EXIT_CODES_HELP)
@takes_tls
def promote(
    node_id: Annotated[str, Id], at: At = None, timeout_ms: TimeoutMs = 30_000, as_json: AsJson = False
) -> None:
    """Make a learner a voter."""
    _show(_ask(at, timeout_ms, lambda client: client.change_membership([Member(node_id)])), as_json=as_json)


@app.command(epilog=EXIT_CODES_HELP)
@takes_tls
def demote(node_id: Annotated[str, Id], at: At = None, timeout_ms: TimeoutMs = 30_000, as_json: AsJson = False) -> None:
    """Make a voter a learner."""
    learner = Member(node_id, suffrage=Suffrage.LEARNER)
    _show(_ask(at, timeout_ms, lambda client: client.change_membership([learner])), as_json=as_json)


@app.command(epilog=EXIT_CODES_HELP)
@takes_tls
def remove(
    node_ids: Annotated[list[str], typer.Argument(metavar="ID", help="Who is to be no member any more.")],
    at: At = None,
    timeout_ms: TimeoutMs = 30_000,
    as_json: AsJson = False,
) -> None:
    """Remove members, all in one change. Their ids are not to be used again, unless by a node that joins anew."""
    for node_id in node_ids:
        _checked_id(node_id)
    _show(_ask(at, timeout_ms, lambda client: client.change_membership(remove=node_ids)), as_json=as_json)


@takes_tls
def transfer(
    target: Annotated[
        str, typer.Argument(metavar="ID", help="Who is to lead. Default: the voter with most of the log.")
    ] = "",
    at: At = None,
    timeout_ms: TimeoutMs = 10_000,
    as_json: AsJson = False,
) -> None:
    """Hand leadership over to another voter."""
    leader = _ask(at, timeout_ms, lambda client: client.transfer_leadership(_checked_id(target) if target else ""))
    if as_json:
        say_json({"leader_id": leader})
    else:
        say(f"{leader} leads")


@takes_tls
def snapshot(at: At = None, timeout_ms: TimeoutMs = 60_000, as_json: AsJson = False) -> None:
    """Have the asked node take a snapshot of its state, and cut its log."""
    taken = _ask(at, timeout_ms, lambda client: client.take_snapshot())
    if as_json:
        say_json(taken)
    else:
        say(f"a snapshot of everything up to entry {taken.last_included_index}: {taken.total_bytes} bytes")
