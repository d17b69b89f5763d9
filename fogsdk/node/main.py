"""The ``fognode`` command."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

from fogsdk.errors import FogError
from fogsdk.node.config import NodeSettings, load
from fogsdk.node.daemon import Daemon, node_identity
from fogsdk.node.doors import doors
from fogsdk.node.journal import open_journal
from fogsdk.node.pool import Pool
from fogsdk.node.recorder import Recorder

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
    start_log(settings.log_level)
    return run(_serve(settings), "fognode")


async def _serve(settings: NodeSettings) -> None:
    pool = Pool(settings.tasks, settings.workers + EXPRESS, memory=settings.memory_limit)
    journal = open_journal(settings.journal, settings.site, settings.node) if settings.keep_journal else None
    identity = node_identity(settings, settings.workers, EXPRESS, AHEAD, keeps=journal is not None)
    recorder = Recorder(settings.record, identity) if settings.record else None
    daemon = Daemon(settings, identity, pool, journal=journal, recorder=recorder, doors=doors(settings))
    await daemon.serve()


def start_log(level: str) -> None:
    """Send the log to stderr, one line an entry."""
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
    open_many_files()
    try:
        asyncio.run(serving)
    except FogError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
