"""The device of a counted site. It does what each line of its input says, and then writes a line.

python -m benchmarks.counts.device URL < '["one", 100]'
"""

from __future__ import annotations

import sys
from collections import deque
from functools import partial
from typing import Any

import fogsdk
from benchmarks.harness.orders import obey
from fogsdk import Fog


def main() -> None:
    """Obey until there are no more orders."""
    with fogsdk.connect(sys.argv[1]) as fog:
        obey(
            {
                "one": partial(one, fog),
                "many": partial(many, fog),
                "many_singly": partial(many_singly, fog),
                "echo": partial(echo, fog),
            }
        )


def one(fog: Fog, calls: int) -> None:
    """One call after the other."""
    for number in range(calls):
        assert fog.submit("increment", number).result(30) == number + 1


def many(fog: Fog, calls: int, outstanding: int, **options: Any) -> None:
    """So many calls at once: the oldest is waited for, and another one made in its stead."""
    pending = deque(fog.submit("increment", number, **options) for number in range(outstanding))
    for number in range(outstanding, calls):
        pending.popleft().result(30)
        pending.append(fog.submit("increment", number, **options))
    for future in pending:
        future.result(30)


def many_singly(fog: Fog, calls: int, outstanding: int) -> None:
    """The same with calls that have an option, and so are in no bundles."""
    many(fog, calls, outstanding, weight="light")


def echo(fog: Fog, size: int) -> None:
    """Send so many bytes there and back."""
    assert len(fog.submit("echo", bytes(size)).result(30)) == size


if __name__ == "__main__":
    main()
