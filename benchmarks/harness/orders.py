"""Another Python process that does what it is told: a line of JSON for each order, and one for what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def obey(orders: Mapping[str, Callable[..., Any]]) -> None:
    """In that process: carry out the orders by name, until there are no more."""
    for line in sys.stdin:
        what, *details = json.loads(line)
        print(json.dumps(orders[what](*details)), flush=True)


class Servant:
    """Such a process: a module with its arguments, run with further variables in its environment."""

    def __init__(self, *command: str, environ: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (environ or {}),
            cwd=ROOT,
        )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def begin(self, *order: Any) -> None:
        """Have it begin something; ``end`` waits for it."""
        assert self._process.stdin is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)

    def end(self) -> Any:
        """What came of the order. Raises RuntimeError where the process ended over it; why, it wrote to stderr."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(map(str, self._process.args[2:]))} ended before it was done")  # type: ignore[index]
        return json.loads(answer)

    def do(self, *order: Any) -> Any:
        """Have it do something, and wait for what comes of it."""
        self.begin(*order)
        return self.end()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
