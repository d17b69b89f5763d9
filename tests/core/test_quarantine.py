"""Quarantine: a task that keeps killing workers is refused, on every way in, for a while, and with a way out."""

from __future__ import annotations

from typing import Any

from fogsdk.core.commands import Note, Send
from fogsdk.core.events import Asked, JobLost, Submit
from fogsdk.core.quarantine import FIRST_TIME, HEARSAY, LONGEST_TIME, MOST, MOST_ARGUMENTS, Quarantine
from fogsdk.core.work import MOST_LOSSES
from fogsdk.wire import codec, limits, values
from fogsdk.wire.messages import Beat, Failed, Refused, Result, Task
from tests.core.world import Peer, World


def quarantine() -> Quarantine:
    return Quarantine("pi-1")


def task(name: str = "blur", argument: int = 1) -> Task:
    return Task("t", name, values.encode([[argument], {}]))


def offend(locked: Quarantine, name: str = "blur", argument: int = 1, now: int = 0) -> Note:
    return locked.offend(name, task(name, argument).body, "killed by signal 11", now)


def left(locked: Quarantine, now: int, name: str = "blur", argument: int = 1) -> int:
    refused = locked.refusal(task(name, argument), now)
    return 0 if refused is None else refused.retry_after or -1


# ---------------------------------------------------------------- who, and for how long


def test_what_offended_is_refused_with_reason_time_and_way_out() -> None:
    locked = quarantine()
    note = offend(locked)
    assert (note.kind, "10 minutes" in note.text, "signal 11" in note.text) == ("quarantined", True, True)
    refused = locked.refusal(task(), 60_000)
    assert refused is not None
    assert (refused.reason, refused.retry_after) == ("quarantined", FIRST_TIME - 60_000)
    for part in ("blur with these arguments", "pi-1", "9.0 more minutes", "signal 11", "fog unquarantine blur"):
        assert part in refused.message
    assert left(locked, FIRST_TIME) == 0


def test_other_arguments_and_other_tasks_are_not_meant() -> None:
    locked = quarantine()
    offend(locked)
    assert left(locked, 0, argument=2) == 0
    assert left(locked, 0, name="mean") == 0


def test_several_arguments_of_one_name_put_the_name_in_quarantine() -> None:
    locked = quarantine()
    for argument in range(MOST_ARGUMENTS):
        assert left(locked, 0, argument=99) == 0
        note = offend(locked, argument=argument)
    assert "blur is not run" in note.text
    refused = locked.refusal(task(argument=99), 0)
    assert refused is not None
    assert "with any arguments" in refused.message
    assert left(locked, 0, name="mean") == 0


def test_the_same_arguments_again_and_again_are_not_several() -> None:
    locked = quarantine()
    for _ in range(2 * MOST_ARGUMENTS):
        offend(locked)
    assert left(locked, 0, argument=99) == 0


def test_each_further_offence_doubles_the_time_up_to_a_day() -> None:
    locked = quarantine()
    now, time = 0, FIRST_TIME
    for _ in range(12):
        offend(locked, now=now)
        assert left(locked, now) == time
        now, time = now + time, min(LONGEST_TIME, 2 * time)
    assert time == LONGEST_TIME


def test_who_kept_quiet_for_as_long_again_begins_anew() -> None:
    locked = quarantine()
    offend(locked)
    offend(locked, now=2 * FIRST_TIME)
    assert left(locked, 2 * FIRST_TIME) == FIRST_TIME


def test_it_can_be_lifted_for_one_name_or_for_all() -> None:
    locked = quarantine()
    for name, argument in (("blur", 1), ("blur", 2), ("mean", 1)):
        offend(locked, name, argument)
    assert sorted(each.partition("#")[0] for each in locked.lift("blur")) == ["blur", "blur"]
    assert left(locked, 0) == 0
    assert left(locked, 0, name="mean") == FIRST_TIME
    assert locked.lift("blur") == []
    assert len(locked.lift("")) == 1
    offend(locked)
    assert left(locked, 0) == FIRST_TIME, "what is lifted is forgotten, and not doubled"


def test_it_is_bounded_and_what_it_says_fits_into_a_heartbeat() -> None:
    locked = quarantine()
    for number in range(MOST + 10):
        offend(locked, str(number).ljust(limits.NAME_LENGTH, "n"))
    assert len(locked.serving(0)) == MOST
    beat = Beat(1, 1, 1000, quarantined=locked.names(0))
    assert codec.decode(codec.encode([beat])) == [beat]


def test_what_a_neighbour_has_in_quarantine_is_not_run_until_it_is_heard_no_more() -> None:
    locked, other = quarantine(), Quarantine("pi-2")
    offend(other)
    locked.heard("pi-2", other.names(0), 0)
    refused = locked.refusal(task(), HEARSAY - 1)
    assert refused is not None
    assert (refused.node, "die on pi-2" in refused.message) == ("pi-1", True)
    assert left(locked, 0, argument=2) == 0
    assert left(locked, HEARSAY) == 0
    locked.heard("pi-2", (), 0)
    assert left(locked, 0) == 0


def test_a_name_that_a_neighbour_does_not_run_at_all_may_be_run_here() -> None:
    locked = quarantine()
    locked.heard("pi-2", ("blur",), 0)
    assert left(locked, 0) == 0


