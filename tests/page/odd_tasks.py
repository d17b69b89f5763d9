"""Tasks that a page has to cope with: of every signature, slow, failing, and of a stranger who means ill."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal, NoReturn

import cbor2
import numpy as np

from fogsdk import progress, task

MARKUP = '<img src="x" onerror="window.harmed = true"><script>window.harmed = true</script>'


class _Unreadable:
    def __repr__(self) -> str:
        return "((("


@task
def every_kind(
    whole: int,
    real: float,
    text: str,
    numbers: list[int],
    table: dict[str, int],
    switch: bool = False,
    colour: Literal["red", "green"] = "green",
    size: Literal[1, 2, 3, 4, 5, 6] = 3,
    maybe: int | None = None,
    free: Any = "x",
    *more: float,
    named: str = "by name",
    **rest: Any,
) -> list[Any]:
    """Give everything back."""
    return [whole, real, text, numbers, table, switch, colour, size, maybe, free, list(more), named, rest]


@task
def unreadable(first: Any, second: Any = _Unreadable()) -> Any:  # noqa: B008 - that is what it is for
    return first


@task
def measure(files: list[bytes]) -> list[int]:
    """The sizes of some files."""
    return [len(each) for each in files]


@task
def place(position: dict[str, float]) -> dict[str, float]:
    return position


@task
def show(what: str) -> Any:
    """A value of each kind that a page shows."""
    return {
        "nothing": None,
        "yes": True,
        "number": 1234.5678,
        "large": 2**70,
        "text": MARKUP,
        "bytes": bytes(range(256)),
        "broken": b"\x89PNG\r\n\x1a\n" + b"no picture",
        "matrix": np.arange(12, dtype=np.int16).reshape(3, 4),
        "wave": np.sin(np.linspace(0, 7, 200)).astype(np.float32),
        "colour": np.zeros((32, 48, 3), dtype=np.uint8) + np.array([200, 30, 30], dtype=np.uint8),
        "rows": [{"city": "Köln", "people": 1_087_353}, {"city": "Bonn", "people": None}],
        "tree": {"a": [1, {"b": [True, "two"]}], MARKUP: {"c": {}}},
        "quadruple": cbor2.CBORTag(83, bytes(16)),  # a float of 128 bits (RFC 8746)
        "half": np.array([0.5, -2.0, 65504.0], dtype=np.float16),
    }[what]


@task
def fail(message: str) -> NoReturn:
    raise LookupError(message)


@task
def die() -> NoReturn:
    """Take the worker along."""
    os._exit(3)


@task(weight="middle")
def wait_for(gate: str, log: str) -> str:
    """Write down that it began, and run until a file is there."""
    with Path(log).open("a") as file:
        file.write("begun\n")
    step = 0
    while not Path(gate).exists():
        step += 1
        progress(min(0.9, step / 100))
        time.sleep(0.01)
    return "the gate is open"


@task(name=f"{MARKUP}/?#%")
def hostile(argument: str = MARKUP) -> str:
    return argument


hostile.__doc__ = MARKUP
