"""The conformance kit in anybody's pytest: `pytest -p raftsdk.testing.pytest_plugin --raft-codec my_package:MyCodec`.

There is no entry point for it: pytest would rewrite the asserts of all of this distribution, and explain a comparison
of two lists of megabytes that fails, as it is to, for minutes.

`raft_world`, a fixture, plays clusters of a state machine under every fault (`raftsdk.testing.world`).

Every case is a test of its own, with its clause of `spec/wire.md` in its name, after whatever else is collected. In a
project that always wants it, the option belongs into `addopts`; nothing else has to be written. A test file of one's
own can have the same with `@pytest.mark.parametrize("trial", codecs.trials(MyCodec()), ids=str)`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from raftsdk.errors import ConfigError

if TYPE_CHECKING:  # with hypothesis behind it: loaded when it is asked for, not into everybody's test run
    from raftsdk.ports import StateMachine
    from raftsdk.testing.conformance.trial import Trial
    from raftsdk.testing.world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of ours."""
    group = parser.getgroup("raftsdk", "conformance with raftsdk's wire")
    group.addoption(
        "--raft-codec",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="try this codec (a class, or the name of an installed one) with every case of the conformance kit",
    )
    group.addoption(
        "--raft-known-failing",
        metavar="FILE",
        help="cases that may fail, and must: SUBJECT CLAUSE SENTENCE a line",
    )


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every case as a test."""
    names = config.getoption("--raft-codec")
    if names:
        items.extend(_items(session, names, config.getoption("--raft-known-failing")))


def _items(session: pytest.Session, names: list[str], known_failing: str | None) -> Iterator[pytest.Item]:
    from raftsdk.testing.conformance.known import KnownFailing
    from raftsdk.testing.conformance.plan import Order, plan

    try:
        known = KnownFailing.read(Path(known_failing)) if known_failing else KnownFailing()
        trials = plan(Order(tier="codecs", codecs=names))
        known.check(trials)
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error
    except ModuleNotFoundError as error:
        missing = f"--raft-codec needs {error.name}, which is not installed; run: pip install raftsdk[conformance]"
        raise pytest.UsageError(missing) from error
    for trial in trials:
        item: pytest.Item = ConformanceItem.from_parent(
            session, name=str(trial), nodeid=f"conformance::{trial}", trial=trial
        )
        if str(trial) in known:
            item.add_marker(pytest.mark.xfail(reason=f"listed in {known_failing}", strict=True))
        yield item


class ConformanceItem(pytest.Item):
    """One trial. Its name is its line in a list of known failures."""

    def __init__(self, *, trial: "Trial[Any]", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._trial = trial
        self.add_marker("raft_conformance")

    def runtest(self) -> None:
        """Run the trial."""
        self._trial.run()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """What was wrong, and the bytes: the path through our own code helps nobody."""
        from raftsdk.testing.conformance.evidence import exhibit_text
        from raftsdk.testing.conformance.trial import failure

        result = failure(self._trial, excinfo.value)
        return "\n".join(filter(None, (result.line, result.message, exhibit_text(result.exhibit))))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is, for reports: in no file. With a word in front, as pytest would show `9.2`, a name, as `9::2`."""
        return self.path, None, f"conformance: {self.name}"


@pytest.fixture
def raft_world() -> "Callable[..., World]":
    """Plays a cluster of your state machine under every fault, in a few milliseconds, and returns it healed:

        def test_no_transfer_loses_money(raft_world):
            world = raft_world(Bank, seed=7, events=2000)
            assert all(bank.total == 100 for bank in world.machines().values())

    `Bank` makes a state machine, and may say what clients ask of it (`raftsdk.testing.world.Simulated`). `nodes` is how
    many voters there are at first; each seed draws it otherwise. Raises `AssertionError` for whatever must not be, with
    the last events.
    """
    from raftsdk.testing.world import World, draw

    def play(
        machine: "Callable[[], StateMachine]", *, seed: int = 0, events: int = 1_000, nodes: int | None = None
    ) -> World:
        world = World(draw(seed, events, nodes), machine)
        try:
            world.run()
        except AssertionError as violation:
            violation.add_note("\n".join(world.trace.lines(world.codec)))
            raise
        return world

    return play


def pytest_configure(config: pytest.Config) -> None:
    """Tests of the kit can be chosen by a marker."""
    config.addinivalue_line("markers", "raft_conformance: a case of raftsdk's conformance kit (--raft-codec)")
