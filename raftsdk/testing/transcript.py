"""Plays: text files that say what is done to a cluster, and everything that happened then.

A play opens with a paragraph of `#` that states one claim. Blocks follow, with empty lines between them: commands, a
line `---`, and what happened. A block without `---` is silent set-up. Nodes are n1, n2, …

    cluster nodes=3 [learners=n3] [leader=n1] [SETTING=…]  a new cluster; with leader=, elected and heard by all
    log n2 1 1 2 [term=2] [vote=n1] [commit=1]   start n2 anew from a stored log with entries of these terms
    tick n1 n2 5           time passes for these nodes, five ticks each;  `all` names every node that is up
    campaign n1            time passes for n1 until it asks for votes or leads
    propose n1 a b x*500   three commands at once, the last of 500 bytes
    members n1 +n4 -n2 (n5)  ask n1 to make n4 a voter, remove n2, and make n5 a learner, in one change
    start n4               put a node on the stage that nobody knows yet, and that knows nobody
    transfer n1 [n2]       ask n1 to hand over leadership (to n2)
    read n1 [lease]        ask n1 at which index a linearizable read may be served
    silent n2 n1           n2 is told that nothing is heard of n1's node, whatever group it might be about
    snapshot n1            n1 takes a snapshot of all it has applied, and cuts its log
    stabilize              deliver messages until none is under way, but not over wires that are held
    deliver [n1→n2] [2|#2] deliver what is under way now: all of it, the two oldest, only the second oldest
    lose n1→n2 [2|#2]      lose it instead, whereupon the caller gives the call up
    duplicate n1→n2 [2|#2] deliver copies of requests while the requests themselves stay under way
    hold n1→n2 n3→*        `stabilize` and a bare `deliver` pass these wires over;  `release` undoes it
    forge n3→n2 REQUEST    deliver a request that n3 never sent, written as plays show requests
    partition n1 | n2 n3   messages across are lost;  `heal` undoes it
    disk n1 held|free      writes wait for `persist n1`, which makes the one under way durable
    crash n1, restart n1   all that is not durable is forgotten
    under-way, logs [n1], status [n1]   what there is to see

Time runs as told, never by itself: n1 waits exactly one election timeout (10 ticks), n2 one tick longer, and so on; a
leader sends heartbeats every 3 ticks. A message is shown when it arrives (→) or is lost (✗), not when it is sent.

    python -m raftsdk.testing.transcript FILES             show where plays and their files differ
    python -m raftsdk.testing.transcript --rewrite FILES   and put what happens into the files
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import unified_diff
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

from raftsdk.config import RaftConfig
from raftsdk.core.ready import Call
from raftsdk.errors import ConfigError
from raftsdk.messages import AppendEntriesRequest, PeerRequest, RequestVoteRequest
from raftsdk.storage.contents import Contents
from raftsdk.testing.safety import SafetyViolation
from raftsdk.testing.stage import Flight, Stage, cast, log_line, status_lines
from raftsdk.types import Entry, EntryKind, HardState, Member, NodeId, Suffrage

MAX_STEPS = 10_000
"""No command may take longer: a play that never comes to rest is an error with a name, not a hung run."""

_SETTINGS = {
    "pre_vote": "pre_vote",
    "check_quorum": "check_quorum",
    "window": "max_outstanding_calls",
    "batch_entries": "max_batch_entries",
    "batch_bytes": "max_batch_bytes",
    "uncommitted_bytes": "max_uncommitted_bytes",
    "election_timeout": "election_timeout_ticks",
    "heartbeat": "heartbeat_interval_ticks",
    "trailing": "snapshot_trailing_entries",
    "lease_reads": "lease_reads",
    "clock_drift": "max_clock_drift_percent",
    "disk_timeout": "disk_timeout_ticks",
    "campaign_delay": "campaign_delay_ticks",
    "quiesce": "quiesce_interval_ticks",
}


class PlayError(Exception):
    """A line of a play makes no sense."""


class _FixedSpread(Random):
    """A node's chance in plays: the lowest number that may come up, plus the node's place in the list."""

    def __init__(self, place: int) -> None:
        super().__init__(0)
        self._place = place

    def randint(self, a: int, b: int) -> int:
        return min(a + self._place, b)


def run(text: str) -> str:
    """The play with what happens put where it is due. Raises `PlayError` and `SafetyViolation`."""
    play = _Play()
    numbered = list(enumerate(text.splitlines(), 1))
    groups = groupby(numbered, key=lambda line: bool(line[1].strip()))
    return "\n\n".join(play.perform(list(block)) for filled, block in groups if filled) + "\n"


class _Play:
    """The stage, and the words that are understood."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._silent = False
        self._stage = Stage((), RaftConfig(), self._tell, _FixedSpread)
        self._held: set[tuple[str, str]] = set()

    def perform(self, block: Sequence[tuple[int, str]]) -> str:
        """Carry out one block and return it with what happened."""
        written = [line.rstrip() for _, line in block]
        end = written.index("---") if "---" in written else len(written)
        self._silent = end == len(written)
        self._lines = []
        for number, line in block[:end]:
            if not line.startswith("#"):
                self._obey(number, line.split())
        if self._silent:
            return "\n".join(written)
        return "\n".join([*written[:end], "---", *(self._lines or ["(nothing happens)"])])

    def _obey(self, number: int, words: list[str]) -> None:
        command = _COMMANDS.get(words[0])
        if command is None:
            raise PlayError(f"line {number}: no command {words[0]!r}; there are {', '.join(_COMMANDS)}")
        try:
            command(self, words[1:])
        except (PlayError, ConfigError) as error:
            raise PlayError(f"line {number}: {' '.join(words)}: {error}") from None
        except SafetyViolation as violation:
            raise SafetyViolation(f"line {number}: {' '.join(words)}: {violation}") from None

    def _tell(self, line: str) -> None:
        if not self._silent:
            self._lines.append(line)

    # -- setting up

    def cluster(self, words: list[str]) -> None:
        given = _settings(words, ["nodes", "learners", "leader", *_SETTINGS])
        values: dict[str, Any] = {"election_timeout_ticks": 10, "heartbeat_interval_ticks": 3}
        values |= {"snapshot_trailing_entries": 0, "quiesce_interval_ticks": 0}
        values |= {_SETTINGS[name]: _value(text) for name, text in given.items() if name in _SETTINGS}
        values["max_command_bytes"] = min(RaftConfig().max_command_bytes, values.get("max_uncommitted_bytes", 2**30))
        learners = given["learners"].split(",") if "learners" in given else []
        members = cast(_number(given.get("nodes", "3")), learners)
        self._held = set()
        self._stage = Stage(members, RaftConfig(**values), self._tell, _FixedSpread)
        if "leader" in given:
            self._elect(self._node(given["leader"]))

    def _elect(self, node_id: NodeId) -> None:
        self._silent, before = True, self._silent
        self.campaign([node_id])
        self.stabilize([])
        self.tick(
            [node_id, str(self._stage.config.heartbeat_interval_ticks)]
        )  # the others learn that the noop is committed
        self.stabilize([])
        self._silent = before

    def log(self, words: list[str]) -> None:
        node_id, terms = self._node(*words[:1]), [word for word in words[1:] if "=" not in word]
        given = _settings([word for word in words[1:] if "=" in word], ["term", "vote", "commit"])
        entries = [_stored_entry(index, _number(term)) for index, term in enumerate(terms, 1)]
        term = _number(given["term"]) if "term" in given else max((entry.term for entry in entries), default=0)
        vote = self._node(given["vote"]) if "vote" in given else None
        commit = _number(given.get("commit", "0"))
        known_terms = [*(entry.term for entry in entries), term]
        if known_terms != sorted(known_terms):
            raise PlayError("terms never fall, and none is above the node's own")
        if commit > len(entries):
            raise PlayError(f"commit={commit} is beyond the log")
        self._stage.set_up(node_id, Contents(HardState(term, vote, commit), entries))

    # -- time and proposals

    def tick(self, words: list[str]) -> None:
        times = _number(words[-1]) if words and words[-1].isdecimal() else 1
        nodes = self._nodes([word for word in words if not word.isdecimal()])
        for _ in range(min(times, MAX_STEPS)):
            for node_id in nodes:
                self._stage.tick(node_id)

    def campaign(self, words: list[str]) -> None:
        node_id = self._running(*words)
        raft, flights = self._stage.actors[node_id].running(), self._stage.flights
        role, term = raft.role, raft.term
        for _ in range(2 * self._stage.config.election_timeout_ticks):
            before = len(flights)
            self._stage.tick(node_id)
            asked = any(isinstance(flight.call.request, RequestVoteRequest) for flight in flights[before:])
            if asked or (raft.role, raft.term) != (role, term):  # a single voter asks nobody
                return
        raise PlayError(f"{node_id} does not campaign")

    def propose(self, words: list[str]) -> None:
        self._stage.propose(self._running(*words[:1]), [_command(word) for word in words[1:]])

    def members(self, words: list[str]) -> None:
        node_id, changes = self._running(*words[:1]), words[1:]
        learners = [word[1:-1] for word in changes if word.startswith("(") and word.endswith(")")]
        voters = [word[1:] for word in changes if word.startswith("+")]
        remove = [word[1:] for word in changes if word.startswith("-")]
        if len(learners) + len(voters) + len(remove) != len(changes):
            raise PlayError("name changes, as +n4 -n2 (n5)")
        members = [Member(i) for i in voters] + [Member(i, suffrage=Suffrage.LEARNER) for i in learners]
        self._stage.change_membership(node_id, members, remove)

    def start(self, words: list[str]) -> None:
        if len(words) != 1 or words[0] in self._stage.actors:
            raise PlayError("name a node that is not there yet")
        self._stage.set_up(words[0], Contents())

    def transfer(self, words: list[str]) -> None:
        self._stage.transfer_leadership(self._running(*words[:1]), self._node(*words[1:]) if words[1:] else None)

    def silent(self, words: list[str]) -> None:
        self._stage.miss(self._running(*words[:1]), self._node(*words[1:]))

    def read(self, words: list[str]) -> None:
        if words[1:] not in ([], ["lease"]):
            raise PlayError("name a node, and perhaps lease")
        self._stage.read(self._running(*words[:1]), lease=bool(words[1:]))

    def snapshot(self, words: list[str]) -> None:
        self._stage.take_snapshot(self._running(*words))

    # -- messages

    def stabilize(self, words: list[str]) -> None:
        _settings(words, [])
        for _ in range(MAX_STEPS):
            flight = next(filter(self._is_free, self._stage.flights), None)
            if flight is None:
                return
            self._stage.deliver(flight)
        raise PlayError(f"not stable after {MAX_STEPS} messages")

    def deliver(self, words: list[str]) -> None:
        for flight in self._chosen(words) if words else list(filter(self._is_free, self._stage.flights)):
            self._stage.deliver(flight)

    def lose(self, words: list[str]) -> None:
        for flight in self._chosen(words):
            self._stage.lose(flight)

    def duplicate(self, words: list[str]) -> None:
        for flight in self._chosen(words):
            if flight.response is not None:
                raise PlayError("a call has one answer: only requests can be repeated")
            self._stage.duplicate(flight)

    def hold(self, words: list[str]) -> None:
        self._held |= {self._wire(word) for word in words}

    def release(self, words: list[str]) -> None:
        self._held -= {self._wire(word) for word in words}

    def forge(self, words: list[str]) -> None:
        source, target = self._wire(words[0] if words else "")
        self._stage.forge(source, Call(target, parse_request(source, " ".join(words[1:]))))

    def under_way(self, words: list[str]) -> None:
        _settings(words, [])
        for flight in self._stage.flights:
            self._tell(f"{flight.source} ⋯ {flight.target} {flight}")

    def _chosen(self, words: list[str]) -> list[Flight]:
        if not 1 <= len(words) <= 2:
            raise PlayError("name a wire, as n1→n2, and at most which messages, as 2 or #2")
        wire = self._wire(words[0])
        on_wire = [flight for flight in self._stage.flights if _runs(flight, wire)]
        which = words[1] if len(words) == 2 else str(max(len(on_wire), 1))
        count = _number(which.removeprefix("#"))
        if not 1 <= count <= len(on_wire):
            raise PlayError(f"{len(on_wire)} messages are under way there")
        return on_wire[count - 1 : count] if which.startswith("#") else on_wire[:count]

    def _is_free(self, flight: Flight) -> bool:
        return not any(_runs(flight, wire) for wire in self._held)

    # -- disks and wires

    def disk(self, words: list[str]) -> None:
        if len(words) != 2 or words[1] not in ("held", "free"):
            raise PlayError("name a node, and held or free")
        self._stage.actors[self._node(words[0])].disk_held = words[1] == "held"

    def persist(self, words: list[str]) -> None:
        node_id = self._running(*words)
        if self._stage.actors[node_id].writing is None:
            raise PlayError(f"{node_id} has no write under way")
        self._stage.persist(node_id)

    def crash(self, words: list[str]) -> None:
        self._stage.crash(self._running(*words))

    def restart(self, words: list[str]) -> None:
        node_id = self._node(*words)
        if self._stage.actors[node_id].raft is not None:
            raise PlayError(f"{node_id} is up")
        self._stage.restart(node_id)

    def partition(self, words: list[str]) -> None:
        groups = " ".join(words).split("|")
        self._stage.partition([[self._node(name) for name in group.split()] for group in groups])

    def heal(self, words: list[str]) -> None:
        _settings(words, [])
        self._stage.partition([])

    # -- looking

    def status(self, words: list[str]) -> None:
        self._show(words, status_lines)

    def logs(self, words: list[str]) -> None:
        self._show(words, lambda actor: [log_line(actor)])

    def _show(self, words: list[str], lines: Callable[[Any], Iterable[str]]) -> None:
        for node_id in [self._node(word) for word in words] or self._stage.actors:
            for line in lines(self._stage.actors[node_id]):
                self._tell(line)

    # -- names

    def _node(self, *names: str) -> NodeId:
        if len(names) != 1 or names[0] not in self._stage.actors:
            raise PlayError(f"name one of {', '.join(self._stage.actors) or 'no nodes: there is no cluster yet'}")
        return names[0]

    def _running(self, *names: str) -> NodeId:
        node_id = self._node(*names)
        if self._stage.actors[node_id].raft is None:
            raise PlayError(f"{node_id} is down")
        return node_id

    def _nodes(self, names: list[str]) -> list[NodeId]:
        if names == ["all"]:
            return [node_id for node_id, actor in self._stage.actors.items() if actor.raft is not None]
        return [self._running(name) for name in names] or [self._running()]

    def _wire(self, text: str) -> tuple[str, str]:
        ends = text.split("→")
        if len(ends) != 2:
            raise PlayError("name a wire, as n1→n2 or n1→*")
        source, target = (end if end == "*" else self._node(end) for end in ends)
        return source, target


