"""Clients: one operation at a time each, of which they know how it ended or that they do not.

They do as `raftsdk.client` does: follow redirects, ask elsewhere, and repeat only what is safe, in a session anything.
"""

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from raftsdk.messages import (
    Consistency,
    ErrorCode,
    ErrorResponse,
    OpenSessionRequest,
    OpenSessionResponse,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    Request,
    Response,
)
from raftsdk.testing.history import Outcome
from raftsdk.testing.safety import SafetyViolation
from raftsdk.testing.world.network import Endpoint
from raftsdk.testing.world.workload import Step, Workload
from raftsdk.types import LogIndex, NodeId

if TYPE_CHECKING:
    from raftsdk.testing.world.world import World

NEVER_APPLIED: Final = frozenset({ErrorCode.NOT_LEADER, ErrorCode.OVERLOADED, ErrorCode.DROPPED, ErrorCode.STOPPED})
"""After these a command may be proposed again, session or not."""

READS: Final = (
    Consistency.LINEARIZABLE,
    Consistency.LEASE,
    Consistency.LEASE,
    Consistency.FOLLOWER_LINEARIZABLE,
    Consistency.LOCAL,
)


class Operation(Struct):
    """What a client is about, from when it first asks to when it knows the end or gives up."""

    step: Step
    asked_at: LogIndex  #: The oracle's floor.
    invoked_at: int
    consistency: Consistency = Consistency.LOCAL
    sequence: int = 0  #: In the client's session; 0: not in one.
    attempts: int = 0
    may_be_applied: bool = False


class Client(Endpoint):
    """One client. Who comes during the healing writes until it is told ok; the others begin nothing then."""

    def __init__(self, world: "World", name: str, workload: Workload, *, has_session: bool) -> None:
        super().__init__(world.network, name)
        self._world = world
        self._workload = workload
        self._chance = Random(f"{world.scenario.seed}:{name}")
        self._has_session = has_session
        self._session_id = 0
        self._sequence = 0
        self._asks: NodeId | None = None  # whom it believes to lead
        self.has_written = False  #: Its last operation was a write, and was acknowledged.
        self._is_last = world.is_healing
        self.operation: Operation | None = None  #: Under way.
        if self._is_last:
            self.act()
        else:
            self._think()

    def _think(self) -> None:
        if self._is_last:
            if not self.has_written:
                self._world.after(1 + self._world.scenario.election_us // 4, self.act)
        elif not self._world.is_healing:
            self._world.after(1 + int(self._world.scenario.think_us * self._chance.expovariate(1)), self.act)

    def act(self) -> None:
        """Begin the next operation."""
        world, chance = self._world, self._chance
        if world.is_healing and not self._is_last:
            return
        if not self._is_last and (lull_us := world.scenario.lull_us) and world.now // lull_us % 2:
            world.after(lull_us - world.now % lull_us, self.act)
            return
        world.happens(self.name, b"acts")
        if self._has_session and not self._session_id:
            self._call(OpenSessionRequest(), self._session_opened)
            return
        step = self._workload.step(chance, self.name)
        while self._is_last and step.is_query:
            step = self._workload.step(chance, self.name)
        self.operation = operation = Operation(step, world.oracle.floor, world.now)
        if step.is_query:
            operation.consistency = chance.choice(READS)
        elif self._has_session:
            self._sequence += 1
            operation.sequence = self._sequence
        self._attempt(operation)

    def _attempt(self, operation: Operation) -> None:
        operation.attempts += 1
        step = operation.step
        request: Request
        if step.is_query:
            request = QueryRequest(query=step.data, consistency=operation.consistency)
        else:
            if not operation.sequence:
                self._world.oracle.proposes(step.data)
            request = ProposeRequest(
                command=step.data,
                session_id=self._session_id if operation.sequence else 0,
                sequence=operation.sequence,
                first_unanswered=operation.sequence,
            )
        self._call(request, partial(self._ended, operation))

    def _call(self, request: Request, ended: "partial[None] | object") -> None:
        world = self._world
        target = self._asks
        if target is None or target not in world.nodes or self._chance.random() < 0.1:
            target = self._chance.choice(list(world.nodes))
        timeout_us = world.scenario.config.proposal_timeout_ms * 1000
        call_id = self.call(target, request, world.now + timeout_us, ended)  # type: ignore[arg-type]  # of a union
        world.after(timeout_us, self.give_up, call_id)

    # -- how it ended

    def _session_opened(self, response: Response | None) -> None:
        if isinstance(response, OpenSessionResponse):
            self._session_id = response.session_id
        else:
            self._look_elsewhere(response)
        self._think()

    def _ended(self, operation: Operation, response: Response | None) -> None:
        oracle, step = self._world.oracle, operation.step
        match response:
            case ProposeResponse(index=index):
                session = (self._session_id, operation.sequence) if operation.sequence else (0, 0)
                oracle.acknowledges(step.data, index, operation.asked_at, session)
                self._finish(operation, Outcome.OK, response.result)
            case QueryResponse(applied_index=served_at, result=result):
                asked_at = 0 if operation.consistency is Consistency.LOCAL else operation.asked_at
                oracle.reads(step.data, result, served_at, asked_at)
                self._finish(operation, Outcome.OK, result)
            case _:
                self._look_elsewhere(response)
                self._go_on(operation, response)

    def _look_elsewhere(self, response: Response | None) -> None:
        self._asks = response.leader_id or None if isinstance(response, ErrorResponse) else None

    def _go_on(self, operation: Operation, response: Response | None) -> None:
        """Ask again where that can do no harm, as long as patience lasts."""
        code = response.code if isinstance(response, ErrorResponse) else None
        if code in (ErrorCode.SESSION_EXPIRED, ErrorCode.COMMAND_FAILED) and self._workload.never_fails:
            raise SafetyViolation(f"{self.name} is told {response}, for a command that cannot fail")
        if code == ErrorCode.COMMAND_FAILED:
            self._finish(operation, Outcome.OK, b"")
            return
        operation.may_be_applied |= not operation.step.is_query and code not in NEVER_APPLIED
        may_repeat = operation.step.is_query or operation.sequence or not operation.may_be_applied
        is_patient = operation.sequence or operation.attempts < 4
        if may_repeat and is_patient and not self._world.has_ended:
            pause_us = int(self._world.scenario.election_us * 0.3 * self._chance.random())
            self._world.after(1 + pause_us, self._again, operation)
        else:
            self._finish(operation, Outcome.UNKNOWN if operation.may_be_applied else Outcome.FAILED, b"")

    def _again(self, operation: Operation) -> None:
        self._world.happens(self.name, b"again")
        self._attempt(operation)

    def _finish(self, operation: Operation, outcome: Outcome, result: bytes) -> None:
        world, step = self._world, operation.step
        world.counters.operations += 1
        world.counters.successes += outcome is Outcome.OK
        self.operation = None
        self.has_written = not step.is_query and outcome is Outcome.OK
        if not step.is_query or operation.consistency is not Consistency.LOCAL:
            self._workload.ended(self.name, step, operation.invoked_at, world.now, outcome, result)
        self._think()
