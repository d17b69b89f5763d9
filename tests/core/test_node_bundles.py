"""A bundle on a node: one task until it is taken apart, and then each of its calls is."""

from __future__ import annotations

from typing import Any

import pytest

from fogsdk.core.commands import Send, Start, Stop
from fogsdk.core.events import Asked, Drain, Event, JobApart, JobDone, JobFailed, JobLost, LinkUp, NodeHeard, Tick
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.core.runqueue import MOST_AHEAD
from fogsdk.wire import bundles
from fogsdk.wire.limits import ID_LENGTH
from fogsdk.wire.messages import (
    Accepted,
    Ask,
    Beat,
    Birth,
    Cancel,
    Cancelled,
    Failed,
    Refused,
    Result,
    Task,
    TaskInfo,
)

TASKS = {"tiny": TaskInfo("tiny")}
CALLS = (b"a", b"b", b"c", b"d")


class Desk:
    """A node with one worker beside its express one, that knows how long its task runs."""

    def __init__(self, **options: Any) -> None:
        self.now = 0
        own = {"tasks": dict(TASKS), **options}
        self.node = Node(Identity("n1", "home", workers=1, express=1, ahead=2.0, **own))
        self.node.start()
        self.started: list[Start] = []
        self.stopped: list[int] = []
        self.tell(LinkUp("a"))
        self.ask(Task("first", "tiny", b""))
        self.tell(JobDone(self.started.pop().job, b"\xf6", 0.1))

    def tell(self, event: Event) -> list[Any]:
        commands = self.node.handle(event, self.now)
        self.node.catch_up()
        self.started += [each for each in commands if isinstance(each, Start)]
        self.stopped += [each.job for each in commands if isinstance(each, Stop)]
        return [each.message for each in commands if isinstance(each, Send)]

    def ask(self, message: Any, sender: str = "dev") -> list[Any]:
        return self.tell(Asked("a", sender, message))

    def bundle(self, *calls: bytes, **options: Any) -> list[Any]:
        calls = calls or CALLS
        return self.ask(Task("b", "tiny", bundles.write(calls), count=len(calls), **options))

    def began(self) -> Start:
        [start] = self.started
        self.started.clear()
        return start


def reason(said: list[Any]) -> str:
    [refused] = said
    assert isinstance(refused, Refused)
    assert refused.id == "b"
    return refused.reason


def test_a_bundle_is_one_job_and_one_answer() -> None:
    desk = Desk()
    assert desk.bundle() == []
    start = desk.began()
    assert (start.kind, start.bodies, start.id, start.quick) == ("each", CALLS, "b", True)
    assert desk.node.work.admission.count == 1
    assert desk.node.held["dev", "b"].cost == pytest.approx(4 * 0.1)
    body = bundles.write([b"\x01"] * 4)
    [result] = desk.tell(JobDone(start.job, body, 0.4))
    assert (result.id, result.body) == ("b", body)
    assert result.hops[0].ran == pytest.approx(0.1), "that of each call"
    assert desk.bundle() == [result], "what comes twice is answered, and not run again"
    assert desk.started == []


def test_what_a_call_takes_is_learned_of_each() -> None:
    desk = Desk()
    desk.bundle()
    desk.tell(JobDone(desk.began().job, b"", 4 * 0.6))
    assert desk.node.work._costs.mean("tiny") == pytest.approx(0.1 + 0.2 * (0.6 - 0.1))


@pytest.mark.parametrize(
    "options",
    [
        {"body": b"\x82\x80\xa0"},
        {"body": b"no cbor"},
        {"body": bundles.write([b"", b"", b""])},
        {"body": b"\x82\x41a\x01"},
        {"deadline": 1000},
        {"keep": 1000},
        {"session": "s", "step": 1},
        {"part": 0},
        {"state": b""},
    ],
)
def test_what_is_no_bundle_is_refused(options: dict[str, Any]) -> None:
    desk = Desk()
    fields = {"body": bundles.write([b"", b""]), **options}
    assert reason(desk.ask(Task("b", "tiny", count=2, **fields))) == "malformed"
    assert desk.started == []


def test_the_ids_of_all_calls_of_a_bundle_are_ids() -> None:
    desk = Desk()
    body = bundles.write([b""] * 64)
    [refused] = desk.ask(Task("b" * 62, "tiny", body, count=64))
    assert (type(refused), refused.reason) == (Refused, "malformed")
    desk.ask(Task("b" * 61, "tiny", body, count=64))
    assert len(desk.started) == 1
    assert len(bundles.id_of("b" * 61, 63)) == ID_LENGTH


