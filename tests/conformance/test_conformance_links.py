"""Every transport of ours, with our own link on both sides, does what the specification says of connections."""

import gc
from itertools import chain
from typing import Any

import links_strangers
import pytest

from raftsdk import plugins
from raftsdk.config import TRANSPORTS
from raftsdk.errors import ConfigError
from raftsdk.testing import transport_suite
from raftsdk.testing.conformance import clauses, links, trial
from raftsdk.testing.conformance.links.stranger import faults_of_answer, frame
from raftsdk.testing.conformance.links.websocket_frames import BINARY, message
from raftsdk.testing.conformance.plan import Order, plan
from raftsdk.testing.conformance.trial import Outcome, Trial
from raftsdk.wire.frame import WireKind, encode_frame, parse_frame

ALL = plugins.names()[TRANSPORTS]


def _planned(name: str, **wanted: Any) -> list[Trial[Any]]:
    """Without the contract of every transport, by which the transports' own tests go."""
    made = plan(Order(tier="links", transports=[name], **wanted))
    return [each for each in made if each.case.clause not in ("2.1", "2.2")]


# Every kind of transport with one codec, and every codec over one transport; the command has them all with each other.
# Unix sockets and WebSocket over TLS are made of what the others are.
TRIALS = [
    *chain(*(_planned(name, codecs=["json"]) for name in ALL if name not in ("unix", "wss"))),
    *(made for made in _planned("tcp") if made.subject.codec not in ("", "json")),
]


@pytest.mark.parametrize("made", TRIALS, ids=str)
def test_links(made: Trial[Any]) -> None:
    made.run()


def test_trials_are_the_same_every_time_and_their_lines_are_unique() -> None:
    lines = [str(made) for made in plan(Order(tier="links"))]
    assert lines == [str(made) for made in plan(Order(tier="links"))]
    assert len(set(lines)) == len(lines)


def test_what_came_with_a_hello_or_an_answer_is_found_by_ours() -> None:
    made = {str(each.case) for each in TRIALS if each.subject.name == "tcp"}
    behind = {
        "4.1.3 more behind the hello, before its answer, closes",
        "4.1.3 more behind the answer, in the same breath, closes",
    }
    assert behind <= made
    found = [trial.run(each) for each in TRIALS if each.subject.name == "tcp" and str(each.case) in behind]
    assert [result.outcome for result in found] == [Outcome.PASSED] * 2


def test_every_case_has_a_clause_that_there_is() -> None:
    assert [str(made) for made in TRIALS if not clauses.title(made.case.clause)] == []


def test_every_clause_from_3_to_7_that_binds_a_link_has_a_case() -> None:
    asked = {".".join(made.case.clause.split(".")[:2]) for made in TRIALS}
    # 3.4 lists the kinds, which 7.8 is about; 5.6, 7.5 are about nodes over time; the rest of 2 is about addresses.
    there_are = {clause for clause in clauses.TITLES if clause[0] in "34567" and "." in clause}
    assert there_are - asked == {"5.6", "7.5"}


def test_what_leads_nowhere_is_told_before_anything_is_tried() -> None:
    for order in (
        Order(tier="links", transports=["no-such"]),
        Order(tier="links", transports=["no_such_module:Transport"]),
        Order(tier="links", codecs=["no-such"]),
        Order(tier="links", addresses=["no-such://127.0.0.1:1"]),
    ):
        with pytest.raises(ConfigError):
            plan(order)


def test_a_live_node_that_is_not_there_fails_and_says_where() -> None:
    made = plan(Order(tier="links", addresses=["tcp://127.0.0.1:1"], codecs=["json"]))
    result = trial.run(made[0])
    assert result.outcome == Outcome.FAILED
    assert "tcp://127.0.0.1:1" in result.message


def test_the_kit_writes_frames_as_the_package_does() -> None:
    mine = frame(WireKind.KEEP_ALIVE, b"body", flags=1, call_id=7)
    assert mine == encode_frame(WireKind.KEEP_ALIVE, 1, 7, b"body")
    assert parse_frame(mine).call_id == 7
    assert message(BINARY, b"hi", masked=False) == b"\x82\x02hi"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ([], "it is no object"),
        ({}, "it neither accepts nor refuses: answer is None"),
        ({"answer": "refused"}, "code is 'missing'"),
        ({"answer": "refused", "code": 7}, "code is 7"),
        ({"answer": "refused", "code": "x", "protocol": {"min": 1}}, "protocol is {'min': 1}"),
    ],
)
def test_an_answer_that_is_none_is_told_by_its_field(answer: object, fault: str) -> None:
    assert faults_of_answer(answer) == [fault]


# -- transports of third parties


EXAMPLE = Order(tier="links", transports=["links_strangers:ExampleTransport"], listen="example://0", codecs=["json"])


@pytest.mark.parametrize("made", plan(EXAMPLE), ids=str)
def test_a_transport_of_a_third_party_is_tried_by_its_class(made: Trial[Any]) -> None:
    made.run()


def test_a_mistake_in_it_is_found() -> None:
    order = Order(tier="links", transports=["links_strangers:TurnsFramesRound"], listen="example://0", codecs=["json"])
    [made] = [made for made in plan(order) if "in the order they were written" in made.case.sentence]
    assert trial.run(made).outcome == Outcome.FAILED


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # one of them keeps its sockets
@pytest.mark.parametrize("name", links_strangers.BROKEN)
def test_the_kit_fails_on_every_broken_transport(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_suite, "PATIENCE_S", 0.6)  # Several of them are caught by hanging.
    made = links.plan(Order(tier="links", transports=[f"links_strangers:{name}"], codecs=["json"]))
    contract = (each for each in made if each.case.clause in ("2.1", "2.2") and each.subject.codec == "")
    assert any(trial.run(each).outcome == Outcome.FAILED for each in contract)
    gc.collect()  # what it has left open is complained of here, not in the next test
