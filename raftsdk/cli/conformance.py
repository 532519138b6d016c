"""`raftsdk conformance`: whether codecs and links do what `spec/wire.md` says."""

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import typer
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console

from raftsdk.cli.cluster import takes_tls, tls_config
from raftsdk.cli.output import EXIT_CODES_HELP, AsJson, Exit, complain, say
from raftsdk.config import TlsConfig
from raftsdk.errors import ConfigError
from raftsdk.testing.conformance.known import KnownFailing
from raftsdk.testing.conformance.plan import Order, plan
from raftsdk.testing.conformance.report import Report, summarize
from raftsdk.testing.conformance.report.junit import junit
from raftsdk.testing.conformance.report.terminal import print_report, progress
from raftsdk.testing.conformance.supervisor import supervise
from raftsdk.testing.conformance.trial import Result, Trial

app = typer.Typer(no_args_is_help=True, help="Whether codecs and links do what spec/wire.md says, clause by clause.")

_FROM_THE_EXTRA: Final = ("hypothesis", "jinja2")

Codecs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--codec", metavar="NAME|MODULE:CLASS", help="Only this codec; may be repeated. Default: all installed."
    ),
]
Clauses: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--clause", metavar="N.N", help="Only the cases of this clause of spec/wire.md; may be repeated."),
]
Examples: TypeAlias = Annotated[
    int, typer.Option(min=1, metavar="N", help="Messages made by chance in each case that makes some.")
]
Html: TypeAlias = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", dir_okay=False, help="Write a report for people.")
]
Junit: TypeAlias = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", dir_okay=False, help="Write a report for CI servers.")
]
Known: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--known-failing", metavar="FILE", help="Cases that may fail, and must: SUBJECT CLAUSE SENTENCE a line."
    ),
]


class Outputs(Struct, frozen=True):
    """Where a run tells of itself, and what it may fail at."""

    html: Path | None
    junit: Path | None
    known_failing: Path | None
    as_json: bool


@app.command(epilog=EXIT_CODES_HELP)
def codecs(
    codec: Codecs = None,
    clause: Clauses = None,
    examples: Examples = 100,
    html: Html = None,
    junit: Junit = None,
    known_failing: Known = None,
    as_json: AsJson = False,
) -> None:
    """Try codecs, alone and in pairs.

    Every vector of spec/vectors; the contract of every codec; messages made by chance; hostile bytes, and what they may
    cost. A codec of your own is named by its class, my_package.my_module:MyCodec, and is paired with all installed
    ones. Exit code 0 only if nothing failed.
    """
    order = Order(tier="codecs", codecs=codec or [], clauses=clause or [], examples=examples)
    conduct([order], Outputs(html, junit, known_failing, as_json))


@app.command(epilog=EXIT_CODES_HELP)
@takes_tls
def links(
    transport: Annotated[
        list[str] | None,
        typer.Option(
            "--transport",
            metavar="NAME|MODULE:CLASS",
            help="Only this transport; may be repeated. Default: all installed.",
        ),
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option("--address", metavar="URL", help="Try the live node there instead; may be repeated."),
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="URL", help="Where nodes on a transport of your own listen: mine://127.0.0.1:0.")
    ] = "",
    codec: Codecs = None,
    html: Html = None,
    junit: Junit = None,
    known_failing: Known = None,
    as_json: AsJson = False,
) -> None:
    """Try transports with nodes of ours, or live nodes by their address, in whatever language.

    Frames under every split, hello, negotiation, limits, identity, calls, close codes; from both sides, where the node
    is ours. A transport of your own is named by its class, my_package.my_module:MyTransport. What is asked of a live
    node changes nothing in it; over TLS give the kit a certificate that carries the name conformance-kit. Exit code 0
    only if nothing failed.
    """
    order = Order(
        tier="links",
        codecs=codec or [],
        transports=transport or [],
        addresses=address or [],
        listen=listen,
        tls=tls_config(address or []) or TlsConfig(),
    )
    conduct([order], Outputs(html, junit, known_failing, as_json))


@app.command("all", epilog=EXIT_CODES_HELP)
def everything(
    clause: Clauses = None,
    examples: Examples = 100,
    html: Html = None,
    junit: Junit = None,
    known_failing: Known = None,
    as_json: AsJson = False,
) -> None:
    """Try all that is installed: every codec, every pair of them, every transport.

    The same as `codecs` and `links` without naming any, in one report.
    """
    codecs_order = Order(tier="codecs", clauses=clause or [], examples=examples)
    orders = [codecs_order, replace(codecs_order, tier="links")]
    conduct(orders, Outputs(html, junit, known_failing, as_json))


def conduct(orders: Sequence[Order], outputs: Outputs) -> None:
    """Run these orders and report on them together; exit with FAILED when something failed."""
    known = KnownFailing.read(outputs.known_failing) if outputs.known_failing else KnownFailing()
    started = datetime.now(UTC)
    try:
        render = _html_renderer() if outputs.html else None
        known.check([trial for order in orders for trial in plan(replace(order, clauses=[]))])
        plans = [(order, plan(order)) for order in orders]
    except ModuleNotFoundError as error:
        if error.name not in _FROM_THE_EXTRA:
            raise
        complain(
            f"The conformance kit needs {error.name}, which is not installed; run: pip install raftsdk[conformance]"
        )
        sys.exit(Exit.USAGE)
    if not any(trials for _, trials in plans):
        raise ConfigError([f"no case is about clause {' or '.join(orders[0].clauses)}: name another, or leave it out"])
    report = summarize([order.tier for order in orders], [known.judge(result) for result in _run(plans)], started)
    _tell(report, outputs, render)
    if not report.passed:
        sys.exit(Exit.FAILED)


def _html_renderer() -> Callable[[Report], str]:
    """Found out before the run whether there can be one."""
    from raftsdk.testing.conformance.report.html import html

    return html


def _run(plans: Sequence[tuple[Order, list[Trial[Any]]]]) -> Iterator[Result]:
    """Every result as it comes, with a bar on stderr meanwhile."""
    with progress(sum(len(trials) for _, trials in plans), Console(stderr=True)) as bar:
        for order, trials in plans:
            for result in supervise(order, trials):
                bar.show(result)
                yield result


def _tell(report: Report, outputs: Outputs, render: Callable[[Report], str] | None) -> None:
    if outputs.html and render:
        outputs.html.write_text(render(report), encoding="utf-8")
    if outputs.junit:
        outputs.junit.write_bytes(junit(report))
    if outputs.as_json:
        say(msgspec.json.encode(report).decode())
    else:
        print_report(report, Console())
