"""Runs a script as Pythonista would: ``python -I -S gate.py SCRIPT ARGUMENT...``.

There is the standard library, less what iOS has not: no processes, no fork, no handlers of signals. Nothing compiled
can be loaded but the standard library's own; every other package has to be in Python, and brought by the script.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

BROUGHT = {"fogsdk", "paho", "cbor2"}
"""What the bundle brings; ``__main__`` and the standard library are there."""
PROCESSES = {"multiprocessing", "_multiprocessing", "subprocess", "_posixsubprocess"}
FORKS = ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "popen", "execv", "execve")


class Gate(importlib.abc.MetaPathFinder):
    """Lets nothing in but what is on a phone, and what is brought."""

    def find_spec(self, name: str, *_: object) -> None:
        top = name.partition(".")[0]
        # Up to Python 3.11 the library's own module platform imports subprocess, which nobody here makes use of.
        barred = top in PROCESSES and importer() not in ("platform", "subprocess")
        if barred or (top not in BROUGHT and top not in sys.stdlib_module_names):
            raise ModuleNotFoundError(f"no module named {name!r} on this phone", name=name)


def importer() -> str:
    """The module that has the import statement."""
    frame = sys._getframe(2)
    while frame.f_globals["__name__"].startswith("importlib.") and frame.f_back:
        frame = frame.f_back
    return str(frame.f_globals["__name__"])


def audit(event: str, _: object) -> None:
    """Nothing can start a process."""
    if event in ("subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system"):
        raise OSError(f"{event}: not on a phone")


def refuse(*_: object, **__: object) -> Any:
    raise OSError("not on a phone")


def close_the_gate() -> None:
    """From here on this is a phone."""
    load = importlib.machinery.ExtensionFileLoader.create_module

    def create_module(loader: Any, spec: Any) -> Any:
        if spec.name.partition(".")[0] not in sys.stdlib_module_names:
            raise ImportError(f"{spec.name} is compiled: not on a phone", name=spec.name)
        return load(loader, spec)

    importlib.machinery.ExtensionFileLoader.create_module = create_module  # type: ignore[assignment, method-assign]
    for name in FORKS:
        setattr(os, name, refuse)
    for name in ("signal", "set_wakeup_fd", "siginterrupt", "sigwait"):
        setattr(signal, name, refuse)
    sys.meta_path.insert(0, Gate())
    sys.addaudithook(audit)


def check_nothing_foreign() -> None:
    """Fail if something else was loaded after all, or something that phones have no place for."""
    tops = {name.partition(".")[0] for name in sys.modules}
    foreign = tops - sys.stdlib_module_names - BROUGHT - {"__main__"}
    assert not foreign, f"loaded: {sorted(foreign)}"
    assert "asyncio" not in sys.modules
    for name in ("fogsdk", "paho", "cbor2"):
        module = sys.modules.get(name)
        assert module is None or Path(str(module.__file__)).suffix == ".py", module


if __name__ == "__main__":
    del sys.argv[0]
    close_the_gate()
    if sys.argv[0] == "-":  # as pasted into a console, which is no file
        exec(compile(sys.stdin.read(), "<pasted>", "exec"), {"__name__": "__main__"})  # noqa: S102
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
    check_nothing_foreign()
