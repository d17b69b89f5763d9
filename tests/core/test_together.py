"""What happens at one time is taken in together, and what is done about it is the same as if each came alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count

import pytest

from fogsdk.core.commands import Command, Send, Start
from fogsdk.core.events import Asked, Drain, Event, JobDone, LinkUp, NodeHeard
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.wire.messages import Beat, Birth, Refused, Result, Task, TaskInfo

RUNS = {"tiny": 0.05, "short": 4.0, "quick": 60.0, "long": 300.0}
"""Tasks, and the milliseconds that they run."""
TASKS = {name: TaskInfo(name) for name in RUNS}


def node_that_knows() -> Node:
    """A node with four workers, two of them for quick tasks, that has run every task before and has a neighbour."""
    node = Node(Identity("n1", "home", workers=2, express=2, ahead=2.0, tasks=dict(TASKS), queue_limit=150))
    node.start()
    node.handle(LinkUp("a"), 0)
    node.handle(NodeHeard("a", "n2", Birth(1, "fog", 2, tuple(TASKS.values()))), 0)
    for name, ran in RUNS.items():
        [start] = (each for each in node.handle(asked(f"first-{name}", name), 0) if isinstance(each, Start))
        node.handle(JobDone(start.job, b"\xf6", ran), 0)
    return node


def asked(id: str, name: str) -> Asked:
    return Asked("a", "dev", Task(id, name, b"\x82\x80\xa0"))


def one_by_one(node: Node, events: list[Event], now: int) -> list[Command]:
    return [command for event in events for command in node.handle(event, now)]


def done(commands: list[Command]) -> list[tuple[object, ...]]:
    """What came of events: jobs that were started, and what was said to whom, each in order."""
    starts = [each for each in commands if isinstance(each, Start)]
    sent = [each for each in commands if isinstance(each, Send)]
    return [
        *((each.job, each.id) for each in starts),
        *((each.topic, type(each.message), getattr(each.message, "id", "")) for each in sent),
    ]


def together(node: Node, events: list[Event], now: int) -> list[Command]:
    return [*(command for event in events for command in node.take_in(event, now)), *node.start_jobs(now)]


class Crowd:
    """Makes up messages of many tasks, and what workers answer together. Jobs end in the order in which they began."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._numbers = count(1)
        self._jobs: dict[int, str] = {}

    def events(self) -> list[Event]:
        chance = self._random
        match chance.choices(("tasks", "results", "beat"), (3, 9, 1))[0]:
            case "tasks":
                names, weights = list(RUNS), chance.choice(((50, 3, 2, 1), (0, 5, 5, 1), (1, 1, 1, 1)))
                return [
                    asked(f"t{next(self._numbers)}", name)
                    for name in chance.choices(names, weights, k=chance.choice((1, 4, 48)))
                ]
            case "results":
                done = list(self._jobs.items())[: chance.choice((1, 4, 16))]
                self._jobs = dict(list(self._jobs.items())[len(done) :])
                return [JobDone(job, b"\xf6", RUNS[name] * chance.uniform(0.8, 1.2)) for job, name in done]
        return [NodeHeard("a", "n2", Beat(1, next(self._numbers), 60_000, wait=chance.choice((0, 0, 50, 900))))]

    def told(self, commands: list[Command]) -> None:
        self._jobs |= {each.job: each.name for each in commands if isinstance(each, Start)}


@pytest.mark.parametrize("seed", range(12))
def test_what_comes_together_is_placed_started_and_answered_as_if_each_came_alone(seed: int) -> None:
    """Where a task waits for others in any case, it may be started a little later: with the others of its message."""
    crowd, alone, crowded = Crowd(seed), node_that_knows(), node_that_knows()
    started = away = refused = 0
    for now in range(0, 6_000, 20):
        events = crowd.events()
        wanted, found = one_by_one(alone, events, now), together(crowded, events, now)
        assert done(found) == done(wanted)
        crowd.told(found)
        sent = [each.message for each in found if isinstance(each, Send)]
        started += sum(isinstance(each, Start) for each in found)
        away += sum(isinstance(message, Task) for message in sent)
        refused += sum(isinstance(message, Refused) for message in sent)
    assert started > 250
    assert away > 20, "every task stays here: nothing shows what the node thinks of its queue"
    assert refused > 5


