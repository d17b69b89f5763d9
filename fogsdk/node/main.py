"""The ``fognode`` command.

It imports what reads the settings and no more, then starts the fork server, and while that imports the tasks it
imports what a daemon is made of.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from fogsdk.errors import FogError, not_installed
from fogsdk.node import ending
from fogsdk.node.config import NodeSettings, load
from fogsdk.node.worker_launch import Launched, launch

if TYPE_CHECKING:
    from fogsdk.core.identity import Identity
    from fogsdk.node.executor import Executor
    from fogsdk.node.journal import Journal
    from fogsdk.node.pool import Pool
    from fogsdk.node.recorder import Recorder

LIBRARIES = ("amqtt", "psutil", "zeroconf")
"""What a daemon needs beside what every device has."""
EXPRESS = 1
"""Workers beside those of the settings that run quick tasks alone."""
AHEAD = 2.0
"""Milliseconds that the quick tasks which wait at one worker may take together."""

FILES = 65_536
"""Open files that a daemon has use for at the most."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a fog node; returns the exit code: 0 after a signal, 1 when it could not run, 2 for wrong settings."""
    try:
        settings = load(NodeSettings, sys.argv[1:] if argv is None else argv, os.environ, "fognode")
    except FogError as error:
        print(f"fognode: {error}", file=sys.stderr)
        return 2
    for number in ending.signals():
        signal.signal(number, _leave)  # until the daemon is there to do it better
    open_many_files()  # here, so that the workers may as well
    launched = launch(settings.tasks) if hasattr(os, "fork") else None  # where there is none, the pool says so
    try:
        gc.disable()  # what is imported stays: there is no garbage to be found in it
        start_log(settings.log_level)
        return run(_serve(settings, launched), "fognode")
    finally:
        if launched is not None:
            launched.end()


def _leave(*_: object) -> NoReturn:
    sys.exit(0)


async def _serve(settings: NodeSettings, launched: Launched | None) -> None:
    if not settings.tasks:
        import logging

        logging.getLogger(__name__).warning("no task modules were named, as with --tasks mytasks: this node runs none")
    pool = worker_pool(settings, launched)
    await serve(settings, pool, settings.workers, EXPRESS, AHEAD)


def worker_pool(settings: NodeSettings, launched: Launched | None = None) -> Pool:
    """The worker processes of a node; ``launched`` is their fork server, if that was started already."""
    from fogsdk.node.pool import Pool

    workers = settings.workers + EXPRESS
    return Pool(settings.tasks, workers, memory=settings.memory_limit, launched=launched, busy_poll=settings.busy_poll)


async def serve(settings: NodeSettings, executor: Executor, workers: int, express: int = 0, ahead: float = 0.0) -> None:
    """Be a node with this executor until a signal says to end; the numbers as in :func:`node_identity`."""
    from fogsdk.node.daemon import Daemon, node_identity
    from fogsdk.node.doors import doors

    gc.enable()
    journal = _journal(settings)
    identity = node_identity(settings, workers, express, ahead, keeps=journal is not None)
    recorder = _recorder(settings, identity)
    await Daemon(settings, identity, executor, journal=journal, recorder=recorder, doors=doors(settings)).serve()


def _journal(settings: NodeSettings) -> Journal | None:
    if not settings.keep_journal:
        return None
    from fogsdk.node.journal import open_journal

    return open_journal(settings.journal, settings.site, settings.node)


def _recorder(settings: NodeSettings, identity: Identity) -> Recorder | None:
    if settings.record is None:
        return None
    from fogsdk.node.recorder import Recorder

    return Recorder(settings.record, identity)


def start_log(level: str) -> None:
    """Send the log to stderr, one line an entry."""
    import logging

    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for chatty in ("zeroconf", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def open_many_files() -> None:
    """Raise this process's limit of open files, 1024 on most systems: connections need some, and large bodies."""
    try:
        import resource
    except ImportError:  # Windows has none; the pool says that it is not for Windows
        return
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(most, FILES)
    if 0 <= now < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has limits beside that
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def run(serving: Coroutine[Any, Any, None], prog: str) -> int:
    """Run a daemon to its end; returns the exit code."""
    import asyncio

    try:
        asyncio.run(serving)
    except FogError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in LIBRARIES:
            raise
        print(f"{prog}: {not_installed('a node', 'node', error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
