"""Learning, told as stories in virtual time: what a fault costs, what it costs the second time, and who is forgiven."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest

from fogsdk.core.commands import Send
from fogsdk.core.events import Submit
from fogsdk.wire import values
from fogsdk.wire.messages import Expired, Result, Task
from tests.core.world import Peer, World


class Moody(World):
    """A world in which all that some nodes say comes late: ``late`` has the milliseconds, by node."""

    def __init__(self, *nodes: str, seed: int = 1) -> None:
        super().__init__(seed)
        self.late: dict[str, int] = {}
        for node in nodes:
            self.add_node(node)
        self.add_client("dev")
        self.run(50)

    def _send(self, peer: Peer, send: Send) -> None:
        late = self.late.get(peer.name, 0)
        if late and not send.retain:
            self.later(late, partial(self._send_late, peer, send))
        else:
            super()._send(peer, send)

    def _send_late(self, peer: Peer, send: Send) -> None:
        if peer.alive:
            super()._send(peer, send)

    def take(self, id: str, name: str = "quick", **options: Any) -> int:
        """Have a task run; returns how long its user waited."""
        before = self.now
        self.submit("dev", id, name, **options)
        while ("dev", id) not in self.settled:
            assert self.now < before + 20_000, f"{id} is not done"
            self.run(self.now + 1)
        assert isinstance(self.settled[("dev", id)][0], Result)
        return self.now - before

    def took(self, id: str) -> list[tuple[str, str]]:
        return [(hop.node, hop.action) for hop in self.settled[("dev", id)][0].hops]


def steady(world: Moody, name: str, count: int, every: int = 100) -> list[int]:
    """Have tasks run at an even pace, whatever becomes of them; returns the times that they took, in order."""
    times: dict[str, tuple[int, int]] = {}
    begun: dict[str, int] = {}
    for number in range(count):
        begun[f"{name}-{number}"] = world.now
        world.submit("dev", f"{name}-{number}")
        for _ in range(every // 5):
            world.run(world.now + 5)
            note_done(world, begun, times)
    while begun:
        world.run(world.now + 5)
        note_done(world, begun, times)
    return sorted(end - start for start, end in times.values())


def note_done(world: Moody, begun: dict[str, int], times: dict[str, tuple[int, int]]) -> None:
    for id in [id for id in begun if ("dev", id) in world.settled]:
        times[id] = (begun.pop(id), world.now)


# ---------------------------------------------------------------- a cable is pulled


@pytest.mark.parametrize("after", range(0, 400, 40))
def test_a_pulled_cable_costs_less_than_a_second_with_nothing_learned(after: int) -> None:
    """Whenever it is pulled, from the moment the task leaves until it was asked about."""
    world = Moody("n0", "n1")
    world.submit("dev", "t", "long")
    world.run(world.now + after)
    holder = next(iter(world.runs), ("", "", ""))[0] or world.peers["dev"].core.ledger.entries["t"].taker
    world.crash(holder, clean=False)
    pulled = world.now
    world.run_until(lambda: any(node != holder for node, _, _ in world.runs))
    assert world.now - pulled < 800


@pytest.mark.parametrize("late", [100, 300])
def test_a_node_that_is_only_slow_is_not_taken_for_silent(late: int) -> None:
    world = Moody("n0", "n1")
    world.late = {"n0": late, "n1": late}
    for number in range(20):
        world.take(f"t{number}", "long")
    assert len(world.runs) == 20, "none ran twice"
    assert all(member.silences == 0 for member in world.peers["dev"].core.directory.members.values())


def test_a_node_that_is_slower_than_any_silence_is_waited_for_once_that_is_known() -> None:
    world = Moody("n0")
    world.late = {"n0": 900}
    before = len(world.runs)
    for number in range(5):
        world.take(f"t{number}")
    learned = world.peers["dev"].core.directory.members["n0"].experience
    assert learned.extra.p95 >= 900
    asked = len(world.runs)
    world.take("last")
    assert world.took("last") == [("n0", "ran")], "it was not given up in the meantime"
    assert len(world.runs) == asked + 1
    assert before == 0


# ---------------------------------------------------------------- a straggler


def test_a_task_on_a_node_that_hangs_is_done_by_another_long_before_the_node_counts_as_silent() -> None:
    world = Moody("n0", "n1")
    for number in range(40):
        world.take(f"t{number}")
    world.submit("dev", "late")
    victim = world.peers["dev"].core.ledger.entries["late"].taker
    world.peers[victim].cut = True
    before = world.now
    world.run_until(lambda: ("dev", "late") in world.settled)
    assert world.now - before < 120
    hops = world.settled[("dev", "late")][0].hops
    assert [(hop.node == victim, hop.action) for hop in hops] == [(False, "ran"), (True, "hedged")]
    assert "usually in" in hops[1].why


def test_a_part_that_hangs_on_a_neighbour_is_given_to_another() -> None:
    world = Moody("n0", "n1", "n2")
    world.run(2500)
    for number in range(12):
        world.take(f"t{number}", "shared")
    world.submit("dev", "late", "shared")
    world.run_until(lambda: sum(peer.jobs != {} for peer in world.peers.values()) == 3)
    home = next(name for name, peer in world.peers.items() if name != "dev" and peer.core.ledger.entries)
    victim = next(name for name in ("n0", "n1", "n2") if name != home)
    world.late[victim] = 5000
    before = world.now
    world.run_until(lambda: ("dev", "late") in world.settled)
    result = world.settled[("dev", "late")][0]
    assert values.decode(result.body) == [["late", index] for index in range(len(result.hops) - len(lost(result)) - 2)]
    assert lost(result)
    assert world.now - before < 5000


def lost(result: Result) -> list[str]:
    return [hop.node for hop in result.hops if hop.action in ("hedged", "lost")]


# ---------------------------------------------------------------- the same fault again


def test_a_fault_costs_less_the_tenth_time_than_the_first() -> None:
    """Every minute one of three nodes, the one that served most, answers slowly for some seconds, then dies and is
    started again."""
    world = Moody("n0", "n1", "n2")
    steady(world, "before", 50)
    [(victim, _)] = Counter(node for node, _, _ in world.runs).most_common(1)
    worst = []
    for fault in range(10):
        world.late[victim] = 400
        times = steady(world, f"fault{fault}", 100)
        world.crash(victim)
        times += steady(world, f"dead{fault}", 20)
        world.late[victim] = 0
        world.add_node(victim)
        worst.append(sorted(times)[int(0.99 * len(times))])
        world.run(world.now + 48_000)
    assert worst[9] <= worst[0] / 2, worst


def test_a_node_that_failed_is_passed_over_earns_trust_back_and_is_not_banned() -> None:
    world = Moody("n0", "n1")
    for number in range(20):
        world.take(f"t{number}")
    [(favourite, _)] = Counter(node for node, _, _ in world.runs).most_common(1)
    for _ in range(3):
        world.crash(favourite)
        world.run(world.now + 100)
        world.add_node(favourite)
        world.run(world.now + 1000)
    before = len(world.runs)
    for number in range(20):
        world.take(f"s{number}")
    assert favourite not in {node for node, _, _ in world.runs[before:]}
    for number in range(60):
        world.submit("dev", f"busy{number}", "long")
    world.run_until(lambda: all(("dev", f"busy{n}") in world.settled for n in range(60)), world.now + 60_000)
    assert {node for n in range(60) for node, _ in world.took(f"busy{n}")} == {"n0", "n1"}, "under load it is needed"
    learned = world.peers["dev"].core.directory.members[favourite].experience
    assert learned.reliability(world.now + 3 * 3_600_000) > 0.999


def test_a_reason_says_that_a_sooner_node_was_passed_over() -> None:
    world = Moody("n0", "n1", "n2")
    world.run(2500)
    node = world.peers["n0"].core
    others = [peer for peer in ("n1", "n2") if peer in node.directory.members]
    for other in others:
        for _ in range(3):
            node.directory.members[other].experience.fault(world.now)
    for number in range(8):
        world.tell(world.peers["dev"], Submit(Task(f"w{number}", "long", values.encode([["w"], {}])), to="n0"))
    world.run(world.now + 60)
    why = {held.why for held in node.held.values()}
    assert any("is sooner, but failed 3 times lately" in each for each in why), why


# ---------------------------------------------------------------- one node and no other


def test_a_task_for_one_node_goes_there_and_nowhere_else() -> None:
    world = Moody("n0", "n1", "n2")
    for node in ("n0", "n1", "n2"):
        world.tell(world.peers["dev"], Submit(Task(f"for-{node}", "fog.report", values.encode([[], {}])), to=node))
    world.run(world.now + 100)
    for node in ("n0", "n1", "n2"):
        [result] = world.settled[("dev", f"for-{node}")]
        assert values.decode(result.body)["node"] == node


def test_a_task_for_a_node_that_is_away_waits_for_it_until_its_deadline() -> None:
    world = Moody("n0", "n1")
    world.crash("n1")
    world.run(world.now + 10)
    call = values.encode([[], {}])
    world.tell(world.peers["dev"], Submit(Task("patient", "fog.report", call), to="n1"))
    world.tell(world.peers["dev"], Submit(Task("hasty", "fog.report", call, deadline=500), to="n1"))
    world.run(world.now + 3000)
    assert isinstance(world.settled[("dev", "hasty")][0], Expired)
    assert ("dev", "patient") not in world.settled
    world.add_node("n1")
    world.run_until(lambda: ("dev", "patient") in world.settled)
    assert isinstance(world.settled[("dev", "patient")][0], Result)


# ---------------------------------------------------------------- what a node tells


def test_a_report_tells_of_the_node_and_how_it_finds_its_peers() -> None:
    world = Moody("n0", "n1", "n2")
    world.crash("n2")
    world.run(world.now + 2500)
    world.tell(world.peers["dev"], Submit(Task("r", "fog.report", values.encode([[], {}])), to="n0"))
    world.run(world.now + 50)
    report = values.decode(world.settled[("dev", "r")][0].body)
    assert report.keys() == {"node", "held", "queued", "running", "quarantined", "hedges", "refused", "peers"}
    assert report["hedges"] == {"sent": 0, "won": 0}
    assert report["peers"].keys() == {"n1", "n2"}
    assert report["peers"]["n1"] == {
        "state": "there", "reliability": 1.0, "faults": 0.0, "p50_ms": None, "p95_ms": None,
    }  # fmt: skip
    dead = report["peers"]["n2"]
    assert (dead["state"], 0.8 < dead["reliability"] < 0.9, dead["faults"] > 0.9) == ("gone", True, True)
