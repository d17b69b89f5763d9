"""What ``fog watch`` makes of bundles: how many of their calls failed, and which goes on as a task of its own."""

from __future__ import annotations

from fogsdk.cli.observer import Heard
from fogsdk.cli.sightings import Sighting, Sightings
from fogsdk.wire import bundles, topics
from fogsdk.wire.messages import Accepted, Hop, Message, Result, Task

SENT = topics.parse(topics.task("home", "n1", "dev"))
BACK = topics.parse(topics.reply("home", "dev"))
CALLS = 4


class Watcher:
    def __init__(self) -> None:
        self.sightings = Sightings()
        self.now = 0.0
        self.take(Task("d-x1", "tiny", bundles.write([b""] * CALLS), count=CALLS))

    def take(self, message: Message) -> Sighting:
        self.now += 1.0
        at = SENT if isinstance(message, Task) else BACK
        sighting = self.sightings.take(Heard(at, message, self.now))
        assert sighting is not None
        return sighting

    def result(self, *items: bundles.Item) -> Sighting:
        return self.take(Result("d-x1", bundles.write(items), (Hop("n1", "ran", ran=0.1),)))


def test_the_outcomes_of_its_calls_are_counted() -> None:
    failed, refused = bundles.failed("ValueError", "no", ""), bundles.refused("quarantined", "no", None)
    done = Watcher().result(b"\x01", failed, b"\x02", refused)
    assert (done.state, done.name, done.detail) == ("done", "tiny", "of 4 calls 2 done, 1 failed, 1 refused")


def test_a_call_that_goes_on_has_the_name_the_node_and_the_beginning_of_its_bundle() -> None:
    watcher = Watcher()
    assert watcher.result(b"\x01", None, None, None).detail == "of 4 calls 1 done, 3 to go on alone"
    alone = watcher.take(Accepted(bundles.id_of("d-x1", 1), "n1", None))
    assert (alone.name, alone.node, alone.state, alone.milliseconds) == ("tiny", "n1", "accepted", 2000.0)
    done = watcher.take(Result(bundles.id_of("d-x1", 1), b"\x01", (Hop("n1", "ran"),)))
    assert (done.name, done.state, done.detail) == ("tiny", "done", "")


def test_a_result_that_is_none_of_a_bundle_is_told_as_it_is() -> None:
    assert "cannot be read" in Watcher().take(Result("d-x1", b"\x01", (Hop("n1", "ran"),))).detail
