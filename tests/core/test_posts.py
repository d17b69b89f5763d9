"""Posted tasks: each story is a moment in which a node dies, leaves or is cut off, and no posted task is lost by it."""

from __future__ import annotations

from typing import Any

import pytest

from fogsdk.core.events import Drain
from fogsdk.core.posts import MOST_RUNNING
from fogsdk.wire import values
from fogsdk.wire.messages import Expired, Failed, Refused, Result
from tests.core.durable_site import NODES, site
from tests.core.world import World


def post(world: World, id: str = "p", name: str = "quick", keep: int = 600_000, **options: Any) -> dict[str, Any]:
    """Post a task and return what its receipt says."""
    world.submit("dev", id, name, keep=keep, **options)
    outcome = world.outcome("dev", id)
    assert isinstance(outcome, Result), outcome
    said: dict[str, Any] = values.decode(outcome.body)
    return said


def fetch(world: World, receipt: str = "dev/p", client: str = "two", **options: Any) -> Any:
    id = f"f{world.now}"
    world.submit(client, id, "fog.fetch", argument=receipt, **options)
    return world.outcome(client, id)


def run_of(world: World, name: str) -> int:
    return sum(1 for _, kind, ran in world.runs if (kind, ran) == ("run", name))


# ---------------------------------------------------------------- the ordinary way


def test_a_receipt_says_where_the_task_is_and_anybody_who_knows_it_fetches_the_result() -> None:
    world = site()
    said = post(world)
    assert said["receipt"] == "dev/p"
    assert said["copies"] == len(said["nodes"]) == 2
    outcome = fetch(world)
    assert values.decode(outcome.body) == ["p"]
    assert [hop.action for hop in outcome.hops] == ["sent", "ran"]
    assert run_of(world, "quick") == 1


def test_a_receipt_is_not_given_before_both_disks_have_the_task() -> None:
    world = site()
    world.submit("dev", "p", "long", keep=60_000)
    while ("dev", "p") not in world.settled:
        world.run(world.now + 1)
    assert sum("dev/p" in journal for journal in world.journals.values()) == 2


def test_the_task_that_fails_is_kept_as_a_failure() -> None:
    world = site()
    post(world, name="broken")
    assert isinstance(fetch(world), Failed)


def test_a_result_is_there_until_it_is_forgotten() -> None:
    world = site()
    post(world)
    assert fetch(world).body == fetch(world).body
    world.submit("two", "gone", "fog.forget", argument="dev/p")
    assert values.decode(world.outcome("two", "gone").body) is True
    assert fetch(world).reason == "unknown-receipt"
    world.run(world.now + 15_000)
    assert not any(world.journals.values())
    assert not any(len(peer.core.keeping.replicas.store.records) for name, peer in world.peers.items() if name in NODES)


def test_a_result_that_nobody_fetches_is_dropped_on_both_nodes_when_its_time_is_over() -> None:
    world = site()
    post(world, keep=5000)
    world.run(world.now + 6000)
    assert fetch(world).reason == "unknown-receipt"
    assert not any(world.journals.values())


def test_one_who_fetches_early_waits_for_the_result_or_for_the_deadline_of_the_fetch() -> None:
    world = site()
    post(world, name="huge")
    assert isinstance(fetch(world, deadline=50), Expired)
    assert isinstance(fetch(world), Result)


def test_the_tasks_own_deadline_is_part_of_its_outcome() -> None:
    world = site()
    post(world, name="huge", deadline=100)
    assert isinstance(fetch(world), Expired)


def test_one_node_alone_says_so_and_two_copies_are_refused() -> None:
    world = site(nodes=("n0",))
    assert post(world)["copies"] == 1
    world.submit("dev", "q", "quick", keep=60_000, copies=2)
    assert world.outcome("dev", "q").reason == "too-few-nodes"
    world.add_node("n1", keeps=True)
    world.run(world.now + 3000)
    assert "dev/p" in world.journals["n1"], "the second node keeps it as soon as it is there"


def test_where_no_node_has_a_journal_the_refusal_says_what_to_do() -> None:
    world = World(1)
    world.add_node("n0")
    world.add_client("dev")
    world.run(100)
    world.submit("dev", "p", "quick", keep=60_000)
    refused = world.outcome("dev", "p")
    assert refused.reason == "no-journal"
    assert "--journal" in refused.message


def test_what_no_node_offers_is_not_posted() -> None:
    world = site()
    world.submit("dev", "p", "fly", keep=60_000)
    assert world.outcome("dev", "p").reason == "unknown-task"


def test_a_heavy_task_that_is_posted_waits_for_the_cloud() -> None:
    world = site()
    world.peers["n0"].core.me.tasks["huge"] = world.peers["n0"].core.me.tasks["quick"]
    post(world, name="huge", weight="heavy")
    world.add_node("bridge", role="cloud", workers=20)
    assert isinstance(fetch(world), Result)


def test_thousands_of_posts_are_run_a_few_at_a_time() -> None:
    world = site()
    for index in range(300):
        world.submit("dev", f"p{index}", "long", keep=600_000)
    world.run_until(lambda: len(world.settled) == 300)
    for name in NODES:
        assert len(world.peers[name].core.keeping.posts._running) <= MOST_RUNNING
    for index in range(300):
        assert isinstance(fetch(world, f"dev/p{index}"), Result)


# ---------------------------------------------------------------- nodes that die


