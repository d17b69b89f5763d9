"""The ``fogcloud`` command: the bridge from a fog site to a core site, and the core site's own nodes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from fogsdk import tasks
from fogsdk.cloud.settings import BridgeSettings, CoreSettings
from fogsdk.core.identity import Identity
from fogsdk.device.url import Credentials, parse
from fogsdk.errors import ConfigError, FogError, not_installed
from fogsdk.node.config import load
from fogsdk.node.daemon import Daemon
from fogsdk.node.executor import Executor
from fogsdk.node.main import AHEAD, EXPRESS, open_many_files, run, serve, start_log, worker_pool

USAGE = """\
usage: fogcloud bridge|core [options]

  fogcloud bridge   at the fog site: takes its heavy tasks to a core site, and keeps them on disk until they are done
  fogcloud core     at the core site: a node that runs tasks on a Dask cluster

`fogcloud bridge --help` and `fogcloud core --help` tell the options of each.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a bridge or a core site's node; exit codes as for ``fognode``."""
    command, *rest = list(sys.argv[1:] if argv is None else argv) or [""]
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    try:
        if command == "bridge":
            bridge = load(BridgeSettings, rest, os.environ, "fogcloud bridge")
            start_log(bridge.log_level)
            open_many_files()
            return run(_serve_bridge(bridge), "fogcloud bridge")
        if command == "core":
            core = load(CoreSettings, rest, os.environ, "fogcloud core")
            start_log(core.log_level)
            open_many_files()
            return run(_serve_core(core), "fogcloud core")
    except FogError as error:
        print(f"fogcloud {command}: {error}", file=sys.stderr)
        return 2
    print(USAGE if not command else f"fogcloud: no command {command!r}\n{USAGE}", end="", file=sys.stderr)
    return 2


async def _serve_core(settings: CoreSettings) -> None:
    if settings.engine == "pool":
        await serve(settings, worker_pool(settings), settings.workers, EXPRESS, AHEAD)
    else:
        engine = _dask(settings)
        await serve(settings, engine, engine.slots)


def _dask(settings: CoreSettings) -> Executor:
    try:
        from fogsdk.cloud.dask_engine import DaskEngine  # loads Dask, which a bridge has no use for
    except ImportError as error:
        raise not_installed(f"the engine {settings.engine}", "cloud", error) from error
    offered = [spec.info for spec in tasks.load(settings.tasks).values()]
    return DaskEngine(settings.engine, settings.tasks, settings.workers, offered)


async def _serve_bridge(settings: BridgeSettings) -> None:
    from fogsdk.cloud.spool import Spool
    from fogsdk.cloud.uplink import Uplink

    spool = Spool(settings.spool, most=settings.spool_limit, most_bytes=settings.spool_bytes, keep=settings.keep)
    brokers = [parse(url) for url in settings.core]
    uplink = Uplink(spool, settings.core_site, settings.core_username or settings.node, brokers, _core_login(settings))
    identity = Identity(
        settings.node,
        settings.site,
        role="cloud",
        incarnation=time.time_ns() // 1_000_000,
        workers=uplink.slots,
        addresses=tuple(settings.advertise),
        queue_limit=settings.spool_limit,
    )

    await Daemon(settings, identity, uplink).serve()


def _core_login(settings: BridgeSettings) -> Credentials:
    password = None
    if settings.core_password_file is not None:
        try:
            password = settings.core_password_file.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, ValueError) as error:
            raise ConfigError(f"core_password_file {settings.core_password_file} cannot be read: {error}") from error
    files = [None if path is None else str(path) for path in (settings.core_ca, settings.core_cert, settings.core_key)]
    return Credentials(settings.core_username, password, *files)


if __name__ == "__main__":
    sys.exit(main())
