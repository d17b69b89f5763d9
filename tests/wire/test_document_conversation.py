"""The conversation in docs/protocol.md takes place as it is written there, with a real broker and a real node."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fogsdk.wire import codec, topics
from fogsdk.wire.messages import Birth
from tests.broker.mqtt import Client
from tests.support.broker import Mosquitto
from tests.support.processes import Processes
from tests.wire import document

NODE = "pi-1"
# What differs from run to run: numbers, and texts that name them.
TIMES = ("queued", "ran", "took", "wait", "why", "traceback")


@pytest.fixture
def kitchen(mosquitto: Mosquitto, processes: Processes, tmp_path: Path) -> Iterator[Client]:
    """The sender of the conversation, connected to a site where its node is."""
    processes.start_python(
        *("-m", "fogsdk.node.main", "--node", NODE, "--brokers", mosquitto.url, "--broker", "none", "--no-mdns"),
        *("--tasks", "tests.wire.document_tasks", "--workers", "2"),
        cwd=tmp_path,
    )
    with Client(mosquitto.port, "kitchen") as client:
        client.subscribe(topics.birth("home", NODE))
        [birth] = codec.decode(client.next()[1])
        assert isinstance(birth, Birth)
        client.paho.unsubscribe(topics.birth("home", NODE))
        yield client


def conversation() -> Iterator[tuple[str, str]]:
    """The commands and the answers, in order."""
    begin = document.TEXT.index("### A conversation in JSON")
    end = document.TEXT.index("###", begin + 3)
    written = document.TEXT[begin:end]
    for language, body in re.findall(r"^```(sh|json)\n(.*?)\n```$", written, re.DOTALL | re.MULTILINE):
        yield from ((language, line) for line in body.splitlines())


def timeless(reply: dict[str, Any]) -> dict[str, Any]:
    hops = [{name: value for name, value in hop.items() if name not in TIMES} for hop in reply.get("hops", ())]
    return {name: value for name, value in reply.items() if name not in TIMES} | {"hops": hops}


def test_the_conversation_takes_place_as_it_is_written(kitchen: Client) -> None:
    heard: dict[str, dict[str, Any]] = {}
    for language, line in conversation():
        if language == "sh":
            act(kitchen, shlex.split(line))
            continue
        written = json.loads(line)
        while written["id"] not in heard or is_early(heard[written["id"]], written):
            hear(kitchen, heard)
        assert timeless(heard.pop(written["id"])) == timeless(written)
    assert not heard
    assert kitchen.heard.empty()


def is_early(reply: dict[str, Any], written: dict[str, Any]) -> bool:
    """Whether it is only that a node, which takes longer on a busy computer, has accepted what is answered later."""
    return bool(reply["type"] == "accepted" != written["type"])


def act(client: Client, words: list[str]) -> None:
    topic = words[words.index("-t") + 1]
    if words[0] == "mosquitto_sub":
        client.subscribe(topic)
    else:
        client.publish(topic, words[words.index("-m") + 1].encode())


def hear(client: Client, heard: dict[str, dict[str, Any]]) -> None:
    answer = json.loads(client.next()[1])
    for reply in answer if isinstance(answer, list) else [answer]:
        heard[reply["id"]] = reply
