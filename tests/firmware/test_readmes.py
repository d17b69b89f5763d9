"""What the documents of the firmware examples say to type, typed; their figures, measured; their files, there."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.readme import ROOT, blocks
from tests.firmware.board import Board
from tests.firmware.clibrary import BUILD, C, building
from tests.firmware.memory import measure
from tests.support.ports import free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

FOLDER = ROOT / "firmware_examples"
DOCUMENTS = sorted(str(path.relative_to(ROOT)) for path in FOLDER.rglob("README.md"))
_LINK = re.compile(r"\]\(([^)#]+)\)")
_FIGURE = re.compile(r"^(\w+) (\d+) bytes", re.MULTILINE)
_SITE = f"readme-{os.getpid()}"


def commands(document: str) -> list[str]:
    """What a document says to type in a shell."""
    return [each for block in blocks(document) if block.language == "sh" for each in block.commands]


class House:
    """The node of firmware_examples/README.md, and a desk in the same house. Free ports stand in for the usual."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        broker, http, coap = (str(free_port()) for _ in range(3))
        self.url = f"mqtt://127.0.0.1:{broker}/{_SITE}"
        self._here = {
            "-h fog.local": f"-h 127.0.0.1 -p {broker}", "fog.local:8080": f"127.0.0.1:{http}", "0.0.0.0": "127.0.0.1",
            "--http-port 8080": f"--http-port {http}", "--coap-port 5683": f"--coap-port {coap}",
            " 1883 ": f" {broker} ", " 5683 ": f" {coap} ", "coap://127.0.0.1/": f"coap://127.0.0.1:{coap}/",
            "fog/v1/home/": f"fog/v1/{_SITE}/", " home ": f" {_SITE} ", "mqtt://fog.local/home": self.url,
        }  # fmt: skip
        self._environ = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1", "FOGNODE_BROKER_PORT": broker, "FOGNODE_SITE": _SITE,
            "FOGNODE_MDNS_INTERFACES": "127.0.0.1", "BUILD": str(BUILD),
        }  # fmt: skip
        [start] = commands("firmware_examples/README.md")
        self.node = self.begin(start, FOLDER)
        eventually(lambda: " connected to " in self.node.output, timeout=30, what="the node to be connected")

    def here(self, text: str) -> str:
        """A text for this house."""
        for word, here in self._here.items():
            text = text.replace(word, here)
        return text

    def begin(self, command: str, folder: Path = FOLDER) -> Program:
        """Type a command."""
        command = self.here(command).replace("build/fog", f"{BUILD}/fog")
        return self._processes.start("sh", "-c", f"exec {command}", environ=self._environ, cwd=folder)

    def do(self, command: str, folder: Path = FOLDER) -> str:
        """Type a command that ends; returns what it printed."""
        program = self.begin(command, folder)
        assert program.wait(120) == 0, f"{command}\n{program.output}"
        return program.output


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    processes = Processes(tmp_path_factory.mktemp("house"))
    house = House(processes)
    yield house
    house.node.terminate()
    processes.kill()


def test_what_the_shell_s_document_says_works(house: House) -> None:
    first, listen, publish, post, fetch, births, curl, coap = commands("firmware_examples/shell/README.md")
    assert '"value":21.5' in house.do(first)
    listening = house.begin("stdbuf -oL " + listen.removesuffix(" &") + " -d")
    listening.wait_for("received SUBACK")
    house.do(publish)
    listening.wait_for('"value":{"sensor":"porch","fan":true,"sleep":60}')
    assert '"receipt":"kitchen/k1-3"' in house.do(post)
    listening.kill()
    assert '"fan":true' in house.do(fetch)
    assert "forecast" in house.do(births)
    assert '"value":22.5' in house.do(curl)
    assert '"value":22.5' in house.do(coap)


def test_what_the_document_of_c_says_works(house: House) -> None:
    make, *clients = commands("firmware_examples/c/README.md")
    with building():
        house.do(f"{make} BUILD={BUILD}", C)
    for client in clients:
        assert house.do(client, C) == "it will be 25.3\n"


def test_what_the_document_of_micropython_says_works(house: House, board: Board) -> None:
    for command in commands("firmware_examples/micropython/README.md"):
        assert command.startswith(("pip install mpremote", "mpremote ")), command
        for name in re.findall(r"\w+\.py", command):
            assert name == "main.py" or (board.flash / name).exists(), command
    [program] = [
        block.text for block in blocks("firmware_examples/micropython/README.md") if block.language == "python"
    ]
    (board.flash / "main.py").write_text(house.here(program))
    ended = board.power_on("main.py")
    assert ended.wait() == 0, ended.output
    assert ended.output.startswith("22.5\n{")


def test_the_figures_of_micropython_are_what_is_measured(tmp_path: Path) -> None:
    said = measure(tmp_path)
    written = dict(_FIGURE.findall((FOLDER / "micropython" / "README.md").read_text()))
    assert {name: int(size) for name, size in _FIGURE.findall(said)} == pytest.approx(
        {name: int(size) for name, size in written.items()}, rel=0.05, abs=64
    )


def test_the_yaml_of_home_assistant_s_document_is_yaml() -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!include_dir_named", lambda _loader, node: node.value)
    found = [block for block in blocks("firmware_examples/home_assistant/README.md") if block.language == "yaml"]
    assert [list(yaml.load(block.text, Loader)) for block in found] == [["homeassistant"], ["fog_authorization"]]  # noqa: S506


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_document_says_how_safe_and_how_large_it_is_and_links_to_what_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    for target in _LINK.findall(text):
        assert (ROOT / document).parent.joinpath(target).exists(), target
    if document != "firmware_examples/README.md":
        assert re.search(r"^(## Safety|\*\*Safety\.\*\*)", text, re.MULTILINE)
        if "home_assistant" not in document:
            assert re.search(r"^(## Memory|\*\*Memory\.\*\*)", text, re.MULTILINE)
    for block in blocks(document):
        assert block.language in ("sh", "python", "yaml", "javascript", "text"), block


def test_every_example_has_a_document() -> None:
    folders = {path for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {FOLDER / "README.md", *(folder / "README.md" for folder in folders)} == {ROOT / each for each in DOCUMENTS}
