"""One call after the other: the thread that waits for an answer reads it, and all other ways to wait work as ever."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as WaitedTooLong
from pathlib import Path

import pytest

from fogsdk import Fog
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
    assert future.result(10) == number + 1
    return eventually(lambda: by, what="the callback")[0]


def test_who_calls_again_and_again_reads_the_answers_itself(fog: Fog) -> None:
    threads = [settled_by(fog, number) for number in range(50)]
    assert threading.get_ident() in threads


def test_an_answer_that_is_waited_for_in_another_way_comes_too(fog: Fog) -> None:
    for number in range(20):
        assert fog.run("increment", number) == number + 1
        future = fog.submit("increment", number)
        assert wait([future], 10).done == {future}
        heard = threading.Event()
        fog.submit("increment", number).add_done_callback(lambda _, heard=heard: heard.set())  # type: ignore[misc]
        assert heard.wait(10)


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
