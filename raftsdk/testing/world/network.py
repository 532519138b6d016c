"""The wires: real frames of a real codec, lost, late, doubled, damaged and cut off, as chance and the faults want it.

A call ends exactly once, as `ports.RaftNetwork` promises: with an answer, or with none when its time is up. What
arrives after that, or twice, is heard by nobody who asked; whoever is asked twice answers twice.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from raftsdk.checks import check_memberships
from raftsdk.errors import WireError
from raftsdk.messages import (
    MESSAGE_KINDS,
    AppendEntriesRequest,
    ErrorResponse,
    Message,
    MessageKind,
    Request,
    Response,
)
from raftsdk.ports import Codec
from raftsdk.types import NodeId
from raftsdk.wire.frame import ERROR_RESPONSE, Flags, encode_frame, parse_frame

if TYPE_CHECKING:
    from raftsdk.testing.world.world import World

Ended: TypeAlias = Callable[[Response | None], None]
"""Told how a call ended: with this answer, or with none."""

QUICK_FAILURES = 0.3
"""Share of lost messages whose sender notices at once, as when a connection is reset."""

STORM_LOSS = 0.5


class Network:
    """Carries frames between names. Clients are reached from everywhere and lose little: they are not the subject."""

    def __init__(self, world: "World", codec: Codec) -> None:
        scenario = world.scenario
        self._world = world
        self._scenario = scenario
        self._codec = codec
        self._chance = Random(f"{scenario.seed}:network")
        self._endpoints: dict[str, Endpoint] = {}
        self._cuts: dict[tuple[str, str], int] = {}  # directed wires, with how many faults cut each
        self._storms = 0
        self._slow: dict[str, int] = {}  # by target: how much later than usual everything arrives there
        self._calm = False
        self._last: tuple[Message, bytes] | None = None  # encoded last: the same request goes to several peers

    def attach(self, endpoint: "Endpoint") -> None:
        """From now on messages to that name arrive there."""
        self._endpoints[endpoint.name] = endpoint

    # -- faults

    def cut(self, wires: Iterable[tuple[str, str]]) -> None:
        """Let nothing through from the first to the second of each."""
        for wire in wires:
            self._cuts[wire] = self._cuts.get(wire, 0) + 1

    def mend(self, wires: Iterable[tuple[str, str]]) -> None:
        """Undo one `cut` of these."""
        for wire in wires:
            left = self._cuts.pop(wire, 0) - 1
            if left > 0:
                self._cuts[wire] = left

    def storm(self, change: int) -> None:
        """One more storm (1), or one less (-1)."""
        self._storms += change

    def slow(self, target: str, late_us: int) -> None:
        """Let everything arrive so late at `target`; 0: no more."""
        self._slow[target] = late_us

    def calm(self) -> None:
        """No trouble from here on: every message arrives, soon, once."""
        self._calm = True
        self._cuts.clear()

    # -- messages

    def encode(self, message: Message) -> bytes:
        """The body of a frame."""
        if self._last is None or self._last[0] is not message:
            self._last = (message, self._codec.encode(message))
        return self._last[1]

    def send(self, source: str, target: str, frame: bytes) -> None:
        """Put a frame on its way."""
        world, chance, scenario = self._world, self._chance, self._scenario
        if self._calm:
            world.after(1 + int(scenario.latency_us * 0.2 * chance.random()), self._arrive, source, target, frame)
            return
        loss = STORM_LOSS if self._storms else scenario.loss
        if (source, target) in self._cuts or chance.random() < loss:
            self._lose(source, target, frame)
            return
        if chance.random() < scenario.damage:
            frame = self._damaged(frame)
        late_us = self._slow.get(target, 0)
        world.after(self._delay_us() + late_us, self._arrive, source, target, frame)
        if chance.random() < scenario.duplicates and source in world.nodes and target in world.nodes:
            world.counters.duplicates += 1
            world.after(self._delay_us() + late_us, self._arrive, source, target, frame)

    def beat(self, source: NodeId, target: NodeId) -> None:
        """Let `target` hear from `source`, for all groups of both, if nothing is in the way."""
        if (source, target) in self._cuts or (not self._calm and self._chance.random() < self._scenario.loss):
            return
        self._world.after(self._delay_us(), self._beat_arrives, source, target)

    def _beat_arrives(self, source: NodeId, target: NodeId) -> None:
        endpoint = self._endpoints[target]
        if not endpoint.is_stalled(self._beat_arrives, source, target) and endpoint.is_up:
            endpoint.heard(source)

    def _delay_us(self) -> int:
        chance, scenario = self._chance, self._scenario
        delay_us = int(scenario.latency_us * (0.3 + chance.expovariate(1.4)))
        if chance.random() < scenario.delays or (self._storms and chance.random() < STORM_LOSS):
            delay_us += int(scenario.max_delay_us * chance.random())
        return 1 + delay_us

    def _damaged(self, frame: bytes) -> bytes:
        place = self._chance.randrange(len(frame))
        return frame[:place] + bytes([frame[place] ^ 1 << self._chance.randrange(8)]) + frame[place + 1 :]

    def _lose(self, source: str, target: str, frame: bytes) -> None:
        self._world.counters.lost += 1
        if self._chance.random() < QUICK_FAILURES:
            self.refuse(source, target, frame)

    def refuse(self, source: str, target: str, frame: bytes) -> None:
        """Let whoever made the call of this frame, request or answer, know soon that it will not be answered."""
        caller = target if frame[6] & Flags.RESPONSE else source
        call_id = int.from_bytes(frame[12:16], "big")
        self._world.after(self._delay_us(), self._endpoints[caller].give_up, call_id)

    def _arrive(self, source: str, target: str, data: bytes) -> None:
        if (source, target) in self._cuts:
            self._lose(source, target, data)
            return
        endpoint = self._endpoints[target]
        if endpoint.is_stalled(self._arrive, source, target, data):
            return
        if not endpoint.is_up:
            self.refuse(source, target, data)
            return
        try:
            frame = parse_frame(data)
        except WireError:
            # The connection is closed; both ends find out when they next use it, the caller when its time is up.
            self._world.counters.damaged += 1
            return
        self._world.happens(target, data)
        message = self._codec.decode(MessageKind(frame.kind), frame.body)
        if type(message) is AppendEntriesRequest:
            check_memberships(message)
        endpoint.heard(source)
        endpoint.receive(source, frame.call_id, bool(frame.flags), message)


class Endpoint:
    """Whoever can be called, and call: a node, or a client."""

    def __init__(self, network: Network, name: str) -> None:
        self.name = name
        self._network = network
        self._calls: dict[int, tuple[int, Ended]] = {}  # by id: deadline, and whom to tell
        self._next_call_id = 1
        network.attach(self)

    @property
    def is_up(self) -> bool:
        """Whether anybody is there."""
        return True

    def is_stalled(self, action: Callable[..., None], *args: object) -> bool:
        """Whether this must wait, and will be called again: the process stands still."""
        return False

    def heard(self, source: str) -> None:
        """Something has arrived, whatever it is."""

    def call(self, target: NodeId, request: Request, deadline: int, ended: Ended) -> int:
        """Ask `target`; `ended` is told once, at the latest when `expire` is called after the deadline."""
        call_id, self._next_call_id = self._next_call_id, self._next_call_id + 1
        self._calls[call_id] = (deadline, ended)
        body = self._network.encode(request)
        self._network.send(self.name, target, encode_frame(MESSAGE_KINDS[type(request)], 0, call_id, body))
        return call_id

    def answer(self, source: str, call_id: int, response: Response) -> None:
        """Answer a call that came from `source`."""
        flags = ERROR_RESPONSE if type(response) is ErrorResponse else Flags.RESPONSE
        body = self._network.encode(response)
        frame = encode_frame(MESSAGE_KINDS[type(response)], flags, call_id, body)
        self._network.send(self.name, source, frame)

    def receive(self, source: str, call_id: int, is_answer: bool, message: Message) -> None:
        """A message has arrived."""
        if not is_answer:
            self.serve(source, call_id, message)  # type: ignore[arg-type]  # what is no answer is a request
        elif call_id in self._calls:
            self._calls.pop(call_id)[1](message)  # type: ignore[arg-type]  # what answers is a response

    def serve(self, source: str, call_id: int, request: Request) -> None:
        """Somebody asks."""
        raise NotImplementedError(f"{self.name} is not asked anything, but was: {request}")

    def give_up(self, call_id: int) -> None:
        """A call will not be answered."""
        if call_id in self._calls and not self.is_stalled(self.give_up, call_id):
            self._calls.pop(call_id)[1](None)

    def expire(self, now: int) -> None:
        """Give up every call whose deadline has passed. They are asked in the order of their deadlines, or nearly."""
        while self._calls:
            call_id, (deadline, _) = next(iter(self._calls.items()))
            if deadline > now:
                return
            self._calls.pop(call_id)[1](None)

    def forget_calls(self) -> None:
        """Whoever asked is no more."""
        self._calls.clear()
