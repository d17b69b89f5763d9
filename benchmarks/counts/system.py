"""What the operating system says of a process: the calls that it makes, and the most memory that it had."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

from tests.support.waiting import eventually

_UNSTABLE = {"futex", "sched_yield", "restart_syscall"}
"""How often threads wait for each other is a matter of chance."""


class Tracer:
    """strace on a process and its threads, from now until ``stop``. Raises RuntimeError where it cannot be used."""

    def __init__(self, pid: int, folder: Path) -> None:
        program = shutil.which("strace")
        if program is None:
            raise RuntimeError("strace is not installed; `make check` installs it, or: apt install strace")
        self._output = folder / f"strace-{pid}"
        command = [program, "-f", "-c", "-qq", "-U", "name,calls", "-o", str(self._output), "-p", str(pid)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        eventually(lambda: self._attached(pid), what=f"strace on process {pid}")

    def _attached(self, pid: int) -> bool:
        if self._process.poll() is not None:
            assert self._process.stderr is not None
            raise RuntimeError(f"strace cannot be used here: {self._process.stderr.read().strip()}")
        threads = [thread / "status" for thread in Path(f"/proc/{pid}/task").iterdir()]
        return all(re.search(r"^TracerPid:\s+[1-9]", status.read_text(), re.MULTILINE) for status in threads)

    def stop(self) -> int:
        """The system calls since it was made, those aside that are a matter of chance."""
        self._process.send_signal(signal.SIGINT)
        self._process.communicate()
        rows = re.findall(r"^\s*(\w+)\s+(\d+)$", self._output.read_text(), re.MULTILINE)
        return sum(int(calls) for name, calls in rows if name not in {*_UNSTABLE, "total"})


class Peak:
    """The most memory that a process has from now on, beyond what it has now."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the peak so far
        self._before = self._status("VmRSS")

    def bytes(self) -> int:
        """So much it was at the most."""
        return self._status("VmHWM") - self._before

    def _status(self, field: str) -> int:
        text = Path(f"/proc/{self._pid}/status").read_text()
        found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024
