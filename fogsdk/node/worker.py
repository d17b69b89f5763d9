"""The worker process: runs the jobs that come over its socket, one after the other, and sends what came of each.

From the daemon:  [number, kind, name, shares, memory limit] + bodies
                  [number]                            that job is not to run any more, if it did not begin
                  [number, "apart"]                   of that bundle no call is to run behind the one whose turn it is
To the daemon:    ["ready", pid]                      once, when jobs may come
                  [number, "progress", fraction]
                  [number, "done", ms] + result | [number, "split", ms] + parts
                  [number, "failed", ms, type, message, traceback]
                  [number, "refused", reason, message, seconds to wait]
                  [number, "skipped"]                 it does not run: that job, or the rest of that bundle

A bundle, which is a job of the kind "each", is answered for each of its bodies as a job of the kind "run" would be. The
worker ends it early, behind a call that told its progress or gave much, and where it takes long. "apart" is always
answered by "skipped", once there is no more to come.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from fogsdk import tasks
from fogsdk.errors import TaskRefused
from fogsdk.node import shared_body, worker_frames
from fogsdk.node.worker_frames import Frame, Inbox
from fogsdk.wire.messages import Body

_PROGRESS_INTERVAL = 0.05  # seconds: more reports than 20 a second are of no use to anybody
_LONG = 0.01  # seconds of a job after which those behind it may have been taken away

Outcome = tuple[Sequence[Any], Sequence[Body]]


def serve(connection: socket.socket) -> None:
    """Run jobs until the daemon closes its end. Lets SystemExit of a task through: it ends the worker."""
    _Worker(connection).serve()


class _Worker:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._inbox = Inbox(connection, private=True)
        self.lock = threading.Lock()  # a task may report from several threads
        self._jobs: deque[Frame] = deque()
        self._unwanted: set[int] = set()
        self._apart: set[int] = set()
        self.pid = os.getpid()

    def serve(self) -> None:
        worker_frames.send(self.connection, ["ready", self.pid])
        while self._receive():
            while self._jobs:
                self._answer(self._jobs.popleft())
            self._unwanted.clear()  # what they were about came before them
            self._apart.clear()

    def _receive(self) -> bool:
        """Read once; False when the daemon has closed its end."""
        frames = self._inbox.receive()
        for frame in frames or ():
            match frame[0]:
                case [number]:
                    self._unwanted.add(number)
                case [number, "apart"]:
                    self._take_apart(number)
                case _:
                    self._jobs.append(frame)
        return frames is not None

    def _take_apart(self, number: int) -> None:
        """No bundle is at work while something is received: it is to come, or over."""
        if any(fields[0] == number for fields, _ in self._jobs):
            self._apart.add(number)
        else:
            self._skip(number)

    def _skip(self, number: int) -> None:
        worker_frames.send(self.connection, [number, "skipped"])

    def _answer(self, frame: Frame) -> None:
        """Run one job, and keep nothing of it: the worker may rest for long."""
        (number, kind, name, shares, memory), bodies = frame
        del frame
        begun = time.perf_counter()
        if number in self._unwanted:
            self._skip(number)
        elif kind == "each":
            self._run_each(number, name, bodies, memory, begun)
        else:
            self._do(number, kind, name, bodies, tuple(shares or ()), memory, begun)
        if self._jobs and time.perf_counter() - begun > _LONG:
            while select.select([self.connection], [], [], 0)[0] and self._receive():
                pass

    def _run_each(self, number: int, name: str, bodies: tuple[Body, ...], memory: int | None, begun: float) -> None:
        left, now = len(bodies), begun
        for body in bodies:
            left -= 1
            progress, results = self._do(number, "run", name, (body,), (), memory, now)
            now = time.perf_counter()
            is_long = now - begun > _LONG
            if is_long or not progress.silent or number in self._apart or worker_frames.is_much(results):
                break
        if left:
            self._skip(number)

    def _do(
        self,
        number: int,
        kind: str,
        name: str,
        bodies: tuple[Body, ...],
        shares: tuple[float, ...],
        memory: int | None,
        begun: float,
    ) -> tuple[_Progress, Sequence[Body]]:
        """Run something, and send what came of it; returns what it told, and what it gave."""
        progress = _Progress(self, number)
        fields, results = _run(kind, name, bodies, shares, memory, progress, begun)
        if os.getpid() != self.pid:
            os._exit(0)  # the task forked, and this is its child: the answer is for the parent to give
        progress.close()
        worker_frames.send(self.connection, [number, *fields], results)
        return progress, results


def _run(
    kind: str,
    name: str,
    bodies: tuple[Body, ...],
    shares: tuple[float, ...],
    memory: int | None,
    progress: Callable[[float], None],
    begun: float,
) -> Outcome:
    try:
        with tasks.reporting(progress):
            result = tasks.perform(kind, name, bodies, shares, _joined)
    except SystemExit:
        raise
    except TaskRefused as refused:
        return _refusal(refused, _since(begun)), ()
    except BaseException as error:  # noqa: BLE001  asyncio.CancelledError and the like fail the task, not us
        return _failure(error, _since(begun), memory), ()
    if kind == "split":
        return ["split", _since(begun)], result
    return ["done", _since(begun)], [result]


def _joined(pieces: Sequence[Body]) -> Body:
    """An encoding as the daemon is sent it: in memory that is shared with it, where it is large."""
    return b"".join(pieces) if sum(map(len, pieces)) < shared_body.SHARED else shared_body.put(pieces)


def _refusal(refused: TaskRefused, ran: float) -> list[Any]:
    try:
        return ["refused", *tasks.refusal(refused)]
    except Exception as error:  # noqa: BLE001 - what a task puts into its refusal, or makes of the class
        return _failure(error, ran, None)


def _failure(error: BaseException, ran: float, memory: int | None) -> list[Any]:
    here = error.__traceback__  # begins with this file's own frame, which tells nobody anything
    type_, message, traceback = tasks.describe(error.with_traceback(here and here.tb_next))
    if isinstance(error, MemoryError) and memory is not None:
        type_, message = "MemoryLimit", f"got no more memory; its limit is {memory / 2**20:.0f} MiB"
    return ["failed", ran, type_, message, traceback]


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


class _Progress:
    """Passes a job's progress on, not too often; what was held back last goes out before the result."""

    silent = True
    """Whether it was told nothing."""
    _due = 0.0
    _held: float | None = None
    _closed = False

    def __init__(self, worker: _Worker, number: int) -> None:
        self._worker = worker
        self._number = number

    def __call__(self, fraction: float) -> None:
        if os.getpid() != self._worker.pid:
            return  # a process that the task forked: the socket is not its own, nor is the lock
        with self._worker.lock:
            now = time.monotonic()
            if self._closed:
                return
            self.silent = False
            if now < self._due:
                self._held = fraction
                return
            self._held, self._due = None, now + _PROGRESS_INTERVAL
            self._send(fraction)

    def _send(self, fraction: float) -> None:
        worker_frames.send(self._worker.connection, [self._number, "progress", fraction])

    def close(self) -> None:
        """Send what was held back. A thread that outlives its job reports nothing from here on."""
        with self._worker.lock:
            self._closed = True
            if self._held is not None:
                self._send(self._held)