_COMMANDS: dict[str, Callable[[_Play, list[str]], None]] = {
    "cluster": _Play.cluster,
    "log": _Play.log,
    "tick": _Play.tick,
    "campaign": _Play.campaign,
    "propose": _Play.propose,
    "members": _Play.members,
    "start": _Play.start,
    "transfer": _Play.transfer,
    "silent": _Play.silent,
    "read": _Play.read,
    "snapshot": _Play.snapshot,
    "stabilize": _Play.stabilize,
    "deliver": _Play.deliver,
    "lose": _Play.lose,
    "duplicate": _Play.duplicate,
    "hold": _Play.hold,
    "release": _Play.release,
    "forge": _Play.forge,
    "partition": _Play.partition,
    "heal": _Play.heal,
    "disk": _Play.disk,
    "persist": _Play.persist,
    "crash": _Play.crash,
    "restart": _Play.restart,
    "under-way": _Play.under_way,
    "logs": _Play.logs,
    "status": _Play.status,
}


# -- reading words


def _settings(words: list[str], names: Sequence[str]) -> dict[str, str]:
    given = dict(word.partition("=")[::2] for word in words)
    unknown = given.keys() - set(names)
    if unknown:
        raise PlayError(
            f"nothing is called {', '.join(sorted(unknown))} here; there is {', '.join(names) or 'nothing'}"
        )
    return given


