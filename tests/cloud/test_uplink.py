"""The bridge's uplink, with a disk that takes its time: nothing else waits for it, and what depends on it does."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fogsdk.cloud import uplink
from fogsdk.cloud.spool import LARGE, Record, Spool
from fogsdk.cloud.uplink import Uplink, remote_id
from fogsdk.core.commands import Settled, Start
from fogsdk.core.events import Asked, JobDone, JobEvent, JobRefused, Submit, Withdraw
from fogsdk.device.url import Credentials
from fogsdk.wire import codec
from fogsdk.wire.messages import Birth, Result, Task, TaskInfo
from tests.node.executor_contract import on_a_loop
from tests.node.pool_support import until

CRUNCH = TaskInfo("crunch", weight="heavy")
FLEXIBLE = TaskInfo("flexible", weight="heavy", fallback="fog")
SMALL, BODY = b"small", bytes(range(256)) * (3 * LARGE // 256)


class SlowSpool(Spool):
    """Its large records are written when ``gate`` is open."""

    def __init__(self, path: Path, **limits: Any) -> None:
        super().__init__(path, **limits)
        self.gate = threading.Event()
        self.at_gate = False

    def put(self, record: Record, body: Any = b"") -> None:
        """Wait for the gate."""
        self._wait(body)
        super().put(record, body)

    def finish(self, sender: str, id: str, result: bytes, body: Any = b"") -> None:
        """Wait for the gate."""
        self._wait(body)
        super().finish(sender, id, result, body)

    def _wait(self, body: Any) -> None:
        if body:
            self.at_gate = True
            assert self.gate.wait(30)


class FakeDriver:
    """A core site that is there, or away; ``told`` is what it heard."""

    def __init__(self, *_: object) -> None:
        self.told: list[Submit | Withdraw] = []
        self.offered: tuple[TaskInfo, ...] = (CRUNCH, FLEXIBLE)
        self.up = threading.Event()
        self.up.set()

    def start(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def nodes(self) -> dict[str, Birth]:
        """One node."""
        return {"core-1": Birth(1, "core", 1, self.offered)}

    def tell(self, event: Submit | Withdraw) -> None:
        """Note it."""
        self.told.append(event)


class Bridge:
    """An uplink, the driver below it, and the node core above it, which has ``room`` for so many spooled tasks."""

    def __init__(self, spool: SlowSpool, room: int) -> None:
        self.spool, self.room = spool, room
        self.uplink = Uplink(spool, "core", "bridge", (), Credentials())
        self.driver: Any = self.uplink._driver
        self.events: list[JobEvent] = []
        self.refused: list[str] = []
        self.jobs = 100

    def emit(self, *events: Any) -> None:
        """What the core does with what it hears."""
        for event in events:
            if isinstance(event, Asked) and isinstance(event.message, Task):
                self._asked(event.message)
            elif hasattr(event, "job"):
                self.events.append(event)

    def _asked(self, task: Task) -> None:
        if not self.room:
            self.refused.append(task.id)
            return
        self.room -= 1
        self.jobs += 1
        self.start(self.jobs, task.id, task.body)

    def start(self, job: int, id: str, body: Any, name: str = "crunch") -> None:
        """Start a job of a phone's."""
        self.uplink.start(Start(job, "run", name, (body,), sender="phone", id=id))

    def sent(self) -> list[str]:
        """The ids of what went up."""
        known = {remote_id("phone", id): id for id in ("a", "b", "c")}
        return [known[told.task.id] for told in self.driver.told if isinstance(told, Submit)]

    def settle(self, id: str, outcome: Any) -> None:
        """Have the core site answer."""
        threading.Thread(target=self.uplink._from_thread, args=(Settled(remote_id("phone", id), outcome),)).start()


Open = Callable[..., Any]


@pytest.fixture
def open_bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    monkeypatch.setattr(uplink, "Driver", FakeDriver)
    monkeypatch.setattr(uplink, "LOOK_EVERY", 0.01)

    @asynccontextmanager
    async def open_(room: int = 100, **limits: Any) -> AsyncIterator[Bridge]:
        bridge = Bridge(SlowSpool(tmp_path / "spool.db", **limits), room)
        await bridge.uplink.open(bridge.emit)
        try:
            yield bridge
        finally:
            bridge.spool.gate.set()
            await bridge.uplink.close()

    return open_


@on_a_loop
async def test_a_small_task_is_on_the_disk_and_goes_up_at_once(open_bridge: Open) -> None:
    async with open_bridge() as bridge:
        bridge.start(1, "a", SMALL)
        assert bridge.spool.get("phone", "a") is not None
        assert bridge.sent() == ["a"]


@on_a_loop
async def test_while_a_large_task_is_written_the_loop_goes_on_and_the_task_goes_up_afterwards(
    open_bridge: Open,
) -> None:
    async with open_bridge() as bridge:
        bridge.start(1, "a", memoryview(BODY))
        await until(lambda: bridge.spool.at_gate)  # which it can see, as the loop goes on
        assert bridge.sent() == []
        bridge.spool.gate.set()
        await until(bridge.sent)
        assert bridge.spool.body("phone", "a") == BODY
        assert bridge.driver.told[0].task.body == BODY


