"""FogFuture and Trace by themselves: cancelling, progress, and the sums over the hops."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed, wait
from concurrent.futures import TimeoutError as WaitedTooLong
from typing import Any

import pytest

from fogsdk.device.future import FogFuture, Trace
from fogsdk.errors import TaskFailed
from fogsdk.wire.messages import Failed, Hop, Result
from tests.support.waiting import eventually


def future_with_log() -> tuple[FogFuture, list[str]]:
    """A future, and the list that the ids of withdrawn tasks go into."""
    withdrawn: list[str] = []
    return FogFuture("id-1", "increment", withdrawn.append, lambda _task, timeout: timeout), withdrawn


def test_cancelling_withdraws_the_task() -> None:
    future, withdrawn = future_with_log()
    assert future.cancel()
    assert withdrawn == ["id-1"]
    assert future.cancelled()
    with pytest.raises(CancelledError):
        future.result()


def test_what_is_settled_is_not_withdrawn() -> None:
    future, withdrawn = future_with_log()
    future.set_result(2)
    assert not future.cancel()
    assert withdrawn == []


def test_progress_reaches_every_watcher_even_past_one_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    future, _ = future_with_log()
    heard: list[float] = []

    def broken(fraction: float) -> None:
        raise ZeroDivisionError(fraction)

    assert future.progress == 0.0
    future.on_progress(broken)
    future.on_progress(heard.append)
    with caplog.at_level(logging.ERROR):
        future.advance(0.25)
        future.advance(0.5)
    assert heard == [0.25, 0.5]
    assert future.progress == 0.5
    assert "increment" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_trace_sums_up_its_hops() -> None:
    trace = Trace(
        (
            Hop("n1", "split", "in 2 parts", None, 1.0, 2.0, took=90.0),
            Hop("n1", "ran", "", 0, 3.0, 40.0, 43.0),
            Hop("n2", "ran", "", 1, 4.0, 50.0, 54.0),
            Hop("n1", "ran", "", 2, 0.0, 8.0, 8.0),
            Hop("n3", "lost", "gone", 1),
        ),
        100.0,
    )
    assert trace.ran == 100.0
    assert trace.queued == 8.0
    assert trace.travelled == 10.0
    assert trace.nodes == ["n1", "n2"]


def test_a_trace_without_hops_travelled_all_the_time() -> None:
    assert Trace((), 7.0).travelled == 7.0
    assert Trace((), 7.0).nodes == []


def test_the_way_never_takes_less_than_nothing() -> None:
    """The clocks of two computers count milliseconds differently."""
    assert Trace((Hop("n1", "ran", took=8.0),), 7.0).travelled == 0.0


def test_a_trace_reads_as_a_story() -> None:
    trace = Trace((Hop("n1", "ran", "0 queued", 3, 1.0, 2.0, 3.0), Hop("n2", "lost", "gone")), 4.5)
    assert str(trace).splitlines() == [
        "n1 ran part 3 (queued 1.0 ms, ran 2.0 ms): 0 queued",
        "n2 lost: gone",
        "4.5 ms in all, 1.5 ms of it on the way",
    ]


def test_a_future_has_all_that_the_librarys_own_has() -> None:
    """It is made without asking the library to: a later Python may put more into one."""
    own: Future[int] = Future()
    future, _ = future_with_log()
    for name, value in vars(own).items():
        made = getattr(future, name)
        assert isinstance(made, type(value))
        assert made == value or name == "_condition"


def test_it_can_be_waited_for_like_any_other() -> None:
    late, other = future_with_log()[0], Future[int]()
    with pytest.raises(WaitedTooLong):
        late.result(0.01)
    with ThreadPoolExecutor(4) as threads:
        results = [threads.submit(late.result, 30) for _ in range(2)]
        both = threads.submit(wait, [late, other], 30)
        first = threads.submit(lambda: next(as_completed([late, other], 30)))
        eventually(lambda: len(late._condition._waiters) == 2 and len(late._waiters) == 2, what="all wait")  # type: ignore[attr-defined]
        late.settle(Result("id-1", b"\x02"), 3.0)
        assert [result.result(30) for result in results] == [2, 2]
        assert first.result(30) is late
        other.set_result(3)
        assert both.result(30).done == {late, other}
    assert "returned int" in repr(late)
    assert late._condition._waiters == []  # type: ignore[attr-defined]


def test_it_can_be_awaited() -> None:
    async def awaited() -> Any:
        future, _ = future_with_log()
        threading.Timer(0.01, future.settle, (Failed("id-1", "ValueError", "no"), 3.0)).start()
        return await asyncio.wrap_future(future)

    with pytest.raises(TaskFailed):
        asyncio.run(awaited())
