"""The run queue: who runs next, never more than there are workers, and how long a task would wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.core.held import Held, State
from fogsdk.core.runqueue import MOST_AHEAD, RunQueue
from fogsdk.wire.messages import Task, TaskInfo


def held(
    name: str = "t",
    *,
    priority: int = 0,
    expires: int | None = None,
    cost: float = 200.0,
    kind: str = "run",
    weight: str = "middle",
    body: bytes = b"",
    arrived: int = 0,
) -> Held:
    task = Task(name, "work", body, priority=priority)
    return Held(("dev", name), task, TaskInfo("work"), weight, arrived, expires, cost=cost, job_kind=kind)


def quick(name: str, *, cost: float = 5.0, **options: Any) -> Held:
    return held(name, weight="light", cost=cost, **options)


class Workers:
    """A queue, and the workers that take from it as a node does."""

    def __init__(self, slots: int, express: int = 0, ahead: float = 0.0) -> None:
        self.queue = RunQueue(slots, express, ahead)
        self._jobs = 0

    def push(self, *tasks: Held, now: int = 0) -> None:
        for task in tasks:
            self.queue.push(task, now)

    def fill(self, now: int = 0) -> list[str]:
        """Start what can start; returns its ids, in order."""
        started = []
        while (task := self.queue.next()) is not None:
            self._jobs += 1
            task.job, task.started = self._jobs, now
            task.to({"run": State.RUNNING, "split": State.SPLITTING, "merge": State.MERGING}[task.job_kind])
            self.queue.running[task.job] = task
            started.append(task.task.id)
        return started

    def finish(self, task: Held) -> None:
        self.queue.drop(task)
        task.to(State.DONE)


# ---------------------------------------------------------------- who is next


def test_first_come_first_served() -> None:
    workers = Workers(3)
    workers.push(held("a"), held("b"), held("c"))
    assert workers.fill() == ["a", "b", "c"]


def test_higher_priority_first_then_the_earlier_deadline_then_the_earlier_arrival() -> None:
    workers = Workers(9)
    workers.push(
        held("last", priority=-5, expires=1),
        held("sixth"),
        held("seventh"),
        held("fifth", expires=900),
        held("fourth", expires=500),
        held("second", priority=9),
        held("third", priority=9),
        held("first", priority=9, expires=10_000),
    )
    assert workers.fill() == ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "last"]


def test_a_task_whose_worker_died_has_its_place_again() -> None:
    workers = Workers(1)
    tasks = [held(name, arrived=at) for at, name in enumerate(("first", "second", "third"))]
    workers.push(tasks[0])
    workers.fill()
    workers.push(*tasks[1:])
    workers.queue.drop(tasks[0])
    tasks[0].to(State.QUEUED)
    workers.push(tasks[0])
    assert workers.fill() == ["first"]
    workers.finish(tasks[0])
    assert workers.fill() == ["second"]


@pytest.mark.parametrize("kind", ["split", "merge"])
def test_splitting_and_merging_come_before_everything_for_others_wait_for_it(kind: str) -> None:
    workers = Workers(2)
    workers.push(held("urgent", priority=100, expires=1), held("puzzle", kind=kind))
    assert workers.fill() == ["puzzle", "urgent"]


def test_never_more_run_than_there_are_workers() -> None:
    workers = Workers(2)
    first, others = held("a"), [held(name) for name in "bcd"]
    workers.push(first, *others)
    assert workers.fill() == ["a", "b"]
    assert workers.fill() == []
    workers.finish(first)
    assert workers.fill() == ["c"]
    assert len(workers.queue) == 1


def test_a_task_that_is_taken_out_does_not_run() -> None:
    workers = Workers(1)
    gone, stays = held("gone"), held("stays")
    workers.push(gone, stays)
    workers.queue.drop(gone)
    workers.queue.drop(gone)
    assert workers.fill() == ["stays"]


def test_a_task_that_comes_back_after_it_was_taken_out_runs_once() -> None:
    workers = Workers(3)
    task = held("a")
    workers.push(task)
    workers.queue.drop(task)
    workers.push(task)
    assert workers.fill() == ["a"]


def test_without_workers_nothing_runs() -> None:
    workers = Workers(0)
    workers.push(held("a"))
    assert workers.fill() == []


# ---------------------------------------------------------------- express workers


def test_a_quick_task_does_not_wait_for_a_long_one_to_end() -> None:
    workers = Workers(1, express=1)
    workers.push(held("long"), held("longer"), quick("quick"))
    assert workers.fill() == ["long", "quick"]


def test_an_express_worker_takes_nothing_long() -> None:
    workers = Workers(1, express=2)
    workers.push(held("a"), held("b"))
    assert workers.fill() == ["a"]


def test_a_light_task_that_turned_out_long_gets_no_express_worker() -> None:
    workers = Workers(1, express=1)
    workers.push(held("long"), held("light in name", weight="light", cost=5000.0))
    assert workers.fill() == ["long"]


def test_quick_tasks_have_no_more_than_all_workers() -> None:
    workers = Workers(1, express=1)
    workers.push(*(quick(name) for name in "abc"))
    assert workers.fill() == ["a", "b"]


def test_a_long_task_gets_its_turn_however_many_quick_ones_keep_coming() -> None:
    workers = Workers(1, express=1)
    running = [quick("a"), quick("b")]
    workers.push(*running)
    workers.fill()
    workers.push(held("long"), quick("c"), quick("d"))
    workers.finish(running[0])
    assert workers.fill() == ["long"]


# ---------------------------------------------------------------- started ahead


def tiny(count: int, cost: float = 0.1) -> list[Held]:
    return [quick(f"tiny{number}", cost=cost) for number in range(count)]


def test_the_shortest_tasks_are_started_ahead_for_as_long_as_they_take_together() -> None:
    workers = Workers(1, express=1, ahead=2.0)
    workers.push(*tiny(100, cost=0.5))
    assert len(workers.fill()) == 8
    assert workers.queue.busy == 2


def test_only_so_many_are_started_ahead_however_short_they_are() -> None:
    workers = Workers(1, express=1, ahead=2.0)
    workers.push(*tiny(100, cost=0.001))
    assert len(workers.fill()) == 2 * MOST_AHEAD


def test_what_is_not_of_the_shortest_is_not_started_ahead() -> None:
    workers = Workers(1, express=1, ahead=2.0)
    workers.push(*(quick(name, cost=3.0) for name in "abc"))
    assert workers.fill() == ["a", "b"]


def test_what_is_not_of_the_shortest_does_not_wait_behind_those_that_are() -> None:
    workers = Workers(1, express=1, ahead=4.0)
    workers.push(*tiny(2), quick("longer", cost=5.0), *tiny(2))
    assert workers.fill() == ["tiny0", "tiny1"]
    none_ahead = Workers(1, express=1)
    none_ahead.push(*tiny(3, cost=0.0))
    assert none_ahead.fill() == ["tiny0", "tiny1"]


def test_ahead_goes_only_what_those_workers_can_take_that_have_nothing_longer() -> None:
    workers = Workers(1, express=1, ahead=2.0)
    workers.push(held("long"), *tiny(100, cost=0.5))
    assert len(workers.fill()) == 1 + 4


def test_nothing_goes_ahead_of_a_long_task_whose_turn_it_is() -> None:
    workers = Workers(1, express=1, ahead=2.0)
    first = tiny(4)
    workers.push(*first)
    workers.fill()
    workers.push(held("long"), *(quick(name, cost=0.1) for name in "ab"))
    assert workers.fill() == []
    for task in first[:3]:
        workers.finish(task)
    assert workers.fill() == ["long", "a", "b"]


def test_what_was_started_ahead_counts_as_waiting_work() -> None:
    workers = Workers(1, ahead=2.0)
    workers.push(*tiny(4, cost=0.5))
    workers.fill()
    assert workers.queue.wait(0) == 2.0


# ---------------------------------------------------------------- how long a task would wait


def test_with_a_worker_free_nobody_waits() -> None:
    workers = Workers(2)
    assert workers.queue.wait(0) == 0.0
    workers.push(held("a"))
    workers.fill()
    assert workers.queue.wait(0) == 0.0


def test_the_wait_is_what_is_left_of_all_work_shared_by_the_workers() -> None:
    workers = Workers(2)
    workers.push(held("a", cost=1000.0), held("b", cost=600.0), held("c", cost=400.0))
    workers.fill(0)
    assert workers.queue.wait(0) == 1000.0
    assert workers.queue.wait(300) == (700.0 + 300.0 + 400.0) / 2


def test_nobody_starts_before_the_first_worker_is_free() -> None:
    workers = Workers(2)
    workers.push(held("a", cost=1000.0), held("b", cost=1000.0))
    workers.fill(0)
    assert workers.queue.wait(0) == 1000.0


def test_a_task_that_takes_longer_than_expected_is_expected_to_end_now() -> None:
    workers = Workers(1)
    workers.push(held("a", cost=100.0))
    workers.fill(0)
    assert workers.queue.wait(5000) == 0.0


def test_a_quick_task_waits_only_for_quick_ones_where_it_has_a_worker_of_its_own() -> None:
    workers = Workers(1, express=1)
    workers.push(held("a", cost=60_000.0))
    workers.fill(0)
    assert workers.queue.wait(0) == 60_000.0
    assert workers.queue.wait(0, quick=True) == 0.0


# ---------------------------------------------------------------- whatever happens

STEPS = st.lists(
    st.tuples(st.just("push"), st.integers(-3, 3), st.none() | st.integers(0, 50), st.booleans())
    | st.tuples(st.sampled_from(["fill", "drop", "finish"]), st.integers(0, 30), st.none(), st.just(False)),
    max_size=60,
)


@given(STEPS, st.integers(0, 3), st.integers(0, 2), st.sampled_from([0.0, 8.0]))
def test_the_queue_keeps_its_order_and_its_count_whatever_happens(
    steps: list[tuple[str, int, int | None, bool]], slots: int, express: int, ahead: float
) -> None:
    workers = Workers(slots, express, ahead)
    queue = workers.queue
    waiting: list[Held] = []
    running: list[Held] = []
    for number, (step, value, expires, is_quick) in enumerate(steps):
        if step == "push":
            make = quick if is_quick else held
            waiting.append(make(f"t{number}", priority=value, expires=expires, body=bytes(number)))
            queue.push(waiting[-1], number)
        elif step == "fill":
            started = workers.fill(number)
            running += [task for task in waiting if task.task.id in started]
            waiting = [task for task in waiting if task.task.id not in started]
            assert not waiting or len(running) >= slots, "a worker is free, and something waits"
        elif step == "drop" and waiting:
            queue.drop(waiting.pop(value % len(waiting)))
        elif step == "finish" and running:
            workers.finish(running.pop(value % len(running)))
        check(queue, waiting, running, slots, express, ahead)


def check(queue: RunQueue, waiting: list[Held], running: list[Held], slots: int, express: int, ahead: float) -> None:
    assert len(queue) == len(waiting)
    assert set(queue.waiting()) == set(waiting)
    assert sorted(queue.running) == sorted(task.job for task in running if task.job is not None)
    assert sum(not task.quick for task in running) <= slots
    assert sum(task.quick for task in running) * 5.0 <= max(ahead, 5.0) * (slots + express)
    assert queue.busy <= slots + express
    for task_is_quick in (False, True):
        assert queue.wait(100, task_is_quick) >= 0.0
    if len(waiting) + len(running) < slots:
        assert queue.wait(100) == 0.0
