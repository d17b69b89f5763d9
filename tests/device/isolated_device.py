"""Run by test_isolation.py in an interpreter that has the standard library alone: a device in a bare place.

Arguments: the URL of a broker, and the folders of fogsdk and of its two dependencies.
"""

from __future__ import annotations

import importlib.abc
import json
import sys
import tempfile
from typing import Any

OWN = {"fogsdk", "paho", "cbor2", "_cbor2"}
PROCESSES = {"multiprocessing", "subprocess"}


class Gate(importlib.abc.MetaPathFinder):
    """Lets nothing in but what a device needs."""

    def find_spec(self, name: str, *_: object) -> None:
        top = name.partition(".")[0]
        # Up to Python 3.11 the library's own module platform imports subprocess, which paho never makes use of.
        barred = top in PROCESSES and importer() != "platform"
        if barred or (top not in OWN and top not in sys.stdlib_module_names):
            raise ModuleNotFoundError(f"no module named {name!r} on this device", name=name)


def importer() -> str:
    """The module that has the import statement."""
    frame = sys._getframe(2)
    while frame.f_globals["__name__"].startswith("importlib.") and frame.f_back:
        frame = frame.f_back
    return str(frame.f_globals["__name__"])


def no_processes(event: str, _: object) -> None:
    """An audit hook: here nothing can start a process."""
    if event in ("subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system"):
        raise OSError(f"{event}: not on this device")


url, *folders = sys.argv[1:]
sys.path += folders
sys.meta_path.insert(0, Gate())
sys.addaudithook(no_processes)

import fogsdk  # noqa: E402  the gate comes first

with fogsdk.connect(url, timeout=5) as fog:
    answer: dict[str, Any] = {
        "value": fog.run("give_back", "grüß", 2**70, [1.5, None], data=b"\0\xff", deadline=10)[0],
        "mapped": list(fog.map("increment", range(20))),
    }
    try:
        fog.run("fail", "on purpose")
    except fogsdk.TaskFailed as error:
        answer["error"] = [error.type, error.message]

assert "sqlite3" not in sys.modules, "it is for those who want a ledger"
with tempfile.TemporaryDirectory() as folder:
    ledger = f"{folder}/tasks.db"
    with fogsdk.connect("mqtt://127.0.0.1:9", ledger=ledger) as fog:
        fog.submit("increment", 1)
    with fogsdk.connect(url, ledger=ledger) as fog:
        answer["recovered"] = [future.result(10) for future in fog.recovered]

tops = {name.partition(".")[0] for name in sys.modules}
answer["foreign"] = sorted(tops - sys.stdlib_module_names - OWN - {"__main__"})
answer["python"] = sys.version_info[:2]
print(json.dumps(answer))