def test_a_task_that_finds_a_worker_idle_does_not_wait_for_the_others_of_its_message() -> None:
    node = node_that_knows()
    starts = [node.take_in(asked(f"t{number}", "quick"), 1) for number in range(4)]
    assert [[type(each) for each in commands] for commands in starts] == [[Start]] * 4


def test_what_waits_for_others_on_a_worker_is_started_with_the_last() -> None:
    node = node_that_knows()
    for number in range(4):
        node.handle(asked(f"t{number}", "tiny"), 1)
    assert [node.take_in(asked(f"u{number}", "tiny"), 1) for number in range(9)] == [[]] * 9
    assert [type(each) for each in node.start_jobs(1)] == [Start] * 9


def test_the_most_urgent_task_of_a_message_is_started_first() -> None:
    node = node_that_knows()
    for number in range(4):
        node.handle(asked(f"t{number}", "tiny"), 1)
    urgent = Asked("a", "dev", Task("urgent", "tiny", b"\x82\x80\xa0", priority=5))
    starts = together(node, [asked("u0", "tiny"), asked("u1", "tiny"), urgent], 1)
    assert [each.id for each in starts if isinstance(each, Start)] == ["urgent", "u0", "u1"]


@pytest.mark.parametrize("way", [one_by_one, together])
def test_a_node_that_drains_leaves_when_the_last_of_several_is_done(
    way: Callable[[Node, list[Event], int], list[Command]],
) -> None:
    node = node_that_knows()
    jobs = [
        each.job for each in together(node, [asked("t", "quick"), asked("u", "quick")], 1) if isinstance(each, Start)
    ]
    node.handle(Drain(1_000), 2)
    said = way(node, [JobDone(job, b"\xf6", 1.0) for job in jobs], 3)
    assert [type(each).__name__ for each in said][-1] == "Leave"
    assert [each.message.id for each in said if isinstance(each, Send) and isinstance(each.message, Result)] == [
        "t",
        "u",
    ]


def test_what_is_asked_for_again_right_behind_its_result_is_not_run_again() -> None:
    node = node_that_knows()
    [start] = (each for each in node.handle(asked("t", "quick"), 1) if isinstance(each, Start))
    said = together(node, [JobDone(start.job, b"\x01", 1.0), asked("t", "quick")], 2)
    assert [each.message.id for each in said if isinstance(each, Send) and isinstance(each.message, Result)] == [
        "t",
        "t",
    ]
    assert not any(isinstance(each, Start) for each in said)


def test_a_job_is_told_all_that_its_worker_is_to_know() -> None:
    info = TaskInfo("puzzle", timeout=7_000, memory=9_000_000)
    node = Node(Identity("n1", "home", workers=1, tasks={"puzzle": info}))
    [start] = node.handle(Asked("a", "dev", Task("t", "puzzle", b"\x82\x80\xa0", deadline=500, priority=3)), 40)
    assert start == Start(
        job=1,
        kind="run",
        name="puzzle",
        bodies=(b"\x82\x80\xa0",),
        shares=(),
        timeout=7_000,
        memory=9_000_000,
        sender="dev",
        id="t",
        deadline=500,
        priority=3,
        quick=False,
    )


def test_the_trace_says_how_much_was_before_a_task_and_whether_it_may_wait_in_a_pipe() -> None:
    node = node_that_knows()
    starts = together(node, [asked(f"t{number}", "tiny") for number in range(12)], 1)
    assert [each.quick for each in starts if isinstance(each, Start)] == [True] * 12
    why = {id: held.why for (_, id), held in node.held.items()}
    assert [why[f"t{number}"] for number in (0, 3, 5, 11)] == [
        "0 queued, 0 ms here",
        "0 queued, 0 ms here",
        "1 queued, 0 ms here",
        "7 queued, 0 ms here",
    ]
    together(node, [asked("t", "short")], 1)
    assert node.held["dev", "t"].why.startswith("0 queued, 4 ms here")
