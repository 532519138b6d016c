"""Every reason for which the code closes, refuses or raises an alarm stands in table 14, and nothing else does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from spec_text import FOLDER, bare, spec, table
from websockets.frames import CloseCode

from raftsdk.core.election import Role
from raftsdk.core.progress import ProgressState
from raftsdk.messages import ErrorCode

ROOT = FOLDER.parent
_WIRE = "raftsdk/wire"
_ADAPTERS = "adapters/*/src"


def _trees(*folders: str) -> Iterator[ast.AST]:
    for folder in folders:
        for found in sorted(ROOT.glob(folder)):
            for path in sorted(Path(found).rglob("*.py")):
                yield ast.parse(path.read_text(encoding="utf-8"))


def _calls(trees: Iterator[ast.AST], name: str) -> Iterator[ast.Call]:
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) == name:
                yield node


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _text(node: ast.AST) -> str | None:
    """A text, or the code of the wire's errors, that stands in the code as it is."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Attribute(value=ast.Name(id="ErrorCode"), attr=name):
            return ErrorCode[name].value
    return None


def _kinds_of_wire_error() -> dict[str, int]:
    """What raises a violation, and which of its arguments is the reason."""
    found = {"WireError": 0}
    for tree in _trees(_WIRE, _ADAPTERS):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "WireError" for base in node.bases):
                [made] = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
                found[node.name] = [argument.arg for argument in made.args.args].index("reason") - 1
    return found


def _reasons_raised() -> set[str]:
    """Every reason in the code; the one place that repeats the code of a refusal is `_refusal_codes`' business."""
    found = set()
    for name, place in _kinds_of_wire_error().items():
        for call in _calls(_trees(_WIRE, _ADAPTERS), name):
            reason = _text(call.args[place])
            if reason is None:
                assert ast.unparse(call) == "WireError(answer.code, answer.message)"
            else:
                found.add(reason)
    return found


def _refusal_codes() -> set[str]:
    """The codes with which a hello is refused: given as `code`, or as the first of a pair with the text for people."""
    found = set()
    for call in _calls(_trees(_WIRE), "HelloRefused"):
        given = {keyword.arg: keyword.value for keyword in call.keywords}["code"]
        text = _text(given)
        assert text or ast.unparse(given) == "found[0]"
        found |= {text} if text else set()
    hello = ast.parse((ROOT / _WIRE / "hello.py").read_text(encoding="utf-8"))
    for node in ast.walk(hello):
        match node:
            case ast.Tuple(elts=[code, ast.JoinedStr()]):
                found |= {text for text in [_text(code)] if text}
    return found


def test_what_websocket_calls_a_violation_has_the_close_codes_of_the_table() -> None:
    tree = ast.parse((ROOT / "adapters/websocket/src/raftsdk_websocket/violations.py").read_text(encoding="utf-8"))
    told = {(int(row["code"]), bare(row["reason"])) for row in table("2.4", "code").dicts() if row["reason"]}
    found = set()
    for call in _calls(iter([tree]), "Violation"):
        code, reason = call.args[:2]
        assert isinstance(code, ast.Attribute)
        found.add((CloseCode[code.attr].value, _text(reason)))
    assert found == told


def test_what_tls_calls_a_violation_stands_in_its_table() -> None:
    tree = ast.parse((ROOT / "adapters/tcp/src/raftsdk_tcp/tls.py").read_text(encoding="utf-8"))
    reasons = {_text(call.args[0]) for call in _calls(iter([tree]), "WireError")}
    assert set(map(bare, table("2.5", "seen").column("reason"))) == reasons


def _told(does: str) -> set[str]:
    """The reasons in the rows that say so."""
    rows = table("14", "seen").dicts()
    return {bare(row["reason"]) for row in rows if row["does"].startswith(does) and row["reason"]}


def test_every_violation_stands_in_the_table_and_nothing_else() -> None:
    closes = _told("closes") | _told("SHOULD close") | _told("answers `version_mismatch`")
    assert closes == _reasons_raised()


def test_every_refusal_of_a_hello_stands_in_both_tables_and_nothing_else() -> None:
    codes = _refusal_codes()
    assert set(map(bare, table("4.4", "code").column("code"))) == codes
    assert _told("refuses") == codes


def test_every_alarm_stands_in_the_table_and_nothing_else() -> None:
    raised = {_text(call.args[0]) for call in _calls(_trees("raftsdk/core"), "alarm")}
    assert _told("alarm") == raised


def test_every_row_says_who_does_what() -> None:
    rows = table("14", "seen").dicts()
    assert {row["by"] for row in rows} == {"listener", "dialer", "both", "node", "leader"}
    deed = re.compile(r"(closes|SHOULD close|refuses|answers|alarm)\b")
    assert [row for row in rows if row["reason"] and not deed.match(row["does"])] == []
    assert all(row["does"] for row in rows)


@pytest.mark.parametrize("row", [row for row in table("14", "seen").dicts() if row["reason"]], ids=str)
def test_the_clause_that_a_row_cites_speaks_of_its_reason(row: dict[str, str]) -> None:
    heading = f"### {row['clause']} "
    section = "\n".join(spec().prose).partition(f"\n{heading}")[2].partition("\n### ")[0]
    assert row["reason"] in section


def test_what_is_answered_is_an_error_code() -> None:
    rows = table("14", "seen").dicts()
    answered = {bare(row["reason"]) for row in rows if row["does"] == "answers"}
    assert answered <= set(ErrorCode)
    assert answered == {"unsupported", "wrong_identity", "overloaded", "unknown_group", "bad_request"}


def test_roles_and_states_are_those_of_the_core() -> None:
    rows = {row["enumeration"]: row["values, the first one being the zero"] for row in table("8.9").dicts()}
    assert rows["role"] == ", ".join(f"`{role}`" for role in Role)
    assert rows["state"] == ", ".join(f"`{state.value}`" for state in ProgressState)
