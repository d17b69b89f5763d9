"""The settings of ``fogcloud bridge`` and ``fogcloud core``, in the same form as those of ``fognode``."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from fogsdk.errors import ConfigError
from fogsdk.node.config import NodeSettings, SiteSettings, id_from
from fogsdk.node.config_kinds import BrokerUrl, Bytes, Count, Id, Seconds
from fogsdk.node.config_sources import setting

_CLOUD = "the core site"
_SPOOL = "the spool"


def _named(what: str) -> Id:
    """An id for a daemon that may share its computer with a fog node."""
    return id_from(f"{socket.gethostname()}-{what}")


@dataclass(frozen=True, kw_only=True)
class CoreSettings(NodeSettings):
    """Run a node of a core site: the same as fognode, with a Dask cluster where that has a process pool.

    examples:
      fogcloud core --tasks mytasks
          offer the tasks of mytasks.py on a Dask cluster of this computer's own
      fogcloud core --tasks mytasks --engine dask://10.0.0.5:8786 --workers 64
          on a cluster that is there; its workers must be able to import mytasks
      fogcloud core --tasks mytasks --engine pool
          without Dask
    """

    engine: str = setting("dask-local", 'where jobs run: "dask-local", "dask://host:8786" or "pool"', group=_CLOUD)
    node: Id = setting(lambda: _named("core"), "its id, unlike any other's", group="this node")
    site: Id = setting("core", "the core site it belongs to", group="this node")
    role: Id = setting("core", "its role in the site", group="this node")

    def __post_init__(self) -> None:
        """Refuse an engine that does not exist."""
        super().__post_init__()
        if self.engine not in ("dask-local", "pool") and not self.engine.startswith("dask://"):
            raise ConfigError(f'engine is "dask-local", "dask://host:port" or "pool", not {self.engine!r}')


@dataclass(frozen=True, kw_only=True)
class BridgeSettings(SiteSettings):
    """Run the bridge from a fog site to a core site: it takes the site's heavy tasks there, and keeps them until they
    are done.

    examples:
      fogcloud bridge --core mqtts://cloud.example.org --core-username home --core-password-file core.pw
          take heavy tasks to that core site, over one connection that this computer opens
      fogcloud bridge --core mqtt://127.0.0.1:2883 --brokers mqtt://127.0.0.1:1883
          both sites on this computer
    """

    node: Id = setting(lambda: _named("bridge"), "its id, unlike any other's", group="this node")
    core: tuple[BrokerUrl, ...] = setting((), "the core site's brokers", group=_CLOUD)
    core_site: Id = setting("core", "the core site's name", group=_CLOUD)
    core_username: str | None = setting(None, "login at the core site's brokers", group=_CLOUD)
    core_password_file: Path | None = setting(None, "file that holds its password", group=_CLOUD)
    core_ca: Path | None = setting(None, "certificate (PEM) that those brokers' are signed with", group=_CLOUD)
    core_cert: Path | None = setting(None, "certificate (PEM) of this bridge there", group=_CLOUD)
    core_key: Path | None = setting(None, "its private key (PEM)", group=_CLOUD)
    spool: Path = setting(Path("fogcloud-spool.db"), "file that keeps what is not done", group=_SPOOL)
    spool_limit: Count = setting(10_000, "tasks it keeps; beyond it they are refused", group=_SPOOL)
    spool_bytes: Bytes = setting(1024**3, "bytes it keeps", group=_SPOOL)
    keep: Seconds = setting(3600.0, "time for which a result stays in the spool", group=_SPOOL)

    def __post_init__(self) -> None:
        """Refuse a bridge to nowhere."""
        super().__post_init__()
        if not self.core:
            raise ConfigError(
                "core is not set: name the core site's broker, for example --core mqtts://cloud.example.org"
            )
        if self.core_username is not None and id_from(self.core_username) != self.core_username:
            raise ConfigError(f"core_username {self.core_username!r} is its id there, too: 1 to 64 of a-z, 0-9 and '-'")
        if bool(self.core_cert) != bool(self.core_key):
            raise ConfigError("core_cert and core_key belong together; set both or neither")
