"""Starts a fork server's process, and what else daemon and fork server have in common.

It imports little: a daemon starts its fork server first of all, and both then import what they need side by side.
"""

from __future__ import annotations

import signal
import socket
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import subprocess

COMMAND = struct.Struct("!cI")
FORK = b"f"  # beyond the numbers of all signals

_BOOT = "import sys; sys.path[:] = sys.argv[3:]; from fogsdk.node.worker_forkserver import main; main()"
_STDERR = 2


class Launched(NamedTuple):
    """A fork server that was started, and the socket to it."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    def end(self) -> None:
        """Leave no process, whatever became of it since."""
        self.control.close()
        self.process.kill()  # it may be importing modules, for who knows how long
        self.process.wait()


def launch(modules: Sequence[str]) -> Launched:
    """Start a fork server that imports ``modules``; it ends when its socket is closed."""
    import subprocess  # the fork server itself has no use for it

    control, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            command_line("forkserver", modules),
            stdin=theirs.fileno(),
            stdout=_STDERR,  # what tasks print must not get into what the daemon prints
            start_new_session=True,  # Ctrl-C in the daemon's terminal is for the daemon alone
        )
    return Launched(process, control)


def command_line(role: str, modules: Sequence[str]) -> list[str]:
    """Return the command that starts a "forkserver" or a "worker", with this process's ``sys.path``."""
    return [sys.executable, "-c", _BOOT, role, ",".join(modules), *sys.path]


def how_it_ended(code: int) -> str:
    """Return in words how a process ended, given the exit code that ``subprocess`` has for it."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
