"""What the guard against getting slower promises: it notices what it is there for, and says what to do.

Each slowdown is put into all processes of a site as they start, by a ``sitecustomize`` on their PYTHONPATH.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import guard
from benchmarks.counts.parts import PARTS, Figures

ONE_FLUSH_FOR_EACH_MESSAGE = """
from fogsdk.core import outbox
from fogsdk.device.mqttsocket import MqttSocket

publish = MqttSocket.publish

def publish_now(self, *arguments):
    publish(self, *arguments)
    self.write()

MqttSocket.publish = publish_now
outbox._batches = lambda messages: [[message] for message in messages]
"""

NO_BUNDLES = """
from fogsdk.core import bundler

bundler.BUNDLE = 1
"""

ONE_MORE_COPY = """
from fogsdk import tasks

perform = tasks.perform

def perform_on_a_copy(kind, name, bodies, *others):
    copies = [bytes(memoryview(body)) + b"" for body in bodies]
    held = [bytearray(copy) for copy in copies]
    return perform(kind, name, copies, *others)

tasks.perform = perform_on_a_copy
"""


def measured_with(slowdown: str, part: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Figures:
    """What a part measures with a slowdown."""
    (folder / "sitecustomize.py").write_text(slowdown)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return PARTS[part].measure()


def rose(part: str, before: Figures, after: Figures) -> list[str]:
    return [name for name, value in after.items() if value > PARTS[part].bound(name, before[name])]


@pytest.mark.timeout(180)
def test_a_lost_batch_shows_in_the_packets_for_each_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = json.loads(guard.RECORDED.read_text())[guard.ANY]
    after = measured_with(ONE_FLUSH_FOR_EACH_MESSAGE, "traffic", tmp_path, monkeypatch)
    assert "MQTT packets, 256 at once, no bundles" in rose("traffic", before, after), after


@pytest.mark.timeout(180)
def test_calls_that_no_longer_leave_in_bundles_show_in_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads(guard.RECORDED.read_text())[guard.ANY]
    after = measured_with(NO_BUNDLES, "traffic", tmp_path, monkeypatch)
    # its packets may rise as well: beside other tests, device and node take turns that hold less
    assert "MQTT bytes, 256 at once" in rose("traffic", before, after), after


@pytest.mark.timeout(120)
def test_one_more_copy_of_a_body_shows_in_the_memory_of_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = PARTS["copies"].measure()
    after = measured_with(ONE_MORE_COPY, "copies", tmp_path, monkeypatch)
    assert rose("copies", before, after) == ["bodies in memory, workers, echo of 4 MiB"], (before, after)


def test_a_pass_over_all_nodes_for_each_task_fails_the_check_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = str(tmp_path / "figures.json")
    assert guard.main(["--record", "--only", "lines", "--figures", figures]) == 0
    assert guard.main(["--only", "lines", "--figures", figures]) == 0
    assert "none rose" in capsys.readouterr().out

    from fogsdk.core.node import Node

    handle = Node.handle

    def look_at_all_and_handle(self: Node, *arguments: object) -> object:
        for member in self.directory.members.values():
            member.birth  # noqa: B018 - looking at it is the point
        return handle(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Node, "handle", look_at_all_and_handle)
    assert guard.main(["--only", "lines", "--figures", figures]) == 1
    said = capsys.readouterr().out
    assert "lines of the core, node, 1000 other nodes" in said
    assert "lines of the core, device" not in said
    assert "python -m benchmarks.guard --record" in said


def test_what_is_recorded_for_another_version_of_python_alone_is_not_held_against_this_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"Python 3.0": {"lines of the core, node, 1 other nodes": 1.0}}))
    assert guard.main(["--only", "lines", "--figures", str(figures)]) == 0
    assert "--record" in capsys.readouterr().out


def test_what_depends_on_the_version_of_python_is_recorded_for_each_of_two() -> None:
    records = json.loads(guard.RECORDED.read_text())
    sections = [set(figures) for section, figures in records.items() if section != guard.ANY]
    assert len(sections) >= 2
    assert all(figures == sections[0] for figures in sections)
