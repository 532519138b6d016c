"""Both checkers: on histories kept for what they show, and against an oracle that tries everything."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest
from chance_histories import any_history, is_explained, served_history
from msgspec.structs import replace

from raftsdk.testing.checkers import MODELS, Answer, NotLinearizable, Register, check
from raftsdk.testing.checkers.models import Model
from raftsdk.testing.checkers.search import check_search
from raftsdk.testing.checkers.verdict import Verdict
from raftsdk.testing.checkers.zones import check_zones, has_unique_writes
from raftsdk.testing.history import HistoryError, Input, Operation, Outcome, Output, read_history

KEPT = Path(__file__).parents[1] / "faults" / "histories"
ZONE_HISTORIES = 20_000
SEARCH_HISTORIES = 6_000

Checker = Callable[[Sequence[Operation]], bool]
REGISTER, LIST, MUTEX = MODELS
KINDS = {"register": ("read", "write", "cas"), "list": ("append", "append", "list"), "mutex": ("acquire", "release")}


def kept(answer: str) -> list[Path]:
    return sorted((KEPT / answer).glob("*.jsonl"))


def happened(operations: Sequence[Operation]) -> list[Operation]:
    return [operation for operation in operations if operation.outcome is not Outcome.FAILED]


def by_zones(operations: Sequence[Operation]) -> bool:
    return check_zones("x", happened(operations)).answer is Answer.YES


def by_search(operations: Sequence[Operation]) -> bool:
    model = next(model for model in MODELS if operations[0].kind in model.kinds)
    return check_search("x", happened(operations), model).answer is Answer.YES


@pytest.fixture(scope="module")
def registers() -> list[tuple[list[Operation], bool]]:
    """Small histories of reads and unique writes, and whether they are linearizable."""
    rng = Random(1)
    made = [any_history(rng, ("read", "write"), size=6, unique=True) for _ in range(ZONE_HISTORIES)]
    return [(history, is_explained(history)) for history in made]


@pytest.fixture(scope="module")
def of_all_models() -> list[tuple[list[Operation], bool]]:
    """Small histories of each model in turn, and whether they are linearizable."""
    rng = Random(2)
    made = [
        any_history(rng, kinds, size=6, unique=False) for _ in range(SEARCH_HISTORIES // 3) for kinds in KINDS.values()
    ]
    return [(history, is_explained(history)) for history in made]


# -- histories that were kept


@pytest.mark.parametrize("path", kept("linearizable"), ids=lambda path: path.stem)
def test_a_kept_history_is_linearizable(path: Path) -> None:
    check(read_history(path)).require()


@pytest.mark.parametrize("path", kept("not_linearizable"), ids=lambda path: path.stem)
def test_a_kept_history_is_not_linearizable_and_the_operations_shown_suffice_to_say_so(path: Path) -> None:
    history = read_history(path)
    verdict = check(history)
    assert verdict.answer is Answer.NO
    assert_shows_why(verdict, history)
    with pytest.raises(NotLinearizable, match=f"not linearizable, key {verdict.key}: "):
        verdict.require()


def test_there_are_kept_histories_of_both_kinds_for_every_model() -> None:
    models = {
        (answer, model_number)
        for answer in ("linearizable", "not_linearizable")
        for path in kept(answer)
        for model_number, model in enumerate(MODELS)
        if {operation.kind for operation in read_history(path)} & model.kinds
    }
    assert len(models) == 2 * len(MODELS)


def assert_shows_why(verdict: Verdict, history: Sequence[Operation]) -> None:
    """What is shown is from the history, and not linearizable even if nobody knew what became of the rest."""
    of_key = [operation for operation in history if operation.key == verdict.key]
    assert verdict.operations
    assert set(verdict.operations) <= set(of_key)
    doubted = [
        operation
        if operation in verdict.operations or operation.outcome is Outcome.FAILED
        else replace(operation, outcome=Outcome.UNKNOWN, output=None)
        for operation in of_key
    ]
    assert not is_explained(doubted)


# -- against trying everything


def test_the_zones_say_what_trying_every_order_says(registers: list[tuple[list[Operation], bool]]) -> None:
    assert [history for history, explained in registers if by_zones(history) != explained] == []


def test_the_search_says_what_trying_every_order_says(of_all_models: list[tuple[list[Operation], bool]]) -> None:
    assert [history for history, explained in of_all_models if by_search(history) != explained] == []


def test_both_checkers_say_the_same_of_long_histories_with_unique_values() -> None:
    rng = Random(3)
    histories = [served_history(rng, ("read", "write"), size=80, lies=number % 2) for number in range(200)]
    answers = [by_zones(history) for history in histories]
    assert answers == [by_search(history) for history in histories]
    assert 100 <= sum(answers) < 150, "what was served truly, and a lie here and there that nobody can tell"


def test_a_history_that_was_served_truly_is_linearizable() -> None:
    rng = Random(4)
    for _ in range(100):
        for kinds in KINDS.values():
            check(served_history(rng, kinds, size=60)).require()


# -- whether the comparison above would find a bad checker


def taken_for(wrong: Outcome, right: Outcome) -> Checker:
    """A checker that takes writes of one outcome for another's."""
    return lambda history: by_zones(
        [
            replace(operation, outcome=wrong) if operation.outcome is right and operation.kind == "write" else operation
            for operation in history
        ]
    )


