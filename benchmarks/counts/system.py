"""What the operating system says of a process: the calls that it makes, and the most memory that it had."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

_EVENT = "raw_syscalls:sys_enter"
_FUTEX = {"x86_64": 202, "aarch64": 98}
"""Its number on each kind of machine. How often threads wait for each other is a matter of chance, and not counted."""


class SystemCalls:
    """perf counts the system calls of some processes, from now until ``stop``; that does not slow them down, as strace
    would, so that they batch as ever. Raises RuntimeError where perf is not installed, or may not count."""

    def __init__(self, pids: list[int]) -> None:
        program = shutil.which("perf")
        if program is None:
            raise RuntimeError("perf is not installed; `make check` installs it, or: apt install linux-perf")
        (self._heard, tell), (listen, said) = os.pipe(), os.pipe()
        self._tell = said
        what = ("-e", _EVENT, "--filter", f"id != {_FUTEX.get(os.uname().machine, -1)}")
        whom = ("-p", ",".join(map(str, pids)), "--delay=-1", f"--control=fd:{listen},{tell}")
        self._process = subprocess.Popen(
            [program, "stat", "-x,", *what, *whom],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(listen, tell),
        )
        os.close(listen)
        os.close(tell)
        os.write(self._tell, b"enable\n")
        if not os.read(self._heard, 16):  # it ended
            raise RuntimeError(f"perf cannot count here (it needs root): {self._end()}")

    def stop(self) -> int:
        """How many it were."""
        self._process.send_signal(signal.SIGINT)
        said = self._end()
        count = re.search(rf"^(\d+),,{_EVENT}", said, re.MULTILINE)
        if count is None:
            raise RuntimeError(f"perf cannot count here: {said}")
        return int(count[1])

    def _end(self) -> str:
        os.close(self._tell)
        os.close(self._heard)
        return self._process.communicate()[1].strip()


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
