"""Programs that a contender needs, on free ports of the loopback interface, in a folder that goes with them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

PATH = os.pathsep.join(
    (os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin")
)  # Debian keeps mosquitto there
BROKER = "FOGSDK_BENCH_BROKER"
"""The variable that tells a contender's other processes where its broker is."""
_PATIENCE = 10.0

_MOSQUITTO = """listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 100000
{user}
"""


class Services:
    """The running programs of one contender; use it in a ``with`` block."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="b"))
        self.port = 0
        self.broker = ""
        self._running: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str, keep: tuple[int, ...] = (), **environ: str) -> subprocess.Popen[bytes]:
        """Start a program, with more variables in its environment; it inherits the file descriptors ``keep``."""
        log = self.folder / f"{len(self._running)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=os.environ | environ, pass_fds=keep
            )
        self._running.append(process)
        return process

    def python(
        self, module: str, *arguments: str, keep: tuple[int, ...] = (), **environ: str
    ) -> subprocess.Popen[bytes]:
        """Start a module with this Python."""
        return self.run(sys.executable, "-m", module, *arguments, keep=keep, **environ)

    def start_broker(self, kind: str) -> None:
        """Start a mosquitto or a Redis that keeps nothing on disk, and tell its address to all that is started here."""
        self.port = free_port()
        if kind == "mosquitto":
            config = self.folder / "mosquitto.conf"
            # Started by root it would become a user who cannot read this folder.
            config.write_text(_MOSQUITTO.format(port=self.port, user="user root" if os.geteuid() == 0 else ""))
            self.run(program("mosquitto"), "-c", str(config))
            self.broker = f"mqtt://127.0.0.1:{self.port}"
        else:
            keep_nothing = ("--save", "", "--appendonly", "no")
            here = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder))
            self.run(program("redis-server"), *here, *keep_nothing)
            self.broker = f"redis://127.0.0.1:{self.port}/0"
        os.environ[BROKER] = self.broker
        self._wait_for_port()

    def said(self) -> str:
        """The last words of each program, for the report of what went wrong."""
        texts = (log.read_text(errors="replace")[-1500:] for log in sorted(self.folder.glob("*.log")))
        return "\n".join(text for text in texts if text)

    def _wait_for_port(self) -> None:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > until or self._running[-1].poll() is not None:
                    raise RuntimeError(f"the broker did not start:\n{self.said()}") from None
            time.sleep(0.002)

    def __enter__(self) -> Services:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._running):
            process.terminate()
        for process in reversed(self._running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
            process.kill()  # what it leaves behind is ended by whoever started this measurement
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """Where a program is. Raises RuntimeError if it is not installed."""
    path = shutil.which(name, path=PATH)
    if path is None:
        raise RuntimeError(f"{name} is not installed")
    return path
