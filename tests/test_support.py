"""The tests' own tools: what they promise to every other test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import psutil
import pytest

from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.processes import Processes, check_none_left
from tests.support.waiting import eventually

# Starts a process that outlives it, without a parent of ours: what a daemon that was killed leaves behind.
_ORPHAN = """
import os, sys
if os.fork() == 0:
    os.setsid()
    os.execv(sys.executable, [sys.executable, "-c", "import signal; signal.pause()"])
"""


def test_an_orphan_of_an_orphan_is_found_and_killed(processes: Processes) -> None:
    before = set(psutil.pids())
    assert processes.start(sys.executable, "-c", _ORPHAN).wait() == 0
    with pytest.raises(AssertionError, match=r"signal\.pause"):
        check_none_left(before, grace=0.05)
    check_none_left(before, grace=0)


def test_a_forked_child_is_found() -> None:
    before = set(psutil.pids())
    child = os.fork()
    if child == 0:
        signal.pause()
    with pytest.raises(AssertionError, match=str(child)):
        check_none_left(before, grace=0.05)


def test_a_broker_comes_back_on_its_port_after_sigkill(mosquitto: Mosquitto) -> None:
    first = mosquitto.pid
    mosquitto.restart()
    assert mosquitto.pid != first
    assert not psutil.pid_exists(first)


def test_brokers_run_side_by_side(start_mosquitto: Callable[..., Mosquitto]) -> None:
    one, other = start_mosquitto(), start_mosquitto(anonymous=False)
    assert one.url != other.url


def test_a_program_that_ends_early_is_reported_with_its_output(processes: Processes) -> None:
    program = processes.start_python("-c", "print('nothing to do')")
    with pytest.raises(RuntimeError, match="nothing to do"):
        program.wait_for("ready")


def test_eventually_tells_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match=r"the end of the world: not within 0.01 s; the last answer was 0"):
        eventually(lambda: 0, 0.01, what="the end of the world")


def test_free_ports_differ() -> None:
    assert len({free_port() for _ in range(50)}) == 50
