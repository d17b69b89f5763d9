"""Everything that is measured, in the order of the tables. Each has a file of its own here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ALL = ("increment", "echo", "burn")
QUICK = ("increment", "echo")
"""What those do that have no worker to compute in."""


@dataclass(frozen=True)
class Peer:
    """One contender: its module here, its name in the tables, what it needs. It has a ``broker`` started for it, or
    serves one of its ``own``, a mosquitto.

    ``packages`` are what pip installs, the first the one whose version is told. An ``is_echo`` only sends back what it
    is sent.
    """

    module: str
    title: str
    kind: Literal["floor", "fogsdk", "peer"]
    broker: Literal["mosquitto", "redis", "own", ""] = ""
    packages: tuple[str, ...] = ()
    works: tuple[str, ...] = ALL
    is_echo: bool = False


PEERS = (
    Peer("raw_mqtt", "raw-socket MQTT echo", "floor", "mosquitto", works=QUICK, is_echo=True),
    Peer("paho_echo", "paho-mqtt 3.1.1 echo", "floor", "mosquitto", ("paho-mqtt",), QUICK, is_echo=True),
    Peer("pipe", "one pipe to a worker", "floor"),
    Peer("composed", "composed floor", "floor", "mosquitto"),
    Peer("obvious", "the obvious way", "floor", "mosquitto", ("paho-mqtt",)),
    Peer("fog_bare", "fogsdk's device, a node without workers", "floor", "mosquitto", works=QUICK),
    Peer("fog_mqtt", "fogsdk over MQTT", "fogsdk", "own"),
    Peer("fog_elsewhere", "fogsdk over MQTT, broker elsewhere", "fogsdk", "mosquitto"),
    Peer("fog_coap", "fogsdk over CoAP (64 KiB: 4 at once)", "fogsdk", "", ("aiocoap",)),
    Peer("fog_http", "fogsdk over HTTP", "fogsdk", "", ("aiohttp",)),
    Peer("celery_redis", "Celery + Redis", "peer", "redis", ("celery[redis]",)),
    Peer("dask_local", "Dask distributed", "peer", "", ("distributed",)),
    Peer("ray_local", "Ray", "peer", "", ("ray",)),
    Peer("dramatiq_redis", "dramatiq + Redis", "peer", "redis", ("dramatiq[redis]",)),
    Peer("huey_redis", "huey + Redis, polled each 1 ms", "peer", "redis", ("huey", "redis")),
    Peer("huey_notify", "huey + Redis, notified", "peer", "redis", ("huey", "redis")),
    Peer("taskiq_redis", "taskiq + Redis", "peer", "redis", ("taskiq", "taskiq-redis")),
)
