"""The settings of ``fognode``: one table, from which its file, environment, flags and help all follow."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fogsdk.errors import ConfigError
from fogsdk.node.config_kinds import BrokerUrl, Bytes, Count, Id, Origin, Port, Seconds
from fogsdk.node.config_sources import load, setting
from fogsdk.node.processors import processors, several
from fogsdk.wire.limits import ID_LENGTH, INLINE_SIZE

__all__ = ["NodeSettings", "SiteSettings", "id_from", "load"]


def id_from(hostname: str) -> str:
    """Turn a host's name into an id."""
    name = re.sub(r"[^a-z0-9]+", "-", hostname.partition(".")[0].lower())
    return name.strip("-")[:ID_LENGTH] or "node"


def _own_name() -> str:
    return id_from(socket.gethostname())


_WORK = "tasks and workers"
_NODE = "this node"
_BROKER = "broker"
_LOGIN = "login and encryption"
_DOORS = "ways in without a broker"
_FINDING = "finding each other"
_RUNNING = "running"
_KEEPING = "keeping for others"
_TRYING = "trying it out"


@dataclass(frozen=True, kw_only=True)
class SiteSettings:
    """What every daemon of a site is told: who it is, and how it finds and reaches the others."""

    node: Id = setting(_own_name, "its id, unlike any other's; this computer's name by default", group=_NODE)
    site: Id = setting("home", "the site it belongs to", group=_NODE)
    host: str = setting("127.0.0.1", "the address it listens on", group=_NODE)
    insecure_lan: bool = setting(
        False,
        "listen beyond this computer without encryption: whoever is in the network can use it",
        group=_NODE,
    )
    advertise: tuple[str, ...] = setting(
        (), "addresses that others reach it at; those of this computer by default", group=_NODE
    )

    brokers: tuple[BrokerUrl, ...] = setting(
        (), "the site's brokers; with mdns, those that are found are used too", group=_BROKER
    )
    broker: Literal["auto", "mosquitto", "amqtt", "none"] = setting(
        "auto", "serve a broker; auto: where none is given or found within seconds", group=_BROKER
    )
    broker_config: Path | None = setting(
        None, "mosquitto configuration of the broker it serves: listener, logins, TLS", group=_BROKER
    )
    broker_port: Port = setting(1883, "the port of the broker it serves", group=_BROKER)

    username: str | None = setting(None, "login at the brokers", group=_LOGIN)
    password: str | None = setting(
        None, "its password; other users can see flags, so better password_file", group=_LOGIN, secret=True
    )
    password_file: Path | None = setting(None, "file that holds the password", group=_LOGIN)
    ca: Path | None = setting(None, "certificate (PEM) that the brokers' are signed with", group=_LOGIN)
    cert: Path | None = setting(None, "certificate (PEM) of this node", group=_LOGIN)
    key: Path | None = setting(None, "private key (PEM) of this node", group=_LOGIN)

    mdns: bool = setting(True, "find brokers, and be found, by mDNS", group=_FINDING)
    mdns_interfaces: tuple[str, ...] = setting(
        (), "addresses of the interfaces to use mDNS on; all by default", group=_FINDING
    )

    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "what is logged", group=_RUNNING)
    drain_timeout: Seconds = setting(
        10.0, "time that running tasks get to finish when the node is asked to end", group=_RUNNING
    )

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        for wrong, problem in (
            (self.password and self.password_file, "password and password_file are both set; keep one"),
            (
                (self.password or self.password_file) and not self.username,
                "a password is set without a username; set username",
            ),
            (bool(self.cert) != bool(self.key), "cert and key belong together; set both or neither"),
            (
                self.broker == "none" and not self.brokers and not self.mdns and not self.has_doors,
                'no broker can be reached: set brokers, mdns = true, or broker = "auto"; a node with http_port or '
                "coap_port needs none",
            ),
            (
                not self.loopback and not self.insecure_lan and not self.broker_config and self.broker != "none",
                f"host = {self.host} can be reached from the network, and the broker would ask nobody for a "
                "password; set broker_config to a mosquitto configuration with logins (broker/site.conf is "
                "one), or insecure_lan = true if everybody in that network may use this node",
            ),
        ):
            if wrong:
                raise ConfigError(problem)

    @property
    def has_doors(self) -> bool:
        """Whether anybody can come in who uses no broker."""
        return False

    @property
    def loopback(self) -> bool:
        """Whether it can only be reached from this computer."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def read_password(self) -> str | None:
        """Return the password, from its file if it has one; raises ConfigError if that cannot be read."""
        if self.password_file is None:
            return self.password
        try:
            return self.password_file.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, ValueError) as error:
            raise ConfigError(f"password_file {self.password_file} cannot be read: {error}") from error


@dataclass(frozen=True, kw_only=True)
class NodeSettings(SiteSettings):
    """Run a fog node: it takes tasks from devices, runs them, and shares them with the nodes around it.

    examples:
      fognode --tasks mytasks
          offer the @task functions of mytasks.py to this computer; find a broker or serve one
      fognode --tasks mytasks --host 0.0.0.0 --insecure-lan
          the same, to everybody in this network
      fognode --tasks mytasks --brokers mqtt://pi-1,mqtt://pi-2
          join the site whose brokers run on pi-1 and pi-2
      fognode --tasks mytasks --memory-limit 512M --task-timeout 30s --print-config
          show what these settings come to, as a file to start from
    """

    tasks: tuple[str, ...] = setting((), "modules that define the tasks this node offers", group=_WORK)
    workers: Count = setting(processors, "tasks run at once; one for each processor by default", group=_WORK)
    memory_limit: Bytes | None = setting(
        None, "memory one worker may take; past it, its task fails and it is replaced", group=_WORK
    )
    task_timeout: Seconds = setting(300.0, "time a task may run that declares no timeout of its own", group=_WORK)
    queue_limit: Count = setting(1000, "tasks that may wait; beyond it they are refused", group=_WORK)
    room: Bytes = setting(
        512 * 1024**2,
        "bytes of arguments it holds, or that are on their way to it; beyond it, tasks are refused",
        group=_WORK,
    )
    inline_limit: Bytes = setting(
        INLINE_SIZE, "bytes of arguments or a result beyond which they travel in chunks", group=_WORK
    )
    busy_poll: bool = setting(
        several,
        "do not sleep while a quick task runs alone, for 0.25 ms at the most: its result leaves sooner; on by default "
        "where there are several processors",
        group=_WORK,
    )
    policy: Literal["predictive", "threshold", "queue-wait"] = setting(
        "predictive", "how the place where a task runs is chosen", group=_WORK
    )
    http_port: Port | None = setting(
        None, "serve HTTP, and a page for people, on this port (8080 is usual)", group=_DOORS
    )
    http_tokens: Path | None = setting(
        None, "file of who may use HTTP, a line for each: <sender> <token>; without it, everybody may", group=_DOORS
    )
    http_cert: Path | None = setting(None, "certificate (PEM) to serve HTTP over TLS with", group=_DOORS)
    http_key: Path | None = setting(None, "its private key (PEM)", group=_DOORS)
    http_cors: tuple[Origin, ...] = setting((), "sites whose pages may use this node from a browser", group=_DOORS)
    coap_port: Port | None = setting(None, "serve CoAP on this port (5683 is usual)", group=_DOORS)
    coap_keys: Path | None = setting(
        None,
        "file of the devices that may use CoAP, a line for each: <device> <key>; plain requests are refused then",
        group=_DOORS,
    )
    role: Id = setting("fog", "its role in the site", group=_NODE)
    journal: Path | None = setting(
        None, "file that keeps posted tasks and sessions; by default among this user's state", group=_KEEPING
    )
    keep_journal: bool = setting(True, "keep posted tasks and sessions for the site", group=_KEEPING)
    record: Path | None = setting(None, "write down all that happens, for `fog sim --replay`", group=_TRYING)
    allow_chaos: bool = setting(False, "let `fog chaos` disturb this node on purpose", group=_TRYING)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        super().__post_init__()
        for wrong, problem in (
            (bool(self.http_cert) != bool(self.http_key), "http_cert and http_key belong together; set both, or none"),
            (
                self.http_port and not (self.loopback or self.insecure_lan or self.http_tokens),
                f"host = {self.host} can be reached from the network, and HTTP would ask nobody for a token; set "
                "http_tokens to a file with lines of a sender and its token, or insecure_lan = true if everybody in "
                "that network may use this node",
            ),
            (
                self.coap_port and not (self.loopback or self.insecure_lan or self.coap_keys),
                f"host = {self.host} can be reached from the network, and CoAP would ask nobody for a key; set "
                "coap_keys to a file with lines of a device and its key, or insecure_lan = true if everybody in "
                "that network may use this node",
            ),
        ):
            if wrong:
                raise ConfigError(problem)

    @property
    def has_doors(self) -> bool:
        return bool(self.http_port or self.coap_port)
