"""Failures on purpose, on a real node: what is ordered is done, ends when it should, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

import fogsdk
from fogsdk.core.commands import Start
from fogsdk.core.events import JobLost, Offer
from fogsdk.node.chaos_links import BadLinks
from fogsdk.node.chaos_order import Order
from fogsdk.node.pool import Pool
from fogsdk.wire import values
from tests.node.pool_support import until
from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

TASKS = "tests.chaos.chaos_tasks"
ALLOWED = ("--allow-chaos", "--broker", "none")
SERVING = ("--allow-chaos", "--broker", "mosquitto")


class Victim:
    """A node that lets itself be disturbed, and a device."""

    def __init__(self, processes: Processes, url: str, *flags: str) -> None:
        self.url = url
        self.program: Program = processes.start_python(
            *("-m", "fogsdk.node.main", "--node", "victim", "--brokers", url, "--no-mdns", "--no-keep-journal"),
            *("--workers", "2", "--tasks", TASKS, *flags),
        )
        self.program.wait_for("connected to")
        self.fog = fogsdk.connect(url)
        eventually(self.fog.nodes, what="the node")

    def order(self, what: str, target: str = "", seconds: float = 1.0, **amounts: Any) -> Any:
        """Order a disturbance, and wait until it has begun."""
        known = self.program.output.count("chaos: ")
        answer = self.fog.run(
            "fog.chaos", {"what": what, "for": seconds, **({"target": target} if target else {}), **amounts}
        )
        eventually(lambda: self.program.output.count("chaos: ") > known, what="the beginning")
        return answer

    def ends(self) -> None:
        """Wait until a disturbance has ended by itself."""
        self.program.wait_for("chaos: over")

    def lives(self) -> list[psutil.Process]:
        """The node's processes: one, whichever life it is in."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[1:3] == ["-m", "fogsdk.node.main"] and self.url in process.cmdline():
                    found.append(process)
        return found

    def below(self, *statuses: str) -> list[psutil.Process]:
        """The processes below the node that are in one of these states."""
        [node] = self.lives()
        found = []
        for process in node.children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                if process.status() in statuses:
                    found.append(process)
        return found

    def close(self) -> None:
        self.fog.close()
        for process in self.lives():
            process.kill()
            if process.pid != self.program.pid:
                process.wait(5)
        self.program.wait()


@pytest.fixture
def victim(processes: Processes, mosquitto: Mosquitto) -> Iterator[Victim]:
    victim = Victim(processes, mosquitto.url, *ALLOWED)
    yield victim
    victim.close()


def seconds(victim: Victim) -> float:
    """How long a task takes that does nothing."""
    begun = time.monotonic()
    assert victim.fog.run("square", 2, deadline=20) == 4
    return time.monotonic() - begun


# ---------------------------------------------------------------- orders


WRONG_ORDERS = [
    ({}, "what is one of kill, freeze, slow, drop, delay, not None"),
    ({"what": "kill", "target": "links"}, "kill is done to worker or workers or node or broker, not to 'links'"),
    ({"what": "freeze", "target": "workers", "for": 3600}, "for is a number from 0 to 300, not 3600"),
    ({"what": "freeze", "target": "node", "for": 100}, "for is a number from 0 to 60, not 100"),
    ({"what": "drop", "probability": "all"}, "probability is a number from 0 to 1, not 'all'"),
    ({"what": "drop", "probability": 10**400}, "probability is a number from 0 to 1"),
    ({"what": "drop", "probability": float("nan")}, "probability is a number from 0 to 1, not nan"),
    ({"what": "drop", "probability": 10**5000}, "digits"),
    ({"what": "drop", "id": "x" * 100}, "id"),
    ({"what": "drop", "ms": 3}, "drop takes for, probability, not 'ms'"),
    ({"what": "freeze", "target": "broker"}, "this node serves no broker"),
    (["kill"], "an order is a map"),
]


def test_an_order_that_cannot_be_right_is_refused_and_the_error_says_why(victim: Victim) -> None:
    for order, complaint in WRONG_ORDERS:
        with pytest.raises(fogsdk.TaskRefused) as caught:
            victim.fog.run("fog.chaos", order)
        assert complaint in str(caught.value)
    assert "chaos: " not in victim.program.output


def test_a_node_that_does_not_allow_it_refuses(processes: Processes, mosquitto: Mosquitto) -> None:
    victim = Victim(processes, mosquitto.url, "--broker", "none")
    with pytest.raises(fogsdk.TaskRefused):
        victim.fog.run("fog.chaos", {"what": "status"})
    victim.close()


def test_an_order_says_itself_in_words_and_travels_unchanged() -> None:
    order = Order("delay", "links", 3.0, ms=100.0, jitter=50.0, id="a")
    assert str(order) == "delay links 100 to 150 ms for 3 s"
    assert Order.read(order.write()) == order
    assert str(Order("drop", "links", probability=0.3)) == "drop 30% on links for 5 s"
    assert str(Order("kill", "worker")) == "kill worker"


