"""All of a run, as one object and as Markdown."""

from msgspec import Struct

from bench.goals import Verdict
from bench.machine import Machine
from bench.rows import Outcome
from bench.tables import goals_table, section, side_by_side

END = "<!-- end -->"


class Report(Struct, frozen=True):
    """All of a run; what `--json` prints."""

    machine: Machine
    seconds: float
    rounds: int
    elapsed_s: float
    left_out: list[str]  #: Peers that are not installed, and how to get them.
    suites: dict[str, Outcome]
    goals: list[Verdict]


def parts(report: Report) -> dict[str, tuple[str, str]]:
    """By name: a heading and the Markdown under it."""
    found = {"machine": ("Measured", _machine(report))}
    found |= {name: (outcome.title, section(outcome)) for name, outcome in report.suites.items()}
    if synced := _synced(report):
        found["synced"] = "On the disk when a write is acknowledged", synced
    if report.left_out:
        found["left out"] = "Left out", "\n".join(f"- {reason}" for reason in report.left_out)
    if report.goals:
        found["goals"] = "Goals", goals_table(report.goals)
    return found


def text(report: Report) -> str:
    """All parts, one after another."""
    return "\n\n".join(f"## {heading}\n\n{body}" for heading, body in parts(report).values())


def filled_in(document: str, report: Report) -> str:
    """The Markdown document with the parts of this run in their places; a place is `<!-- name -->` … `<!-- end -->`."""
    for name, (_, body) in parts(report).items():
        before, mark, rest = document.partition(f"<!-- {name} -->\n")
        if mark and END in rest:
            document = f"{before}{mark}\n{body}\n\n{END}{rest.partition(END)[2]}"
    return document


def _machine(report: Report) -> str:
    machine = report.machine
    return (
        f"Medians of {report.rounds} interleaved rounds of {report.seconds:g} s; {machine.cpus} CPUs, load "
        f"{machine.load_average:.1f} before the run, Python {machine.python}, {machine.event_loop}; 4 KiB appended and "
        f"synced there in {machine.fdatasync_ms:.2f} ms."
    )


def _synced(report: Report) -> str:
    """Who keeps what, by what is kept."""
    systems: dict[str, dict[str, None]] = {}
    for outcome in report.suites.values():
        for row in side_by_side(outcome):
            systems.setdefault(row.synced, {})[row.system] = None
    return "\n".join(f"- {synced}: {'; '.join(names)}" for synced, names in systems.items())
