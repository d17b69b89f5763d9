"""How fast a device hands out what waits: to a node that was silent, and to one that is full."""

from __future__ import annotations

from itertools import pairwise

from fogsdk.core.client import Client
from fogsdk.core.commands import Command, Send, Settled
from fogsdk.core.events import LinkUp, NodeHeard, Replied, Submit, Tick
from fogsdk.wire.messages import Accepted, Birth, Hop, Refused, Reply, Result, Task, TaskInfo

ROUND_TRIP = 10


class Device:
    """A device that has handed ``tasks`` to the only node there is, and a clock; ``there`` are those on the node."""

    def __init__(self, tasks: int) -> None:
        self.now = 0
        self.there: list[str] = []
        self.done = 0
        self.client = Client("home", "dev")
        self.client.handle(LinkUp("a"), 0)
        self.client.handle(NodeHeard("a", "n0", Birth(1, "fog", 2, (TaskInfo("work", weight="light"),))), 0)
        for number in range(tasks):
            self._carry_out(self.client.handle(Submit(Task(f"t{number}", "work", b"")), 0))
        assert len(self.there) == tasks

    def silence(self) -> None:
        """The node forgets everything and says nothing, until it is tried again."""
        self.there.clear()
        while not self.there:
            self.now = max(self.now, self.client.deadline() or 0)
            self._carry_out(self.client.handle(Tick(), self.now))

    def round(self, room: int) -> int:
        """The node refuses what it has no ``room`` for, and then does the others; returns how many it refused."""
        self.now += ROUND_TRIP
        came, self.there = self.there, []
        for id in came[room:]:
            self._hear(Refused(id, "n0", "overloaded", "it is full", 5 * ROUND_TRIP))
        for id in came[:room]:
            self._hear(Result(id, b"\xf6", (Hop("n0", "ran", ran=1.0, took=1.0),)))
        self._tick()
        return len(came[room:])

    def accept(self) -> None:
        """The node says that it has what it was handed, and goes on with it."""
        self.now += ROUND_TRIP
        for id in tuple(self.there):
            self._hear(Accepted(id, "n0"))
        self._tick()

    def _tick(self) -> None:
        while (due := self.client.deadline()) is not None and due <= self.now:
            self._carry_out(self.client.handle(Tick(), self.now))

    def _hear(self, reply: Reply) -> None:
        self._carry_out(self.client.handle(Replied("a", reply), self.now))

    def _carry_out(self, commands: list[Command]) -> None:
        for each in commands:
            if isinstance(each, Send) and isinstance(each.message, Task):
                self.there.append(each.message.id)
            self.done += isinstance(each, Settled)


def test_a_node_that_was_silent_is_handed_twice_as_much_in_each_round() -> None:
    device = Device(240)
    device.silence()
    handed = []
    while device.done < 240:
        handed.append(len(device.there))
        device.round(240)
    assert handed == [32, 64, 128, 16]


def test_a_node_that_is_full_is_kept_busy_and_refuses_hardly_anything() -> None:
    device = Device(1000)
    assert device.round(100) == 900
    rounds, refused = 0, 0
    while device.done < 1000:
        refused += device.round(100)
        rounds += 1
    assert rounds <= 20, "nine at the best, and five until what was refused is tried again"
    assert refused <= 50, "a few in each round"


def test_a_node_that_was_full_is_handed_a_few_tasks_more_in_each_round() -> None:
    device = Device(3000)
    for _ in range(10):
        device.round(100)
    handed = []
    for _ in range(10):
        handed.append(len(device.there))
        device.round(3000)
    assert {later - earlier for earlier, later in pairwise(handed)} <= {3, 4}


def test_tasks_that_run_for_long_do_not_hold_up_those_behind_them() -> None:
    """A node that was silent has them all as soon as it has said of each that it has it."""
    device = Device(200)
    device.silence()
    assert len(device.there) == 32
    for _ in range(3):
        device.accept()
    assert len(device.there) == 200


def test_that_a_full_node_has_a_task_is_no_room_for_another() -> None:
    device = Device(1000)
    device.round(100)
    while len(device.there) < 100:
        device.round(100)
    handed = len(device.there)
    device.accept()
    assert len(device.there) == handed
