"""One call after the other: the thread that waits for an answer reads it, and all other ways to wait work as ever."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as WaitedTooLong
from pathlib import Path
from typing import Any

import pytest

from fogsdk import DeadlineExceeded, Fog
from fogsdk.device import turns
from fogsdk.device.clock import clock
from fogsdk.device.driver import Driver
from fogsdk.device.turns import Found
from fogsdk.errors import FogError
from tests.e2e import interrupted_device
from tests.e2e.journal import Journal
from tests.e2e.site import Site
from tests.support.processes import Processes
from tests.support.waiting import eventually


def settled_by(fog: Fog, number: int) -> int:
    """Make one call, and return which thread settled it."""
    by: list[int] = []
    future = fog.submit("increment", number)
    future.add_done_callback(lambda _: by.append(threading.get_ident()))
    if by == [threading.get_ident()]:  # settled before it was asked to say so: that says nothing
        return settled_by(fog, number)
    assert future.result(10) == number + 1
    return eventually(lambda: by, what="the callback")[0]


def asleep(fog: Fog) -> Driver:
    """Wait until the SDK's thread has just gone to sleep, for as long as it ever does."""
    driver = fog._driver
    assert isinstance(driver, Driver)
    eventually(lambda: driver._turns.awake_by - clock() > 800, what="a long sleep")
    return driver


def test_who_calls_again_and_again_reads_the_answers_itself(fog: Fog) -> None:
    threads = [settled_by(fog, number) for number in range(50)]
    assert threading.get_ident() in threads


