"""The answers that a node keeps: bounded, and the large ones do not cost it the small ones."""

from __future__ import annotations

from fogsdk.core.commands import Send, Start
from fogsdk.core.events import Asked, JobDone, LinkUp
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.core.outcomes import KEEP_MS, MOST, MOST_BYTES, Outcomes
from fogsdk.wire.limits import INLINE_SIZE
from fogsdk.wire.messages import Ask, Failed, Result, Task, TaskInfo

MIB = 2**20


def _result(size: int) -> Result:
    return Result("a", bytes(size))


def _known(outcomes: Outcomes, of: str) -> int:
    return sum(outcomes.get((of, str(number))) is not None for number in range(MOST + 1000))


def test_one_result_of_any_size_costs_no_small_outcome() -> None:
    outcomes = Outcomes()
    for number in range(100):
        outcomes.keep(("small", str(number)), _result(1), 0)
    for number in range(3):
        outcomes.keep(("large", str(number)), _result(MOST_BYTES + 1), 1)
    assert (_known(outcomes, "small"), _known(outcomes, "large")) == (100, 1)
    assert len(outcomes) == 101


def test_large_results_make_room_for_each_other_and_so_do_small_ones() -> None:
    outcomes = Outcomes()
    size = INLINE_SIZE + MIB
    for number in range(100):
        outcomes.keep(("large", str(number)), _result(size), 0)
        outcomes.keep(("small", str(number)), _result(INLINE_SIZE), 0)
    assert _known(outcomes, "large") == MOST_BYTES // size
    for number in range(MOST + 10):
        outcomes.keep(("tiny", str(number)), _result(1), 1)
    assert (_known(outcomes, "tiny"), _known(outcomes, "small")) == (MOST, 0)
    assert _known(outcomes, "large") == MOST_BYTES // size


def test_old_ones_go_whatever_comes_next_and_large_they_may_be() -> None:
    outcomes = Outcomes()
    outcomes.keep(("small", "0"), _result(1), 0)
    outcomes.keep(("large", "0"), _result(MIB), 0)
    outcomes.keep(("small", "1"), _result(1), KEEP_MS)
    assert len(outcomes) == 3
    outcomes.keep(("small", "2"), _result(1), KEEP_MS + 1)
    assert len(outcomes) == 2


def test_an_answer_that_takes_the_place_of_another_is_counted_once() -> None:
    outcomes = Outcomes()
    for size in (1, MIB, 2 * MIB, 1):
        outcomes.keep(("x", "a"), _result(size), 0)
        assert outcomes.get(("x", "a")) == _result(size)
        assert len(outcomes) == 1
    outcomes.keep(("x", "a"), Failed("a", "ValueError", "no", "a traceback"), 0)
    outcomes.forget(("x", "a"))
    outcomes.keep(("x", "b"), _result(MIB), 0)
    outcomes.forget(("x", "b"))
    assert (len(outcomes), outcomes._small.bytes, outcomes._large.bytes) == (0, 0, 0)


def test_a_task_whose_answer_was_lost_is_not_run_again_for_a_large_result_of_another() -> None:
    node = Node(Identity("n1", "s", tasks={"f": TaskInfo("f")}))
    node.start()
    node.handle(LinkUp("a"), 0)

    def run(id: str, result: bytes) -> None:
        [job] = [each.job for each in node.handle(Asked("a", "dev", Task(id, "f", b"")), 1) if isinstance(each, Start)]
        node.handle(JobDone(job, result, 1.0), 2)

    run("small", b"\x01")
    run("large", bytes(MOST_BYTES + 1))
    for question in (Ask("small"), Task("small", "f", b"")):
        [said] = node.handle(Asked("a", "dev", question), 3)
        assert isinstance(said, Send)
        assert isinstance(said.message, Result)
