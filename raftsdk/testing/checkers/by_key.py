"""A whole history, key by key, each by the checker that fits it best."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from raftsdk.testing.checkers.models import MODELS, Model, Register
from raftsdk.testing.checkers.search import MAX_STEPS, check_search
from raftsdk.testing.checkers.verdict import Answer, Verdict
from raftsdk.testing.checkers.zones import check_zones, has_unique_writes
from raftsdk.testing.history import HistoryError, Operation, Outcome


def check(
    operations: Iterable[Operation], *, models: Sequence[Model[Any]] = MODELS, max_steps: int = MAX_STEPS
) -> Verdict:
    """Whether the history is linearizable. A no about one key is worth more than an undecided about another.

    Give `models` of your own for the operations of your own state machine. `max_steps` bounds the work of every key.
    Raises `HistoryError` for a kind that no model knows, a key with kinds of two models, an input that is none.
    """
    by_kind = {kind: model for model in models for kind in model.kinds}
    undecided = None
    for key, of_key in _by_key(operations).items():
        verdict = _check_key(key, of_key, by_kind, max_steps)
        if verdict.answer is Answer.NO:
            return verdict
        if verdict.answer is Answer.UNDECIDED:
            undecided = undecided or verdict
    return undecided or Verdict(answer=Answer.YES)


def _by_key(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    found: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        found[operation.key].append(operation)
    return found


def _check_key(key: str, operations: Sequence[Operation], by_kind: Mapping[str, Model[Any]], max_steps: int) -> Verdict:
    model = _model_of(key, operations, by_kind)
    happened = [operation for operation in operations if operation.outcome is not Outcome.FAILED]
    if type(model) is Register and has_unique_writes(happened):
        return check_zones(key, happened)
    return check_search(key, happened, model, max_steps)


def _model_of(key: str, operations: Sequence[Operation], by_kind: Mapping[str, Model[Any]]) -> Model[Any]:
    kinds = {operation.kind for operation in operations}
    if unknown := kinds - by_kind.keys():
        raise HistoryError(f"key {key}: no model knows {_listed(unknown)}; there is {_listed(by_kind)}")
    model = by_kind[min(kinds)]
    if strange := kinds - model.kinds:
        own = kinds & model.kinds
        raise HistoryError(f"key {key} mixes {_listed(own)} with {_listed(strange)}: give each model keys of its own")
    return model


def _listed(kinds: Iterable[str]) -> str:
    return ", ".join(sorted(kinds))