def test_who_calls_once_in_a_while_wakes_no_other_thread(fog: Fog, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, woken = asleep(fog), list[int]()
    wake = driver._waker.wake

    def counted() -> None:
        woken.append(1)
        wake()

    monkeypatch.setattr(driver._waker, "wake", counted)
    for number in range(10):
        if number < 3:
            asleep(fog)
        else:
            time.sleep(0.05)
        assert fog.run("increment", number) == number + 1
    assert len(woken) < 5  # for where the thread was just about to look by itself


@pytest.mark.parametrize("waits", [True, False], ids=["waited for", "left alone"])
def test_what_is_due_about_a_lone_task_is_seen_to_though_the_thread_slept(fog: Fog, waits: bool) -> None:
    """The task is for a node that is not there: nobody but the SDK can see that its deadline passes."""
    asleep(fog)
    begin = time.monotonic()
    if waits:
        with pytest.raises(DeadlineExceeded):
            fog.run("increment", 1, node="away", deadline=0.1)
    else:
        settled = threading.Event()
        fog.submit("increment", 1, node="away", deadline=0.1).add_done_callback(lambda _: settled.set())
        assert settled.wait(10)
    assert time.monotonic() - begin < 0.6


def test_what_is_submitted_as_the_thread_goes_to_sleep_is_seen_to_in_time(
    fog: Fog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has made up its mind for how long to sleep, and does not sleep yet."""
    turns = asleep(fog)._turns
    sleep, sleepy, go_on = turns._sleep, threading.Event(), threading.Event()

    def late(seconds: float) -> Found:
        if seconds > 0.8:
            sleepy.set()
            go_on.wait(10)
        return sleep(seconds)

    monkeypatch.setattr(turns, "_sleep", late)
    assert sleepy.wait(10)
    settled = threading.Event()
    fog.submit("increment", 1, node="away", deadline=0.1).add_done_callback(lambda _: settled.set())
    begin = time.monotonic()
    go_on.set()
    assert settled.wait(10)
    assert time.monotonic() - begin < 0.6


def test_a_connection_that_ends_while_somebody_waits_for_a_lone_task_is_made_anew_at_once(fog: Fog) -> None:
    driver = asleep(fog)
    connection = driver._connections.current
    assert connection is not None
    # So long it sleeps on, unless it is woken: nothing is due about the task before that.
    eventually(lambda: 350 < driver._turns.awake_by - clock() < 450, what="that much sleep left")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(fog.run, "increment", 1, node="away", deadline=1)
        eventually(lambda: driver._turns._reader != driver._turns._own, what="the other thread to read")
        begin = time.monotonic()
        connection.socket.shutdown(socket.SHUT_RDWR)
        eventually(lambda: driver._connections.current not in (None, connection), what="a new connection")
        assert time.monotonic() - begin < 0.25
        with pytest.raises(DeadlineExceeded):
            waiting.result(10)


def test_where_there_is_no_epoll_the_sdks_own_thread_reads(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_EPOLL", ())
    with site.connect() as fog:
        asleep(fog)
        threads = [settled_by(fog, number) for number in range(20)]
        assert threading.get_ident() not in threads
        assert [fog.run("increment", number) for number in range(20)] == list(range(1, 21))
        asleep(fog)
        begin = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            fog.run("increment", 1, node="away", deadline=0.1)
        assert time.monotonic() - begin < 0.6


def test_an_answer_that_is_waited_for_in_another_way_comes_too(fog: Fog) -> None:
    begin = time.monotonic()
    for number in range(20):
        assert fog.run("increment", number) == number + 1
        future = fog.submit("increment", number)
        assert wait([future], 10).done == {future}
        heard = threading.Event()
        fog.submit("increment", number).add_done_callback(lambda _, heard=heard: heard.set())  # type: ignore[misc]
        assert heard.wait(10)
    assert time.monotonic() - begin < 5  # at once, and not when the SDK's thread would look by itself


def test_threads_that_call_in_turn_and_at_once_get_their_own_answers(fog: Fog) -> None:
    def calls(begin: int) -> list[int]:
        return [fog.run("increment", number) for number in range(begin, begin + 200)]

    with ThreadPoolExecutor(4) as threads:
        begins = [1000 * number for number in range(4)]
        for begin, results in zip(begins, threads.map(calls, begins), strict=True):
            assert results == list(range(begin + 1, begin + 201))


def test_the_time_to_wait_is_kept_to(fog: Fog, journal: Journal) -> None:
    fog.run("increment", 1)
    future = fog.submit("work", journal.path, "long", 1.0)
    begin = time.monotonic()
    with pytest.raises(WaitedTooLong):
        future.result(0.2)
    with pytest.raises(WaitedTooLong):
        future.exception(0.1)
    assert time.monotonic() - begin < 0.9
    assert future.result(10) == "long"


def test_another_thread_that_submits_is_not_kept_waiting(fog: Fog, journal: Journal) -> None:
    """The one that waits for its lone task hands the reading over."""
    gate = Path(f"{journal.path}-gate")
    with ThreadPoolExecutor(1) as threads:
        for _ in range(5):
            fog.run("increment", 1)
        held = threads.submit(fog.run, "hold", journal.path, "held", str(gate))
        eventually(lambda: journal.begun("held"), what="its beginning")
        assert [fog.run("increment", number) for number in range(20)] == list(range(1, 21))
        gate.touch()
        held.result(10)


def test_closing_ends_the_waiting_of_another_thread(site: Site, journal: Journal) -> None:
    fog = site.connect()
    with ThreadPoolExecutor(1) as threads:
        for _ in range(5):
            fog.run("increment", 1)
        waiting = threads.submit(fog.run, "work", journal.path, "long", 30.0)
        eventually(lambda: journal.begun("long"), what="its beginning")
        fog.close()
        with pytest.raises(CancelledError):
            waiting.result(10)


def test_a_program_that_is_interrupted_wherever_it_is_can_go_on(site: Site, tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    try:
        device = processes.start_python("-m", interrupted_device.__name__, site.urls[0])
        device.wait_for("ready")
        while device.running:
            os.kill(device.pid, signal.SIGINT)
            time.sleep(0.005)
        assert f"interrupted {interrupted_device.INTERRUPTIONS}" in device.output
    finally:
        processes.kill()


def test_who_waits_for_a_task_in_a_callback_is_told_that_nothing_would_come(fog: Fog) -> None:
    """It would wait for ever: what it waits for is read by the thread that it keeps waiting."""
    told: list[BaseException] = []
    there = threading.Event()

    def callback(settled: Any) -> None:
        assert settled.result() == 2, "what is there is there"
        for ask in (fog.submit("increment", 2).result, fog.submit("increment", 2).exception):
            try:
                ask()
            except FogError as error:
                told.append(error)
        with pytest.raises(WaitedTooLong):
            fog.submit("increment", 2).result(0)
        there.set()

    future = fog.submit("increment", 1)
    future.add_done_callback(callback)
    assert future.result(20) == 2
    assert there.wait(20)
    assert ["in a callback of the SDK: use submit() there" in str(error) for error in told] == [True, True]
    assert fog.run("increment", 3) == 4
