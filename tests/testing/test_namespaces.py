"""Networks by the kernel: who hears whom, what is left behind, and what is said where they cannot be."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from raftsdk.testing.namespaces import MAX_NODES, Namespaces, NoNamespaces, obstacle
from raftsdk.testing.wiring import Pairs, alone, bridge, groups

NODES = ("a", "b", "c")
EVERY_PAIR = set(permutations(NODES, 2))
PORT = 7001

OBSTACLE = "" if os.environ.get("CI") else obstacle()
NEEDS_NAMESPACES = pytest.mark.skipif(bool(OBSTACLE), reason=OBSTACLE)

LISTEN = f"""
import socket, sys
socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
socket.bind(("", {PORT}))
print("listening", flush=True)
while True:
    said, _ = socket.recvfrom(100)
    print(said.decode(), flush=True)
"""
SAY = f"""
import socket, sys
socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for host in sys.argv[2:]:
    socket.sendto(sys.argv[1].encode(), (host, {PORT}))
"""


@pytest.fixture
def network() -> Iterator[Namespaces]:
    with Namespaces(NODES) as network:
        yield network


class Ears:
    """A process in every namespace, which writes down what it hears."""

    def __init__(self, network: Namespaces) -> None:
        self._network = network
        self._listening = {
            node: subprocess.Popen(
                [*network.launcher(node), sys.executable, "-c", LISTEN], stdout=subprocess.PIPE, text=True
            )
            for node in NODES
        }
        for process in self._listening.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"

    def close(self) -> None:
        for process in self._listening.values():
            process.kill()
            process.communicate()

    def heard(self) -> set[tuple[str, str]]:
        """Of all pairs of nodes those where the second hears what the first says now."""
        for source in NODES:
            hosts = [host for node, host in self._network.hosts.items() if node != source]
            subprocess.run([*self._network.launcher(source), sys.executable, "-c", SAY, source, *hosts], check=True)
        # From here everybody is heard, and after all that was said before.
        subprocess.run([sys.executable, "-c", SAY, "end", *self._network.hosts.values()], check=True)
        found = set()
        for target, process in self._listening.items():
            assert process.stdout is not None
            for line in iter(process.stdout.readline, "end\n"):
                found.add((line.strip(), target))
        return found


@pytest.fixture
def ears(network: Namespaces) -> Iterator[Ears]:
    ears = Ears(network)
    yield ears
    ears.close()


@NEEDS_NAMESPACES
def test_a_cut_is_one_way_and_is_healed(network: Namespaces, ears: Ears) -> None:
    assert ears.heard() == EVERY_PAIR
    network.cut("a", "b")
    assert ears.heard() == EVERY_PAIR - {("a", "b")}
    network.cut("c", "b")
    assert ears.heard() == EVERY_PAIR - {("a", "b"), ("c", "b")}
    network.heal()
    assert ears.heard() == EVERY_PAIR


@NEEDS_NAMESPACES
@pytest.mark.parametrize("shape", [alone("a", NODES), bridge("c", NODES), groups(NODES), groups()])
def test_whoever_is_connected_hears_each_other_and_nobody_else(network: Namespaces, ears: Ears, shape: Pairs) -> None:
    network.cut("a", "c")
    network.connect(shape)
    assert ears.heard() == {pair for pair in EVERY_PAIR if frozenset(pair) in shape}


def this_network() -> str:
    return os.readlink("/proc/thread-self/ns/net")


@NEEDS_NAMESPACES
def test_the_thread_is_in_a_network_of_its_own_until_the_end_however_that_comes() -> None:
    home, descriptors = this_network(), len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError):
        look_around_and_fail(home)
    assert this_network() == home
    assert len(os.listdir("/proc/self/fd")) == descriptors


def look_around_and_fail(home: str) -> None:
    with Namespaces(NODES) as network:
        of_nodes = {os.readlink(network.launcher(node)[1].removeprefix("--net=")) for node in NODES}
        assert len({*of_nodes, this_network(), home}) == 5
        raise ZeroDivisionError


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has network namespaces")
def test_where_they_cannot_be_made_the_error_says_what_it_takes_and_the_thread_is_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = this_network()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        NoNamespaces, match=r"take Linux, root, and the commands ip, iptables-restore and nsenter \(apt"
    ):
        Namespaces(NODES).__enter__()
    assert this_network() == home
    assert "take Linux, root" in obstacle()


def test_there_is_room_for_so_many_nodes_and_no_more() -> None:
    hosts = Namespaces([f"n{number}" for number in range(MAX_NODES)]).hosts
    assert len(set(hosts.values())) == MAX_NODES
    with pytest.raises(ValueError, match="254 nodes, and 253 have room"):
        Namespaces([f"n{number}" for number in range(MAX_NODES + 1)])
