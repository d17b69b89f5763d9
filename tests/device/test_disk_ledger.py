"""The device's ledger file by itself: who waits for the disk and who does not, limits, clocks, what cannot be read."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fogsdk import TaskRefused
from fogsdk.device import diskledger
from fogsdk.device.diskledger import DiskLedger
from fogsdk.wire.messages import Task
from tests.support.waiting import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[DiskLedger]:
    ledger = DiskLedger(path, "home", "phone")
    yield ledger
    ledger.close()


def task(id: str, **fields: object) -> Task:
    return Task(id, "add", b"\x82\x82\x02\x03\xa0", **fields)  # type: ignore[arg-type]


def left(path: Path) -> list[Task]:
    """What the next program finds."""
    ledger = DiskLedger(path, "home", None)
    try:
        return ledger.take_left()
    finally:
        ledger.close()


def test_what_was_put_and_not_removed_is_left_in_order(ledger: DiskLedger, path: Path) -> None:
    for number in range(5):
        ledger.put(task(f"t-{number}", priority=number))
    ledger.remove("t-1")
    ledger.remove("never-there")
    ledger.close()
    assert left(path) == [task(f"t-{number}", priority=number) for number in (0, 2, 3, 4)]


def test_tasks_that_come_during_a_commit_share_the_next(ledger: DiskLedger) -> None:
    """Nobody waits for a timer, and 20 that wait for the disk wait for it once."""
    commits: list[str] = []
    hold, held = threading.Event(), threading.Event()

    def watch(statement: str) -> None:
        if statement == "COMMIT":
            commits.append(statement)
            held.set()
            hold.wait(10)

    ledger._db.set_trace_callback(watch)
    with ThreadPoolExecutor(21) as threads:
        first = threads.submit(ledger.put, task("first"))
        assert held.wait(10)
        others = [threads.submit(ledger.put, task(f"t-{number}")) for number in range(20)]
        eventually(lambda: ledger._orders.qsize() == 20)
        assert not first.done()
        hold.set()
        for each in [first, *others]:
            each.result(10)
    ledger._db.set_trace_callback(None)
    assert len(commits) == 2


def test_removing_waits_for_nothing(ledger: DiskLedger) -> None:
    hold, held = threading.Event(), threading.Event()

    def watch(statement: str) -> None:
        if statement == "COMMIT":
            held.set()
            hold.wait(10)

    ledger.put(task("t-1"))
    ledger._db.set_trace_callback(watch)
    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(ledger.put, task("t-2"))
        assert held.wait(10)
        begun = time.monotonic()
        ledger.remove("t-1")
        assert time.monotonic() - begun < 0.1
        hold.set()
        writing.result(10)
    eventually(lambda: not ledger.holds("t-1"))


def test_beyond_its_limits_it_refuses_until_there_is_room(ledger: DiskLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diskledger, "MOST_TASKS", 2)
    monkeypatch.setattr(diskledger, "MOST_BYTES", 1000)
    ledger.put(task("t-1"))
    with pytest.raises(TaskRefused, match=r"overloaded: the ledger .*tasks\.db holds 1 tasks with \d+ bytes: no room"):
        ledger.put(Task("large", "add", bytes(1000)))
    ledger.put(task("t-2"))
    with pytest.raises(TaskRefused, match="holds 2 tasks"):
        ledger.put(task("t-3"))
    ledger.remove("t-1")
    ledger.put(task("t-3"))


def test_what_others_keep_is_not_written(ledger: DiskLedger, path: Path) -> None:
    """Posted tasks are on the disks of nodes, steps are their session's, and questions to nodes are nobody's."""
    ledger.put(task("posted", keep=1000))
    ledger.put(task("step", session="cart", step=1))
    ledger.put(Task("asked", "fog.fetch", b""))
    ledger.put(task("mine"))
    ledger.close()
    assert [each.id for each in left(path)] == ["mine"]


def test_what_is_left_of_a_deadline_is_by_the_clock_on_the_wall(ledger: DiskLedger, path: Path) -> None:
    """A clock that was set back gives no task more time than it had."""
    now = time.time()
    for id, ago in (("new", 0), ("old", 40), ("past", 100), ("from-tomorrow", -86400)):
        ledger.put(task(id, deadline=60_000))
        with ledger._db:
            ledger._db.execute("UPDATE task SET submitted_at = ? WHERE id = ?", (now - ago, id))
    ledger.put(task("without"))
    ledger.close()
    found = {each.id: each.deadline for each in left(path)}
    assert found["without"] is None
    assert 59_000 < (found["new"] or 0) <= 60_000
    assert 19_000 < (found["old"] or 0) <= 20_000
    assert found["past"] == 0
    assert found["from-tomorrow"] == 60_000


def test_a_task_that_cannot_be_read_stays_and_keeps_no_other_from_running(
    ledger: DiskLedger, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for id in ("t-1", "t-2"):
        ledger.put(task(id))
    with ledger._db:
        ledger._db.execute("UPDATE task SET message = x'ff' WHERE id = 't-1'")
    ledger.close()
    assert [each.id for each in left(path)] == ["t-2"]
    assert "task t-1 cannot be read" in caplog.text
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT COUNT(*) FROM task").fetchone() == (2,)
    db.close()


def test_it_is_synced_at_each_commit(ledger: DiskLedger) -> None:
    assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert ledger._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