def test_a_bundle_of_a_task_that_nobody_offers_or_of_a_builtin_is_refused() -> None:
    desk = Desk()
    body = bundles.write([b"", b""])
    assert reason(desk.ask(Task("b", "other", body, count=2))) == "unknown-task"
    assert reason(desk.ask(Task("b", "fog.report", body, count=2))) == "bad-arguments"


@pytest.mark.parametrize("role", ["cloud", "core"])
def test_the_cloud_gets_calls_one_by_one(role: str) -> None:
    node = Node(Identity("n1", "home", role=role, tasks=dict(TASKS)))
    node.start()
    node.handle(LinkUp("a"), 0)
    commands = node.handle(Asked("a", "dev", Task("b", "tiny", bundles.write(CALLS), count=4)), 0)
    assert reason([each.message for each in commands if isinstance(each, Send)]) == "apart"


def test_calls_that_had_better_go_elsewhere_are_not_run_as_a_bundle() -> None:
    desk = Desk()
    desk.tell(NodeHeard("a", "n2", Birth(1, "fog", 4, tuple(TASKS.values()))))
    desk.tell(NodeHeard("a", "n2", Beat(1, 1, 1000)))
    for number in range(300):
        desk.ask(Task(f"t{number}", "tiny", b""))
        if desk.started and number < 30:
            desk.tell(JobDone(desk.started.pop().job, b"\xf6", 90.0))
    assert reason(desk.bundle()) == "apart"


def test_while_calls_of_a_task_are_in_quarantine_each_is_looked_at_alone() -> None:
    desk = Desk()
    desk.node.work.quarantine.offend("tiny", b"other arguments", "died", desk.now)
    assert reason(desk.bundle()) == "apart"
    desk = Desk()
    desk.tell(NodeHeard("a", "n2", Birth(1, "fog", 4, tuple(TASKS.values()))))
    desk.tell(NodeHeard("a", "n2", Beat(1, 1, 1000, quarantined=("tiny#0123abcd",))))
    assert reason(desk.bundle()) == "apart"


def test_where_a_task_has_not_run_yet_its_sender_is_believed_that_it_is_short() -> None:
    desk = Desk(tasks={"tiny": TaskInfo("tiny"), "long": TaskInfo("long")})
    desk.node = Node(Identity("n1", "home", workers=1, express=1, ahead=2.0, tasks=dict(desk.node.me.tasks)))
    desk.node.start()
    desk.tell(LinkUp("a"))
    for number in range(3):
        desk.ask(Task(f"long-{number}", "long", b"", weight="middle"))
    desk.started.clear()
    desk.bundle(*[b""] * 64)
    assert desk.began().quick, "on the express worker"


def test_a_bundle_of_large_calls_is_refused_also_before_it_is_sent() -> None:
    desk = Desk()
    assert reason(desk.bundle(bytes(2000), bytes(2000))) == "too-large"


# ---------------------------------------------------------------- apart


def apart(desk: Desk, done: int = 1) -> tuple[int, list[Any]]:
    desk.bundle()
    job = desk.began().job
    return job, desk.tell(JobApart(job, (b"\x01",) * done, 0.1))


def test_what_is_done_is_answered_the_rest_goes_on_as_tasks_of_their_own() -> None:
    desk = Desk()
    job, [result] = apart(desk)
    assert result.body == bundles.write([b"\x01", None, None, None])
    second, third = desk.started
    assert (second.kind, second.id, second.bodies) == ("run", "b-2", (b"c",))
    assert (third.kind, third.id, third.bodies) == ("run", "b-3", (b"d",))
    [ended] = desk.tell(JobDone(job, b"\x02", 50.0))
    assert (ended.id, ended.body, ended.hops[0].ran) == ("b-1", b"\x02", 50.0)
    [failed] = desk.tell(JobFailed(second.job, "ValueError", "no", "", 0.1))
    assert isinstance(failed, Failed)
    assert failed.id == "b-2"
    assert desk.bundle() == [result]


