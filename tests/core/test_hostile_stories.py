"""The core, told as stories about bad days: absurd births, stale wills, floods, and brokers that forget."""

from __future__ import annotations

from fogsdk.core.admission import MOST_QUEUED_BYTES
from fogsdk.core.events import Asked, Drain, NodeHeard, Replied
from fogsdk.wire.messages import Birth, Refused, Result, Task, TaskInfo
from tests.core.test_stories import fog, outcome
from tests.core.world import TASKS, World


def test_a_birth_of_absurd_capacity_harms_nobody() -> None:
    for policy, name in (("predictive", "shared"), ("threshold", "quick")):
        world = World(seed=1)
        world.add_node("n0", policy=policy)
        world.add_client("dev")
        world.run(50)
        world.tell(world.peers["n0"], NodeHeard("a", "odd", Birth(1, "fog", 2**53, tuple(TASKS.values()))))
        world.submit("dev", "t1", name)
        assert isinstance(outcome(world, "t1"), Result)


def test_a_birth_in_a_nodes_name_from_the_end_of_time_does_not_make_it_unreadable() -> None:
    world = fog(1)
    world.tell(world.peers["n0"], NodeHeard("a", "n0", Birth(2**53, "fog", 1)))
    world.submit("dev", "t1")
    assert isinstance(outcome(world, "t1"), Result)


def test_the_will_of_a_node_that_took_a_later_incarnation_is_believed() -> None:
    world = World(seed=1)
    world.add_client("dev")
    world.add_node("n0").life = 40
    world.add_node("n0")
    world.run(50)
    world.crash("n0")
    world.run(100)
    world.peers["n0"].life = 3
    node = world.add_node("n0")
    first_will = node.core.will()
    world.run(1000)
    assert node.core.will().incarnation > first_will.incarnation
    directory = world.peers["dev"].core.directory
    assert directory.members["n0"].present
    assert directory.members["n0"].birth.incarnation == node.core.will().incarnation


def test_a_node_that_is_away_is_believed_when_its_clock_went_back_and_the_broker_forgot() -> None:
    world = World(seed=1)
    world.add_client("dev")
    world.add_node("n0").life = 40
    world.add_node("n0")
    world.run(50)
    world.crash("n0")
    world.run(100)
    world.retained["a"].clear()
    world.peers["n0"].life = 3
    world.add_node("n0")
    world.submit("dev", "t1")
    assert isinstance(outcome(world, "t1"), Result)


def test_a_refusal_that_says_never_again_does_not_keep_a_task_from_a_free_node() -> None:
    world = World(seed=1)
    world.add_node("n0", queue_limit=0)
    world.add_client("dev")
    world.run(50)
    world.submit("dev", "t1")
    world.tell(world.peers["dev"], Replied("a", Refused("t1", "n0", "overloaded", "", 2**40)))
    world.run(100)
    world.add_node("n1")
    at = world.now
    assert isinstance(outcome(world, "t1"), Result)
    assert world.now - at < 500


def test_an_id_that_was_withdrawn_and_is_used_again_is_not_stuck_on_its_old_answer() -> None:
    world = fog(1)
    world.submit("dev", "t1", "long")
    world.run(world.now + 100)
    world.withdraw("dev", "t1")
    world.run(world.now + 50)
    for peer in world.peers.values():
        peer.cut = peer.name == "dev"  # the task itself is lost on its way
    world.submit("dev", "t1", "long")
    world.peers["dev"].cut = False
    assert isinstance(outcome(world, "t1"), Result)


def test_what_is_held_for_a_cloud_that_is_away_is_bounded_in_bytes() -> None:
    tasks = {"big": TaskInfo("big", weight="heavy")}
    world = World(seed=1)
    world.add_node("n0", tasks=dict(tasks))
    world.add_node("bridge", role="cloud", tasks=dict(tasks))
    world.run(100)
    world.crash("bridge")
    world.run(200)
    node = world.peers["n0"]
    for index in range(100):
        world.tell(node, Asked("a", "x", Task(f"t{index}", "big", bytes(15_000_000))))
    assert sum(len(held.task.body) for held in node.core.held.values()) <= MOST_QUEUED_BYTES


def test_one_flood_leaves_room_for_others() -> None:
    world = World(seed=1)
    world.add_node("n0", queue_limit=20)
    world.add_client("greedy")
    world.add_client("dev")
    world.run(50)
    for index in range(200):
        world.submit("greedy", f"g{index}", "long")
    world.run(world.now + 200)
    refused = [o for o, *_ in world.peers["n0"].core.outcomes._small.kept.values() if isinstance(o, Refused)]
    world.submit("dev", "one", "quick", priority=1)
    at = world.now
    assert isinstance(outcome(world, "one"), Result)
    assert world.now - at < 2000, refused


def test_a_bridge_that_leaves_hands_nothing_back_since_its_disk_keeps_it() -> None:
    world = World(seed=1)
    world.add_node("n0")
    bridge = world.add_node("bridge", role="cloud", workers=10)
    world.add_client("dev")
    world.run(100)
    world.submit("dev", "t1", "huge")
    world.run(world.now + 100)
    assert bridge.jobs
    world.tell(bridge, Drain(5000))
    assert not bridge.alive
    assert bridge.jobs, "the job was stopped, and with it forgotten"
