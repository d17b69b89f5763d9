"""How much heap the MicroPython examples take, in the real interpreter: python -m tests.firmware.memory

It is the build for WebAssembly, of 32 bits as an ESP32 and a Pico are. The modules are compiled on the board; as .mpy
files they take the same heap and need none to be compiled.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.firmware.board import RealBoard
from tests.support.processes import Processes

PROGRAM = """
import gc

def used():
    gc.collect()
    return gc.mem_alloc()

import os, select, struct, time, socket, umqtt.simple, binascii  # what the firmware has anyway
before = used()
for name in ("fogcbor", "fog", "fogmqtt", "fogcoap"):
    module = __import__(name)
    print(name, used() - before, "bytes")
    before = used()

from fogcbor import dumps, loads
task = {"type": "task", "id": "0123456789abcdef", "name": "report", "args": ["porch", 21.5], "kwargs": {},
        "keep": 2400000}
reply = dumps({"type": "result", "id": "0123456789abcdef", "body": dumps({"fan": True, "sleep": 600}),
               "hops": [{"node": "pi-1", "action": "ran", "why": "0 queued, 5 ms here", "ran": 0.25, "took": 1.0}]})
for name, act in (("encode", lambda: dumps(task)), ("decode", lambda: loads(reply))):
    act()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    kept = act()
    print(name, gc.mem_alloc() - before, "bytes")
    gc.enable()
"""


def measure(folder: Path) -> str:
    """Lines of what and how many bytes."""
    processes = Processes(folder)
    board = RealBoard(folder / "flash", processes)
    try:
        (board.flash / "measure.py").write_text(PROGRAM)
        program = board.power_on("measure.py")
        assert program.wait() == 0, program.output
        return program.output
    finally:
        board.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(measure(Path(folder)), end="")
