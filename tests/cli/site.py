"""What the tests of the command line share: a site on this computer, and the ``fog`` command."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

import fogsdk
from tests.support.broker import Mosquitto
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

ROOT = str(Path(__file__).parents[2])
TASKS = "tests.cli.cli_tasks,fogsdk.demo.load"
TIMEOUT = 40.0
FOG = [sys.executable, "-m", "fogsdk.cli.main"]
# Takes Ctrl-C also where the tests run in the background and so are told to ignore it.
INTERRUPTIBLE = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from fogsdk.cli.main import main; sys.exit(main())",
]


def environment(url: str = "", **more: str) -> dict[str, str]:
    """The environment of a command: nothing of the tester's own settings, but the site's URL, and ``more``."""
    dropped = ("FOG_", "COLUMNS", "LINES")  # xdist sets the last two, and they would overrule the terminal
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    return {**kept, "PYTHONPATH": ROOT, "PYTHONUNBUFFERED": "1", **({"FOG_URL": url} if url else {}), **more}


def fog(
    *words: str, url: str = "", stdin: bytes = b"", environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    env = environment(url, **(environ or {}))
    command = [*FOG, *words]
    done = subprocess.run(command, input=stdin, capture_output=True, env=env, timeout=TIMEOUT, check=False)
    return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())


class Terminal:
    """``fog`` on a terminal of its own, 40 lines of 160 characters. ``program`` is how it is started."""

    def __init__(self, *words: str, url: str, program: Sequence[str] = INTERRUPTIBLE, **environ: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        env = environment(url, TERM="xterm-256color", **environ)
        self._process = subprocess.Popen([*program, *words], stdin=slave, stdout=slave, stderr=slave, env=env)
        os.close(slave)
        os.set_blocking(self._master, False)
        self._written = b""

    @property
    def written(self) -> str:
        """All that it has written so far, as a terminal gets it."""
        try:
            while chunk := os.read(self._master, 65536):
                self._written += chunk
        except OSError:  # nothing more now, or the other end is closed
            pass
        return self._written.decode(errors="replace")

    def wait_for(self, text: str) -> None:
        """Wait until it has written something."""
        eventually(lambda: text in self.written, TIMEOUT, what=f"{text!r} on the terminal")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait until it ends; returns its exit code."""

        def ended() -> bool:
            _ = self.written  # a full terminal would hold it up
            return self._process.poll() is not None

        eventually(ended, TIMEOUT, what="the end of the command")
        return self._process.returncode

    def close(self) -> None:
        """Kill it, if it still runs."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)


class Site:
    """A broker and nodes. ``settings`` are further lines of the broker's configuration."""

    def __init__(self, folder: Path, *settings: str, anonymous: bool = True) -> None:
        self.folder = folder
        self.broker = Mosquitto(folder, *settings, anonymous=anonymous)
        self.nodes: dict[str, Program] = {}
        self.processes = Processes(folder)

    @property
    def url(self) -> str:
        """The URL of the broker."""
        return self.broker.url

    def start(self, *names: str, flags: tuple[str, ...] = ()) -> None:
        """Start nodes side by side, and return when each is there."""
        before = {name: self.launch(name, *flags) for name in names}
        for program in before.values():
            program.wait_for("connected to")
        self.nodes.update(before)

    def launch(self, name: str, *flags: str) -> Program:
        """Start a node with one worker."""
        return self.processes.start_python(
            *("-m", "fogsdk.node.main", "--node", name, "--brokers", self.url, "--broker", "none", "--no-mdns"),
            *("--tasks", TASKS, "--workers", "1", *flags),
        )

    def connect(self) -> fogsdk.Fog:
        """Connect a device."""
        return fogsdk.connect(self.url)

    def fog(self, *words: str, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run ``fog`` on this site, to its end."""
        return fog(*words, url=self.url, stdin=stdin, environ=environ)

    def start_fog(self, *words: str) -> Program:
        """Start ``fog`` on this site. Its output has both streams."""
        return self.processes.start(*INTERRUPTIBLE, *words, environ=environment(self.url))

    def close(self) -> None:
        """Kill everything."""
        self.processes.kill()
        self.broker.kill()
