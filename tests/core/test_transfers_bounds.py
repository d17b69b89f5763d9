"""Large bodies where room, places, descriptors or patience run out: what waits gets there, and nobody takes it all."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from fogsdk.core.commands import Send
from fogsdk.core.events import Asked, Carried, JobDone, LinkUp, Tick
from fogsdk.core.incoming import MOST_INCOMING
from fogsdk.core.outgoing import FIRST_WINDOW, GIVE_UP_AFTER
from fogsdk.core.transfers import UNSAYABLE_AFTER, WHOLE_AFTER
from fogsdk.wire import codec, topics, values
from fogsdk.wire.limits import RECORD_SIZE
from fogsdk.wire.messages import Chunk, Failed, Got, Progress, Refused, Result, Task, Transfer
from tests.core.large_world import LargeWorld
from tests.core.test_transfers import value

SIZE = 400_000


def node() -> tuple[LargeWorld, Any]:
    world = LargeWorld(1)
    world.add_node("n1", workers=8)
    return world, world.transfers("n1")


def announced(transfers: Any, sender: str, id: str, size: int = SIZE, now: int = 0) -> list[Any]:
    """What is said to one who announces a task."""
    transfer = Transfer(id, size, codec.encode([Task(id, "quick", b"")]))
    return [send.message for send in transfers.handle(Carried("a", sender, transfer), now)]


def asked_for(world: LargeWorld, size: int) -> list[Any]:
    """A device that says nothing more asks for a result of so many bytes; returns what is sent to it from then on."""
    sent: list[Any] = []
    send = world._send

    def record(peer: Any, command: Send) -> None:
        if command.topic == topics.reply("s", "d1"):
            sent.append(command)
        send(peer, command)

    world._send = record  # type: ignore[method-assign, assignment]
    world.tell(world.peers["n1"], Asked("a", "d1", Task("t1", "quick", values.encode([[bytes(size)], {}]))))
    world.soon(lambda: any(isinstance(command.message, Transfer) for command in sent))
    return sent


# ------------------------------------------------------------ patience


def test_one_that_answers_nothing_gets_in_one_payload_what_fits() -> None:
    world, _ = node()
    sent = asked_for(world, RECORD_SIZE - 100)
    world.run(world.now + WHOLE_AFTER + 1000)
    assert isinstance(sent[-1].message, Result)


def test_one_that_answers_nothing_for_long_hears_that_its_result_is_too_large() -> None:
    world, _ = node()
    sent = asked_for(world, RECORD_SIZE)
    world.run(world.now + UNSAYABLE_AFTER - 3000)
    assert {type(command.message) for command in sent} <= {Transfer, Progress}
    world.run(world.now + 6000)
    assert isinstance(sent[-1].message, Failed)
    assert "bytes, and one that takes no chunks" in sent[-1].message.message


def test_results_for_which_their_receiver_has_no_room_wait_for_it() -> None:
    """For longer than one that answers nothing would be waited for."""
    world = LargeWorld(2, room=120_000_000)
    world.add_node("n1", workers=8)
    world.room = 25_000_000
    world.add_client("c1")
    world.put_far("c1", 5000, 5)
    world.soon(lambda: "n1" in world.peers["c1"].core.directory.members)
    arguments = [world.submit_large("c1", f"t{i}", 17_000_000) for i in range(3)]
    assert [value(world.outcome("c1", f"t{i}", 60_000)) for i in range(3)] == arguments
    assert len(world.runs) == 3


def test_results_that_get_on_are_not_dropped_for_those_that_come() -> None:
    """Else each would begin anew for ever; those for which there is no room come later."""
    world = LargeWorld(3, room=2_500_000)
    world.add_node("n1", workers=8)
    for index in range(5):
        world.add_client(f"c{index}")
        world.put_far(f"c{index}", 1000, 5)
    world.soon(lambda: all("n1" in world.peers[f"c{i}"].core.directory.members for i in range(5)))
    body = values.encode(bytes(1_000_000))
    world._finish = lambda peer, start, _: world.tell(peer, JobDone(start.job, body, 3.0))  # type: ignore[assignment, method-assign]
    for index in range(5):
        world.submit(f"c{index}", "t1")
    assert all(len(values.decode(world.outcome(f"c{i}", "t1", 30_000).body)) == 1_000_000 for i in range(5))
    assert sum(sent for (topic, _), sent in world.carried.items() if "/reply/" in topic) < 1.1 * 5_000_000


# ------------------------------------------------------------ places


def test_one_sender_has_a_quarter_of_the_places() -> None:
    _, transfers = node()
    answers = [announced(transfers, "d1", f"t{i}", 1000)[0] for i in range(MOST_INCOMING)]
    assert sum(isinstance(answer, Got) for answer in answers) == MOST_INCOMING // 4
    refused = answers[-1]
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.retry_after) == ("overloaded", 1000)
    assert isinstance(announced(transfers, "d2", "t1", 1000)[0], Got)


def test_what_comes_with_a_body_takes_room_too() -> None:
    world = LargeWorld(1, room=10_000_000)
    world.add_node("n1")
    transfers = world.transfers("n1")
    answers: list[Any] = []
    for index in range(20):
        head = codec.encode([Task(f"t{index}", "quick", b"", state=bytes(1_000_000))])
        answers += transfers.handle(Carried("a", f"d{index}", Transfer(f"t{index}", SIZE, head)), 0)
    assert sum(isinstance(answer.message, Got) for answer in answers) == 7
    assert transfers.incoming_bytes <= 10_000_000


def test_all_places_taken_by_tasks_leave_those_of_results() -> None:
    """A node with neighbours: what it gave to one of them comes back while strangers announce what they never send."""
    world = LargeWorld(4)
    first = world.add_node("n1", workers=1)
    world.add_node("n2", workers=1)
    world.soon(lambda: "n2" in first.core.directory.members)
    for index in range(4 * MOST_INCOMING):
        announced(world.transfers("n1"), f"d{index // MOST_INCOMING}", f"t{index}", 1)
    assert len(world.transfers("n1")._incoming) == MOST_INCOMING
    entries = first.core.ledger.entries
    entries["mine"] = entries.get("mine")
    head = codec.encode([Result("mine", b"")])
    result = Carried("a", "", Transfer("mine", SIZE, head, "x", "n2"))
    answer: list[Any] = world.transfers("n1").handle(result, world.now)
    assert answer[0].message == Got("mine", 0, True, "x")


# ------------------------------------------------------------ what costs nothing, and what costs memory


def test_chunks_that_bring_nothing_hold_no_memory() -> None:
    """Empty ones, and those that are there already."""
    _, transfers = node()
    announced(transfers, "d1", "t1")
    transfers.handle(Carried("a", "d1", Chunk("t1", 0, bytes(1000))), 10)
    for now in range(1000, GIVE_UP_AFTER, 1000):
        transfers.handle(Carried("a", "d1", Chunk("t1", 0, b"" if now % 2000 else bytes(1000))), now)
        transfers.handle(Tick(), now)
    assert SIZE <= transfers.incoming_bytes < SIZE + 100
    transfers.handle(Tick(), GIVE_UP_AFTER + 10)
    assert transfers.incoming_bytes == 0


def test_the_same_answer_a_thousand_times_is_worth_one_window() -> None:
    world, transfers = node()
    sent = asked_for(world, 8_000_000)
    tag = next(command.message.tag for command in sent if isinstance(command.message, Transfer))
    out = [
        each for _ in range(1000) for each in transfers.handle(Carried("a", "d1", Got("t1", 0, True, tag)), world.now)
    ]
    assert sum(len(each.message.data) for each in out) == FIRST_WINDOW


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM])
def test_no_memory_or_descriptor_is_a_refusal_and_no_end(code: int) -> None:
    _, transfers = node()
    allocate = transfers._allocate

    def none_left(size: int) -> Any:
        raise OSError(code, "none left")

    transfers._allocate = none_left
    [refused] = announced(transfers, "d1", "t1")
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.retry_after) == ("overloaded", 1000)
    assert "none left" in refused.message
    transfers._allocate = allocate
    assert isinstance(announced(transfers, "d1", "t1")[0], Got)


def test_a_result_for_which_there_is_no_memory_now_comes_later() -> None:
    world = LargeWorld(5)
    world.add_node("n1")
    world.add_client("c1")
    transfers = world.transfers("c1")
    allocate, tried = transfers._allocate, []

    def fails_at_first(size: int) -> Any:
        tried.append(size)
        if len(tried) < 4:
            raise OSError(errno.ENOMEM, "none left")
        return allocate(size)

    transfers._allocate = fails_at_first
    argument = world.submit_large("c1", "t1", SIZE)
    assert value(world.outcome("c1", "t1")) == argument
    assert len(world.runs) == 1
    assert len(tried) == 4


def test_a_link_that_comes_again_does_not_forget_how_far_a_body_is() -> None:
    world, transfers = node()
    sent = asked_for(world, 8_000_000)
    tag = next(command.message.tag for command in sent if isinstance(command.message, Transfer))
    transfers.handle(Carried("a", "d1", Got("t1", 0, True, tag)), world.now)
    transfers.handle(Carried("a", "d1", Got("t1", FIRST_WINDOW, False, tag)), world.now)
    [again] = [
        each.message
        for each in transfers.handle(LinkUp("a"), world.now)
        if isinstance(each, Send) and each.topic == topics.reply("s", "d1")
    ]
    assert isinstance(again, Transfer)
    chunks = transfers.handle(Carried("a", "d1", Got("t1", FIRST_WINDOW, True, tag)), world.now)
    assert chunks[0].message.at == FIRST_WINDOW
