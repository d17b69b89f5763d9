"""docs/devices.md: what it says to type is typed, in order, and what it says of the examples is what they say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.readme import DAEMONS, ROOT, Desk, blocks
from tests.support.processes import Processes

TEXT = (ROOT / "docs" / "devices.md").read_text()
BLOCKS = blocks("docs/devices.md")
PROGRAMS = ("fog", "python", "curl", "coap-client-notls", "mosquitto_rr", *DAEMONS)
FIRMWARE = ("build/fog_mqtt", "build/fog_coap")


def test_what_it_says_to_type_works(tmp_path: Path, processes: Processes) -> None:
    desk = Desk(tmp_path, processes)
    desk.write(next(block for block in blocks("README.md") if block.file == "mytasks.py"))
    shutil.copy(ROOT / "examples" / "pythonista_fog.py", tmp_path)
    said: dict[str, str] = {}
    for block in BLOCKS:
        if block.file:
            desk.write(block)
        for command in block.commands if block.language == "sh" else []:
            if not command.startswith(FIRMWARE):
                said[command] = desk.do(command).output
    assert said["python device.py"].startswith("2.5\n303 primes, computed by ")
    assert said["python coap_device.py"] == "2.5\n"
    assert "result: 2.5" in said["python pythonista_fog.py http://fog.local:8080/"]
    plain, events, later, gone = (text for command, text in said.items() if command.startswith("curl"))
    assert '"value":2.5' in plain
    assert "event: progress" in events
    assert '"value":17984' in events
    assert '"id":"k1-1"' in later
    assert gone == "", "204, and nothing more"
    task, core = (text for command, text in said.items() if command.startswith("coap-client"))
    assert '"value":2.5' in task
    assert "</fog/v1/tasks/mean>" in core
    [by_hand] = (text for command, text in said.items() if command.startswith("mosquitto_rr"))
    assert '"value":2.5' in by_hand
    assert said["fog invite"].count("\u2588") > 100
    for command, text in said.items():
        assert "doctor" not in command or "run by" in text, command


@pytest.mark.parametrize("block", [block for block in BLOCKS if not block.file], ids=lambda block: block.commands[0])
def test_every_block_is_run_here_or_by_the_tests_of_the_firmware(block: object) -> None:
    """Those run what stands in the documents of the examples."""
    examples = "".join(path.read_text() for path in (ROOT / "firmware_examples").rglob("README.md"))
    [same] = [each for each in BLOCKS if each == block]
    assert same.language in ("sh", "python")
    for command in same.commands:
        assert (same.language == "sh" and command.split()[0] in PROGRAMS) or command in examples, command


def test_the_table_has_a_section_for_each_device_and_a_word_in_each_cell() -> None:
    rows = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {9}
    assert all(cell.strip() for row in rows[1:] for cell in row)
    anchors = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= anchors


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)", TEXT))))
def test_what_it_links_to_is_there(target: str) -> None:
    assert (ROOT / "docs" / target).exists()
