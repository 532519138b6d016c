"""Snapshots on their way: pieces, cut lines, peers that lose them, refuse them, or stand still."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raw_peer import Handler, append, running, until
from snapshot_peer import Receiver, line

from raftsdk.errors import Refused, SnapshotDamaged, StorageFailed, Unreachable
from raftsdk.messages import (
    ErrorCode,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Response,
)
from raftsdk.testing.snapshot_traffic import MadeUpSnapshot
from raftsdk.wire.rpc import RpcNetwork
from raftsdk.wire.snapshot import PIECES_UNDER_WAY, Throttle

MIB = 1024 * 1024
BIG_BYTES = int(os.environ.get("RAFTSDK_TEST_SNAPSHOT_BYTES", 64 * MIB))
"""1,073,741,824 is what the promise speaks of; anything else is the same in small."""

CUTS = 20


@asynccontextmanager
async def sending(receiver: Handler, **settings: Any) -> AsyncIterator[tuple[RpcNetwork, RpcNetwork]]:
    """n1, which sends, connected to n2, which has `receiver`."""
    quick = {"reconnect_min_ms": 1, "reconnect_max_ms": 10, "call_timeout_ms": 200, "snapshot_piece_bytes": 10_000}
    async with (
        running("n2", receiver) as n2,
        running("n1", addresses={"n2": n2.listening}, **quick | settings) as n1,
    ):
        await until(lambda: n1.link("n2").connected)
        yield n1, n2


def installing(network: RpcNetwork, source: MadeUpSnapshot) -> asyncio.Task[InstallSnapshotResponse]:
    return asyncio.create_task(network.install_snapshot("n2", source.request(), source))


# -- pieces


@pytest.mark.parametrize("total_bytes", [0, 1, 10_000, 123_456], ids="{} bytes".format)
async def test_a_snapshot_arrives_whole(total_bytes: int) -> None:
    receiver = Receiver()
    async with sending(receiver) as (n1, _):
        response = await installing(n1, MadeUpSnapshot(total_bytes))
    assert response == InstallSnapshotResponse(term=3, next_offset=total_bytes, installed=True)
    assert (receiver.received_bytes, receiver.asked) == (total_bytes, 1)
    assert receiver.largest_piece_bytes <= 10_000


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()], ids=lambda codec: codec.name)
async def test_pieces_fit_the_frames_of_a_peer_that_takes_short_ones_only(codec: Any) -> None:
    receiver = Receiver()
    async with (
        running("n2", receiver, max_frame_bytes=4_000) as n2,
        running("n1", addresses={"n2": n2.listening}, codecs=[codec]) as n1,
    ):
        await installing(n1, MadeUpSnapshot(100_000))
    assert receiver.installed
    assert receiver.largest_piece_bytes == 2_000


async def test_of_a_snapshot_no_more_is_read_than_may_be_under_way() -> None:
    held: list[Callable[[], None]] = []

    class Slow(Receiver):
        def deliver(self, request: Any, reply: Any) -> None:
            held.append(lambda: reply(self.take(request)))

    source, most = MadeUpSnapshot(1_000_000), 0
    async with sending(Slow(), call_timeout_ms=5_000) as (n1, _):
        call = installing(n1, source)
        for answered in range(20):
            await until(lambda: held)
            await asyncio.sleep(0.01)  # for whatever else may come
            most = max(most, len(held))
            assert source.reads <= answered + PIECES_UNDER_WAY
            held.pop(0)()
        assert most == PIECES_UNDER_WAY
        await given_up(call)


async def test_to_a_peer_that_answers_late_one_piece_is_under_way_at_a_time() -> None:
    under_way: list[int] = [0]

    class Late(Receiver):
        def deliver(self, request: Any, reply: Any) -> None:
            under_way.append(under_way[-1] + 1)
            asyncio.get_running_loop().call_later(0.06, self.answer, request, reply)

        def answer(self, request: InstallSnapshotRequest, reply: Any) -> None:
            under_way.append(under_way[-1] - 1)
            reply(self.take(request))

    async with sending(Late(), call_timeout_ms=100) as (n1, _):
        assert (await installing(n1, MadeUpSnapshot(50_000))).installed
    assert max(under_way) == 1


async def given_up(call: asyncio.Task[InstallSnapshotResponse]) -> None:
    call.cancel()
    await asyncio.wait([call])


async def test_a_snapshot_goes_on_where_an_earlier_call_for_it_ended() -> None:
    receiver, source = Receiver(), MadeUpSnapshot(500_000)
    async with sending(receiver) as (n1, _):
        first = installing(n1, source)
        await until(lambda: receiver.next_offset >= 100_000)
        await given_up(first)
        await installing(n1, source)
    assert receiver.installed
    assert receiver.received_bytes == 500_000


async def test_entries_and_heartbeats_go_by_while_the_pieces_stand_still() -> None:
    class Holding(Receiver):
        def deliver(self, request: Any, reply: Any) -> None:
            if not isinstance(request, InstallSnapshotRequest):
                super().deliver(request, reply)

    async with sending(Holding(), call_timeout_ms=5_000) as (n1, _):
        call = installing(n1, MadeUpSnapshot(100_000))
        for data in (b"x", None):
            assert (await n1.append_entries("n2", append(5, leader_id="n1", data=data))).conflict_index == 5
        assert not call.done()
        await given_up(call)


async def test_the_connection_for_snapshots_is_there_while_they_are_and_no_longer() -> None:
    receiver = Receiver()
    async with sending(receiver) as (n1, n2):
        sessions = n2._peers.server._sessions
        assert len(sessions) == 2
        calls = [installing(n1, MadeUpSnapshot(1_000_000)) for _ in range(3)]
        await until(lambda: receiver.next_offset)
        assert len(sessions) == 3
        await asyncio.gather(*calls)
        await until(lambda: len(sessions) == 2)


# -- cut lines


async def test_over_a_line_cut_twenty_times_less_than_a_twentieth_is_sent_twice() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    receiver, source = Receiver(), MadeUpSnapshot(BIG_BYTES)
    cuts = [BIG_BYTES * place // (CUTS + 1) for place in range(1, CUTS + 1)]
    async with (
        running("n2", receiver, codecs=[MsgpackCodec()]) as n2,
        line(n2.listening[0], cuts) as cut,
        running(
            "n1",
            codecs=[MsgpackCodec()],
            addresses={"n2": [cut.address]},
            reconnect_min_ms=1,
            reconnect_max_ms=10,
            snapshot_piece_bytes=BIG_BYTES // 4096,  # as 256 KiB are to a GiB
        ) as n1,
    ):
        response = await installing(n1, source)
    assert response.installed
    assert cut.cut == CUTS
    for sent_bytes in (receiver.received_bytes, source.read_bytes):
        assert BIG_BYTES <= sent_bytes < 1.05 * BIG_BYTES
    gc.collect()
    assert complaints == [], "somebody forgot what became of a piece"


async def test_a_peer_that_lost_its_pieces_gets_them_again() -> None:
    class Forgetful(Receiver):
        def take(self, request: InstallSnapshotRequest) -> Response:
            if request.offset == 250_000 and self.received_bytes < 300_000:
                self.lose()
            return super().take(request)

    receiver = Forgetful()
    async with sending(receiver) as (n1, _):
        await installing(n1, MadeUpSnapshot(500_000))
    assert receiver.installed
    assert receiver.received_bytes >= 750_000


async def test_a_snapshot_waits_for_a_peer_that_comes_back() -> None:
    receiver, source = Receiver(), MadeUpSnapshot(20 * MIB)
    async with (
        running("n2", receiver) as n2,
        line(n2.listening[0], []) as cut,
        running("n1", addresses={"n2": [cut.address]}, reconnect_max_ms=20, call_timeout_ms=1_000) as n1,
    ):
        call = installing(n1, source)
        await until(lambda: receiver.next_offset)
        n1.set_addresses("n2", ["tcp://127.0.0.1:1"])
        cut.end()
        await asyncio.sleep(0.1)  # longer than any pause, so it has tried there in vain
        assert not call.done()
        n1.set_addresses("n2", n2.listening)
        assert (await call).installed


async def test_a_piece_may_be_answered_later_than_another_call() -> None:
    class LooksItOver(Receiver):
        def deliver(self, request: Any, reply: Any) -> None:
            last = request.offset + len(request.data) == request.total_bytes
            asyncio.get_running_loop().call_later(0.3 * last, lambda: reply(self.take(request)))

    receiver = LooksItOver()
    async with sending(receiver, call_timeout_ms=200) as (n1, _):
        assert (await installing(n1, MadeUpSnapshot(50_000))).installed
        assert n1.closed_by_reason == {}
    assert receiver.asked == 1


# -- answers that end it


@pytest.mark.parametrize(
    "answer",
    [
        InstallSnapshotResponse(term=3, next_offset=500_000, installed=True),
        InstallSnapshotResponse(term=4, next_offset=0, installed=False),
    ],
    ids=["it needs no more", "it knows a later term"],
)
@pytest.mark.parametrize("at_offset", [0, 200_000])
async def test_an_answer_that_it_is_over_ends_it_at_once(answer: InstallSnapshotResponse, at_offset: int) -> None:
    class Done(Receiver):
        def take(self, request: InstallSnapshotRequest) -> Response:
            return answer if request.offset >= at_offset else super().take(request)

    receiver = Done()
    async with sending(receiver) as (n1, _):
        assert await installing(n1, MadeUpSnapshot(500_000)) == answer
    assert receiver.received_bytes <= at_offset


async def test_a_peer_that_has_everything_and_is_not_done_with_it_is_asked_again() -> None:
    class Busy(Receiver):
        def take(self, request: InstallSnapshotRequest) -> Response:
            response = super().take(request)
            assert isinstance(response, InstallSnapshotResponse)
            if response.installed and self.asked < 4:
                return InstallSnapshotResponse(term=3, next_offset=response.next_offset, installed=False)
            return response

    receiver = Busy()
    async with sending(receiver) as (n1, _):
        assert (await installing(n1, MadeUpSnapshot(50_000))).installed
    assert (receiver.asked, receiver.received_bytes) == (4, 50_000)


async def test_bytes_that_arrived_with_another_digest_raise_snapshot_damaged() -> None:
    receiver = Receiver()
    receiver.spoils = True
    async with sending(receiver) as (n1, _):
        with pytest.raises(SnapshotDamaged, match="all 50000 bytes of the snapshot at index 9 were sent"):
            await installing(n1, MadeUpSnapshot(50_000))
    assert not receiver.installed


async def test_a_peer_that_is_overloaded_is_asked_again() -> None:
    class Overloaded(Receiver):
        refused = 0

        def take(self, request: InstallSnapshotRequest) -> Response:
            if request.offset == 100_000 and self.refused < 5:
                self.refused += 1
                return ErrorResponse(code=ErrorCode.OVERLOADED, message="later")
            return super().take(request)

    receiver = Overloaded()
    async with sending(receiver) as (n1, _):
        assert (await installing(n1, MadeUpSnapshot(200_000))).installed
    assert receiver.refused == 5


async def test_a_peer_that_takes_no_snapshots_raises_refused() -> None:
    class Refusing(Receiver):
        def take(self, request: InstallSnapshotRequest) -> Response:
            return ErrorResponse(code=ErrorCode.UNSUPPORTED, message="no snapshots here")

    async with sending(Refusing()) as (n1, _):
        with pytest.raises(Refused, match="unsupported: no snapshots here"):
            await installing(n1, MadeUpSnapshot(200_000))


async def test_a_source_that_ends_too_early_raises_storage_failed() -> None:
    async with sending(Receiver()) as (n1, _):
        with pytest.raises(StorageFailed, match="the snapshot ends after 20000 of 30000 bytes"):
            await installing(n1, MadeUpSnapshot(20_000, said_bytes=30_000))


# -- when nothing moves


class Stuck(Receiver):
    """Answers, and keeps nothing after a while."""

    def take(self, request: InstallSnapshotRequest) -> Response:
        if request.offset >= 100_000:
            return InstallSnapshotResponse(term=3, next_offset=100_000, installed=False)
        return super().take(request)


class Silent(Receiver):
    """Answers no more after a while."""

    def deliver(self, request: Any, reply: Any) -> None:
        if not isinstance(request, InstallSnapshotRequest) or request.offset < 100_000:
            super().deliver(request, reply)


@pytest.mark.parametrize("receiver", [Stuck, Silent])
async def test_a_peer_that_gets_no_further_is_given_up(receiver: type[Receiver]) -> None:
    async with sending(receiver(), call_timeout_ms=50) as (n1, _):
        with pytest.raises(Unreachable, match="the snapshot at index 9 did not arrive: "):
            await installing(n1, MadeUpSnapshot(200_000))


async def test_a_peer_that_is_down_is_given_up() -> None:
    async with running("n1", addresses={"n2": ["tcp://127.0.0.1:1"]}, reconnect_max_ms=20, call_timeout_ms=20) as n1:
        with pytest.raises(Unreachable, match="did not arrive: n2 is not connected"):
            await installing(n1, MadeUpSnapshot(200_000))


@pytest.mark.parametrize("end", ["the peer is no member any more", "the network is closed"])
async def test_a_snapshot_that_nobody_wants_to_arrive_any_more_ends(end: str) -> None:
    receiver = Receiver()
    patient = {"call_timeout_ms": 60_000}
    async with sending(receiver, max_snapshot_bytes_per_second=1_000_000, **patient) as (n1, _), asyncio.timeout(10):
        call = installing(n1, MadeUpSnapshot(100 * MIB))
        await until(lambda: receiver.next_offset)
        if end == "the network is closed":
            await n1.aclose()
        else:
            n1.set_addresses("n2", ())
        with pytest.raises(Unreachable, match="did not arrive"):
            await call


# -- not too fast


async def test_what_all_snapshots_may_take_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)

    throttle = Throttle(1_000)
    monkeypatch.setattr("asyncio.sleep", sleep)
    waited = [await throttle.wait(size_bytes) for size_bytes in (500, 500, 2_000, 1)]
    assert waited == slept == pytest.approx([0, 0.5, 1, 3], abs=0.2)


async def test_snapshots_to_several_peers_keep_to_one_limit() -> None:
    loop = asyncio.get_running_loop()
    source, piece_bytes, bytes_per_second = MadeUpSnapshot(30_000), 10_000, 100_000
    async with (
        running("n2", Receiver()) as n2,
        running("n3", Receiver()) as n3,
        running(
            "n1",
            addresses={"n2": n2.listening, "n3": n3.listening},
            snapshot_piece_bytes=piece_bytes,
            max_snapshot_bytes_per_second=bytes_per_second,
        ) as n1,
    ):
        began_at = loop.time()
        await asyncio.gather(*(n1.install_snapshot(target, source.request(), source) for target in ("n2", "n3")))
        # The first piece goes at once, and everything else later than the limit has it, on however fast a machine.
        assert loop.time() - began_at >= (source.read_bytes - piece_bytes) / bytes_per_second


async def test_a_snapshot_that_is_held_back_is_not_taken_for_one_that_stands_still() -> None:
    class OverloadedOnce(Receiver):
        refused = False

        def take(self, request: InstallSnapshotRequest) -> Response:
            if request.offset == 10_000 and not self.refused:
                self.refused = True
                return ErrorResponse(code=ErrorCode.OVERLOADED, message="later")
            return super().take(request)

    receiver = OverloadedOnce()
    # At this rate a piece waits for 200 ms, and a peer may stand still for 100.
    async with sending(receiver, call_timeout_ms=20, max_snapshot_bytes_per_second=50_000) as (n1, _):
        assert (await installing(n1, MadeUpSnapshot(30_000))).installed
    assert receiver.refused