def test_the_call_that_runs_on_has_its_worker_for_itself() -> None:
    desk = Desk()
    apart(desk)
    for number in range(100):
        desk.ask(Task(f"t{number}", "tiny", b""))
    assert sum(start.quick for start in desk.started) == MOST_AHEAD, "those that one other worker takes ahead"


def test_calls_that_go_on_can_be_asked_after_sent_again_and_cancelled() -> None:
    desk = Desk()
    job, _ = apart(desk)
    assert [type(each) for each in desk.ask(Ask("b-1"))] == [Accepted]
    assert [type(each) for each in desk.ask(Task("b-2", "tiny", b"c"))] == [Accepted]
    assert desk.ask(Cancel("b-1")) == [Cancelled("b-1")]
    assert desk.stopped == [job]
    [third] = [start for start in desk.started if start.id == "b-3"]
    assert desk.ask(Cancel("b-3")) == [Cancelled("b-3")]
    assert desk.stopped == [job, third.job]


def test_who_cancels_a_bundle_that_is_apart_cancels_what_is_left_of_it() -> None:
    desk = Desk()
    job, [result] = apart(desk)
    others = {start.job for start in desk.started}
    said = desk.ask(Cancel("b"))
    assert said[0] == result
    assert {each.id for each in said[1:]} == {"b-1", "b-2", "b-3"}
    assert set(desk.stopped) == {job, *others}
    assert not desk.node.held


def test_a_bundle_whose_next_call_did_not_begin_goes_on_with_that_one_waiting() -> None:
    desk = Desk()
    desk.bundle()
    desk.tell(JobApart(desk.began().job, (b"\x01",), 0.1, at_work=False))
    assert {start.id for start in desk.started} == {"b-1", "b-2", "b-3"}


def test_what_is_not_over_teaches_that_it_takes_long() -> None:
    desk = Desk()
    desk.bundle()
    desk.now += 25
    [result] = desk.tell(JobApart(desk.began().job, (), 0.0))
    assert result.hops[0].ran == 25


def test_those_that_take_long_are_acknowledged_as_any_task_is() -> None:
    desk = Desk()
    apart(desk, 3)
    desk.now += 60
    assert [each.id for each in desk.tell(Tick()) if isinstance(each, Accepted)] == ["b-3"]


def test_a_worker_that_dies_is_the_fault_of_the_call_that_it_ran_alone() -> None:
    desk = Desk()
    job, _ = apart(desk)
    first = desk.started[0]
    assert desk.tell(JobLost(job, "died")) == []
    for _ in range(2):
        [again] = [start for start in desk.started if start.id == "b-1"]
        desk.started.clear()
        said = desk.tell(JobLost(again.job, "died"))
    [failed] = [each for each in said if isinstance(each, Failed)]
    assert (failed.id, failed.error) == ("b-1", "WorkerDied")
    assert list(desk.node.work.quarantine.serving(desk.now)) != []
    [result] = desk.tell(JobDone(first.job, b"\x03", 0.1))
    assert result.id == "b-2"


def test_another_task_of_the_same_id_as_a_call_stays_as_it_is() -> None:
    desk = Desk()
    desk.bundle()
    job = desk.began().job
    desk.ask(Task("b-1", "tiny", b"x"))
    desk.tell(JobApart(job, (b"\x01",), 0.1))
    assert desk.stopped == [job]
    [other] = [start for start in desk.started if start.id == "b-1"]
    assert other.bodies == (b"x",)
    [result] = desk.tell(JobDone(other.job, b"\x09", 0.1))
    assert (result.id, result.body) == ("b-1", b"\x09")


def test_nothing_is_left_when_all_is_over() -> None:
    desk = Desk()
    job, _ = apart(desk)
    while desk.node.held:
        job, *_ = [job, *[start.job for start in desk.started]] if job else [desk.started.pop(0).job]
        desk.tell(JobDone(job, b"", 0.1))
        desk.started = [start for start in desk.started if start.job != job]
        job = 0
    work = desk.node.work
    assert (work.admission.count, len(work.queue), work.queue.busy) == (0, 0, 0)
    assert not work.queue.tiny
    assert not work.queue._slow


def test_a_node_that_leaves_hands_back_a_bundle_that_waits_and_finishes_one_that_runs() -> None:
    desk = Desk()
    desk.bundle()
    job = desk.began().job
    desk.tell(Drain(1000))
    [result, *_] = desk.tell(JobDone(job, b"", 0.4))
    assert isinstance(result, Result)