def test_the_node_tells_what_can_be_disturbed_and_what_is(victim: Victim) -> None:
    victim.order("freeze", "worker", 30)
    status = victim.fog.run("fog.chaos", {"what": "status"})
    assert status == {"targets": ["node", "links", "worker", "workers"], "now": ["freeze worker for 30 s"]}


# ---------------------------------------------------------------- workers


def test_a_killed_worker_is_replaced_and_its_task_runs_again(victim: Victim) -> None:
    future = victim.fog.submit("square", 2, 0.5)
    eventually(lambda: len(victim.below(psutil.STATUS_SLEEPING)) == 4)  # the fork server, and workers
    victim.order("kill", "worker")
    assert future.result(10) == 4
    assert future.trace is not None
    assert [hop.action for hop in future.trace.hops] == ["ran", "lost"]


def test_frozen_workers_stand_still_and_go_on_after_their_time(victim: Victim) -> None:
    victim.order("freeze", "workers", 1.0)
    eventually(lambda: len(victim.below(psutil.STATUS_STOPPED)) == 3)  # two and the express worker
    assert 0.5 < seconds(victim) < 5
    victim.ends()
    eventually(lambda: not victim.below(psutil.STATUS_STOPPED), what="no worker that stands still")


def test_one_frozen_worker_leaves_the_others_alone(victim: Victim) -> None:
    victim.order("freeze", "worker", 30)
    eventually(lambda: len(victim.below(psutil.STATUS_STOPPED)) == 1, what="one worker that stands still")


def test_slow_workers_stand_still_and_go_on_in_turn(victim: Victim) -> None:
    victim.order("slow", "workers", 30, factor=3)
    for _ in range(2):
        eventually(lambda: len(victim.below(psutil.STATUS_STOPPED)) == 3, what="all workers standing still")
        eventually(lambda: not victim.below(psutil.STATUS_STOPPED), what="all workers going on")
    assert victim.fog.run("burn", 100.0) > 150
    victim.fog.run("fog.chaos", {"what": "undo"})
    eventually(lambda: not victim.below(psutil.STATUS_STOPPED), what="no worker that stands still")


def test_undo_ends_everything_at_once(victim: Victim) -> None:
    victim.order("freeze", "workers", 60)
    victim.order("delay", seconds=60, ms=1.0)
    victim.fog.run("fog.chaos", {"what": "undo"})
    assert victim.fog.run("fog.chaos", {"what": "status"})["now"] == []
    eventually(lambda: not victim.below(psutil.STATUS_STOPPED), 5.0, what="no worker that stands still")
    assert seconds(victim) < 5


def test_a_node_that_is_asked_to_end_undoes_everything_first(victim: Victim) -> None:
    """Else it would wait for tasks of workers that stand still."""
    future = victim.fog.submit("square", 2, 0.3)
    victim.order("freeze", "workers", 60)
    assert victim.program.terminate(timeout=5) == 0
    assert future.result(5) == 4


def test_frozen_workers_die_with_a_node_that_is_killed(victim: Victim) -> None:
    victim.order("freeze", "workers", 60)
    below = victim.below(psutil.STATUS_STOPPED, psutil.STATUS_SLEEPING)
    victim.program.kill()
    _, left = psutil.wait_procs(below, timeout=5)
    assert left == []


def test_a_worker_killed_on_purpose_is_told_as_such() -> None:
    async def run() -> list[object]:
        events: list[object] = []
        pool = Pool([TASKS], 1)
        await pool.open(lambda *told: events.extend(event for event in told if not isinstance(event, Offer)))
        try:
            for job, send in ((1, pool.disturb), (2, lambda _numbers, what: os.kill(pid(), what))):
                pool.start(Start(job, "run", "square", (values.encode([[1, 10.0], {}]),)))
                await until(lambda: pool.workers() and pool._running and not pool._waiting)
                send(pool.workers(), signal.SIGKILL)
                await until(lambda job=job: len(events) == job)  # type: ignore[misc]
        finally:
            await pool.close()
        return events

    def pid() -> int:
        return max(psutil.Process().children(recursive=True), key=lambda process: process.create_time()).pid

    assert asyncio.run(run()) == [
        JobLost(1, "the worker was killed by SIGKILL", induced=True),
        JobLost(2, "the worker was killed by SIGKILL", induced=False),
    ]


# ---------------------------------------------------------------- the node itself


def test_a_frozen_node_goes_on_after_its_time_though_its_commander_is_gone(victim: Victim) -> None:
    victim.fog.run("fog.chaos", {"what": "freeze", "target": "node", "for": 1.0})
    victim.fog.close()
    node = psutil.Process(victim.program.pid)
    eventually(lambda: node.status() == psutil.STATUS_STOPPED, what="the node standing still")
    eventually(lambda: node.status() != psutil.STATUS_STOPPED, 5, what="the node going on")
    victim.fog = fogsdk.connect(victim.url)
    assert seconds(victim) < 5
    assert not node.children() or all("chaos_helper" not in " ".join(p.cmdline()) for p in node.children())


