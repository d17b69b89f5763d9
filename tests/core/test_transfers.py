"""Large bodies in chunks, between real cores in virtual time."""

from __future__ import annotations

import pytest

from fogsdk.core.events import Asked, Drain
from fogsdk.core.outgoing import GIVE_UP_AFTER, MOST_WINDOW
from fogsdk.wire import topics, values
from fogsdk.wire.messages import Expired, Failed, Refused, Result, Task, TaskInfo
from tests.core.large_world import ROOM, LargeWorld
from tests.core.world import TASKS

SIZE = 2_000_000
LARGE = 16_000_000
"""Bytes: several times what is under way at once."""


def value(outcome: object) -> object:
    assert isinstance(outcome, Result), outcome
    [argument] = values.decode(outcome.body)
    return argument


def test_a_large_task_and_its_result_travel_in_chunks() -> None:
    world = LargeWorld(1)
    world.add_node("n1")
    world.add_client("c1")
    argument = world.submit_large("c1", "t1", SIZE)
    assert value(world.outcome("c1", "t1")) == argument
    assert world.carried.keys() == {(topics.task("s", "n1", "c1"), "t1"), (topics.reply("s", "c1"), "t1")}
    assert all(SIZE <= sent < SIZE + 100 for sent in world.carried.values())


def test_a_node_keeps_nothing_of_a_transfer_that_is_over() -> None:
    world = LargeWorld(1)
    world.add_node("n1")
    world.add_client("c1")
    world.submit_large("c1", "t1", SIZE)
    world.outcome("c1", "t1")
    world.run(world.now + 1000)
    for name in ("n1", "c1"):
        assert not world.transfers(name)._incoming
        assert not world.transfers(name)._outgoing