def _number(text: str) -> int:
    if not text.isdecimal():
        raise PlayError(f"{text!r} is no number")
    return int(text)


def _value(text: str) -> bool | int:
    return text == "on" if text in ("on", "off") else _number(text)


def _command(word: str) -> bytes:
    repeated = re.fullmatch(r"(.)\*(\d+)", word)
    return (repeated[1] * int(repeated[2]) if repeated else word).encode()


def _stored_entry(index: int, term: int) -> Entry:
    return Entry(term, EntryKind.COMMAND, f"{index}@{term}".encode())


def _runs(flight: Flight, wire: tuple[str, str]) -> bool:
    return wire[0] in ("*", flight.source) and wire[1] in ("*", flight.target)


_APPEND = re.compile(r"AppendEntries term=(\d+) prev=(\d+)@(\d+) \[([\d@. ]*)\] commit=(\d+)")
_VOTE = re.compile(r"RequestVote( pre-vote)? term=(\d+) last=(\d+)@(\d+)")


def parse_request(source: NodeId, text: str) -> PeerRequest:
    """A request from the line that shows it (`telling.request_text`)."""
    if vote := _VOTE.fullmatch(text):
        term, index, last_term = map(int, vote.groups()[1:])
        return RequestVoteRequest(
            term=term, candidate_id=source, last_log_index=index, last_log_term=last_term, pre_vote=bool(vote[1])
        )
    append = _APPEND.fullmatch(text)
    if append is None:
        raise PlayError("write a request as plays show it: AppendEntries term=2 prev=1@1 [2..3@2] commit=1")
    term, prev_index, prev_term, commit = (int(append[group]) for group in (1, 2, 3, 5))
    return AppendEntriesRequest(
        term=term,
        leader_id=source,
        prev_log_index=prev_index,
        prev_log_term=prev_term,
        leader_commit=commit,
        entries=[entry for part in append[4].split() for entry in _parse_run(part)],
    )