def test_a_slow_node_stands_still_most_of_the_time_and_undo_frees_it(victim: Victim) -> None:
    victim.order("slow", "node", 30, factor=20)
    node = psutil.Process(victim.program.pid)
    eventually(lambda: node.status() == psutil.STATUS_STOPPED, what="the node standing still")
    victim.fog.run("fog.chaos", {"what": "undo"})
    assert seconds(victim) < 0.5
    assert node.status() != psutil.STATUS_STOPPED


def test_a_killed_node_comes_back_as_it_was_started_and_obeys_its_last_order_no_second_time(victim: Victim) -> None:
    order = {"what": "kill", "target": "node", "for": 0.2, "id": "once"}
    before = psutil.Process(victim.program.pid)
    command, folder, variables = before.cmdline(), before.cwd(), before.environ()
    future = victim.fog.submit("square", 2, 1.0)
    assert victim.fog.run("fog.chaos", order) == "kill node for 0.2 s"
    assert victim.program.wait() == -signal.SIGKILL
    [after] = eventually(victim.lives, what="its next life")
    assert after.cmdline()[1:] == command[1:]
    assert (after.cwd(), variables.items() <= after.environ().items()) == (folder, True)
    assert future.result(20) == 4
    assert victim.fog.run("fog.chaos", order) == "kill node for 0.2 s"  # as when the first answer was lost
    assert seconds(victim) < 1
    assert victim.lives() == [after]


def test_a_node_that_a_service_manager_starts_again_is_left_to_it(processes: Processes, mosquitto: Mosquitto) -> None:
    os.environ["INVOCATION_ID"] = "of systemd"
    try:
        victim = Victim(processes, mosquitto.url, *ALLOWED)
    finally:
        del os.environ["INVOCATION_ID"]
    victim.fog.run("fog.chaos", {"what": "kill", "target": "node", "for": 0.0})
    assert victim.program.wait() == -signal.SIGKILL
    threading.Event().wait(0.5)  # it would be there within half of that
    assert victim.lives() == []
    victim.close()


# ---------------------------------------------------------------- the broker and the links


@pytest.fixture
def server(processes: Processes) -> Iterator[Victim]:
    """A node that serves its own broker."""
    port = free_port()
    victim = Victim(processes, f"mqtt://127.0.0.1:{port}", *SERVING, "--broker-port", str(port))
    yield victim
    victim.close()


def test_a_killed_broker_stays_away_for_its_time_and_comes_back(server: Victim) -> None:
    server.order("kill", "broker", 1.0)
    assert 0.5 < seconds(server) < 10


def test_a_frozen_broker_goes_on_after_its_time(server: Victim) -> None:
    server.order("freeze", "broker", 1.0)
    assert 0.5 < seconds(server) < 10
    [broker] = [child for child in psutil.Process(server.program.pid).children() if "mosquitto" in child.name()]
    assert broker.status() != psutil.STATUS_STOPPED


def test_links_that_drop_everything_recover(victim: Victim) -> None:
    victim.order("drop", seconds=0.5, probability=1)
    assert 0.3 < seconds(victim) < 10


def test_an_order_gets_through_links_that_drop_everything(victim: Victim) -> None:
    victim.order("drop", seconds=60, probability=1)
    victim.fog.run("fog.chaos", {"what": "undo"}, deadline=5)
    assert victim.fog.run("fog.chaos", {"what": "status"})["now"] == []


def test_delayed_links_cost_the_delay_there_and_back(victim: Victim) -> None:
    victim.order("delay", seconds=60, ms=100, jitter=20)
    assert 0.2 < seconds(victim) < 1
    victim.fog.run("fog.chaos", {"what": "undo"})
    assert seconds(victim) < 0.15


def test_messages_that_are_held_back_keep_their_order_and_come_out_at_the_end() -> None:
    async def run() -> list[int]:
        out: list[int] = []
        links = BadLinks(Order("delay", "links", ms=10, jitter=30), lambda: None)
        for number in range(20):
            links.carry("topic", b"", lambda number=number: out.append(number))  # type: ignore[misc]
        await until(lambda: len(out) > 3)
        links.end()
        return out

    assert asyncio.run(run()) == list(range(20))


def test_births_are_not_lost_and_everything_else_is() -> None:
    async def run() -> list[str]:
        out: list[str] = []
        links = BadLinks(Order("drop", "links", probability=1.0), lambda: None)
        for topic in ("fog/v1/home/node/a/birth", "fog/v1/home/node/a/beat", "fog/v1/home/reply/b"):
            links.carry(topic, b"", lambda topic=topic: out.append(topic))  # type: ignore[misc]
        links.end()
        return out

    assert asyncio.run(run()) == ["fog/v1/home/node/a/birth"]