def test_a_lost_broker_costs_what_was_under_way_and_no_more() -> None:
    """The transfer goes on over the other broker from where it was."""
    world = LargeWorld(3, brokers=("a", "b"))
    world.add_node("n1")
    world.add_client("c1")
    argument = world.submit_large("c1", "t1", LARGE)
    key = (topics.task("s", "n1", "c1"), "t1")
    world.soon(lambda: world.carried.get(key, 0) > LARGE * 3 // 4)
    world.kill_broker("a")
    assert value(world.outcome("c1", "t1")) == argument
    assert world.carried[key] < LARGE + 1.5 * MOST_WINDOW


def test_a_result_goes_on_too_when_its_way_is_lost() -> None:
    world = LargeWorld(4, brokers=("a", "b"))
    world.add_node("n1")
    world.add_client("c1")
    argument = world.submit_large("c1", "t1", LARGE)
    key = (topics.reply("s", "c1"), "t1")
    world.soon(lambda: world.carried.get(key, 0) > LARGE * 3 // 4)
    world.kill_broker("a")
    assert value(world.outcome("c1", "t1")) == argument
    assert world.carried[key] < LARGE + 1.5 * MOST_WINDOW


def test_a_cable_that_is_pulled_for_seconds_costs_no_byte_twice_but_what_was_under_way() -> None:
    world = LargeWorld(5)
    world.add_node("n1")
    world.add_client("c1")
    argument = world.submit_large("c1", "t1", LARGE)
    key = (topics.task("s", "n1", "c1"), "t1")
    world.soon(lambda: world.carried.get(key, 0) > LARGE * 3 // 4)
    world.kill_broker("a")
    world.run(world.now + 8000)
    world.revive_broker("a")
    assert value(world.outcome("c1", "t1")) == argument
    assert world.carried[key] < LARGE + 1.5 * MOST_WINDOW


def test_a_node_that_dies_in_the_middle_is_followed_by_another() -> None:
    world = LargeWorld(6)
    world.add_node("n1")
    world.add_client("c1")
    argument = world.submit_large("c1", "t1", SIZE)
    world.soon(lambda: world.carried.get((topics.task("s", "n1", "c1"), "t1"), 0) > SIZE // 2)
    world.add_node("n2")
    world.crash("n1")
    assert value(world.outcome("c1", "t1")) == argument
    assert world.runs == [("n2", "run", "quick")]


def test_an_upload_that_is_withdrawn_leaves_nothing_behind() -> None:
    world = LargeWorld(7)
    world.add_node("n1")
    world.add_client("c1")
    world.submit_large("c1", "t1", SIZE)
    world.soon(lambda: world.transfers("n1").incoming_bytes > 0)
    world.withdraw("c1", "t1")
    world.run(world.now + 500)
    assert world.transfers("n1").incoming_bytes == 0
    assert not world.transfers("c1")._outgoing
    assert not world.runs


def test_a_deadline_counts_while_the_arguments_travel() -> None:
    world = LargeWorld(8)
    world.add_node("n1")
    world.add_client("c1")
    world.submit_large("c1", "t1", SIZE, deadline=5)
    assert isinstance(world.outcome("c1", "t1"), Expired)
    world.run(world.now + 500)
    assert world.transfers("n1").incoming_bytes == 0
    assert not world.runs


def test_what_nobody_would_run_is_refused_before_it_is_sent() -> None:
    world = LargeWorld(9)
    world.add_node("n1")
    world.add_client("c1")
    world.submit_large("c1", "t1", SIZE, name="nobodys")
    outcome = world.outcome("c1", "t1")
    assert isinstance(outcome, Refused)
    assert outcome.reason == "unknown-task"
    assert not world.carried


def test_a_node_that_leaves_does_so_when_its_result_is_there() -> None:
    world = LargeWorld(8)
    world.add_node("n1")
    world.add_client("c1")
    world.put_far("n1", rate=4000, delay=5)
    argument = world.submit_large("c1", "t1", SIZE)
    result = (topics.reply("s", "c1"), "t1")
    world.soon(lambda: world.carried.get(result, 0) > SIZE // 4)
    world.tell(world.peers["n1"], Drain(10_000))
    world.add_node("n2")
    assert value(world.outcome("c1", "t1")) == argument
    assert world.runs == [("n1", "run", "quick")]
    world.soon(lambda: not world.peers["n1"].alive)


def test_a_node_that_leaves_waits_for_no_receiver_that_is_gone_longer_than_it_was_told_to() -> None:
    world = LargeWorld(8)
    world.add_node("n1")
    world.add_client("c1")
    world.put_far("n1", rate=4000, delay=5)
    world.submit_large("c1", "t1", SIZE)
    world.soon(lambda: world.carried.get((topics.reply("s", "c1"), "t1"), 0) > SIZE // 4)
    world.peers["c1"].alive = False
    world.tell(world.peers["n1"], Drain(3000))
    begun = world.now
    world.soon(lambda: not world.peers["n1"].alive)
    assert world.now - begun == 3000


def test_what_a_node_has_no_room_for_is_refused_before_it_is_sent() -> None:
    world = LargeWorld(10, room=SIZE - 1)
    world.add_node("n1")
    world.add_client("c1")
    world.submit_large("c1", "t1", SIZE)
    outcome = world.outcome("c1", "t1")
    assert isinstance(outcome, Refused)
    assert outcome.reason == "no-room"
    assert "n1 takes 1999999 bytes" in outcome.message
    assert not world.carried


def test_what_a_node_has_no_room_for_goes_to_a_larger_one_also_while_that_is_busy() -> None:
    world = LargeWorld(10, room=SIZE - 1)
    world.add_node("n1", workers=8)
    world.room = int(1.5 * SIZE)
    world.add_node("n2", workers=1)
    world.room = ROOM
    world.add_client("c1")
    arguments = [world.submit_large("c1", f"t{i}", SIZE) for i in range(6)]
    assert [value(world.outcome("c1", f"t{i}")) for i in range(6)] == arguments
    assert world.runs == [("n2", "run", "quick")] * 6


def test_what_no_node_has_room_for_is_refused_when_all_have_said_so() -> None:
    world = LargeWorld(10, room=SIZE - 1)
    for name in ("n1", "n2", "n3"):
        world.add_node(name)
    world.room = ROOM
    world.add_client("c1")
    world.submit_large("c1", "t1", SIZE)
    world.submit_large("c1", "t2", SIZE, name="long")
    for id in ("t1", "t2"):
        assert world.outcome("c1", id).reason == "no-room"
    assert not world.runs


@pytest.mark.parametrize("name", ["heavy", "huge"])
def test_what_the_bridge_has_no_room_for_does_not_wait_for_it(name: str) -> None:
    world = LargeWorld(10)
    tasks = {**TASKS, "heavy": TaskInfo("heavy", weight="heavy")}
    world.add_node("n1", tasks=tasks)
    world.room = SIZE - 1
    world.add_node("bridge", role="cloud", workers=100, tasks=tasks)
    world.room = ROOM
    world.add_client("c1")
    world.submit_large("c1", "t1", SIZE, name=name)
    outcome = world.outcome("c1", "t1")
    assert isinstance(outcome, Refused)
    assert (outcome.reason, "bridge takes" in outcome.message) == ("no-room", True)


def test_a_result_for_which_there_is_no_room_on_its_way_is_a_failure_and_leaves_nothing_behind() -> None:
    world = LargeWorld(10)
    world.add_node("n1")
    world.room = SIZE - 1
    world.add_client("c1")
    world.submit_large("c1", "t1", SIZE)
    outcome = world.outcome("c1", "t1")
    assert isinstance(outcome, Failed)
    assert "; c1 takes 1999999 bytes" in outcome.message
    assert [hop.node for hop in outcome.hops] == ["n1"]
    world.run(world.now + 500)
    assert not world.transfers("n1")._outgoing


def test_those_that_come_when_there_is_no_room_wait_for_it() -> None:
    world = LargeWorld(11, room=int(2.5 * SIZE))
    world.add_node("n1")
    world.add_client("c1")
    arguments = [world.submit_large("c1", f"t{i}", SIZE) for i in range(4)]
    assert [value(world.outcome("c1", f"t{i}")) for i in range(4)] == arguments


def test_results_that_nobody_takes_are_bounded_in_bytes() -> None:
    """Those that were not heard of for longest are dropped; who wants one asks for it."""
    world = LargeWorld(13, room=int(2.5 * SIZE))
    node = world.add_node("n1", workers=8)
    body = values.encode([[bytes(SIZE)], {}])
    for index in range(8):
        world.tell(node, Asked("a", f"gone-{index}", Task(f"t{index}", "quick", body)))
        world.run(world.now + 20)
    assert len(world.runs) == 8
    outgoing = world.transfers("n1")._outgoing
    assert sum(each.size for each in outgoing.values()) <= world.room
    assert [id for _, id in outgoing] == ["t6", "t7"]


def test_an_upload_of_which_nothing_is_heard_is_forgotten() -> None:
    world = LargeWorld(12)
    world.add_node("n1")
    world.add_client("c1")
    world.submit_large("c1", "t1", SIZE)
    world.soon(lambda: world.transfers("n1").incoming_bytes > 0)
    world.peers["c1"].alive = False
    world.run(world.now + GIVE_UP_AFTER + 10)
    assert world.transfers("n1").incoming_bytes == 0


@pytest.mark.parametrize("seed", range(25))
def test_large_tasks_come_back_once_each_whatever_is_lost_doubled_or_killed(seed: int) -> None:
    """Messages are lost and doubled, brokers die and come back, a node is killed and started again."""
    world = LargeWorld(1000 + seed, brokers=("a", "b"), faults=0.03)
    for name in ("n1", "n2"):
        world.add_node(name)
    for name in ("c1", "c2"):
        world.add_client(name)
    arguments = {
        (client, f"{client}-{i}"): world.submit_large(client, f"{client}-{i}", world.random.randrange(300_000, 900_000),
                                                      name=world.random.choice(["quick", "long"]))
        for client in ("c1", "c2") for i in range(2)
    }  # fmt: skip
    world.later(world.random.randrange(5, 60), lambda: world.kill_broker("a"))
    world.later(world.random.randrange(300, 2000), lambda: world.revive_broker("a"))
    world.later(world.random.randrange(5, 80), lambda: world.crash("n1", clean=world.random.random() < 0.5))

    def start_again() -> None:
        world.add_node("n1")

    world.later(world.random.randrange(500, 3000), start_again)
    for (client, id), argument in arguments.items():
        assert value(world.outcome(client, id, 60_000)) == argument, f"seed {seed}"
    for name in world.peers:
        assert world.transfers(name).incoming_bytes <= world.room