def _parse_run(text: str) -> list[Entry]:
    run_of_entries = re.fullmatch(r"(\d+)(?:\.\.(\d+))?@(\d+)", text)
    if run_of_entries is None:
        raise PlayError(f"{text!r} is no run of entries; write 2@1 or 2..4@1")
    low, high, term = run_of_entries.groups()
    return [_stored_entry(index, int(term)) for index in range(int(low), int(high or low) + 1)]


# -- the command line


def main(arguments: Sequence[str]) -> int:
    """Play files; 0 when they tell what happens, 1 when one does not (or did not, with `--rewrite`), 2 on misuse."""
    rewrite, paths = "--rewrite" in arguments, [Path(word) for word in arguments if word != "--rewrite"]
    if not paths or any(str(path).startswith("-") for path in paths):
        sys.stderr.write("usage: python -m raftsdk.testing.transcript [--rewrite] FILES\n")
        return 2
    return max(_check(path, rewrite=rewrite) for path in paths)


def _check(path: Path, *, rewrite: bool) -> int:
    try:
        written = path.read_text()
        played = run(written)
    except (OSError, ValueError, PlayError, AssertionError) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 1
    if played == written:
        return 0
    if rewrite:
        path.write_text(played)
    difference = unified_diff(written.splitlines(), played.splitlines(), str(path), "what happens", lineterm="")
    sys.stdout.write("\n".join(difference) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
