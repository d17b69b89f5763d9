"""The worker process: takes one job at a time from its socket, runs it, and sends what came of it.

From the daemon:  [kind, name, shares, memory limit] + bodies
To the daemon:    ["ready", pid]                      once, when jobs may come
                  ["progress", fraction]
                  ["done", ms] + result | ["split", ms] + parts
                  ["failed", ms, type, message, traceback] | ["refused", reason, message, seconds to wait]
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from fogsdk import tasks
from fogsdk.errors import TaskRefused
from fogsdk.node.worker_frames import Inbox, pack

_PROGRESS_INTERVAL = 0.05  # seconds: more reports than 20 a second are of no use to anybody

Outcome = tuple[Sequence[Any], Sequence[bytes]]


def serve(connection: socket.socket) -> None:
    """Run jobs until the daemon closes its end. Lets SystemExit of a task through: it ends the worker."""
    inbox = Inbox(connection)
    pid = os.getpid()

    def send(fields: Sequence[Any], bodies: Sequence[bytes] = ()) -> None:
        for piece in pack(fields, bodies):
            connection.sendall(piece)

    send(["ready", pid])
    while (frames := inbox.receive()) is not None:
        for (kind, name, shares, memory), bodies in frames:
            progress = _Progress(send)
            outcome = _run(kind, name, bodies, tuple(shares), memory, progress)
            if os.getpid() != pid:
                os._exit(0)  # the task forked, and this is its child: the answer is for the parent to give
            progress.close()
            send(*outcome)


def _run(
    kind: str,
    name: str,
    bodies: tuple[bytes, ...],
    shares: tuple[float, ...],
    memory: int | None,
    progress: Callable[[float], None],
) -> Outcome:
    begun = time.perf_counter()
    try:
        with tasks.reporting(progress):
            result = tasks.perform(kind, name, bodies, shares)
    except SystemExit:
        raise
    except TaskRefused as refusal:
        return ["refused", refusal.reason, _plain(refusal.message), refusal.retry_after], ()
    except BaseException as error:  # noqa: BLE001  asyncio.CancelledError and the like fail the task, not us
        return _failure(error, _since(begun), memory), ()
    if kind == "split":
        return ["split", _since(begun)], result
    return ["done", _since(begun)], [result]


def _failure(error: BaseException, ran: float, memory: int | None) -> list[Any]:
    here = error.__traceback__  # begins with this file's own frame, which tells nobody anything
    description = tasks.describe(error.with_traceback(here and here.tb_next))
    type_, message, traceback = map(_plain, description)
    if isinstance(error, MemoryError) and memory is not None:
        type_, message = "MemoryLimit", f"got no more memory; its limit is {memory / 2**20:.0f} MiB"
    return ["failed", ran, type_, message, traceback]


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


def _plain(text: str) -> str:
    """Text that UTF-8 can carry: names of files that are not UTF-8 come to Python as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


class _Progress:
    """Passes a job's progress on, not too often; what was held back last goes out before the result."""

    def __init__(self, send: Callable[[Sequence[Any]], None]) -> None:
        self._send = send
        self._pid = os.getpid()
        self._lock = threading.Lock()  # a task may report from several threads
        self._due = 0.0
        self._held: float | None = None
        self._closed = False

    def __call__(self, fraction: float) -> None:
        if os.getpid() != self._pid:
            return  # a process that the task forked: the socket is not its own, nor is the lock
        with self._lock:
            now = time.monotonic()
            if self._closed:
                return
            if now < self._due:
                self._held = fraction
                return
            self._held, self._due = None, now + _PROGRESS_INTERVAL
            self._send(["progress", fraction])

    def close(self) -> None:
        """Send what was held back. A thread that outlives its job reports nothing from here on."""
        with self._lock:
            self._closed = True
            if self._held is not None:
                self._send(["progress", self._held])
