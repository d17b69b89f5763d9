"""The code blocks of a document, and a desk to do on what they say."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
DAEMONS = ("fognode", "fogcloud")
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the file that it is (if any), and its text."""

    language: str
    file: str
    text: str

    @property
    def commands(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.strip()]


def blocks(document: str) -> list[Block]:
    """The blocks of a document of the project, in order."""
    text = (ROOT / document).read_text()
    return [Block(language, file or "", body) for language, file, body in _BLOCK.findall(text)]


class Desk:
    """A folder to work in as a newcomer would; daemons stay until the end. Free ports stand in for the usual."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self._processes = processes
        self._port, self._core_port, self._http_port, self._coap_port = (free_port() for _ in range(4))
        self._environ = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "FOGNODE_BROKER_PORT": str(self._port),
            "FOGNODE_MDNS_INTERFACES": "127.0.0.1",
            "FOGNODE_SITE": f"readme-{self._port}",
            "FOGCLOUD_BRIDGE_MDNS_INTERFACES": "127.0.0.1",
            "FOGCLOUD_BRIDGE_SITE": f"readme-{self._port}",
            "FOGCLOUD_CORE_MDNS_INTERFACES": "127.0.0.1",
            "FOGCLOUD_CORE_SITE": f"core-{self._core_port}",
            "FOGCLOUD_BRIDGE_CORE_SITE": f"core-{self._core_port}",
            "FOG_URL": f"mqtt://127.0.0.1:{self._port}/readme-{self._port}",
        }

    def write(self, block: Block) -> None:
        """Save a block as the file that it says it is."""
        (self.folder / block.file).write_text(self._here(block.text))

    def do(self, command: str) -> Program:
        """Type a command. A daemon is left running once it is up; anything else must end well."""
        words = shlex.split(self._here(command))
        program = self._processes.start(*words, environ=self._environ, cwd=self.folder)
        if words[0] in DAEMONS:
            program.wait_for(": ", timeout=20)
            eventually(lambda: " connected to " in program.output, timeout=20, what=f"{command} to be connected")
        else:
            status = program.wait(timeout=60)
            assert status == 0, f"{command}: exit {status}\n{program.output}"
        return program

    def _here(self, text: str) -> str:
        there = {
            "2883": str(self._core_port),  # first: the other ports that are put in may have these digits
            "-h fog.local": f"-h 127.0.0.1 -p {self._port}",
            "fog.local:8080": f"127.0.0.1:{self._http_port}",
            "coap://fog.local": f"coap://127.0.0.1:{self._coap_port}/{self._environ['FOGNODE_SITE']}",
            "coap://127.0.0.1/": f"coap://127.0.0.1:{self._coap_port}/",
            "mqtt://fog.local": self._environ["FOG_URL"],
            "fog/v1/home/": f"fog/v1/{self._environ['FOGNODE_SITE']}/",
            "192.168.1.9": f"127.0.0.1:{self._port}",
            "0.0.0.0": "127.0.0.1",
            "--http-port 8080": f"--http-port {self._http_port}",
            "--coap-port 5683": f"--coap-port {self._coap_port}",
        }
        for word, here in there.items():
            text = text.replace(word, here)
        return text
