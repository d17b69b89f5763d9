"""The tasks that the tests of the worker pool, and of every other executor, run."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
from typing import Any, NoReturn

from fogsdk.errors import TaskRefused
from fogsdk.tasks import progress, task


@task
def increment(number: int) -> int:
    """Return the next number."""
    return number + 1


@task
def count_up(by: int, state: int | None) -> tuple[int, str]:
    """A step of a session: the state counts."""
    new = (state or 0) + by
    return new, f"it is {new}"


@task
def give_back(data: bytes) -> bytes:
    return data


@task
def mark(path: str, size: int = 0, tells: bool = False) -> bytes:
    """Leave a mark in a file, and return so many bytes."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"x")
    os.close(file)
    if tells:
        progress(0.5)
    return bytes(size)


@task
def raise_error(message: str) -> NoReturn:
    raise LookupError(message)


@task
def raise_cancelled() -> NoReturn:
    raise asyncio.CancelledError


@task
def raise_surrogate() -> NoReturn:
    """The message is what Python makes of a file name that is not UTF-8."""
    raise LookupError(os.fsdecode(b"caf\xe9"))


@task
def make_unsendable() -> object:
    return object()


@task
def refuse(reason: Any, message: Any, retry_after: Any = None) -> NoReturn:
    raise TaskRefused(reason, message, retry_after)


@task
def report(fractions: list[float]) -> str:
    for fraction in fractions:
        progress(fraction)
    return "reported"


@task
def hang() -> None:
    """Say that it has begun (progress 0.5), and run until killed."""
    progress(0.5)
    threading.Event().wait()


@task
def pause(seconds: float) -> str:
    threading.Event().wait(seconds)
    return "paused"


@task
def die_by(how: str) -> None:
    if how == "exit":
        sys.exit(4)
    if how == "exit with text":
        sys.exit("no more")
    if how == "_exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.Signals[how])


def _split_numbers(shares: list[float], numbers: list[int]) -> list[tuple[list[int]]]:
    bounds = [round(len(numbers) * sum(shares[:index])) for index in range(len(shares) + 1)]
    return [(numbers[a:b],) for a, b in itertools.pairwise(bounds)]


@task(split=_split_numbers, merge=sum)
def sum_up(numbers: list[int]) -> int:
    return sum(numbers)


def _split_too_far(shares: list[float], number: int) -> list[tuple[int]]:
    return [(number,)] * 500_000


@task(split=_split_too_far, merge=sum)
def add_too_many(number: int) -> int:
    return number


def _split_bytes(shares: list[float], data: bytes) -> list[tuple[bytes]]:
    middle = round(len(data) * shares[0])
    return [(data[:middle],), (data[middle:],)]


@task(split=_split_bytes, merge=sum)
def count_bytes(data: bytes) -> int:
    return len(data)


@task
def worker_pid() -> int:
    return os.getpid()


@task
def hoard(mebibytes: int) -> int:
    """Take this much memory, a piece at a time."""
    held = [os.urandom(1024) * 1024 for _ in range(mebibytes)]
    return len(held)


@task
def ask_for_too_much() -> int:
    return len(bytearray(2**62))


@task
def write_everywhere() -> None:
    """Write to standard output and standard error in every way that a task may."""
    print("printed")
    print("printed to stderr", file=sys.stderr)
    os.write(1, b"written to descriptor 1\n")
    subprocess.run(["echo", "echoed by a program"], check=True)


@task
def read_input() -> str:
    return sys.stdin.read()


@task
def fork_and_return() -> str:
    """Return twice, as careless use of fork does."""
    pid = os.fork()
    if pid == 0:
        progress(0.9)
        return "child"
    os.waitpid(pid, 0)
    return "parent"


@task
def use_processes() -> int:
    """Start a process, end it, and take the result of another."""
    context = multiprocessing.get_context("fork")
    endless = context.Process(target=threading.Event().wait)
    endless.start()
    endless.terminate()
    endless.join()
    with context.Pool(1) as pool:
        return int(pool.apply(pow, (3, 2)))


@task
def leave_thread() -> None:
    """Leave a thread behind that no interpreter would end without."""
    threading.Thread(target=threading.Event().wait).start()


@task
def leave_program() -> int:
    """Leave a program running; return its process id."""
    return subprocess.Popen(["sleep", "1000"]).pid


@task
def rest(seconds: float) -> None:
    threading.Event().wait(seconds)


@task
def hang_with_program() -> None:
    """Start a program, report 0.5, and run until killed."""
    subprocess.Popen(["sleep", "1000"])
    hang()


@task
def draw() -> list[float]:
    """One random number of the standard library, one of numpy."""
    import numpy

    return [random.random(), float(numpy.random.random())]


@task
def behave(key: str, how: str, amount: float = 0.0) -> list[Any]:
    """Return the key, after behaving as one may."""
    if how == "pause":
        threading.Event().wait(amount)
    elif how == "tell":
        progress(0.5)
    elif how == "fail":
        raise LookupError(key)
    elif how == "die":
        os._exit(3)
    return [key, bytes(int(amount)) if how == "give" else b""]
