"""The inbox of a node is bounded, also when a peer asks faster than the node takes turns."""

from functools import partial

from node_cluster import Switch, new_node, until

from raftsdk.config import RaftConfig
from raftsdk.messages import AppendEntriesRequest, AppendEntriesResponse, ErrorResponse, Response

HEARTBEAT = AppendEntriesRequest(term=1, leader_id="n2", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=[])


async def test_a_request_beyond_what_the_inbox_holds_is_refused_with_a_hint_and_the_others_are_answered() -> None:
    still = RaftConfig(tick_interval_ms=1_000_000, max_inbox_events=3)  # no tick comes between
    answers: dict[int, Response] = {}
    async with new_node("n1", Switch().network("n1"), config=still) as node:
        for number in range(5):
            node.deliver(HEARTBEAT, partial(answers.__setitem__, number))
        refusals = [answers[number] for number in (3, 4)]
        assert len(answers) == 2
        await until(lambda: len(answers) == 5)
        node.deliver(HEARTBEAT, partial(answers.__setitem__, 5))
        await until(lambda: 5 in answers)
    for refusal in refusals:
        assert isinstance(refusal, ErrorResponse)
        assert (refusal.code, refusal.retry_after_ms > 0) == ("overloaded", True)
    taken = [answers[number] for number in (0, 1, 2, 5)]
    assert taken == [AppendEntriesResponse(term=1, success=True)] * 4
