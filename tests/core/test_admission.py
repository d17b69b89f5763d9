"""Admission: a node refuses before its queue is full, what can best do without first, and says when to come again."""

from __future__ import annotations

from typing import Any

import pytest

from fogsdk.core.admission import LONGEST_RETRY, LOW_SHARE, MOST_QUEUED_BYTES, ORDINARY_SHARE, SHORTEST_RETRY, Admission
from fogsdk.core.events import Asked
from fogsdk.core.held import Held
from fogsdk.core.runqueue import RunQueue
from fogsdk.wire import values
from fogsdk.wire.messages import Expired, Refused, Result, Task, TaskInfo
from tests.core.test_runqueue import Workers, held
from tests.core.world import World

OTHERS = values.encode([["other"], {}])


class Gate:
    """An admission, and the queue that it looks at."""

    def __init__(self, limit: int, workers: int = 1) -> None:
        self.workers = Workers(workers)
        self.admission = Admission("pi-1", limit, self.workers.queue)
        self.count = 0

    def refusal(self, sender: str = "", priority: int = 0, body: bytes = b"") -> Refused | None:
        return self.admission.refusal(sender, Task("t", "work", body, priority=priority), 0)

    def take(self, sender: str = "", priority: int = 0, body: bytes = b"", cost: float = 100.0) -> bool:
        """Offer a task, by default of a sender who never sent any other. False if it was refused."""
        self.count += 1
        sender = sender or f"s{self.count}"
        if self.refusal(sender, priority, body) is not None:
            return False
        task = held(f"t{self.count}", priority=priority, body=body, cost=cost)
        task.key = (sender, task.task.id)
        self.admission.took(task)
        self.workers.push(task)
        return True

    def fill(self, **options: Any) -> int:
        """Offer tasks until one is refused; returns how many were taken."""
        return next(taken for taken in range(10_000) if not self.take(**options))


# ---------------------------------------------------------------- how full it may become


def test_the_lower_the_priority_the_sooner_a_queue_is_full() -> None:
    assert Gate(100).fill(priority=-1) == 100 * LOW_SHARE
    assert Gate(100).fill(priority=0) == 100 * ORDINARY_SHARE
    assert Gate(100).fill(priority=1) == 100


def test_what_is_urgent_finds_room_where_nothing_else_does_and_what_is_not_is_told_why() -> None:
    gate = Gate(100)
    gate.fill()
    assert gate.take(priority=1)
    refused = gate.refusal()
    assert refused is not None
    assert (refused.reason, refused.node) == ("overloaded", "pi-1")
    assert "priority above 0" in refused.message
    low = gate.refusal(priority=-5)
    assert low is not None
    assert "priority above -1" in low.message


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_even_the_shortest_queue_takes_an_ordinary_task(limit: int) -> None:
    assert Gate(limit).take()
    assert Gate(limit).take(priority=-100)


def test_a_queue_of_no_length_takes_nothing() -> None:
    assert not Gate(0).take(priority=100)


def test_one_sender_leaves_as_much_as_it_has_to_the_others() -> None:
    gate = Gate(100)
    assert gate.fill(sender="greedy", priority=1) == 51
    refused = gate.refusal("greedy", priority=1)
    assert refused is not None
    assert "51 of them yours" in refused.message
    assert gate.fill(sender="second", priority=1) == 25
    assert gate.take(sender="third", priority=1)


def test_what_a_sender_sends_at_leisure_does_not_keep_out_what_it_needs_at_once() -> None:
    gate = Gate(100)
    assert gate.fill(sender="greedy", priority=-1) == 50
    assert gate.fill(sender="greedy") == 25
    assert gate.fill(sender="greedy", priority=1) == 13
    assert gate.take(sender="other", priority=1)


