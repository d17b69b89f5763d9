"""Large records, which nodes keep for others: the copy of one travels in chunks, and other messages pass it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fogsdk.core.bodies import id_of_record
from fogsdk.core.commands import Note, Send
from fogsdk.core.events import Carried, Drain, ReplicaHeard
from fogsdk.core.outgoing import GIVE_UP_AFTER
from fogsdk.wire import codec, topics, values
from fogsdk.wire.limits import RECORD_SIZE
from fogsdk.wire.messages import Kept, Refused, Replica, Result, Task, Transfer
from tests.core.durable_site import furnished
from tests.core.large_world import LargeWorld
from tests.core.test_transfers import value

SIZE = 8_000_000
SLOW = 2000
"""Bytes a millisecond of a slow link: the record takes four seconds on it."""
RECEIPT = "dev/p"


def site(*nodes: str, brokers: tuple[str, ...] = ("a",), **options: Any) -> LargeWorld:
    """A world with these nodes, in which large bodies travel in chunks."""
    return furnished(LargeWorld(1, brokers, **options), nodes)


def post(world: LargeWorld, size: int = SIZE, **options: Any) -> bytes:
    """Post a task to n0, which is its home."""
    return world.submit_large("dev", "p", size, to="n0", keep=600_000, **options)


def receipt(world: LargeWorld) -> dict[str, Any]:
    outcome = world.outcome("dev", "p")
    assert isinstance(outcome, Result), outcome
    said: dict[str, Any] = values.decode(outcome.body)
    return said


def fetched(world: LargeWorld) -> object:
    world.submit("two", f"f{world.now}", "fog.fetch", argument=RECEIPT)
    return value(world.outcome("two", f"f{world.now}"))


def copied(world: LargeWorld, guardian: str = "n1") -> int:
    """Bytes of the record that left n0 for its guardian."""
    return world.carried.get((topics.replica("s", guardian, "n0"), id_of_record(RECEIPT)), 0)


def test_a_large_record_is_copied_in_chunks_each_of_them_once() -> None:
    world = site("n0", "n1")
    argument = post(world, 400_000)
    assert receipt(world)["copies"] == 2
    assert 400_000 <= copied(world) < 401_000
    assert all(RECEIPT in journal for journal in world.journals.values())
    assert fetched(world) == argument
    assert not world.transfers("n0")._outgoing
    assert not world.transfers("n1")._incoming


def test_heartbeats_pass_a_copy_on_a_slow_link() -> None:
    """In one payload it would keep them for seconds, and its node would be taken for lost."""
    world = site("n0", "n1", "n2")
    world.put_far("n0", SLOW, delay=5)
    argument = post(world)
    begun = world.now
    others = [world.peers[name].core.directory.members for name in ("n1", "n2", "dev")]
    while ("dev", "p") not in world.settled:
        world.run(world.now + 1)
        assert all(members["n0"].present for members in others), f"lost from sight after {world.now - begun} ms"
        assert world.now < begun + 20_000
    assert world.now > begun + 2 * SIZE // SLOW, "it went over the slow link twice"
    assert receipt(world)["nodes"][0] == "n0"
    assert fetched(world) == argument
    assert len(world.runs) == 1


def test_a_guardian_to_which_a_copy_takes_long_is_not_given_up() -> None:
    """It answers nothing before it has all of it, which takes 80 s."""
    world = site("n0", "n1")
    world.put_far("n1", rate=100, delay=20)
    post(world)
    said = values.decode(world.outcome("dev", "p", 200_000).body)
    assert said["nodes"] == ["n0", "n1"]
    assert copied(world) < 1.1 * SIZE
    assert not [note for note in world.notes if note.kind in ("silent", "takeover")]


def test_a_copy_goes_on_over_another_broker() -> None:
    world = site("n0", "n1", brokers=("a", "b"))
    world.put_far("n0", SLOW, delay=5)
    argument = post(world)
    world.soon(lambda: copied(world) > SIZE // 2)
    world.kill_broker("a")
    assert receipt(world)["copies"] == 2
    assert copied(world) < 1.3 * SIZE
    assert fetched(world) == argument


@pytest.mark.parametrize("clean", [True, False])
def test_a_guardian_that_dies_in_the_middle_is_followed_by_another(clean: bool) -> None:
    world = site("n0", "n1", "n2")
    world.put_far("n0", SLOW, delay=5)
    argument = post(world, name="long")
    world.soon(lambda: copied(world, "n1") + copied(world, "n2") > SIZE // 2)
    first, second = ("n1", "n2") if copied(world, "n1") else ("n2", "n1")
    world.crash(first, clean)
    assert receipt(world)["nodes"] == ["n0", second]
    assert not world.transfers("n0")._outgoing, "it is no longer announced to the dead"
    assert fetched(world) == argument


def test_a_home_that_dies_in_the_middle_has_given_no_receipt_and_the_task_is_posted_elsewhere() -> None:
    world = site("n0", "n1")
    world.put_far("n0", SLOW, delay=5)
    argument = world.submit_large("dev", "p", SIZE, keep=600_000)
    world.soon(lambda: bool(world.carried))
    home = next(name for name in ("n0", "n1") if world.transfers(name)._incoming)
    other = "n1" if home == "n0" else "n0"
    world.soon(lambda: any(key[0] == topics.replica("s", other, home) for key in world.carried))
    assert ("dev", "p") not in world.settled
    world.crash(home)
    assert receipt(world)["nodes"] == [other]
    assert fetched(world) == argument
    world.run(world.now + GIVE_UP_AFTER + 1000)
    assert not world.transfers(other)._incoming


def test_a_record_that_is_taken_back_is_copied_no_further() -> None:
    world = site("n0", "n1")
    world.put_far("n0", SLOW, delay=5)
    world.broken_disks.add("n0")
    post(world)
    world.soon(lambda: ("dev", "p") in world.settled)
    assert world.settled["dev", "p"][0].reason == "no-journal"
    world.run(world.now + 10_000)
    assert copied(world) < SIZE // 2
    assert not world.transfers("n0")._outgoing
    assert RECEIPT not in world.journals["n1"]


def test_a_node_that_leaves_does_so_when_its_outcome_is_with_the_guardian() -> None:
    world = site("n0", "n1")
    argument = post(world, name="long")
    receipt(world)
    world.put_far("n0", SLOW, delay=5)
    before = copied(world)
    world.soon(lambda: copied(world) > before + SIZE // 4)
    world.tell(world.peers["n0"], Drain(10_000))
    world.run_until(lambda: not world.peers["n0"].alive)
    assert copied(world) - before >= SIZE
    assert fetched(world) == argument


def test_a_guardian_without_room_for_it_says_so_and_another_takes_it() -> None:
    world = site("n0", "n1", "n2", room=3 * SIZE)
    argument = world.submit_large("dev", "p", SIZE, to="n0", keep=600_000)
    world.soon(lambda: bool(copied(world, "n1") or copied(world, "n2")))
    small = "n1" if copied(world, "n1") else "n2"
    world.transfers(small)._incoming.clear()
    world.transfers(small)._room = SIZE // 2
    assert receipt(world)["nodes"] == ["n0", "n1" if small == "n2" else "n2"]
    assert not any(topic == topics.replica("s", small, "n0") for topic, _ in world.transfers("n0")._outgoing)
    assert fetched(world) == argument


def test_a_guardian_without_room_for_it_now_has_it_later() -> None:
    world = site("n0", "n1", room=int(1.5 * SIZE))
    head = codec.encode([Replica("dev/other", 0, 0, "n9", "n1", b"", 60_000)])
    world.tell(world.peers["n1"], Carried("a", "n9", Transfer(id_of_record("dev/other"), SIZE, head, "x"), True))
    post(world)
    assert receipt(world)["nodes"] == ["n0"]
    world.run_until(lambda: RECEIPT in world.journals["n1"], GIVE_UP_AFTER + 20_000)


def test_those_who_upload_tasks_keep_no_copies_away() -> None:
    world = site("n0", "n1", room=int(1.5 * SIZE))
    for index in range(2):
        head = codec.encode([Task(f"t{index}", "quick", b"")])
        world.tell(world.peers["n1"], Carried("a", f"d{index}", Transfer(f"t{index}", int(0.7 * SIZE), head)))
    assert world.transfers("n1").incoming_bytes > SIZE
    post(world)
    assert receipt(world)["nodes"] == ["n0", "n1"]


@pytest.mark.parametrize("after", [1500, 2500, 3500])
def test_a_post_that_was_refused_for_want_of_a_second_node_is_not_run_when_that_comes_back(after: int) -> None:
    world = site("n0", "n1")
    world.put_far("n0", SLOW, delay=5)
    post(world, copies=2)
    world.soon(lambda: copied(world) > 0)
    world.run(world.now + after)
    world.peers["n1"].cut = True
    refused = world.outcome("dev", "p", 60_000)
    assert isinstance(refused, Refused)
    assert refused.reason == "too-few-nodes"
    world.run(world.now + 3000)
    world.peers["n1"].cut = False
    world.connect(world.peers["n1"], "a")
    world.run(world.now + 40_000)
    assert not world.runs
    assert not any(RECEIPT in journal for journal in world.journals.values())


def test_a_node_whose_guardian_died_leaves_without_waiting_for_it() -> None:
    world = site("n0", "n1")
    world.put_far("n0", SLOW, delay=5)
    post(world)
    world.soon(lambda: copied(world) > 0)
    world.crash("n1", clean=False)
    assert receipt(world)["nodes"] == ["n0"]
    world.run(world.now + 3000)
    begun = world.now
    world.tell(world.peers["n0"], Drain(300_000))
    world.run_until(lambda: not world.peers["n0"].alive, begun + 3000)


@pytest.mark.parametrize(("count", "size"), [(12, 1_300_000), (30, 500_000)])
def test_many_copies_at_once_hold_up_no_heartbeats_either(count: int, size: int) -> None:
    world = site("n0", "n1")
    world.put_far("n1", SLOW, delay=20)
    for index in range(count):
        world.submit_large("dev", f"p{index}", size, to="n0", keep=600_000)
    world.run_until(lambda: len(world.settled) == count, 120_000)
    world.run(world.now + 20_000)  # the outcomes are copied too
    assert not [note for note in world.notes if note.kind in ("silent", "takeover", "lost")]
    assert len(world.runs) == count
    assert not world.transfers("n1")._incoming, "nothing is announced behind its last chunk"


def test_a_version_that_is_there_is_not_sent_again_and_takes_no_room() -> None:
    world = site("n0", "n1")
    post(world, 400_000, name="long")
    receipt(world)
    record = world.peers["n1"].core.keeping.replicas.get(RECEIPT)
    head = codec.encode([replace(record.replica(world.now), data=b"")])
    again = Carried("a", "n0", Transfer(id_of_record(RECEIPT), len(record.data), head, "again"), True)
    got, kept = (each.message for each in world.transfers("n1").handle(again, world.now) if isinstance(each, Send))
    assert (got.upto, got.again) == (len(record.data), True)  # type: ignore[union-attr]
    assert isinstance(kept, Kept)
    assert world.transfers("n1").incoming_bytes == 0


def test_a_smaller_version_takes_the_place_of_what_came_of_a_larger_one() -> None:
    world = site("n1")
    head = codec.encode([Replica("k", 0, 0, "n9", "n1", b"", 60_000)])
    world.tell(world.peers["n1"], Carried("a", "n9", Transfer(id_of_record("k"), SIZE, head, "x"), True))
    assert world.transfers("n1").incoming_bytes
    world.tell(world.peers["n1"], ReplicaHeard("a", "n9", Replica("k", 0, 0, "n9", "n1", b"", 0)))
    assert world.transfers("n1").incoming_bytes == 0


@pytest.mark.parametrize(
    ("id", "size", "head"),
    [
        (id_of_record("k"), RECORD_SIZE + 1, Replica("k", 0, 0, "n9", "n1", b"", 1000)),
        (id_of_record("k"), SIZE, Replica("k", 0, 0, "n9", "n1", b"not empty", 1000)),
        (id_of_record("k"), SIZE, Replica("other", 0, 0, "n9", "n1", b"", 1000)),
        (id_of_record("k"), SIZE, Kept("k", "n9")),
        ("k", SIZE, Result("k", b"")),
    ],
)
def test_an_announced_copy_that_cannot_be_one_is_noted_and_takes_no_memory(id: str, size: int, head: Any) -> None:
    world = site("n1")
    said = world.transfers("n1").handle(Carried("a", "n9", Transfer(id, size, codec.encode([head])), True), world.now)
    assert [type(each) for each in said] == [Note]
    assert world.transfers("n1").incoming_bytes == 0


def test_a_device_cannot_have_a_record_kept_by_announcing_it_as_a_task() -> None:
    world = site("n1")
    head = codec.encode([Replica("k", 0, 0, "n9", "n1", b"", 1000)])
    said = world.transfers("n1").handle(Carried("a", "dev", Transfer(id_of_record("k"), SIZE, head)), world.now)
    [answer] = [each.message for each in said if isinstance(each, Send)]
    assert isinstance(answer, Refused)
    assert answer.reason == "malformed"
    assert world.transfers("n1").incoming_bytes == 0
