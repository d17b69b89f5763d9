"""What runs inside a Dask worker: one job, and the means to stop it. The scheduler imports this too.

The engine sends an ``Order`` and gets back a plain tuple, an ``Answer``. What happens in between it hears as
events on a topic of its own. No value of a user's is pickled: arguments and results are bytes all the way.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pickle import PickleBuffer
from typing import Any

from fogsdk import tasks
from fogsdk.errors import ConfigError, TaskRefused
from fogsdk.wire.messages import Body

_PROGRESS_STEP = 0.01  # progress is passed on when it moved by this much: no task makes a flood of events
_WATCH, _LOOK = 0.5, 0.02  # seconds to watch a worker's memory, and between two looks at it
_MIB = 2**20

Answer = tuple[Any, ...]
"""("done", memoryview, ms), ("split", parts, ms), ("failed", type, message, traceback, ms),
("refused", reason, message, retry_after s) or ("stopped",)."""


@dataclass(frozen=True)
class Order:
    """One job on its way to a worker. Dask looks for its own keys in tuples and lists, but not in here.

    Its bodies are sent from where they lie, and are views of what came: to copy them would keep the interpreter of the
    engine's daemon from all else, and so from its heartbeats.
    """

    key: str
    topic: str
    modules: tuple[str, ...]
    kind: str
    name: str
    bodies: tuple[Body, ...]
    shares: tuple[float, ...]
    memory: int | None

    def __reduce__(self) -> tuple[type[Order], tuple[Any, ...]]:
        """Have pickle leave the bodies to Dask as they are (PEP 574)."""
        bodies = tuple(map(PickleBuffer, self.bodies))
        return Order, (self.key, self.topic, self.modules, self.kind, self.name, bodies, self.shares, self.memory)


class Stopped(BaseException):
    """Raised in the thread of a job by ``interrupt``. No Exception: few tasks catch it by accident."""


@dataclass
class _Run:
    thread: int
    left: threading.Event = field(default_factory=threading.Event)


_runs: dict[str, _Run] = {}
_lock = threading.Lock()  # while a thread is interrupted it must not go on to somebody else's job


def work(order: Order) -> Answer:
    """Do one job in this thread. What goes wrong with it is part of the answer, never an exception."""
    try:
        _runs[order.key] = _Run(threading.get_ident())
        try:
            return _perform(order)
        finally:
            _leave(order.key)
    except Stopped:
        _leave(order.key)  # again: the first time, Stopped may have come in the middle of it
        return ("stopped",)


def _leave(key: str) -> None:
    with _lock:
        run = _runs.pop(key, None)
        if run is not None:
            _raise_in(run.thread, None)  # takes back what was raised but has not arrived yet
            run.left.set()


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    target = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), target)


async def interrupt(key: str, grace: float) -> bool:
    """Raise Stopped in the thread that runs this job; return whether the job left it within ``grace`` s.

    Runs on the worker's event loop, beside its jobs. A thread that is inside C code sees the exception only
    when that code returns.
    """
    with _lock:
        run = _runs.get(key)
        if run is None:
            return True
        _raise_in(run.thread, Stopped)
    return await asyncio.get_running_loop().run_in_executor(None, run.left.wait, grace)


# What follows runs in a worker's nanny: a worker whose task keeps the interpreter to itself hears nothing. Dask
# hands over the nanny because of the parameter's name.


def is_there() -> bool:
    """Return True, where there is somebody to do so."""
    return True


def kill_worker(dask_worker: Any) -> bool:
    """Kill the worker process; its nanny starts another."""
    os.kill(dask_worker.pid, signal.SIGKILL)
    return True


async def outgrown(limit: int, dask_worker: Any) -> int:
    """Watch the worker's resident memory (bytes); return it once it is above ``limit``, 0 after a while."""
    import psutil

    process = psutil.Process(dask_worker.pid)
    end = time.monotonic() + _WATCH
    while (size := process.memory_info().rss) <= limit:
        if time.monotonic() > end:
            return 0
        await asyncio.sleep(_LOOK)
    return int(size)


class _Voice:
    """How a running job speaks to the engine: through the scheduler, under the engine's topic."""

    def __init__(self, order: Order) -> None:
        from distributed import get_worker

        self._order = order
        self._worker = get_worker()

    def say(self, op: str, **details: Any) -> None:
        """Send an event, sooner or later."""
        self._worker.log_event(self._order.topic, {"op": op, "key": self._order.key, **details})

    def announce(self, op: str, **details: Any) -> None:
        """Say where the job is, and come back when the scheduler has heard it.

        The task may keep the interpreter to itself from its first moment on. Nothing leaves this process
        then, and the engine has to know which worker to kill.
        """
        worker = self._worker
        alone = worker.state.nthreads == 1
        message = {"op": op, "key": self._order.key, "worker": worker.address, "alone": alone, **details}
        call = worker.scheduler.log_event(topic=self._order.topic, msg=message)
        loop: Any = worker.loop
        asyncio.run_coroutine_threadsafe(call, loop.asyncio_loop).result()


def _perform(order: Order) -> Answer:
    voice = _Voice(order)
    if any(module not in sys.modules for module in order.modules):
        voice.announce("taken")  # an import may get stuck too
    try:
        tasks.load(order.modules)
    except ConfigError as error:
        return ("refused", "unknown-task", f"a worker of the core site: {error}", None)
    voice.announce("running", size=0 if order.memory is None else _memory())
    begun = time.perf_counter()
    try:
        with tasks.reporting(_in_steps(lambda fraction: voice.say("progress", fraction=fraction))):
            value = tasks.perform(order.kind, order.name, order.bodies, order.shares)
    except Stopped:
        raise
    except TaskRefused as refused:
        return _refusal(refused, _since(begun))
    except BaseException as error:  # noqa: BLE001  sys.exit() in a task is its failure, not the worker's end
        return ("failed", *_describe(error, order.memory), _since(begun))
    if order.kind == "split":
        return ("split", value, _since(begun))
    return ("done", memoryview(value), _since(begun))  # of bytes Dask would make a copy in the engine's daemon


def _refusal(refused: TaskRefused, ran: float) -> Answer:
    try:
        return ("refused", *tasks.refusal(refused))
    except Exception as error:  # noqa: BLE001 - what a task puts into its refusal, or makes of the class
        return ("failed", *_describe(error, None), ran)


def _describe(error: BaseException, memory: int | None) -> tuple[str, str, str]:
    here = error.__traceback__  # begins with this file's own frame, which tells nobody anything
    type_, message, traceback = tasks.describe(error.with_traceback(here and here.tb_next))
    if isinstance(error, MemoryError) and memory is not None:
        return (
            "MemoryLimit",
            f"no memory for more (its limit is {memory / _MIB:.0f} MiB): {message}",
            traceback,
        )
    return type_, message, traceback


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


def _in_steps(report: Callable[[float], None]) -> Callable[[float], None]:
    last = -1.0

    def step(fraction: float) -> None:
        nonlocal last
        if abs(fraction - last) >= _PROGRESS_STEP or fraction == 1.0 != last:
            last = fraction
            report(fraction)

    return step


def _memory() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
