"""The daemon's side of the fork server: starting it, asking it for workers, hearing how they end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence

from fogsdk.errors import ConfigError
from fogsdk.node.pool_link import Link
from fogsdk.node.worker_frames import Frame
from fogsdk.node.worker_launch import COMMAND, FORK, Launched, how_it_ended, launch
from fogsdk.wire import values
from fogsdk.wire.messages import TaskInfo

log = logging.getLogger(__name__)

_PATIENCE = 5.0  # seconds for the fork server to end on its own
_LONG = 5.0  # seconds after which people ask what it is doing


class ForkServer:
    """The process that has the task modules imported and forks workers.

    ``on_died(number, how)`` is called when a worker has ended; ``on_gone()`` when the fork server itself has
    ended unasked, and all workers with it. ``tasks`` are those of the modules, once it has started. It begins with
    the one that was ``launched`` already, if there is one.
    """

    def __init__(
        self,
        modules: Sequence[str],
        on_died: Callable[[int, str], None],
        on_gone: Callable[[], None],
        launched: Launched | None = None,
    ) -> None:
        self._modules = modules
        self._launched = launched
        self._on_died = on_died
        self._on_gone = on_gone
        self.tasks: tuple[TaskInfo, ...] = ()
        self._up = False
        self._link: Link | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and return when it has imported the task modules. Raises ConfigError when it cannot."""
        await self._wait()  # for the one before, if there was one
        self._loaded: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        (self._process, self._control), self._launched = self._launched or launch(self._modules), None
        self._link = Link(self._control, self._hear, self._ended)
        while not (await asyncio.wait({self._loaded}, timeout=_LONG))[0]:
            log.warning("still importing %s: the node is there when that is done", ", ".join(self._modules))
        problem = self._loaded.result()
        if problem is not None:
            how = how_it_ended(await asyncio.to_thread(self._process.wait))
            raise ConfigError(problem or f"importing the task modules ended the process: it {how}")
        if self._modules and not self.tasks:
            log.warning("no function in %s is a task: is @fogsdk.task above it?", ", ".join(self._modules))

    def fork(self, number: int, connection: socket.socket) -> None:
        """Ask for a worker that serves ``connection``; the caller closes its own copy.

        Raises OSError when it takes no orders now.
        """
        socket.send_fds(self._control, [COMMAND.pack(FORK, number)], [connection.fileno()])

    def kill(self, number: int) -> None:
        """Have a worker killed, with every process that it started; ``on_died`` follows."""
        self.signal(number, signal.SIGKILL)

    def signal(self, number: int, what: signal.Signals) -> None:
        """Have a worker sent a signal, with every process that it started."""
        try:
            self._control.send(COMMAND.pack(bytes([what]), number))
        except BlockingIOError:  # it has not read for long: one that hangs is as good as none
            self._kill()
        except OSError:  # it is gone, and ``on_gone`` is on its way
            pass

    async def close(self) -> None:
        """End it and all workers; when this returns, no process is left."""
        if self._link is not None:
            self._link.close()
        if not self._up:
            self._kill()  # it may be importing modules, for who knows how long
        await self._wait()

    async def _wait(self) -> None:
        """Wait for the end of a process that has been told to end."""
        if self._process is None:
            return
        try:
            await asyncio.to_thread(self._process.wait, _PATIENCE)
        except subprocess.TimeoutExpired:
            self._kill()
            await asyncio.to_thread(self._process.wait)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _hear(self, frames: list[Frame]) -> None:
        for fields, bodies in frames:
            match fields:
                case ["died", int(number), str(how)]:
                    self._on_died(number, how)
                case ["loaded"]:
                    self._up = True
                    self.tasks = tuple(TaskInfo(*each) for each in values.decode(bodies[0]))
                    self._settle(None)
                case ["broken", str(problem)]:
                    self._settle(problem)

    def _ended(self) -> None:
        if self._up:
            self._up = False
            self._on_gone()
        else:
            self._settle("")

    def _settle(self, problem: str | None) -> None:
        if not self._loaded.done():
            self._loaded.set_result(problem)
