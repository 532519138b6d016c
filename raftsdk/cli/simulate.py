"""`raftsdk simulate`: whole clusters under every fault, by seed."""

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from raftsdk.cli.output import AsJson, Exit, say, say_json
from raftsdk.errors import ConfigError
from raftsdk.testing.world import Counters, Order, Played, added, below_floors, joint_trace, play_all, shrink
from raftsdk.testing.world.campaign import DEFAULT_EVENTS, DEFAULT_SEEDS, places_of

JUDGED_FROM_EVENTS: Final = 400_000
"""A shorter run may miss a floor by mere chance: nothing is concluded from what it has not seen."""

SHRUNK: Final = 2
"""So many failing seeds are shrunk; the others most likely fail for the same reason."""


def simulate(
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="How many seeds to play, from 0 on.")] = DEFAULT_SEEDS,
    events: Annotated[
        int, typer.Option(min=1, metavar="M", help="Events of each, before it is healed.")
    ] = DEFAULT_EVENTS,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="S", help="Play this one, and show its last events if it fails.")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, max=9, metavar="K", help="Voters at first. Default: each seed draws it.")
    ] = None,
    state_machine: Annotated[
        str,
        typer.Option(
            "--state-machine",
            metavar="NAME|MODULE:CLASS",
            help="An installed one, or one of your own. Default: registers and lists whose every answer is judged.",
        ),
    ] = "",
    faults: Annotated[
        str | None,
        typer.Option(metavar="I,J-K,…|none", help="With --seed: none of its faults but these, by their place."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="W", help="Processes to play on. Default: one for each core.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play clusters in a world where everything goes wrong: what must hold is checked after every event.

    A seed draws the size of the cluster, its settings, its faults and its clients; the same seed is always the same
    play. Messages are lost, late, doubled, damaged; nodes crash, stand still, lose disks; members come and go;
    snapshots are taken, sent, cut off. Then all is mended, and the cluster must come together and serve. For a seed
    that fails, the command that plays it again is printed, with as few faults as still make it fail. Exit code 0 only
    if nothing failed, and a long run has seen enough of everything.
    """
    order = Order(events=events, nodes=nodes, state_machine=state_machine, faults=_places(faults, seed))
    order.machine()  # before any process is started: a name that is wrong is a usage error
    chosen = range(seeds) if seed is None else [seed]
    order.scenario(chosen[0])
    played = list(_shown(order, chosen, workers))
    failed = [each for each in played if each.failure]
    shrunk = {each.seed: _shrink(order, each) for each in failed[:SHRUNK]}
    total = added(each.counters for each in played)
    missed = below_floors(total, len(chosen) * events) if _is_judged(order, chosen) and not failed else []
    if as_json:
        say_json(_report(order, played, shrunk, total, missed))
    else:
        _tell(order, played, shrunk, total, missed)
    if failed or missed:
        sys.exit(Exit.FAILED)


def _places(faults: str | None, seed: int | None) -> tuple[int, ...] | None:
    if faults is None:
        return None
    if seed is None:
        raise ConfigError(["--faults belongs to one seed: give --seed too"])
    try:
        return places_of(faults)
    except ValueError:
        raise ConfigError([f'--faults is {faults!a}: give places and ranges, as in "0-3,7", or none']) from None


def _is_judged(order: Order, chosen: Sequence[int]) -> bool:
    """Floors are for what seeds draw: a cluster of one node elects few leaders however long it runs."""
    return order.nodes is None and len(chosen) * order.events >= JUDGED_FROM_EVENTS


def _shown(order: Order, chosen: Sequence[int], workers: int | None) -> Iterator[Played]:
    """Every seed as it is done, with a bar on stderr meanwhile."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task, failed = progress.add_task("", total=len(chosen)), 0
        for played in play_all(order, chosen, workers):
            failed += bool(played.failure)
            shown = f"[bold red]{failed} failed[/] {escape(played.failure)[:80]}" if played.failure else None
            progress.update(task, advance=1, description=shown)
            yield played


def _shrink(order: Order, failed: Played) -> Order:
    columns = (TextColumn("seed {task.fields[seed]}: leaving out faults"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, seed=failed.seed)
        return shrink(order, failed, lambda: progress.advance(task))


def _faults(order: Order, seed: int) -> list[str]:
    return [str(fault) for fault in order.scenario(seed).faults]


def _report(
    order: Order, played: Sequence[Played], shrunk: dict[int, Order], total: Counters, missed: Sequence[str]
) -> dict[str, Any]:
    return {
        "seeds": len(played),
        "events": order.events,
        "counters": msgspec.structs.asdict(total),
        "below_floors": missed,
        "trace": joint_trace(played),
        "failures": [
            {
                "seed": each.seed,
                "failure": each.failure,
                "replay": order.replay(each.seed),
                "shrunk": shrunk[each.seed].replay(each.seed) if each.seed in shrunk else "",
                "faults": _faults(shrunk.get(each.seed, order), each.seed),
            }
            for each in played
            if each.failure
        ],
    }


def _tell(
    order: Order, played: Sequence[Played], shrunk: dict[int, Order], total: Counters, missed: Sequence[str]
) -> None:
    failed = [each for each in played if each.failure]
    for each in failed:
        if len(played) == 1:
            for line in each.scene:
                say(line)
        say(f"seed {each.seed} fails: {each.failure}")
        say(f"  again:  {order.replay(each.seed)}")
        if each.seed in shrunk:
            say(f"  shrunk: {shrunk[each.seed].replay(each.seed)}")
            for line in _faults(shrunk[each.seed], each.seed):
                say(f"     {line}")
    counted = msgspec.structs.asdict(total)
    say("  ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counted.items()))
    for line in missed:
        say(f"too few {line}")
    say(f"trace {joint_trace(played)}")
    say(f"{len(played)} seeds of {order.events:,} events: {len(failed)} failed")