BLUNT: dict[str, Checker] = {
    "never says no": lambda history: True,
    "never says yes": lambda history: False,
    "takes what is unknown for done": taken_for(Outcome.OK, Outcome.UNKNOWN),
    "takes what is unknown for failed": taken_for(Outcome.FAILED, Outcome.UNKNOWN),
    "takes what failed for unknown": taken_for(Outcome.UNKNOWN, Outcome.FAILED),
    "takes no heed of time": lambda history: by_zones(
        [replace(operation, invoked=0, returned=0) for operation in history]
    ),
    "takes what touches for one after the other": lambda history: by_zones(
        [
            replace(operation, invoked=2 * operation.invoked, returned=max(0, 2 * (operation.returned or 0) - 1))
            for operation in history
            if operation.returned != operation.invoked
        ]
    ),
}


@pytest.mark.parametrize("blunt", BLUNT)
def test_a_checker_would_be_found_out_that(blunt: str, registers: list[tuple[list[Operation], bool]]) -> None:
    wrong = sum(BLUNT[blunt](history) != explained for history, explained in registers)
    assert wrong > ZONE_HISTORIES // 1_000


def test_the_histories_tried_are_of_both_kinds(
    registers: list[tuple[list[Operation], bool]], of_all_models: list[tuple[list[Operation], bool]]
) -> None:
    for tried in (registers, *(of_all_models[first::3] for first in range(3))):
        share = sum(explained for _, explained in tried) / len(tried)
        assert 0.15 < share < 0.85


# -- what is shown of a no


def test_what_the_zones_show_suffices(registers: list[tuple[list[Operation], bool]]) -> None:
    for history, _ in [tried for tried in registers if not tried[1]][:1_000]:
        verdict = check_zones("x", happened(history))
        assert len(verdict.operations) <= 6
        assert_shows_why(verdict, history)


def test_what_the_search_shows_suffices(of_all_models: list[tuple[list[Operation], bool]]) -> None:
    for history, _ in [tried for tried in of_all_models if not tried[1]][:1_000]:
        assert_shows_why(check(history), history)


def test_of_a_long_history_only_what_contradicts_itself_is_shown() -> None:
    long = served_history(Random(5), ("read", "write"), size=200)
    end = max(operation.returned or 0 for operation in long)
    lost = [asked(number, "cas", (f"{number}?", 1), False, end + 1 + number) for number in range(20)]
    stale = [asked(20, "write", "new", None, end + 30), asked(21, "read", None, "old", end + 40)]
    verdict = check([*long, *lost, *stale])
    assert verdict.operations == (stale[1],)
    assert str(verdict).splitlines() == [
        "not linearizable, key x: no order explains these operations",
        f'  c21 read null → "old" [{end + 40}..{end + 40}]',
    ]


def asked(number: int, kind: str, value: Input, output: Output, time: int, key: str = "x") -> Operation:
    return Operation(
        client=f"c{number}",
        key=key,
        kind=kind,
        input=value,
        output=output,
        invoked=time,
        returned=time,
        outcome=Outcome.OK,
    )


# -- bounds, and what is no history of these models


