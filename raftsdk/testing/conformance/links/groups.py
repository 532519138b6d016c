"""Clause 3.7: groups, where both sides have them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from unittest import SkipTest

from raftsdk.errors import Refused
from raftsdk.messages import MessageKind, ProposeResponse, StatusRequest
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links.host import dialing, has_no_answer, next_request
from raftsdk.testing.conformance.links.own import Canned, Holding
from raftsdk.testing.conformance.links.stranger import frame
from raftsdk.testing.conformance.links.subject import Agreed, LinkTarget, Reached
from raftsdk.testing.suite import Suite
from raftsdk.wire.frame import WireKind
from raftsdk.wire.hello import GROUPS as FEATURE

GROUPS: Final[Suite[LinkTarget]] = Suite("groups")

_NOBODYS: Final = 3_999_999_979
"""A group that no node serves."""

_NOBODYS_KIND: Final = 0x7E
_NONSENSE: Final = b"\xc1" * 50


@asynccontextmanager
async def _with_groups(node: Reached) -> AsyncIterator[Agreed]:
    """A connection on which groups are agreed on. Skips the case where the node has none."""
    async with node.agreed(features=[FEATURE]) as agreed:
        if agreed.answer.get("features", []) != [FEATURE]:
            raise SkipTest("it has one group only")
        agreed.stranger.groups = True
        yield agreed


async def _is_error_of(agreed: Agreed, code: str, call_id: int, group: int) -> None:
    """The next response is that error for that call, from that group."""
    await agreed.is_error(code, call_id)
    if agreed.stranger.last_group != group:
        raise Mismatch(
            "a response of another group than its request",
            expected=f"group {group}",
            found=f"group {agreed.stranger.last_group}",
        )


def _status(agreed: Agreed, call_id: int, group: int = 0) -> bytes:
    body = agreed.codec.encode(StatusRequest())
    return frame(MessageKind.STATUS_REQUEST, body, call_id=call_id, group=group)


@GROUPS.case("group 0 is served as it is without groups", "3.7.2")
async def _group_0(target: LinkTarget) -> None:
    async with target.reached() as node, _with_groups(node) as agreed:
        await agreed.asks_status()
        if agreed.stranger.last_group != 0:
            raise Mismatch("of group 0", expected="group 0", found=f"group {agreed.stranger.last_group}")


@GROUPS.case("the group of a keep-alive is ignored", "3.7.2")
async def _keep_alive(target: LinkTarget) -> None:
    async with target.reached() as node, _with_groups(node) as agreed:
        agreed.stranger.send(frame(WireKind.KEEP_ALIVE, group=_NOBODYS))
        await agreed.stranger.hears_nothing("keep-alives are not answered")
        await agreed.asks_status()


@GROUPS.case("a response has the group of its request", "3.7.3")
async def _same_group(target: LinkTarget) -> None:
    async with target.reached() as node, _with_groups(node) as agreed:
        for call_id, group in enumerate((_NOBODYS, 2**32 - 1), start=1):
            agreed.stranger.send(frame(_NOBODYS_KIND, b"later", call_id=call_id, group=group))
            await _is_error_of(agreed, "unsupported", call_id, group)


@GROUPS.case("a request for a group that is not served is answered unknown_group, and the connection lives", "3.7.5")
async def _unknown(target: LinkTarget) -> None:
    handler = None if target.live else Canned()
    async with target.reached(handler) as node, _with_groups(node) as agreed:
        agreed.stranger.send(_status(agreed, 1, _NOBODYS))
        await _is_error_of(agreed, "unknown_group", 1, _NOBODYS)
        await agreed.asks_status(2)
        if handler is not None and handler.delivered != [StatusRequest()]:
            raise AssertionError(f"delivered all the same: {handler.delivered}")


@GROUPS.case("the group is judged behind the limit of unanswered requests, and before the decoding", "3.7.5")
async def _judged(target: LinkTarget) -> None:
    async with target.reached(Holding(), max_calls_per_connection=1) as node, _with_groups(node) as agreed:
        agreed.stranger.send(frame(MessageKind.PROPOSE_REQUEST, _NONSENSE, call_id=1, group=_NOBODYS))
        await _is_error_of(agreed, "unknown_group", 1, _NOBODYS)
        agreed.stranger.send(_status(agreed, 2), _status(agreed, 3, _NOBODYS))
        await _is_error_of(agreed, "overloaded", 3, _NOBODYS)


GROUP_DIALERS: Final[Suite[LinkTarget]] = Suite("groups, dialing")


@GROUP_DIALERS.case("a response of another group than its call's closes, and is no outcome", "3.7.3")
async def _other_group(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted(features=[FEATURE])
        guest.groups = True
        calling = dialer.asks()
        call_id, _ = await next_request(guest)
        response = ProposeResponse(index=1, result=b"")
        guest.send(dialer.response_frame(call_id, response, MessageKind.PROPOSE_RESPONSE, group=7))
        await has_no_answer(calling, "a response from group 7, where group 0 was asked")
        await guest.is_closed("a response of another group")
        await dialer.counted("bad_group")


@GROUP_DIALERS.case("a request for another group than 0 fails where none was agreed on, and is not sent", "3.7.4")
async def _not_agreed(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted()
        try:
            dialer.link.send(StatusRequest(), 7)
        except Refused:
            await guest.hears_nothing("the other side knows of no groups")
            return
        raise AssertionError("a request for group 7 was sent to a listener that agreed on no groups")
