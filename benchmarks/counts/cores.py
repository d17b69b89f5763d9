"""How many lines of Python the cores run for a task: exact, whatever the machine does, and loops over the site show.

A client and a node know so many nodes, and have so many tasks at once. What workers and other nodes do is made up.
"""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from fogsdk.core.client import Client
from fogsdk.core.commands import Send, Start
from fogsdk.core.events import Asked, Event, JobDone, LinkUp, NodeHeard, Replied, Submit
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.node.main import AHEAD, EXPRESS
from fogsdk.wire.messages import Birth, Hop, Reply, Result, Task, TaskInfo

SITE, LINK = "home", "broker"
TASKS = (TaskInfo("increment", weight="light"),)
BODY = b"\x82\x81\x01\xa0"


def client_lines(nodes: int, outstanding: int) -> float:
    """Lines that a client runs for a task, with so many nodes there and tasks at once."""
    client = Client(SITE, "device")
    client.start()
    return _count(client, nodes, map(Submit, _tasks()), outstanding)


def node_lines(nodes: int, outstanding: int) -> float:
    """Lines that a node runs for a task, with so many other nodes there."""
    tasks = {info.name: info for info in TASKS}
    node = Node(Identity("node-0", SITE, workers=2, express=EXPRESS, ahead=AHEAD, incarnation=1, tasks=tasks))
    node.start()
    return _count(node, nodes, (Asked(LINK, "device", task) for task in _tasks()), outstanding)


def _tasks() -> Iterator[Task]:
    return (Task(f"t-{number:x}", TASKS[0].name, BODY) for number in itertools.count())


def _count(core: Client | Node, nodes: int, asked: Iterator[Event], outstanding: int) -> float:
    core.handle(LinkUp(LINK), 0)
    for number in range(1, nodes + 1):
        core.handle(NodeHeard(LINK, f"node-{number}", Birth(1, "fog", 2, TASKS)), 0)
    world = _World(core)
    world.round(asked, outstanding)  # what is done once is not counted
    return _lines(lambda: world.round(asked, outstanding)) / outstanding


class _World:
    """What is around a core: each job and each task that is handed out is done at once, in order."""

    def __init__(self, core: Client | Node) -> None:
        self._core = core
        self._events: deque[Event] = deque()
        self._now = 1

    def round(self, asked: Iterator[Event], count: int) -> None:
        """So many tasks at once, until all are done."""
        for _ in range(count):
            self._handle(next(asked))
        while self._events:
            self._handle(self._events.popleft())
        self._now += 1

    def _handle(self, event: Event) -> None:
        for command in self._core.handle(event, self._now):
            if isinstance(command, Start):
                self._events.append(JobDone(command.job, b"\x02", 0.1))
            elif isinstance(command, Send) and isinstance(command.message, Task):
                self._events.append(Replied(command.link, _reply(command)))
        self._core.catch_up()
        self._core.deadline()


def _reply(send: Send) -> Reply:
    node = send.topic.split("/")[4]
    return Result(send.message.id, b"\x02", (Hop(node, "ran", ran=0.1, took=1.0),))  # type: ignore[union-attr]


def _lines(work: Callable[[], Any]) -> int:
    """Lines that run in it, each turn of a loop anew."""
    count = 0

    def trace(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count
