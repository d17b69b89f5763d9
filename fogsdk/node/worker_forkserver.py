"""The fork server: imports the task modules once and forks a worker whenever the daemon asks for one.

It stays single-threaded and does nothing else, so a fork of it is cheap, safe, and ready in milliseconds. As
the parent of all workers it learns how each one ends, and only it signals them: a process id cannot come to
mean another process before its parent has waited for it.

From the daemon, over the socket on standard input, as ``COMMAND`` records:
    FORK number, with the worker's socket attached (SCM_RIGHTS)  |  a signal for the worker of that number
To the daemon, as frames:
    ["loaded"] + tasks | ["broken", reason]   once, when the task modules are imported (the CBOR of the tasks, each the
                                              fields of its ``TaskInfo``) or cannot be
    ["died", number, how]                     and what else ran in that worker's process group is killed
When the daemon's end closes, for whatever reason, it kills every worker and ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import partial
from typing import Any, NoReturn

from fogsdk import tasks
from fogsdk.errors import ConfigError
from fogsdk.node import worker
from fogsdk.node.worker_frames import pack
from fogsdk.node.worker_launch import COMMAND, FORK, command_line, how_it_ended
from fogsdk.wire import values

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


def main() -> NoReturn:
    """Entry of both kinds of process. Standard input is the socket to the daemon."""
    faulthandler.enable()  # a segmentation fault says on the daemon's standard error where it was
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = sys.stderr  # the same place, and line by line: a worker's end flushes nothing
    role, modules = sys.argv[1], [name for name in sys.argv[2].split(",") if name]
    _finish(partial(_load_and_work if role == "worker" else _serve, connection, modules))


def _serve(connection: socket.socket, modules: Sequence[str]) -> None:
    ForkServer(connection, modules).run()


def _load_and_work(connection: socket.socket, modules: Sequence[str]) -> None:
    tasks.load(modules)
    _work(connection)


def _work(connection: socket.socket) -> None:
    with contextlib.suppress(ConnectionError):  # the daemon is gone
        worker.serve(connection)


def _finish(work: Callable[[], None]) -> NoReturn:
    """End this process with ``work``, however that ends: no fork gets back into the code that forked it."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as stop:
        code = _exit_code(stop)
    except BaseException:  # noqa: BLE001  whatever it is, it belongs on standard error, and the process ends
        traceback.print_exc()
    finally:
        os._exit(code)  # and waits for no thread that a task left behind


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    sys.stderr.write(f"{stop.code}\n")
    return 1


class ForkServer:
    """The process that forks, watches and kills workers for the daemon at the other end of ``control``."""

    def __init__(self, control: socket.socket, modules: Sequence[str]) -> None:
        self._control = control
        self._modules = modules
        self._fresh = False
        self._pid = os.getpid()
        self._wake, self._waker = socket.socketpair()  # how a SIGCHLD gets into select()
        self._pids: dict[int, int] = {}  # by the daemon's number of the worker

    def run(self) -> None:
        """Serve until the daemon's end closes."""
        try:
            with contextlib.suppress(ConnectionError):
                if self._load():
                    self._serve()
        finally:
            self._end()

    def _load(self) -> bool:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # while it imports modules it does not listen to its daemon
        try:
            tasks.load(self._modules)
        except ConfigError as error:
            self._tell("broken", tasks.plain(str(error)))
            return False
        except BaseException as error:  # noqa: BLE001  SystemExit, for one
            self._tell("broken", tasks.plain(f"importing the task modules raised {error!r}"))
            return False
        _prctl(_PR_SET_PDEATHSIG, 0)
        # A fork has none of the threads that a module started, and maybe their locks, held for ever. On macOS
        # some of the system's own libraries are in that position. There a worker is a new interpreter.
        self._fresh = threading.active_count() > 1 or sys.platform == "darwin"
        offered = [astuple(spec.info) for spec in tasks.registry.values()]
        self._tell("loaded", body=values.encode(offered))  # may be more than a header holds
        return True

    def _serve(self) -> None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what tasks leave behind is for this process to wait for
        self._waker.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # with no handler nothing is written to the wakeup fd
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self._control, self._wake], [], [])
            if self._wake in ready:
                self._wake.recv(4096)
                self._reap()
            if self._control in ready and not self._obey():
                return

    def _obey(self) -> bool:
        record, descriptors, _, _ = socket.recv_fds(self._control, COMMAND.size, 1)
        if not record:
            return False
        command, number = COMMAND.unpack(record)
        if command == FORK:
            self._fork(number, descriptors[0])
        elif number in self._pids:
            _signal_group(self._pids[number], signal.Signals(command[0]))
        return True

    def _fork(self, number: int, descriptor: int) -> None:
        with socket.socket(fileno=descriptor) as connection:
            connection.set_inheritable(False)
            try:
                pid = os.fork()
            except OSError as error:
                self._tell("died", number, f"could not be started: {error}")
                return
            if pid == 0:
                _finish(partial(self._become_worker, connection))
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # here and in the worker: whoever comes first
        self._pids[number] = pid

    def _become_worker(self, connection: socket.socket) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self._control, self._wake, self._waker):
            inherited.close()
        os.setpgid(0, 0)  # so that what a task starts can be killed together with it
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._pid:
            return  # the fork server died before that
        if self._fresh:
            os.dup2(connection.fileno(), 0)
            os.execv(sys.executable, command_line("worker", self._modules))  # noqa: S606
        _reseed()
        _work(connection)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):  # no more children
            while (dead := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = dead
                for number in [number for number, other in self._pids.items() if other == pid]:
                    _kill_group(pid)  # what the task started and left behind
                    del self._pids[number]
                    self._tell("died", number, how_it_ended(os.waitstatus_to_exitcode(status)))

    def _tell(self, *fields: Any, body: bytes | None = None) -> None:
        for piece in pack(fields, [] if body is None else [body])[0]:
            self._control.sendall(piece)

    def _end(self) -> None:
        for pid in self._pids.values():
            _kill_group(pid)
        for pid in self._pids.values():
            with contextlib.suppress(ChildProcessError):  # all of its group are gone
                while True:
                    os.waitpid(-pid, 0)


def _prctl(option: int, value: int) -> None:
    """Ask Linux for what no other system has; there, closed sockets must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def _reseed() -> None:
    """Give this fork its own numpy random numbers. The standard library's ``random`` sees to that itself."""
    if (random := sys.modules.get("numpy.random")) is not None:
        random.seed()


def _kill_group(pid: int) -> None:
    _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left (macOS: only zombies left)
        os.killpg(pid, what)
