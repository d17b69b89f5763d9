"""What a node knows of its neighbours is looked at once for many tasks, and decides as if it were for each."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from fogsdk.core.commands import Command, Send, Start
from fogsdk.core.events import Asked, Event, JobDone, LinkDown, LinkUp, NodeHeard, Replied, Tick
from fogsdk.core.identity import Identity
from fogsdk.core.membership import FORGET_AFTER, MOST_MEMBERS, Member
from fogsdk.core.node import Node
from fogsdk.wire.messages import Beat, Birth, Cancel, Gone, Hop, Refused, Result, Task, TaskInfo

TASKS = {"quick": TaskInfo("quick", weight="light"), "slow": TaskInfo("slow", weight="middle")}
MANY = 300
OFTEN = {"task": 60, "job": 15, "reply": 9, "beat": 6, "cancel": 4, "gone": 2, "birth": 2, "link": 1, "tick": 2}


def node_among(neighbours: int) -> Node:
    """A node with one worker that has some neighbours."""
    node = Node(Identity("n0", "home", tasks=dict(TASKS)))
    node.start()
    node.handle(LinkUp("a"), 0)
    for number in range(1, neighbours + 1):
        node.handle(NodeHeard("a", f"n{number}", Birth(1, "fog", 2, tuple(TASKS.values()))), 0)
    return node


@pytest.mark.parametrize("neighbours", [1, 5, 50])
def test_a_busy_node_looks_at_its_neighbours_once_for_all_tasks_of_a_message(
    neighbours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = count()
    completion = Member.completion

    def counted(*args: Any, **options: Any) -> float:
        next(looks)
        return completion(*args, **options)

    monkeypatch.setattr(Member, "completion", counted)
    node = node_among(neighbours)
    for number in range(1, neighbours + 1):
        node.handle(NodeHeard("a", f"n{number}", Beat(1, 1, 60_000, wait=9_000)), 1)
    for number in range(MANY):
        node.handle(Asked("a", "dev", Task(f"t{number}", "quick", b"")), 2)
    assert node.work.queue.wait(2) > 100, "nobody would ask others"
    assert next(looks) == min(neighbours, 8)


LOOK_ANEW: dict[str, Callable[[Node], object]] = {
    "a heartbeat": lambda node: node.handle(NodeHeard("a", "n1", Beat(1, 1, 60_000)), 0),
    "an answer": lambda node: node.handle(Replied("a", Result("t", b"", ())), 0),
    "a link": lambda node: node.handle(LinkDown("a"), 0),
    "time": lambda node: node.handle(Tick(), 0),
}


@pytest.mark.parametrize("what", LOOK_ANEW)
def test_what_was_seen_of_neighbours_is_out_of_date_after(what: str) -> None:
    node = node_among(1)
    candidates, held = node.work.candidates, node.work.hold(("dev", "t"), Task("t", "quick", b""), TASKS["quick"], 0)
    before = candidates.neighbours(held, 0)
    assert candidates.neighbours(held, 0) is before
    assert candidates.neighbours(held, 1) is not before
    before = candidates.neighbours(held, 0)
    LOOK_ANEW[what](node)
    assert candidates.neighbours(held, 0) is not before


def test_what_was_learned_of_neighbours_counts_at_once() -> None:
    node = node_among(1)
    del node.me.tasks["slow"]
    [sent] = node.handle(Asked("a", "dev", Task("t", "slow", b"")), 0)
    assert isinstance(sent, Send)
    assert isinstance(sent.message, Task)
    node.handle(Replied("a", Result(sent.message.id, b"", (Hop("n1", "ran", ran=40.0, took=40.0),))), 50)
    held = node.work.hold(("dev", "u"), Task("u", "slow", b""), TASKS["slow"], 50)
    before = node.work.candidates.neighbours(held, 50).soonest
    node.catch_up()
    after = node.work.candidates.neighbours(held, 50).soonest
    assert before is not None
    assert after is not None
    assert before.ran != after.ran == 40.0


def test_a_part_of_a_task_sees_that_it_takes_a_part_of_the_time() -> None:
    node = node_among(1)
    node.directory.ran("n1", "quick", 8.0)
    whole = node.work.hold(("dev", "t"), Task("t", "quick", b""), TASKS["quick"], 0)
    part = replace(whole, share=0.25)
    assert [one.ran for held in (whole, part) for one in node.work.candidates.neighbours(held, 0)] == [8.0, 2.0]


def test_a_neighbour_that_was_forgotten_is_passed_over() -> None:
    """It fell silent, and its will never came; after long, on too large a site, nothing is known of it."""
    node = node_among(1)
    node.handle(Tick(), 5_000)
    now = FORGET_AFTER + 10_000
    for number in range(MOST_MEMBERS):
        node.handle(NodeHeard("a", f"x{number}", Birth(1, "fog", 2)), now)
    assert "n1" not in node.directory.members
    del node.me.tasks["slow"]
    node.handle(Asked("a", "dev", Task("t", "slow", b"")), now)
    assert len(node.held) == 1


class Site:
    """Makes up what may happen to a node, and keeps in mind what the node did about it. Where all tasks are ``alike``,
    what was seen for one counts for the next more often."""

    def __init__(self, seed: int, neighbours: int, alike: bool) -> None:
        self._random = random.Random(seed)
        self._alike = alike
        self._neighbours = [f"n{number}" for number in range(1, neighbours + 1)]
        self._tasks = [f"t{number}" for number in range(40)]
        self._seq = count(1)
        self._jobs: list[int] = []
        self.away: list[tuple[str, str]] = []
        self._is_up = True

    def told(self, commands: list[Command]) -> None:
        for each in commands:
            if isinstance(each, Start):
                self._jobs.append(each.job)
            if isinstance(each, Send) and isinstance(each.message, Task):
                self.away.append((each.topic.split("/")[4], each.message.id))

    def event(self) -> Event:
        """Mostly tasks, as at a node that is busy."""
        chance, pick = self._random, self._random.choice
        match chance.choices(list(OFTEN), list(OFTEN.values()))[0]:
            case "job" if self._jobs:
                return JobDone(self._jobs.pop(0), b"\xf6", 10.0 if self._alike else chance.uniform(0.5, 30.0))
            case "reply" if self.away:
                node, id = self.away.pop(chance.randrange(len(self.away)))
                if chance.random() < 0.4:
                    return Replied("a", Refused(id, node, pick(("overloaded", "leaving")), "not now", 20))
                return Replied("a", Result(id, b"\xf6", (Hop(node, "ran", ran=chance.uniform(1, 9), took=9.0),)))
            case "beat":
                beat = Beat(1, next(self._seq), 60_000, pick((0, 3)), pick((0, 9)), pick((0, 0, 50, 500)))
                return NodeHeard("a", pick(self._neighbours), beat)
            case "cancel":
                return Asked("a", "dev", Cancel(pick(self._tasks[-40:])))
            case "gone":
                return NodeHeard("a", pick(self._neighbours), Gone(1))
            case "birth":
                return NodeHeard("a", pick(self._neighbours), Birth(1, "fog", 2, tuple(TASKS.values())))
            case "link":
                self._is_up = not self._is_up
                return LinkUp("a") if self._is_up else LinkDown("a")
            case "tick":
                return Tick()
        self._tasks.append(f"t{len(self._tasks)}")
        sender = pick(("dev", "dev", "dev", *self._neighbours[:1]))
        via = pick(((), (), (), (self._neighbours[0],)))
        name, priority = ("quick", 0) if self._alike else (pick(("quick", "quick", "slow")), pick((0, 0, 0, 5)))
        return Asked("a", sender, Task(self._tasks[-1], name, b"", priority=priority, via=via))


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_a_node_decides_as_one_that_looks_anew_for_each_task(seed: int, alike: bool) -> None:
    """Beside it one is told before each event that what it saw is outdated."""
    site, chance, now = Site(seed, 1 + seed % 6, alike), random.Random(-seed), 0
    node, other = node_among(1 + seed % 6), node_among(1 + seed % 6)
    gave_away = 0
    for _ in range(1000):
        now += chance.choices((0, 1, 5_000), (900, 100, 1))[0]
        event = site.event()
        other.work.candidates.outdated()
        commands = node.handle(event, now)
        assert commands == other.handle(event, now), f"{event} at {now}"
        if chance.random() < 0.2:
            node.catch_up()
            other.catch_up()
        site.told(commands)
        gave_away += sum(isinstance(each, Send) and isinstance(each.message, Task) for each in commands)
    assert gave_away > 10


def test_a_node_that_is_out_of_reach_is_no_longer_thought_of() -> None:
    """Not even by a task that comes within the same millisecond."""
    node, reasons = node_among(1), list[str]()
    node.handle(NodeHeard("a", "n1", Beat(1, 1, 60_000, wait=9_000)), 0)
    for number in range(10):
        node.handle(Asked("a", "dev", Task(f"t{number}", "quick", b"")), 0)
    node.handle(LinkDown("a"), 0)
    node.handle(Asked("a", "dev", Task("last", "quick", b"")), 0)
    for job in range(1, 12):
        said = [each.message for each in node.handle(JobDone(job, b"\xf6", 1.0), 1) if isinstance(each, Send)]
        reasons += [message.hops[0].why for message in said if isinstance(message, Result)]
    assert [" on n1" in reason for reason in reasons] == [*[True] * 10, False]


def test_a_task_does_not_go_back_at_once_to_a_neighbour_that_refused_it() -> None:
    node, site = node_among(2), Site(0, 2, alike=True)
    del node.me.tasks["slow"]
    site.told(node.handle(Asked("a", "dev", Task("t1", "slow", b"")), 0))
    [(first, id)] = site.away
    site.told(node.handle(Replied("a", Refused(id, first, "leaving", "good bye", 1000)), 0))
    assert {node for node, _ in site.away} == {"n1", "n2"}
