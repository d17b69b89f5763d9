"""Start a program that dies with its parent, also when the parent is killed with ``kill -9``.

    python -I -S broker_follow.py <parent's pid> <program> <arguments...>

The program takes the place of this process, pid included. On Linux the kernel kills it when its parent
dies. Elsewhere a small process stays behind and waits for the end of standard input, a pipe that the parent
holds open.

This file is run by its path, so it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(arguments: list[str]) -> None:
    """Become the program ``arguments[1:]``, tied to the life of the process ``arguments[0]``."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        import ctypes  # before the user is another, who may not be able to read it; the daemon has no use for it

        _become(users(program[0]))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        leave_watcher()
    if os.getppid() == parent:  # else it died before it could be followed
        os.execv(program[0], program)  # noqa: S606 - the point of this file


def users(program: str) -> tuple[str, ...]:
    """As whom a program is to run: the first of these that exists. None of them: as whoever this is."""
    return ("mosquitto", "nobody") if os.geteuid() == 0 and Path(program).name == "mosquitto" else ()


def _become(users: tuple[str, ...]) -> None:
    """Take the first of ``users`` that exists.

    mosquitto does so itself when root starts it; but a change of user cancels the death signal, so it comes
    first.
    """
    if not users:
        return
    import pwd

    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next(known[user] for user in users if user in known)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def leave_watcher() -> None:
    """Fork a process that kills this one, whatever program it is by then, at the end of standard input."""
    watched = os.getpid()
    if os.fork():
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):  # who reads the program's output must see it end when the program ends
        os.dup2(nothing, output)
    while os.read(0, 1024):
        pass
    if os.getppid() == watched:  # else it is dead, and its number may be another's by now
        os.kill(watched, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
