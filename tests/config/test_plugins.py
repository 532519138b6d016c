"""Names → objects by entry points, with real distributions on the path."""

import sys
from collections.abc import Callable

import pytest

from raftsdk import plugins
from raftsdk.config import CODECS, STATE_MACHINES, STORAGE, TRANSPORTS
from raftsdk.errors import ConfigError

COUNTER = "class Counter:\n    def apply(self, command, index): return b''\n    def query(self, query): return b''\n"

Install = Callable[..., None]


def fault_of(group: str, name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        plugins.make(group, name)
    (fault,) = caught.value.faults
    return fault


def test_what_comes_with_the_workspace_is_listed_with_its_owner() -> None:
    assert [(plugin.name, plugin.distribution) for plugin in plugins.installed(CODECS)] == [
        (name, f"raftsdk-{name}") for name in ("capnp", "flatbuffers", "json", "msgpack", "protobuf")
    ]
    assert plugins.names()[TRANSPORTS] == ["memory", "tcp", "tcp+tls", "unix", "ws", "wss"]
    assert plugins.names()[STORAGE] == ["memory", "sqlite"]


def test_listing_imports_nothing(install: Install) -> None:
    install("acme-lazy", STATE_MACHINES, {"lazy": "Lazy"}, module="acme_lazy", code="raise SystemExit('imported')")
    listed = {plugin.name: plugin for plugin in plugins.installed(STATE_MACHINES)}
    assert listed["lazy"] == plugins.Plugin("lazy", "acme-lazy", "2.5", "acme_lazy:Lazy")
    assert "lazy" in plugins.names()[STATE_MACHINES]
    assert "acme_lazy" not in sys.modules


def test_a_registered_class_is_loaded_and_made(install: Install) -> None:
    install("acme-counter", STATE_MACHINES, {"counter": "Counter"}, module="acme_counter", code=COUNTER)
    assert plugins.load(STATE_MACHINES, "counter").__name__ == "Counter"
    assert type(plugins.make(STATE_MACHINES, "counter")).__name__ == "Counter"


def test_a_name_nobody_registered_is_refused_with_the_nearest_one() -> None:
    assert fault_of(CODECS, "jsn") == '"jsn": no codec has that name; did you mean "json"?'
    all_of_them = "capnp, flatbuffers, json, msgpack, protobuf"
    assert fault_of(CODECS, "xml") == f'"xml": no codec has that name; there is: {all_of_them}'


def test_an_import_path_is_a_name_like_any_other(install: Install) -> None:
    install("acme-path", STATE_MACHINES, {"path": "Counter"}, module="acme_path", code="raise SystemExit('imported')")
    assert "no state machine has that name" in fault_of(STATE_MACHINES, "acme_path:Counter")
    assert "acme_path" not in sys.modules


def test_a_name_claimed_by_two_distributions_names_both(install: Install) -> None:
    for owner in ("acme-one", "acme-two"):
        module = owner.replace("-", "_")
        install(owner, STATE_MACHINES, {"twice": "Counter"}, module=module, code=COUNTER)
    assert fault_of(STATE_MACHINES, "twice") == (
        '"twice" is registered in raftsdk.state_machines by acme-one and acme-two: uninstall all but one of them'
    )


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import missing_library", "cannot be loaded: ModuleNotFoundError: No module named 'missing_library'"),
        ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("Other = 1", "cannot be loaded: AttributeError: module 'acme_broken' has no attribute 'Counter'"),
        ("Counter = 7", "is of type int; it has to be a class"),
        ("def Counter(): raise OSError('no room')", "cannot be made: OSError: no room"),
    ],
)
def test_a_plugin_that_fails_names_its_distribution_and_the_error(install: Install, code: str, problem: str) -> None:
    sys.modules.pop("acme_broken", None)
    install("acme-broken", STATE_MACHINES, {"broken": "Counter"}, module="acme_broken", code=code)
    assert fault_of(STATE_MACHINES, "broken").startswith(f'"broken" (acme_broken:Counter of acme-broken 2.5) {problem}')