def until_home_has(world: World, progress: int, seen: str = "home") -> tuple[str, str]:
    """Run until the home of the post, or its guardian too, has a progress; returns both."""
    while True:
        world.run(world.now + 1)
        records = {name: world.peers[name].core.keeping.replicas.get("dev/p") for name in NODES}
        homes = [name for name, record in records.items() if record and record.home == name]
        if homes and records[homes[0]].progress >= progress:
            guardian = records[homes[0]].guardian
            if seen == "home" or (records[guardian] and records[guardian].progress >= progress):
                return homes[0], guardian
        assert world.now < 20_000


MOMENTS = {
    "before the receipt": (0, "home"),
    "when both have the task": (0, "guardian"),
    "with the result on the home alone": (1, "home"),
    "with the result on both": (1, "guardian"),
}


@pytest.mark.parametrize("clean", [True, False], ids=["killed", "cable pulled"])
@pytest.mark.parametrize("victim", ["home", "guardian"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("back", ["stays away", "comes back", "comes back without its disk"])
def test_whichever_node_dies_whenever_the_result_is_there(moment: str, victim: str, clean: bool, back: str) -> None:
    world = site(seed=len(moment) + clean)
    world.submit("dev", "p", "long", keep=600_000)
    home, guardian = until_home_has(world, *MOMENTS[moment])
    dead = home if victim == "home" else guardian
    world.crash(dead, clean)
    if back != "stays away":
        world.run(world.now + 700)
        if "without" in back:
            world.journals[dead].clear()
        world.add_node(dead, keeps=True)
    assert isinstance(world.outcome("dev", "p"), Result)
    assert values.decode(fetch(world).body) == ["p"]


def test_a_result_that_both_have_is_not_made_a_second_time_whoever_dies_and_comes_back() -> None:
    world = site()
    world.submit("dev", "p", "long", keep=600_000)
    home, guardian = until_home_has(world, 1, "guardian")
    world.run(world.now + 50)
    for name in (home, guardian, home):
        world.crash(name)
        world.run(world.now + 5000)
        world.add_node(name, keeps=True)
        world.run(world.now + 5000)
    assert isinstance(fetch(world), Result)
    assert run_of(world, "long") == 1


def test_a_home_that_returns_does_not_run_again_what_was_done_meanwhile() -> None:
    world = site()
    world.submit("dev", "p", "long", keep=600_000)
    home, _ = until_home_has(world, 0, "guardian")
    world.run(world.now + 30)
    world.crash(home)
    assert isinstance(fetch(world), Result)
    runs = run_of(world, "long")
    world.add_node(home, keeps=True)
    world.run(world.now + 8000)
    assert run_of(world, "long") == runs
    assert isinstance(fetch(world), Result)


def test_all_nodes_die_and_come_back_with_their_disks() -> None:
    world = site()
    post(world, name="long")
    for name in NODES:
        world.crash(name)
    world.run(world.now + 1000)
    for name in NODES:
        world.add_node(name, keeps=True)
    assert isinstance(fetch(world), Result)


def test_a_node_that_comes_back_alone_goes_on_alone_after_a_while() -> None:
    world = site()
    said = post(world, name="long")
    for name in NODES:
        world.crash(name)
    world.run(world.now + 1000)
    world.add_node(said["nodes"][0], keeps=True)
    assert isinstance(fetch(world), Result)


def test_a_node_that_leaves_in_order_hands_over_what_it_has() -> None:
    world = site()
    for index in range(100):
        world.submit("dev", f"p{index}", "long", keep=600_000)
    world.run_until(lambda: len(world.settled) == 100)
    said = values.decode(world.settled["dev", "p99"][0].body)
    home = world.peers[said["nodes"][0]]
    world.tell(home, Drain(2000))
    world.submit("dev", "late", "quick", keep=600_000)
    assert values.decode(world.outcome("dev", "late").body)["nodes"][0] != home.name
    for index in range(100):
        assert isinstance(fetch(world, f"dev/p{index}"), Result), index
    assert not home.alive


# ---------------------------------------------------------------- nodes that are cut off


@pytest.mark.parametrize("who", ["home", "guardian"])
def test_home_and_guardian_agree_again_when_a_cut_is_over(who: str) -> None:
    world = site()
    said = post(world, name="long")
    cut = world.peers[said["nodes"][0 if who == "home" else 1]]
    cut.cut = True
    world.run(world.now + 15_000)
    cut.cut = False
    world.run(world.now + 10_000)
    assert isinstance(fetch(world), Result)
    records = [world.peers[name].core.keeping.replicas.get("dev/p") for name in NODES]
    versions = {(r.progress, r.epoch, r.home, r.guardian) for r in records if r}
    assert len(versions) == 1, versions
    assert len([r for r in records if r]) == 2


def test_messages_that_come_twice_late_or_never_change_nothing() -> None:
    world = site(faults=0.2)
    for index in range(20):
        world.submit("dev", f"p{index}", "quick", keep=600_000)
    world.run_until(lambda: len(world.settled) == 20)
    for index in range(20):
        assert isinstance(fetch(world, f"dev/p{index}"), Result)


# ---------------------------------------------------------------- disks that fail


def test_a_post_that_cannot_be_written_is_refused_and_leaves_nothing() -> None:
    world = site(nodes=("n0",))
    world.broken_disks.add("n0")
    world.submit("dev", "p", "quick", keep=60_000)
    refused = world.outcome("dev", "p")
    assert isinstance(refused, Refused)
    assert (refused.reason, "disk full" in refused.message) == ("no-journal", True)
    assert run_of(world, "quick") == 0


def test_a_guardian_whose_disk_is_full_is_replaced() -> None:
    world = site()
    world.broken_disks.add("n0")
    for index in range(20):
        said = post(world, f"q{index}")
        assert sorted(said["nodes"]) == ["n1", "n2"], "also where that node would be the home"
