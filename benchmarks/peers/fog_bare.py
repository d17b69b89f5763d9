"""fogsdk's device, with a node that is no more than it has to be: it runs each task where it reads it, in its one
process, with no worker, no queue, and nothing that would survive anything.

So this is what a call through the SDK and a broker takes before a node does anything for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import fogsdk
from benchmarks.harness import offered
from benchmarks.harness.services import BROKER, Services
from benchmarks.harness.wire import answer_all, open_mqtt, publish_packet, take_payloads
from benchmarks.peers.fog_mqtt import FogMqtt
from fogsdk import tasks
from fogsdk.wire import bundles, codec, topics
from fogsdk.wire.messages import Birth, Hop, Malformed, Message, Result, Task, TaskInfo

SITE, NODE, DEVICE = "home", "bare", "device"


class FogBare(FogMqtt):
    """The device."""

    def start(self, services: Services) -> None:
        self._fog = fogsdk.connect(services.broker, name=DEVICE)
        services.python(__name__)


def main() -> None:
    """Be the node."""
    sock = open_mqtt(os.environ[BROKER], NODE, topics.task(SITE, NODE))
    birth = Birth(1, "fog", 2, tuple(TaskInfo(name) for name in offered.FUNCTIONS))
    sock.sendall(retained(publish_packet(topics.birth(SITE, NODE), codec.encode([birth]))))
    answer_all(sock, take_payloads, partial(answer, topics.reply(SITE, DEVICE)))


def retained(publish: bytes) -> bytes:
    """The same PUBLISH, for those too who subscribe later."""
    return bytes([publish[0] | 1]) + publish[1:]


def answer(topic: str, payload: bytes) -> bytes:
    """Run all tasks of a payload."""
    return publish_packet(topic, codec.encode(list(_results(codec.decode(payload)))))


def _results(messages: list[Message | Malformed]) -> Iterator[Result]:
    for task in messages:
        if not isinstance(task, Task):
            continue  # a question what became of one: its answer is on its way, or in what was read with it
        calls = [task.body] if task.count == 1 else bundles.calls_of(task)
        results = [tasks.perform("run", task.name, (call,)) for call in calls]
        body = results[0] if task.count == 1 else bundles.write(results)
        yield Result(task.id, body, (Hop(NODE, "ran"),))


if __name__ == "__main__":
    main()
