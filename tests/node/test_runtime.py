"""The daemon's shell: what comes together is taken in before jobs start, and a bug costs no more than one task."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from fogsdk.core.commands import Start
from fogsdk.core.events import Asked, Event, JobDone, LinkUp, Offer
from fogsdk.core.held import Held
from fogsdk.core.identity import Identity
from fogsdk.core.work import Work
from fogsdk.device.url import Credentials
from fogsdk.errors import ConfigError
from fogsdk.node.executor import Emit
from fogsdk.node.recorder import Recorder, read
from fogsdk.node.runtime import Runtime
from fogsdk.sim.replay import replay
from fogsdk.wire.messages import Hop, Task, TaskInfo
from tests.node.executor_contract import on_a_loop


def test_a_file_that_is_no_record_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    for content in (b"a shopping list", b"\x00\x00\x00\x01\x00", bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="is not a record of `fognode --record`"):
            Recorder(path, Identity("n1", "home"))
        assert path.read_bytes() == content
        with pytest.raises(ConfigError, match="is not a record"):
            list(read(path))


class Idler:
    """An executor that only writes down what it was told to start; ``held`` is how much the node had taken on then."""

    slots = 1

    def __init__(self) -> None:
        self.started: list[str] = []
        self.held: list[int] = []
        self.runtime: Runtime
        self.fails_on = ""

    async def open(self, emit: Emit) -> None:
        emit(Offer((TaskInfo("tiny"), TaskInfo("long", weight="middle"))))

    def start(self, job: Start) -> None:
        if job.id == self.fails_on:
            raise OSError("as a bug would")
        self.started.append(job.id)
        self.held.append(len(self.runtime.node.held))

    def stop(self, job: int) -> None: ...

    async def close(self) -> None: ...


async def opened(record: Path | None = None) -> Idler:
    """A runtime whose one worker is busy with a task that runs for 0.05 ms."""
    idler, identity = Idler(), Identity("n1", "home", workers=1, ahead=2.0)
    recorder = None if record is None else Recorder(record, identity)
    idler.runtime = Runtime(identity, idler, Credentials(), recorder=recorder)
    await idler.runtime.open()
    idler.runtime.tell(LinkUp("a"), asked("before"))
    idler.runtime.tell(JobDone(1, b"\xf6", 0.05), asked("first"))
    return idler


def asked(id: str) -> Event:
    return Asked("a", "dev", Task(id, "tiny", b"\x82\x80\xa0"))


@on_a_loop
async def test_all_tasks_of_a_message_are_taken_in_before_the_first_is_started_behind_another() -> None:
    idler = await opened()
    idler.runtime.tell(*(asked(f"t{number}") for number in range(9)))
    assert idler.started[-9:] == [f"t{number}" for number in range(9)]
    assert idler.held[-9:] == [10] * 9
    await idler.runtime.close()


@on_a_loop
async def test_a_job_that_cannot_be_started_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    idler = await opened()
    idler.fails_on = "t1"
    with caplog.at_level(logging.ERROR):
        idler.runtime.tell(*(asked(f"t{number}") for number in range(4)))
    assert "as a bug would" in caplog.text
    idler.runtime.tell(asked("next"))
    assert idler.started[-4:] == ["t0", "t2", "t3", "next"]
    await idler.runtime.close()


@on_a_loop
async def test_nor_does_one_that_would_start_with_others_on_a_worker_that_comes_free(
    caplog: pytest.LogCaptureFixture,
) -> None:
    idler = await opened()
    idler.runtime.tell(JobDone(2, b"\xf6", 0.05), Asked("a", "dev", Task("slow", "long", b"\x82\x80\xa0")))
    idler.runtime.tell(*(asked(f"t{number}") for number in range(4)))
    assert idler.started[-1] == "slow"
    idler.fails_on = "t1"
    [job] = idler.runtime.node.work.queue.running
    with caplog.at_level(logging.ERROR):
        idler.runtime.tell(JobDone(job, b"\xf6", 0.05))
    assert "as a bug would" in caplog.text
    assert idler.started[-3:] == ["t0", "t2", "t3"]
    await idler.runtime.close()


@on_a_loop
async def test_a_record_replays_where_the_core_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These are the runs that a record is kept for."""
    idler = await opened(tmp_path / "record")
    trace = Work._hops

    def hops(work: Work, held: Held, *args: Any) -> tuple[Hop, ...]:
        if held.task.id == "first":
            raise KeyError("as a bug would")
        return trace(work, held, *args)

    monkeypatch.setattr(Work, "_hops", hops)
    idler.runtime.tell(*(asked(f"t{number}") for number in range(40)))
    idler.runtime.tell(JobDone(2, b"\xf6", 0.05))
    idler.runtime.tell(asked("next"))
    await idler.runtime.close()
    [life] = replay(tmp_path / "record")
    assert "KeyError" in str(life.history)
    assert life.events > 40
    assert not life.divergence