def test_arguments_are_bounded_in_bytes() -> None:
    gate = Gate(100)
    large = bytes(MOST_QUEUED_BYTES // 4)
    assert [gate.take(body=large) for _ in range(5)] == [True] * 4 + [False]
    assert gate.take()


def test_the_states_of_sessions_count_among_them() -> None:
    gate = Gate(10_000)
    task = Task("t", "work", b"", state=bytes(2**20))
    taken = 0
    while gate.admission.refusal(f"s{taken}", task, 0) is None:
        gate.admission.took(Held((f"s{taken}", "t"), task, TaskInfo("work"), "middle", 0, None))
        taken += 1
    assert taken == MOST_QUEUED_BYTES // 2**20


def test_what_is_let_go_makes_room() -> None:
    gate = Gate(4)
    gate.fill(priority=1)
    for task in list(gate.workers.queue.waiting()):
        gate.admission.let_go(task)
    assert gate.admission.count == 0
    assert gate.fill(priority=1) == 4
    assert gate.admission.refused == {"full": 2}


# ---------------------------------------------------------------- when to come again


def test_whoever_is_refused_is_told_when_there_is_room_as_predicted() -> None:
    gate = Gate(100)
    gate.fill(cost=100.0)
    [refused] = [gate.refusal()]
    assert refused is not None
    assert refused.retry_after == 100, "one task has to end"
    low = gate.refusal(priority=-1)
    assert low is not None
    assert low.retry_after == 100 * (75 - 50 + 1), "and for one of low priority half of the queue"


def test_it_is_neither_to_come_again_at_once_nor_never() -> None:
    for cost, retry_after in ((0.001, SHORTEST_RETRY), (1e7, LONGEST_RETRY)):
        gate = Gate(10)
        gate.fill(cost=cost)
        refused = gate.refusal()
        assert refused is not None
        assert refused.retry_after == retry_after


# ---------------------------------------------------------------- deadlines


def busy(cost: float = 1000.0) -> tuple[RunQueue, Admission]:
    """One worker with a second of work before it."""
    workers = Workers(1)
    workers.push(held("runs", cost=cost / 2), held("waits", cost=cost / 2))
    workers.fill()
    return workers.queue, Admission("pi-1", 100, workers.queue)


def late(admission: Admission, expires: int, **options: Any) -> Refused | None:
    return admission.too_late(held("t", expires=expires, **options), 0)


def test_a_task_that_would_still_wait_when_its_deadline_passes_is_refused_with_both_times() -> None:
    _, admission = busy()
    # It comes before the one that has no deadline, not before the one that runs.
    assert late(admission, 500) is None
    refused = late(admission, 300)
    assert refused is not None
    assert (refused.reason, refused.retry_after) == ("overloaded", 200)
    assert "wait 500 ms on pi-1" in refused.message
    assert "in 300 ms" in refused.message
    assert admission.refused == {"deadline": 1}


def test_only_what_goes_before_it_counts() -> None:
    queue, admission = busy()
    queue.push(held("urgent", priority=9, expires=100, cost=400.0), 0)
    assert late(admission, 800) is not None, "behind what is urgent"
    assert late(admission, 800, priority=10) is None
    queue.push(held("later", expires=900, cost=400.0), 0)
    assert late(admission, 900) is not None
    assert late(admission, 890, priority=9, cost=1.0) is not None
    assert late(admission, 901, priority=9) is None


def test_without_a_deadline_nothing_is_late() -> None:
    _, admission = busy()
    assert admission.too_late(held("t"), 10**9) is None


def test_a_quick_task_with_a_worker_of_its_own_is_not_late() -> None:
    workers = Workers(1, express=1)
    workers.push(held("long", cost=60_000.0))
    workers.fill()
    admission = Admission("pi-1", 100, workers.queue)
    assert late(admission, 100, weight="light", cost=5.0) is None
    assert late(admission, 100) is not None


# ---------------------------------------------------------------- in a fog


def loaded(*nodes: str, tasks: int) -> World:
    """n0 with so many long tasks of somebody else, and other nodes with nothing to do."""
    world = World(seed=1)
    world.add_node("n0")
    world.add_client("dev")
    world.run(50)
    for number in range(tasks):
        world.tell(world.peers["n0"], Asked("a", f"s{number}", Task(f"o{number}", "long", OTHERS, priority=9)))
    for node in nodes:
        world.add_node(node)
    return world


def test_a_task_that_would_be_late_on_one_node_is_done_in_time_on_the_next() -> None:
    world = loaded(tasks=20)
    world.submit("dev", "t", "long", deadline=1500)
    world.run(world.now + 20)
    assert world.peers["n0"].core.work.admission.refused["deadline"]
    world.add_node("n1")
    world.run_until(lambda: ("dev", "t") in world.settled)
    assert isinstance(world.settled[("dev", "t")][0], Result)


def test_with_no_other_node_it_says_in_the_end_why_it_was_not_done() -> None:
    world = loaded(tasks=60)
    world.submit("dev", "t", "long", deadline=1000)
    world.run_until(lambda: ("dev", "t") in world.settled)
    [expired] = world.settled[("dev", "t")]
    assert isinstance(expired, Expired)
    assert "overloaded: it would wait" in expired.message


def test_a_node_that_is_full_for_ordinary_tasks_still_gets_the_urgent_ones() -> None:
    world = World(seed=1)
    world.add_node("n0", queue_limit=8)
    world.add_client("dev")
    world.run(50)
    for number in range(30):
        world.submit("dev", f"t{number}", "long")
    world.run(world.now + 50)
    at = world.now
    world.submit("dev", "urgent", "quick", priority=5)
    world.run_until(lambda: ("dev", "urgent") in world.settled)
    assert world.now - at < 1000, "it waited for a worker, not for room"
    assert isinstance(world.settled[("dev", "urgent")][0], Result)


def test_a_held_task_is_a_held_task() -> None:
    """Every task that a node took is counted until it is answered, and none twice."""
    world = loaded("n1", tasks=30)
    world.run(world.now + 60_000)
    for node in ("n0", "n1"):
        admission = world.peers[node].core.work.admission
        assert (admission.count, admission._bytes, admission._holding) == (0, 0, {})
