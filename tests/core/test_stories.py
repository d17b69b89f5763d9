"""The core, told as stories: one promise in each, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from fogsdk.core.events import Asked, CloudReached, Drain
from fogsdk.core.placement import POLICIES
from fogsdk.wire import values
from fogsdk.wire.messages import Cancelled, Expired, Failed, Refused, Result, Task, TaskInfo
from tests.core.world import TASKS, World


def fog(nodes: int = 3, **options: Any) -> World:
    world = World(seed=1, **options)
    for index in range(nodes):
        world.add_node(f"n{index}")
    world.add_client("dev")
    world.run(50)
    return world


def outcome(world: World, id: str, client: str = "dev") -> Any:
    world.run_until(lambda: (client, id) in world.settled)
    [only] = world.settled[(client, id)]
    return only


def test_a_light_task_comes_back_with_its_trace() -> None:
    world = fog(1)
    world.submit("dev", "t1")
    result = outcome(world, "t1")
    assert isinstance(result, Result)
    assert values.decode(result.body) == ["t1"]
    assert [(hop.node, hop.action) for hop in result.hops] == [("n0", "ran")]
    assert "here" in result.hops[0].why


def test_a_task_that_raises_fails_with_type_and_message() -> None:
    world = fog(1)
    world.submit("dev", "t1", "broken")
    failed = outcome(world, "t1")
    assert isinstance(failed, Failed)
    assert (failed.error, failed.message) == ("ValueError", "broken")


def test_an_unknown_task_is_refused_and_the_known_ones_are_named() -> None:
    world = fog(2)
    world.submit("dev", "t1", "nonsense")
    refused = outcome(world, "t1")
    assert isinstance(refused, Refused)
    assert refused.reason == "unknown-task"
    assert "quick" in refused.message


def test_of_many_known_tasks_some_are_named_and_the_others_counted() -> None:
    world = World(seed=1)
    world.add_node("n0", tasks={name: TaskInfo(name) for name in (f"task-{number:02}" for number in range(23))})
    world.add_client("dev")
    world.submit("dev", "t1", "nonsense")
    message = outcome(world, "t1").message
    assert message.endswith("task-19, and 3 more")
    assert "task-20" not in message


def test_a_split_task_runs_in_parts_on_every_node() -> None:
    world = fog(3)
    world.run(2500)
    world.submit("dev", "t1", "shared")
    result = outcome(world, "t1")
    assert isinstance(result, Result)
    assert values.decode(result.body) == [["t1", index] for index in range(6)]
    ran = {hop.part or 0: hop.node for hop in result.hops if hop.action == "ran"}
    assert sorted(ran) == list(range(6))
    assert set(ran.values()) == {"n0", "n1", "n2"}


def test_split_tasks_one_after_the_other_are_shared_each_time_though_beats_say_that_nodes_are_busy() -> None:
    world = fog(3)
    world.run(2500)
    for number in range(5):
        world.submit("dev", f"t{number}", "shared")
        result = outcome(world, f"t{number}")
        assert {hop.node for hop in result.hops if hop.action == "ran"} == {"n0", "n1", "n2"}
        assert values.decode(result.body) == [[f"t{number}", index] for index in range(6)]


@pytest.mark.parametrize("clean", [True, False], ids=["killed", "cable pulled"])
def test_only_the_parts_of_a_dead_node_run_again(clean: bool) -> None:
    world = fog(3)
    world.run(2500)
    world.submit("dev", "t1", "shared")
    world.run_until(lambda: any(kind == "run" and name == "shared" for _, kind, name in world.runs))
    world.run(world.now + 20)
    home = next(node for node, kind, _ in world.runs if kind == "split")
    victim = next(node for node in ("n0", "n1", "n2") if node != home)
    world.crash(victim, clean)
    before = world.now
    result = outcome(world, "t1")
    assert values.decode(result.body) == [["t1", index] for index in range(6)]
    assert [hop.node for hop in result.hops if hop.action == "lost"] == [victim, victim]
    assert sum(kind == "run" for _, kind, _ in world.runs) == 8
    assert world.now - before < (800 if clean else 1800)


def test_a_dead_nodes_tasks_go_to_another_at_once() -> None:
    world = fog(2)
    for index in range(20):
        world.submit("dev", f"t{index}", "long")
    world.run(world.now + 30)
    world.crash("n0")
    for index in range(20):
        assert isinstance(outcome(world, f"t{index}"), Result)


def test_a_silent_node_is_found_by_the_device_itself_within_a_second_and_a_half() -> None:
    world = fog(2)
    world.submit("dev", "t1", "long")
    world.run(world.now + 10)
    [holder] = {node for node, _, _ in world.runs}
    world.crash(holder, clean=False)
    at = world.now
    world.run_until(lambda: any(node != holder for node, _, _ in world.runs))
    assert world.now - at < 1500
    assert isinstance(outcome(world, "t1"), Result)


def test_a_light_task_does_not_wait_for_long_ones_to_end() -> None:
    world = World(seed=1)
    world.add_node("n0", express=1)
    world.add_client("dev")
    for index in range(6):
        world.submit("dev", f"t{index}", "long")
    world.run(20)
    world.submit("dev", "light")
    at = world.now
    assert isinstance(outcome(world, "light"), Result)
    assert world.now - at < 50


def test_two_devices_with_the_same_ids_get_their_own_results() -> None:
    world = fog(1)
    world.add_client("other")
    world.submit("dev", "t1", "quick")
    world.submit("other", "t1", "broken")
    assert isinstance(outcome(world, "t1"), Result)
    assert isinstance(outcome(world, "t1", "other"), Failed)


def test_a_full_node_refuses_and_the_ledger_tries_again_until_there_is_room() -> None:
    world = World(seed=1)
    world.add_node("n0", queue_limit=4)
    world.add_client("dev")
    world.run(50)
    for index in range(20):
        world.submit("dev", f"t{index}")
    for index in range(20):
        assert isinstance(outcome(world, f"t{index}"), Result)


def test_a_deadline_that_passes_says_where_the_task_was() -> None:
    world = fog(1)
    world.submit("dev", "t1", "long", deadline=100)
    expired = outcome(world, "t1")
    assert isinstance(expired, Expired)
    assert "n0" in expired.message
    world.run(world.now + 50)
    assert not world.peers["n0"].jobs, "what expired still runs"


def test_with_no_node_a_task_waits_for_one() -> None:
    world = fog(0)
    world.submit("dev", "t1")
    world.run(5000)
    assert any(note.kind == "lonely" and "no fog node is there" in note.text for note in world.notes)
    world.kill_broker("a")
    world.run(10_000)
    assert any(note.kind == "lonely" and "no broker is connected" in note.text for note in world.notes)
    world.revive_broker("a")
    world.add_node("late")
    assert isinstance(outcome(world, "t1"), Result)


def test_cancelling_stops_the_job_and_every_part_elsewhere() -> None:
    world = fog(3)
    world.run(2500)
    world.submit("dev", "t1", "shared")
    world.run_until(lambda: sum(len(peer.jobs) for peer in world.peers.values()) == 6)
    world.withdraw("dev", "t1")
    world.run(world.now + 50)
    assert sum(len(peer.jobs) for peer in world.peers.values()) == 0
    assert not any(peer.core.held for name, peer in world.peers.items() if name != "dev")
    assert all(isinstance(answer, Cancelled) for p in world.peers.values() if hasattr(p.core, "outcomes")
               for answer, *_ in p.core.outcomes._small.kept.values())  # fmt: skip


def test_heavy_goes_to_the_bridge_and_waits_there_while_the_cloud_is_away() -> None:
    world = fog(2)
    world.add_node("bridge", role="cloud", workers=100)
    world.run(2500)
    world.submit("dev", "t1", "huge")
    result = outcome(world, "t1")
    assert [(hop.node, hop.action) for hop in result.hops][-1] == ("bridge", "ran")
    world.crash("bridge")
    world.run(world.now + 20)
    world.submit("dev", "t2", "huge")
    result = outcome(world, "t2")
    assert result.hops[-1].node in ("n0", "n1"), "fallback=fog did not take it"


def test_heavy_without_any_cloud_and_without_fallback_is_refused() -> None:
    world = World(seed=1)
    world.add_node("n0", tasks={"big": TaskInfo("big", weight="heavy")})
    world.add_client("dev")
    world.submit("dev", "t1", "big")
    refused = outcome(world, "t1")
    assert isinstance(refused, Refused)
    assert refused.reason == "no-cloud"


@pytest.mark.parametrize(("up", "said"), [(True, "does not offer it"), (False, "does not reach its core site")])
def test_a_refused_heavy_task_names_the_bridge_that_does_not_offer_it(up: bool, said: str) -> None:
    world = World(seed=1)
    world.add_node("n0", tasks={"big": TaskInfo("big", weight="heavy")})
    bridge = world.add_node("bridge", role="cloud", workers=100, tasks={})
    world.add_client("dev")
    world.run(100)
    world.tell(bridge, CloudReached(up))
    world.run(600)
    world.submit("dev", "t1", "big")
    refused = outcome(world, "t1")
    assert isinstance(refused, Refused)
    assert (refused.reason, "never had" in refused.message) == ("no-cloud", False)
    assert "bridge bridge" in refused.message
    assert said in refused.message


def test_a_core_sites_node_runs_heavy_tasks_itself() -> None:
    world = World(seed=1)
    world.add_node("core", role="core", tasks={"big": TaskInfo("big", weight="heavy")})
    world.add_client("dev")
    world.submit("dev", "t1", "big")
    assert isinstance(outcome(world, "t1"), Result)


def test_heavy_without_fallback_waits_for_the_bridge_to_come_back() -> None:
    tasks = {"big": TaskInfo("big", weight="heavy")}
    world = World(seed=1)
    world.add_node("n0", tasks=dict(tasks))
    world.add_node("bridge", role="cloud", workers=100, tasks=dict(tasks))
    world.add_client("dev")
    world.run(100)
    world.crash("bridge")
    world.run(200)
    world.submit("dev", "t1", "big")
    world.run(10_000)
    assert ("dev", "t1") not in world.settled
    world.add_node("bridge", role="cloud", workers=100, tasks=dict(tasks))
    assert isinstance(outcome(world, "t1"), Result)


def test_one_of_two_brokers_dies_and_nothing_is_lost() -> None:
    world = fog(2, brokers=("a", "b"))
    for index in range(40):
        world.submit("dev", f"t{index}", "long")
    world.run(world.now + 100)
    world.kill_broker("a")
    at = world.now
    world.submit("dev", "fresh", priority=9)
    assert isinstance(outcome(world, "fresh"), Result)
    assert world.now - at < 2000
    for index in range(40):
        assert isinstance(outcome(world, f"t{index}"), Result)


def test_the_only_broker_comes_back_and_nothing_is_lost_or_run_for_nobody() -> None:
    world = fog(2)
    for index in range(10):
        world.submit("dev", f"t{index}", "long")
    world.run(world.now + 100)
    world.kill_broker("a")
    world.run(world.now + 3000)
    world.revive_broker("a")
    for index in range(10):
        assert isinstance(outcome(world, f"t{index}"), Result)
    assert sum(kind == "run" for _, kind, _ in world.runs) == 10, "a task ran twice though its node never died"


def test_a_draining_node_finishes_what_runs_hands_back_the_rest_and_leaves() -> None:
    world = fog(2)
    for index in range(12):
        world.submit("dev", f"t{index}", "long")
    world.run(world.now + 100)
    leaver = world.peers["n0"]
    running = len(leaver.jobs)
    world.tell(leaver, Drain(5000))
    world.run_until(lambda: not leaver.alive)
    assert sum(node == "n0" for node, _, _ in world.runs) == running
    for index in range(12):
        assert isinstance(outcome(world, f"t{index}"), Result)


def test_a_node_whose_clock_went_back_is_still_believed() -> None:
    world = World(seed=1)
    world.add_client("dev")
    world.peers["n0"] = world.add_node("n0")
    world.peers["n0"].life = 40
    world.peers["n0"] = world.add_node("n0")
    world.run(50)
    world.crash("n0")
    world.run(100)
    world.peers["n0"].life = 3
    world.add_node("n0")
    world.run(200)
    world.submit("dev", "t1")
    assert isinstance(outcome(world, "t1"), Result)


def test_a_task_whose_workers_keep_dying_fails_with_a_clear_error() -> None:
    world = fog(1)
    world.faults = 2.0
    world.peers["n0"].cut = False
    node = world.peers["n0"]
    world.tell(node, Asked("a", "x", Task("k", "quick", values.encode([["k"], {}]))))
    world.run(world.now + 200)
    kept = node.core.outcomes.get(("x", "k"))
    assert isinstance(kept, Failed)
    assert kept.error == "WorkerDied"


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_answers_everything(policy: str) -> None:
    world = World(seed=3)
    for name in ("n0", "n1", "n2"):
        world.add_node(name, policy=policy)
    world.add_node("bridge", role="cloud", workers=50)
    world.add_client("dev")
    world.run(1000)
    names = [name for name in TASKS for _ in range(8)]
    for index, name in enumerate(names):
        world.submit("dev", f"t{index}", name)
    for index, name in enumerate(names):
        assert isinstance(outcome(world, f"t{index}"), Failed if name == "broken" else Result)