@on_a_loop
async def test_what_comes_behind_a_large_task_goes_up_after_it_in_order(open_bridge: Open) -> None:
    async with open_bridge() as bridge:
        for job, (id, body) in enumerate((("a", BODY), ("b", SMALL), ("c", BODY))):
            bridge.start(job, id, body)
        assert bridge.sent() == []
        bridge.spool.gate.set()
        await until(lambda: len(bridge.sent()) == 3)
        assert bridge.sent() == ["a", "b", "c"]


@on_a_loop
async def test_a_task_stopped_while_it_is_written_never_goes_up_and_leaves_no_record(open_bridge: Open) -> None:
    async with open_bridge() as bridge:
        bridge.start(1, "a", BODY)
        bridge.start(2, "b", SMALL)
        bridge.uplink.stop(1)
        bridge.spool.gate.set()
        await until(bridge.sent)
        await bridge.uplink._line.empty()
        assert bridge.sent() == ["b"]
        assert bridge.spool.waiting() == [("phone", "b")]
        bridge.start(3, "a", SMALL)
        assert bridge.sent() == ["b", "a"]


@on_a_loop
async def test_a_large_result_is_on_the_disk_before_its_sender_hears_of_it(open_bridge: Open) -> None:
    async with open_bridge() as bridge:
        bridge.start(1, "a", SMALL)
        bridge.settle("a", Result(remote_id("phone", "a"), BODY))
        await until(lambda: bridge.spool.at_gate)
        assert bridge.events == []
        bridge.spool.gate.set()
        await until(lambda: bridge.events)
        assert bridge.spool.body("phone", "a") == BODY
    async with open_bridge(room=0) as bridge:
        bridge.start(1, "a", SMALL)
        await until(lambda: bridge.events)
        [again] = bridge.events
        assert isinstance(again, JobDone)
        assert again.value == BODY
        assert bridge.sent() == []


@on_a_loop
async def test_a_large_task_that_the_spool_has_no_room_for_is_refused(open_bridge: Open) -> None:
    async with open_bridge(most_bytes=LARGE) as bridge:
        bridge.spool.gate.set()
        bridge.start(1, "a", BODY)
        await until(lambda: bridge.events)
        [refused] = bridge.events
        assert isinstance(refused, JobRefused)
        assert (refused.reason, bridge.sent(), bridge.spool.waiting()) == ("overloaded", [], [])


@on_a_loop
async def test_what_may_run_in_the_fog_leaves_the_spool_before_it_is_given_back(open_bridge: Open) -> None:
    async with open_bridge() as bridge:
        await until(lambda: bridge.uplink._offered)
        bridge.start(1, "a", SMALL, "flexible")
        bridge.start(2, "b", SMALL)
        bridge.start(3, "c", BODY)
        bridge.driver.up.clear()
        await until(lambda: len(bridge.driver.told) == 3)  # it was withdrawn
        assert bridge.events == []  # the spool has something else to do
        bridge.spool.gate.set()
        await until(lambda: bridge.events)
        assert [(event.job, event.reason) for event in bridge.events] == [(1, "overloaded")]
        assert bridge.spool.waiting() == [("phone", "b"), ("phone", "c")]


@on_a_loop
async def test_a_spooled_task_that_the_core_has_no_room_for_is_taken_up_when_another_ends(open_bridge: Open) -> None:
    """Nobody else would hand it in again: its sender may be gone."""
    async with open_bridge() as bridge:
        bridge.spool.gate.set()
        await until(bridge.spool.offer)
        bridge.start(1, "a", SMALL)
        bridge.start(2, "b", BODY)
        await until(lambda: len(bridge.sent()) == 2)
    async with open_bridge(room=1) as bridge:
        bridge.spool.gate.set()
        await until(lambda: bridge.refused)
        assert (bridge.sent(), bridge.refused) == (["a"], ["b"])
        bridge.room = 1
        bridge.settle("a", Result(remote_id("phone", "a"), SMALL))
        await until(lambda: len(bridge.sent()) == 2)
        assert bridge.driver.told[1].task.body == BODY


@on_a_loop
async def test_a_spooled_task_outlives_that_its_node_at_the_core_site_is_away_for_a_while(open_bridge: Open) -> None:
    async with open_bridge() as bridge:
        await until(bridge.spool.offer)
        bridge.start(1, "a", SMALL)
    async with open_bridge(room=0) as bridge:
        await until(lambda: bridge.refused)
        bridge.driver.offered = (FLEXIBLE,)
        await until(lambda: bridge.uplink._offered == (FLEXIBLE,))
        await until(lambda: len(bridge.refused) > 1)
        bridge.driver.offered, bridge.room = (CRUNCH, FLEXIBLE), 1
        await until(bridge.sent)


@on_a_loop
async def test_a_spooled_task_whose_deadline_has_passed_is_dropped(open_bridge: Open) -> None:
    message = codec.encode([Task(remote_id("phone", "a"), "crunch", SMALL)])
    async with open_bridge() as bridge:
        await until(bridge.spool.offer)
        bridge.spool.put(Record("phone", "a", message, time.time() - 60, 1000))
    async with open_bridge() as bridge:
        await until(lambda: not bridge.spool.waiting())
        assert bridge.sent() == []
