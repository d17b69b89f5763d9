"""A real mosquitto on a loopback port, that a test can kill and start again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.support.ports import free_port
from tests.support.waiting import eventually

# An MQTT 3.1.1 CONNECT with no client id and a clean session.
# Its answer starts with 0x20, also when the login is refused.
_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
_CONNACK = 0x20


class Mosquitto:
    """One broker process. ``settings`` are further lines of its configuration file."""

    def __init__(self, folder: Path, *settings: str, anonymous: bool = True) -> None:
        self.port = free_port()
        self.log = folder / f"mosquitto-{self.port}.log"
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._config.write_text(
            "\n".join(
                (
                    f"listener {self.port} 127.0.0.1",
                    f"allow_anonymous {str(anonymous).lower()}",
                    "set_tcp_nodelay true",
                    # Started by root it would become a user who cannot read a test's folder.
                    "user root",
                    *settings,
                    "",
                )
            )
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Its address, as devices and nodes are given it."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of its process, which has to be running."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it on its port, and wait until it answers a CONNECT."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [_program(), "-c", self._config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        eventually(self._answers, 5, what=f"mosquitto on port {self.port}")

    def kill(self) -> None:
        """End it with SIGKILL: no message to its clients, nothing saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it where it is (SIGSTOP): to its clients it is like a host that lost its power."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Kill it, if it still runs, and start it on the same port."""
        self.kill()
        self.start()

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"mosquitto ended on its own:\n{self.log.read_text()}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(_CONNECT)
                return connection.recv(1) == bytes([_CONNACK])
        except OSError:
            return False


def _program() -> str:
    # Debian keeps it where the PATH of an ordinary user does not look.
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    program = shutil.which("mosquitto", path=path)
    if program is None:
        raise RuntimeError("mosquitto is not installed; `make test` installs it, or: apt install mosquitto")
    return program
