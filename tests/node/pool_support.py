"""What the tests of the worker pool share: task modules made for one test, and the pool's processes."""

from __future__ import annotations

import asyncio
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.node.executor_contract import PATIENCE


def write_module(folder: Path, name: str, source: str) -> None:
    """Write a Python module."""
    (folder / f"{name}.py").write_text(textwrap.dedent(source))


async def until(condition: Callable[[], object]) -> None:
    """Wait for what has no event of its own."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)


def family() -> list[psutil.Process]:
    """The processes below this one: fork server, workers, and what they started."""
    return psutil.Process().children(recursive=True)


def fork_server() -> psutil.Process:
    [process] = psutil.Process().children()
    return process