# ---------------------------------------------------------------- on a node


class Deadly(World):
    """A world in which every run of ``quick`` kills its worker, ``induced`` times at first on purpose."""

    def __init__(self, induced: int = 0) -> None:
        super().__init__(seed=1)
        self.induced = induced
        self.told: dict[str, Any] = {}

    def ask(self, node: str, id: str, name: str = "quick", argument: Any = "k") -> Any:
        """Send a task to a node, and return what it answered in the end."""
        self.tell(self.peers[node], Asked("a", "x", Task(id, name, values.encode([[argument], {}]))))
        self.run(self.now + 200)
        return self.told[id]

    def _send(self, peer: Peer, send: Send) -> None:
        if send.topic == "fog/v1/s/reply/x":
            self.told[send.message.id] = send.message  # type: ignore[union-attr]
        super()._send(peer, send)

    def _finish(self, peer: Peer, start: Any, runs: int) -> None:
        if start.name != "quick" or start.job not in peer.jobs:
            super()._finish(peer, start, runs)
            return
        del peer.jobs[start.job]
        self.induced -= 1
        self.tell(peer, JobLost(start.job, "killed by signal 11", induced=self.induced >= 0))


def test_a_killer_is_locked_up_and_its_node_says_so_everywhere() -> None:
    world = Deadly()
    world.add_node("n0")
    world.run(50)
    failed = world.ask("n0", "k1")
    assert isinstance(failed, Failed)
    assert failed.error == "WorkerDied"
    assert len(world.runs) == MOST_LOSSES
    refused = world.ask("n0", "k2")
    assert isinstance(refused, Refused)
    assert refused.reason == "quarantined"
    assert len(world.runs) == MOST_LOSSES
    assert [note.kind for note in world.notes] == ["quarantined"]
    [label] = world.peers["n0"].core.work.quarantine.names(world.now)
    assert label.startswith("quick#")


def test_a_neighbour_hears_of_it_and_does_not_try_it_itself() -> None:
    world = Deadly()
    for node in ("n0", "n1"):
        world.add_node(node)
    world.run(2500)
    world.ask("n1", "k1")
    world.run(world.now + 500)
    assert world.ask("n0", "k2").reason == "quarantined"
    assert len(world.runs) == MOST_LOSSES
    for node in ("n1", "n0"):
        world.ask(node, f"lift-{node}", "fog.unquarantine", "")
    world.run(world.now + 500)
    assert isinstance(world.ask("n0", "k3"), Failed), "it was run again"


def test_deaths_on_purpose_do_not_count() -> None:
    world = Deadly(induced=10)
    world.add_node("n0")
    world.run(50)
    assert isinstance(world.ask("n0", "k"), Failed)
    assert len(world.runs) == 10 + MOST_LOSSES


def test_a_refused_killer_is_not_tried_on_every_other_node() -> None:
    world = Deadly()
    for node in ("n0", "n1", "n2"):
        world.add_node(node)
    world.add_client("dev")
    world.run(50)
    world.submit("dev", "k")
    world.run(world.now + 500)
    [node] = {node for node, _, _ in world.runs}
    world.tell(world.peers["dev"], Submit(Task("again", "quick", values.encode([["k"], {}])), to=node))
    world.submit("dev", "still-there", "long")
    world.run(world.now + 2000)
    [refused] = world.settled[("dev", "again")]
    assert isinstance(refused, Refused)
    assert refused.reason == "quarantined"
    assert isinstance(world.settled[("dev", "still-there")][0], Result)
    assert sum(name == "quick" for _, _, name in world.runs) == MOST_LOSSES


def test_a_node_does_not_try_on_the_next_neighbour_what_killed_the_workers_of_one() -> None:
    world = Deadly()
    world.add_node("n0", tasks={})
    for node in ("n1", "n2"):
        world.add_node(node)
    world.run(2500)
    assert isinstance(world.ask("n0", "k1"), Failed)
    world.peers["n0"].core.work.quarantine._elsewhere.clear()  # and it does not hear that neighbour's heartbeats
    refused = world.ask("n0", "k2")
    assert isinstance(refused, Refused)
    assert "3 workers died with it" in refused.message
    assert len(world.runs) == MOST_LOSSES


def test_unquarantine_lifts_it_and_says_what() -> None:
    world = Deadly()
    world.add_node("n0")
    world.run(50)
    world.ask("n0", "k1")
    answer = world.ask("n0", "u1", "fog.unquarantine", "quick")
    assert isinstance(answer, Result)
    [lifted] = values.decode(answer.body)
    assert lifted.startswith("quick#")
    assert isinstance(world.ask("n0", "k2"), Failed), "it was run again"
    wrong = world.ask("n0", "u2", "fog.unquarantine", 7)
    assert isinstance(wrong, Refused)
    assert wrong.reason == "bad-arguments"


def test_a_name_with_a_number_sign_of_its_own_is_suspected_by_its_whole_name() -> None:
    locked = quarantine()
    locked.heard("n2", ("red#blue#0a1b2c3d", "green#leaf"), 0)
    for name in ("red#blue", "green#leaf", "green"):  # the last one may be a task of one choice of arguments
        assert locked.suspects(name, 0)
    for name in ("red", "blue", "leaf"):
        assert not locked.suspects(name, 0)
