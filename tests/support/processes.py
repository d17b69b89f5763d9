"""Programs that a test starts, and the check that none of them outlives it.

Every process that comes from this run of the tests, however far down and orphaned or not, carries a mark in
its environment; that is how one that was left behind is found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from tests.support.waiting import eventually

_MARK = "FOGSDK_TEST_RUN"
os.environ[_MARK] = _RUN = f"{os.getpid()}-{os.urandom(4).hex()}"

# multiprocessing keeps these two for as long as the test run lives.
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


class Program:
    """A running program; its output is collected in a file, standard error included."""

    def __init__(self, command: list[str], output: Path, environ: Mapping[str, str], cwd: Path | None) -> None:
        self.command = command
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environ, cwd=cwd
            )

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self._output.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait_for(self, text: str, timeout: float = 20.0) -> None:
        """Wait until its output holds ``text``; fails at once if it ends without having written it."""

        def written() -> bool:
            ended = not self.running  # asked first: what it wrote last counts
            if text in self.output:
                return True
            if ended:
                raise RuntimeError(f"{self} ended without writing {text!r}:\n{self.output[-4000:]}")
            return False

        eventually(written, timeout, what=f"{text!r} from {self}")

    def wait(self, timeout: float = 20.0) -> int:
        """Wait until it ends by itself; returns its exit status."""
        return self._process.wait(timeout)

    def terminate(self, timeout: float = 20.0) -> int:
        """Ask it to end (SIGTERM), and wait until it has; returns its exit status."""
        self._process.terminate()
        return self.wait(timeout)

    def kill(self) -> None:
        """End it with SIGKILL; what it started itself is not touched."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Stop it where it is (SIGSTOP), as a hung program would."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen program go on."""
        self._process.send_signal(signal.SIGCONT)

    def __str__(self) -> str:
        return " ".join(Path(word).name if os.sep in word else word for word in self.command)


class Processes:
    """Starts programs for one test, and kills them at its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.programs: list[Program] = []

    def start(
        self,
        *command: str | os.PathLike[str],
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Program:
        """Start a program; ``environ`` is added to the environment of the tests. What it keeps stays in the test's own
        folder."""
        output = self._folder / f"program-{len(self.programs)}.log"
        state = {"STATE_DIRECTORY": "", "XDG_STATE_HOME": str(self._folder / "state")}
        environ = {**os.environ, **state, **(environ or {})}
        program = Program([os.fspath(word) for word in command], output, environ, cwd)
        self.programs.append(program)
        return program

    def start_python(
        self,
        *arguments: str | os.PathLike[str],
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Program:
        """Start the Python that runs the tests: ``start_python("-m", "fogsdk.node.main", "--node", "n1")``.

        It finds ``fogsdk`` from whatever folder it is started in, and writes its output at once.
        """
        root = str(Path(__file__).parents[2])
        return self.start(
            sys.executable,
            *arguments,
            environ={"PYTHONPATH": root, "PYTHONUNBUFFERED": "1", **(environ or {})},
            cwd=cwd,
        )

    def kill(self) -> None:
        """Kill every program that still runs."""
        for program in self.programs:
            program.kill()


def check_none_left(before: set[int], grace: float = 5.0) -> None:
    """Fail, and kill them, if processes of this test run that are not in ``before`` are still there.

    ``grace`` (seconds) is what a worker gets to notice that the program it belonged to was killed.
    """
    left = list(_ours(before))
    if not left:
        return
    _, left = psutil.wait_procs(left, timeout=grace)
    descriptions = [_describe(process) for process in left]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=grace)
    if left:
        raise AssertionError("processes outlived the test (they are killed now):\n" + "\n".join(descriptions))


def _ours(before: set[int]) -> Iterator[psutil.Process]:
    for pid in set(psutil.pids()) - before:
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE and _is_ours(process) and not _is_helper(process):
                yield process
        except psutil.Error:
            continue  # it ended meanwhile, or is another user's


def _is_ours(process: psutil.Process) -> bool:
    # A process forked from the tests has no mark: what the system shows is the environment at the last exec.
    return process.environ().get(_MARK) == _RUN or any(parent.pid == os.getpid() for parent in process.parents())


def _is_helper(process: psutil.Process) -> bool:
    return process.ppid() == os.getpid() and any(name in " ".join(process.cmdline()) for name in _HELPERS)


def _describe(process: psutil.Process) -> str:
    try:
        return f"  {process.pid} (child of {process.ppid()}): {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return f"  {process.pid}"