def hard_to_refute(clients: int) -> list[Operation]:
    """All write at once, and nobody wrote what is read: every order must be tried."""
    together = [replace(asked(number, "write", number // 2, None, 0), returned=10) for number in range(clients)]
    return [*together, asked(clients, "read", None, clients, 20)]


def test_what_takes_too_many_steps_is_undecided_and_undecided_is_no_pass() -> None:
    verdict = check(hard_to_refute(7), max_steps=1_000)
    assert verdict.answer is Answer.UNDECIDED
    assert check(hard_to_refute(7)).answer is Answer.NO
    with pytest.raises(NotLinearizable, match="undecided, key x: more than 1000 steps"):
        verdict.require()


def test_a_no_about_one_key_is_worth_more_than_an_undecided_about_another() -> None:
    stale = asked(1, "read", None, 1, 0, key="y")
    verdict = check([*hard_to_refute(7), stale], max_steps=1_000)
    assert (verdict.answer, verdict.key) == (Answer.NO, "y")


def test_forty_unknown_operations_do_not_multiply_the_work() -> None:
    unknown = [replace(asked(number, "cas", (0, number), None, 0), outcome=Outcome.UNKNOWN) for number in range(1, 41)]
    seen = [asked(100 + number, "read", None, 0, 10 + number) for number in range(40)]
    start = asked(99, "write", 0, None, 5)
    assert check([*unknown, start, *seen], max_steps=100_000).answer is Answer.YES
    assert check([*unknown, start, *seen, asked(200, "read", None, 41, 90)], max_steps=100_000).answer is Answer.NO


def test_true_is_not_one() -> None:
    written = asked(1, "write", 1, None, 0)
    assert check([written, asked(2, "read", None, True, 10)]).answer is Answer.NO
    assert check([written, asked(2, "cas", (1, 2), 1, 10)]).answer is Answer.NO
    assert check([written, asked(2, "cas", (1, 2), True, 10)]).answer is Answer.YES


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("cas", 1, "the input of a cas is a pair"),
        ("cas", (1, 2, 3), "the input of a cas is a pair"),
        ("write", (1, 2), "one value, not a list"),
        ("append", (1, 2), "one value, not a list"),
        ("acquire", None, "the input of acquire is its owner"),
        ("increment", 1, "no model knows increment; there is acquire, append, cas, list, read, release, write"),
    ],
)
def test_what_no_model_takes_is_refused_by_name(kind: str, value: Input, message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        check([asked(1, kind, value, None, 0)])


def test_a_key_with_operations_of_two_models_is_refused() -> None:
    with pytest.raises(HistoryError, match="key x mixes append with read: give each model keys of its own"):
        check([asked(1, "append", 1, None, 0), asked(2, "read", None, None, 10)])


def test_only_what_the_zones_can_decide_is_given_to_them() -> None:
    write = asked(1, "write", 1, None, 0)
    assert has_unique_writes([write, asked(2, "write", 2, None, 0), asked(3, "read", None, 1, 0)])
    assert not has_unique_writes([write, asked(2, "write", 1, None, 10)])
    assert not has_unique_writes([asked(1, "write", None, None, 0)])
    assert not has_unique_writes([write, asked(2, "cas", (1, 2), True, 10)])


class Counter(Model[int]):
    """A state machine of a user's: `add` gives the sum."""

    kinds = frozenset({"add"})

    def initial(self) -> int:
        return 0

    def apply(self, state: int, kind: str, value: Input) -> tuple[int, Output]:
        assert isinstance(value, int)
        return state + value, state + value


def test_a_user_brings_a_model_of_their_own() -> None:
    models = (Counter(),)
    assert check([asked(1, "add", 2, 2, 0), asked(2, "add", 3, 5, 10)], models=models).answer is Answer.YES
    assert check([asked(1, "add", 2, 2, 0), asked(2, "add", 3, 3, 10)], models=models).answer is Answer.NO


def test_a_register_of_a_users_own_is_not_taken_for_ours() -> None:
    class Forgetful(Register):
        def apply(self, state: Input, kind: str, value: Input) -> tuple[None, Output]:
            return None, None

    history = [asked(1, "write", 1, None, 0), asked(2, "read", None, None, 10)]
    assert check(history).answer is Answer.NO
    assert check(history, models=(Forgetful(),)).answer is Answer.YES
