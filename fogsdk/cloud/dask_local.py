"""A Dask cluster on this machine: one child process with scheduler and nannies, and the workers below it.

The child ends with its standard input, so it never outlives the engine, not even one that is killed, and
the workers end with the child. Like every Dask cluster without certificates it obeys whoever can connect to
it: here every user of this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

from fogsdk.errors import ConfigError

_START = 60.0  # seconds that a cluster may take to start, on a slow machine with many workers
_STOP = 1.0  # seconds that it may take to stop before all of it is killed

_SETTINGS = {
    # A job whose worker dies is tried once more here; further tries are up to whoever gave us the job.
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    # How soon a job that waits behind another one moves to a worker that is free again.
    "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING_INTERVAL": "100ms",
    "DASK_LOGGING__DISTRIBUTED": "critical",  # the engine says itself what happens to its cluster
}

# Task modules are found where this process finds its own. PYTHONPATH would reach what tasks start, too.
_CHILD = f"import sys; sys.path[:] = sys.argv[2:]; from {__name__} import main; main()"


class LocalCluster:
    """A cluster of ``workers`` worker processes with one thread each, on the loopback interface."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        """Start it and return the scheduler's address. Raises ConfigError when it does not come up."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _CHILD, str(self._workers), *sys.path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **_SETTINGS},
            start_new_session=True,  # Ctrl-C is for the daemon; and the whole group can be killed
        )
        line = b""
        with contextlib.suppress(asyncio.TimeoutError):
            line = await asyncio.wait_for(self._process.stdout.readline(), _START)  # type: ignore[union-attr]
        if not line:
            await self.close()
            raise ConfigError("the local Dask cluster did not start; its error output says why")
        return line.decode().strip()

    async def close(self) -> None:
        """Stop the cluster; when this returns, no process of it is left."""
        if self._process is None:
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._process.communicate(b""), 2 * _STOP)  # closes its standard input
        group = self._process.pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)  # where the child was killed, there may be workers that are stuck
        while _lives(group):  # noqa: ASYNC110  they are no children of ours, so there is nothing to wait on
            await asyncio.sleep(0.01)


def _lives(group: int) -> bool:
    """Return whether a process group has members that are more than a zombie, which only init can bury."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def main() -> None:
    """Be the child: start a cluster, write the scheduler's address to standard output, end with the input."""
    # What tasks print goes to standard error: the pipe to the engine is for the address alone.
    pipe = os.dup(1)
    os.dup2(2, 1)
    asyncio.run(_serve(int(sys.argv[1]), pipe))


async def _serve(workers: int, pipe: int) -> None:
    from distributed import LocalCluster as DaskCluster

    async with DaskCluster(  # type: ignore[no-untyped-call]
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # its health page: by default on a fixed port
        asynchronous=True,
    ) as cluster:
        os.write(pipe, f"{cluster.scheduler_address}\n".encode())
        await asyncio.to_thread(sys.stdin.buffer.read)
        # A worker may be inside C code that does not let go of the interpreter.
        asyncio.get_running_loop().call_later(_STOP, os.killpg, 0, signal.SIGKILL)
