"""Tasks as they are declared and performed: reserved names, and the steps of sessions."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from fogsdk.errors import ConfigError, TaskDefinitionError, TaskRefused, WireError
from fogsdk.tasks import load, perform, registry, task
from fogsdk.wire import values


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(registry):
        monkeypatch.delitem(registry, name)


def step(name: str, state: Any, *args: Any) -> tuple[Any, Any]:
    new, result = values.decode(perform("step", name, (values.encode([list(args), {}]), values.encode(state))))
    return values.decode(new), values.decode(result)


def test_the_names_of_the_nodes_own_calls_are_reserved() -> None:
    with pytest.raises(TaskDefinitionError, match="the nodes' own: choose another"):
        task(name="fog.fetch")(lambda: None)


def test_a_coroutine_function_is_no_task() -> None:
    with pytest.raises(TaskDefinitionError, match="one made with async def returns no result by itself"):

        @task
        async def later() -> None: ...


def test_two_tasks_of_one_name_in_a_module_are_refused_and_one_that_is_reloaded_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of the two would count nobody would see."""
    monkeypatch.syspath_prepend(tmp_path)
    one = "from fogsdk import task\n@task\ndef a(x): return 1\n"
    (tmp_path / "said_twice.py").write_text(f"{one}@task\ndef a(x): return 2\n")
    with pytest.raises(ConfigError, match=r"said_twice\.a on line 2 and said_twice\.a on line 4; give one"):
        load(["said_twice"])
    registry.clear()
    module = tmp_path / "said_again.py"
    module.write_text(one)
    load(["said_again"])
    module.write_text(f"# a word\n{one}")
    importlib.reload(sys.modules["said_again"])
    assert registry["a"].function(0) == 1


def test_a_step_goes_from_one_state_to_the_next() -> None:
    @task
    def add(number: int, state: list[int] | None) -> tuple[list[int], int]:
        numbers = [*(state or []), number]
        return numbers, sum(numbers)

    assert step("add", None, 3) == ([3], 3)
    assert step("add", [3], 4) == ([3, 4], 7)


def test_a_task_that_takes_no_state_cannot_be_a_step() -> None:
    @task
    def plain(number: int) -> int:
        return number

    with pytest.raises(TaskRefused, match="unexpected keyword argument 'state'"):
        step("plain", None, 1)


def test_a_step_whose_state_nobody_would_read_fails_and_so_does_such_a_result() -> None:
    """Else a session would be stuck with it."""

    @task
    def deep(which: int, *, state: Any = None) -> Any:
        value: Any = 0
        for _ in range(40):
            value = [value]
        return (value, 1) if which == 0 else (1, value)

    for which in (0, 1):
        with pytest.raises(WireError, match="nobody would read it"):
            step("deep", None, which)
    with pytest.raises(WireError, match="nobody would read it"):
        perform("run", "deep", (values.encode([[0], {}]),))


def test_a_step_that_returns_no_pair_says_what_it_must_return() -> None:
    @task
    def single(state: int | None) -> int:
        return state or 0

    with pytest.raises(TypeError, match=r"must return \(state, result\)"):
        step("single", None)
