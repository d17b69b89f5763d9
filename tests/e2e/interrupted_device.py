"""A device of its own process that is interrupted, as by Ctrl-C, in one call after the other, and goes on.

python -m tests.e2e.interrupted_device URL
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import fogsdk

INTERRUPTIONS, AFTERWARDS = 150, 20
_armed = False


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Interrupt calls, and not the counting of that."""
    global _armed
    if _armed:
        _armed = False
        raise KeyboardInterrupt


def main() -> None:
    """Be interrupted so often, and see that all is well afterwards."""
    global _armed
    signal.signal(signal.SIGINT, interrupt)
    interrupted = answered = 0
    with fogsdk.connect(sys.argv[1]) as fog:
        assert fog.run("increment", 0) == 1
        print("ready", flush=True)
        while interrupted < INTERRUPTIONS:
            try:
                _armed = True
                while True:
                    assert fog.run("increment", answered, deadline=20) == answered + 1
                    answered += 1
            except KeyboardInterrupt:
                interrupted += 1
        for number in range(AFTERWARDS):
            assert fog.run("increment", number, deadline=20) == number + 1
    print("interrupted", interrupted, "answered", answered, flush=True)


if __name__ == "__main__":
    main()
