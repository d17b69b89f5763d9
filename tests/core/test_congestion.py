"""How fast a device hands out what waits: to a node that was silent, and to one that is full; and what a node says of
results that wait to leave."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from fogsdk.core.client import Client
from fogsdk.core.commands import Send, Settled, Start
from fogsdk.core.events import Asked, Congested, Event, JobDone, LinkUp, NodeHeard, Replied, Submit, Tick
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.wire.limits import INLINE_SIZE
from fogsdk.wire.messages import Accepted, Ask, Birth, Hop, Refused, Reply, Result, Task, TaskInfo

ROUND_TRIP = 10
MEANWHILE = 2000
"""When something happens while the node says nothing: then all wait for it."""
BIRTH = NodeHeard("a", "bridge", Birth(1, "cloud", 2, (TaskInfo("heavy", weight="heavy"),)))


class Device:
    """A device that has handed ``tasks`` to the only node there is, and a clock; ``there`` are those on the node."""

    def __init__(self, tasks: int) -> None:
        self.now = 0
        self.there: list[str] = []
        self.done = 0
        self.on_settled: Callable[[str], object] = str
        self.client = Client("home", "dev")
        self.client.handle(LinkUp("a"), 0)
        self.client.handle(NodeHeard("a", "n0", Birth(1, "fog", 2, (TaskInfo("work", weight="light"),))), 0)
        for number in range(tasks):
            self.submit(f"t{number}")
        assert len(self.there) == tasks

    def submit(self, id: str, **options: Any) -> None:
        """Its owner hands one more in."""
        self.happen(Submit(Task(id, "work", b"", **options)))

    def happen(self, event: Event) -> None:
        """Something happens, and the device does what follows from it."""
        for each in self.client.handle(event, self.now):
            if isinstance(each, Send) and isinstance(each.message, Task):
                self.there.append(each.message.id)
            if isinstance(each, Settled):
                self.done += 1
                self.on_settled(each.id)

    def silence(self, meanwhile: Event | None = None) -> None:
        """The node forgets everything and says nothing, until it is tried again."""
        self.there.clear()
        while not self.there:
            self.now = max(self.now, self.client.deadline() or 0)
            self.happen(Tick())
            if meanwhile is not None and self.now >= MEANWHILE:
                self.happen(meanwhile)
                meanwhile = None

    def round(self, room: int, final: str = "") -> int:
        """The node refuses what it has no ``room`` for, and then does the others, or refuses them too, for a ``final``
        reason; returns how many it had no room for."""
        self.now += ROUND_TRIP
        came, self.there = self.there, []
        for id in came[room:]:
            self._hear(Refused(id, "n0", "overloaded", "it is full", 5 * ROUND_TRIP))
        for id in came[:room]:
            hops = (Hop("n0", "ran", ran=1.0, took=1.0),)
            self._hear(Refused(id, "n0", final) if final else Result(id, b"\xf6", hops))
        self._tick()
        return len(came[room:])

    def accept(self, which: tuple[str, ...] = ()) -> None:
        """The node says that it has what it was handed, or some of that, and goes on with it."""
        self.now += ROUND_TRIP
        for id in which or tuple(self.there):
            self._hear(Accepted(id, "n0"))
        self._tick()

    def _tick(self) -> None:
        while (due := self.client.deadline()) is not None and due <= self.now:
            self.happen(Tick())

    def _hear(self, reply: Reply) -> None:
        self.happen(Replied("a", reply))


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


def test_a_node_that_says_twice_that_it_has_a_task_makes_room_for_no_more() -> None:
    device = Device(200)
    device.silence()
    first = tuple(device.there)
    device.accept(first)
    handed = len(device.there)
    device.accept(first)
    assert len(device.there) == handed


def test_that_a_full_node_has_a_task_is_no_room_for_another() -> None:
    device = Device(1000)
    device.round(100)
    while len(device.there) < 100:
        device.round(100)
    handed = len(device.there)
    device.accept()
    assert len(device.there) == handed


def test_tasks_that_a_node_refuses_for_good_make_way_for_others_too() -> None:
    """As those do whose kind is locked up since it made the node stall."""
    device = Device(2000)
    device.silence()
    rounds = 0
    while device.done < 2000:
        device.round(2000, final="quarantined")
        rounds += 1
    assert rounds <= 12, "twice as many in each"


@pytest.mark.parametrize("meanwhile", [LinkUp("b"), BIRTH])
def test_what_makes_all_look_again_does_not_make_them_wait_for_the_last_one(meanwhile: Event) -> None:
    plain, other = Device(5000), Device(5000)
    plain.silence()
    other.silence(meanwhile)
    assert other.now - plain.now < 600, "a look in vain, and the next one"


def test_tasks_that_any_node_may_take_do_not_wait_behind_those_for_a_node_that_is_away() -> None:
    device = Device(2000)
    for number in range(10_000):
        device.happen(Submit(Task(f"p{number}", "work", b""), to="n1"))
    device.silence()
    assert device.now < 7000
    for _ in range(12):
        device.round(2000)
    assert device.done == 2000


def test_who_submits_in_a_callback_does_not_take_the_place_of_those_that_wait() -> None:
    device, loops = Device(300), 200

    def again(id: str) -> None:
        if id.startswith("loop"):
            device.submit(id.partition("/")[0] + f"/{device.done}")

    device.on_settled = again
    for number in range(loops):
        device.submit(f"loop{number}")
    came = {id for id in device.there if id.startswith("t")}
    while came and device.done < 10_000:
        device.round(100)
        came &= {*device.there, *device.client.ledger.entries}
    assert device.done < 2000


@pytest.mark.parametrize("priority", [-1, 0, 5])
def test_a_node_that_was_silent_is_handed_no_more_of_what_is_more_urgent(priority: int) -> None:
    device = Device(100)
    device.submit("last", priority=-1)
    while device.done <= 100:
        device.round(100)
    device.submit("it is tried with this one")
    device.silence()
    for number in range(500):
        device.submit(f"new{number}", priority=priority)
    assert len(device.there) == 32


@pytest.mark.parametrize(("size", "is_small"), [(10, True), (INLINE_SIZE + 1, False)])
def test_a_result_that_waits_to_leave_is_not_sent_a_second_time(size: int, is_small: bool) -> None:
    node = Node(Identity("n1", "home", tasks={"work": TaskInfo("work")}, workers=1))
    node.handle(LinkUp("a"), 0)
    node.handle(LinkUp("b"), 0)
    [start] = [each for each in node.handle(Asked("a", "dev", Task("t1", "work", b"")), 0) if isinstance(each, Start)]
    node.handle(JobDone(start.job, bytes(size), 1.0), 1)

    def answer(link: str, message: Any) -> type[Any]:
        [send] = [each for each in node.handle(Asked(link, "dev", message), 2) if isinstance(each, Send)]
        return type(send.message)

    again = Task("t1", "work", b"")
    assert [answer("a", Ask("t1")), answer("a", again)] == [Result, Result]
    node.handle(Congested("a", True), 2)
    wanted = Accepted if is_small else Result  # what travels in chunks is only announced
    assert [answer("a", Ask("t1")), answer("a", again)] == [wanted, wanted]
    assert answer("b", Ask("t1")) is Result, "another link"
    assert answer("a", Ask("t2")) is Refused
    node.handle(Congested("a", False), 2)
    assert answer("a", Ask("t1")) is Result
