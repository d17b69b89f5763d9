"""What submit returns: progress, cancelling, the trace; threads, callbacks, and the end of a Fog."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from fogsdk import DeadlineExceeded, Fog, FogError
from tests.e2e.journal import Journal
from tests.e2e.site import Site
from tests.support.waiting import eventually


def begun(journal: Journal, name: str) -> int:
    """Wait until a task has begun; returns the id of its worker process."""
    [entry] = eventually(lambda: journal.begun(name), what=f"the beginning of {name}")
    return entry.pid


def test_progress_comes_in_order_and_ends_at_one(fog: Fog, journal: Journal) -> None:
    future = fog.submit("work", journal.path, "long", 0.5)
    heard: list[float] = []
    future.on_progress(heard.append)
    assert future.result() == "long"
    assert len(heard) >= 2
    assert heard == sorted(heard)
    assert all(0.0 <= fraction <= 1.0 for fraction in heard)
    assert future.progress == 1.0


def broken(fraction: float) -> None:
    raise IndexError(fraction)


def test_a_progress_watcher_that_raises_harms_nobody(
    fog: Fog, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    future = fog.submit("work", journal.path, "long", 0.3)
    heard: list[float] = []
    future.on_progress(broken)
    future.on_progress(heard.append)
    assert future.result(5) == "long"
    assert fog.run("increment", 1) == 2
    assert heard
    assert "IndexError" in caplog.text


def test_cancel_stops_the_task_in_its_worker_process(fog: Fog, journal: Journal) -> None:
    future = fog.submit("work", journal.path, "long", 30.0)
    pid = begun(journal, "long")
    assert future.cancel()
    assert not future.cancel() or future.cancelled()
    with pytest.raises(CancelledError):
        future.result()
    eventually(lambda: not psutil.pid_exists(pid), what="the end of the worker")
    assert not journal.ended("long")
    assert fog.run("increment", 1) == 2


def test_a_task_cancelled_in_the_queue_never_begins(site: Site, fog: Fog, journal: Journal) -> None:
    gate = Path(f"{journal.path}-gate")
    held = [fog.submit("hold", journal.path, "blocker", str(gate)) for _ in range(2)]
    queued = fog.submit("work", journal.path, "queued", 0.0)
    site.wait_for_queue("n1", 1)
    assert queued.cancel()
    site.wait_for_queue("n1", 0)
    gate.touch()
    for each in held:
        each.result()
    fog.run("work", journal.path, "after", 0.0)
    assert not journal.begun("queued")


def test_what_is_done_cannot_be_cancelled(fog: Fog) -> None:
    future = fog.submit("increment", 1)
    assert future.result() == 2
    assert not future.cancel()


def test_the_trace_says_where_a_task_ran_why_and_how_long(fog: Fog, journal: Journal) -> None:
    future = fog.submit("work", journal.path, "traced", 0.2)
    future.result()
    trace = future.trace
    assert trace is not None
    [hop] = trace.hops
    assert (hop.node, hop.action) == ("n1", "ran")
    assert "here" in hop.why
    assert 200 <= trace.ran <= trace.total + 1
    assert trace.ran + trace.queued + trace.travelled <= trace.total + 2
    assert trace.nodes == ["n1"]
    assert "n1 ran" in str(trace)


def test_a_task_that_failed_has_a_trace_too(fog: Fog) -> None:
    future = fog.submit("fail", "no")
    assert future.exception() is not None
    assert future.trace is not None
    assert future.trace.nodes == ["n1"]


def test_eight_threads_share_one_fog(fog: Fog) -> None:
    def run_many(thread: int) -> list[int]:
        return [fog.run("increment", thread * 1000 + number) for number in range(50)]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(run_many, range(8)))
    assert answers == [[thread * 1000 + number + 1 for number in range(50)] for thread in range(8)]
    begun = time.monotonic()
    assert fog.run("increment", 1) == 2
    assert time.monotonic() - begun < 0.5, "waking the connection's thread got lost among them"


def test_a_callback_that_would_wait_for_itself_gets_a_clear_error(fog: Fog) -> None:
    errors: Future[BaseException] = Future()

    def callback(_: object) -> None:
        with pytest.raises(FogError) as caught:
            fog.run("increment", 1)
        errors.set_result(caught.value)

    fog.submit("increment", 1, 0.3).add_done_callback(callback)  # of one that is done, this thread would call it
    assert "use submit() there" in str(errors.result(5))


def test_a_callback_can_submit_the_next_task(fog: Fog) -> None:
    chained: Future[Future[int]] = Future()
    fog.submit("increment", 1).add_done_callback(
        lambda future: chained.set_result(fog.submit("increment", future.result()))
    )
    assert chained.result(5).result(5) == 3


def test_a_callback_of_a_task_that_ran_out_of_time_can_submit_the_next_at_once(fog: Fog) -> None:
    """Nothing comes in over the network then that would wake the thread which the callback is on."""
    expired: list[Future[object]] = []
    over = threading.Event()

    def next_one(future: Future[object]) -> None:
        expired.append(future)
        if len(expired) == 5:
            over.set()
        else:
            fog.submit("increment", 1, node="nobody", deadline=0.1).add_done_callback(next_one)

    before = time.monotonic()
    fog.submit("increment", 1, node="nobody", deadline=0.1).add_done_callback(next_one)
    assert over.wait(10)
    assert time.monotonic() - before < 3.0
    assert [type(future.exception()) for future in expired] == [DeadlineExceeded] * 5


def test_closing_cancels_what_is_open_and_stops_it(site: Site, journal: Journal) -> None:
    with site.connect() as fog:
        running = fog.submit("work", journal.path, "running", 30.0)
        pid = begun(journal, "running")
    assert running.cancelled()
    eventually(lambda: not psutil.pid_exists(pid), what="the end of the worker")
    assert not journal.ended()


def test_closing_wakes_who_waits_in_another_thread(site: Site, journal: Journal) -> None:
    fog = site.connect()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(fog.run, "work", journal.path, "long", 30.0)
        begun(journal, "long")
        fog.close()
        with pytest.raises(CancelledError):
            waiting.result(5)


def test_a_closed_fog_says_so_and_leaves_no_thread(site: Site) -> None:
    with site.connect() as fog:
        assert "connected" in repr(fog)
    fog.close()
    with pytest.raises(FogError, match="closed"):
        fog.submit("increment", 1)
    assert "closed" in repr(fog)
    assert not [thread for thread in threading.enumerate() if thread.name == "fogsdk"]
