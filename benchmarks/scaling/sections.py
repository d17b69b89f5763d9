"""What docs/scale.md shows: the sections, their sizes and columns, and the goals that are held against them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Found = dict[str, float]


@dataclass(frozen=True)
class Column:
    """One figure of a table. One with a ``goal`` may change by no more than that factor from the smallest size on."""

    key: str
    title: str
    goal: float | None = None


@dataclass(frozen=True)
class Section:
    """``measure`` takes one of the ``sizes``; it is in the module of that name. ``rounds``: how often, at the most."""

    title: str
    about: str
    unit: str
    module: str
    measure: str
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    columns: tuple[Column, ...]
    rounds: int = 5

    def find(self) -> Callable[[int], Found]:
        """What measures a size."""
        from importlib import import_module

        function: Callable[[int], Found] = getattr(import_module(f"benchmarks.scaling.{self.module}"), self.measure)
        return function


WITHIN = 1.2
SPEED_UP = 2.7

_TASKS = (
    Column("p50_ms", "one at a time: p50, ms"),
    Column("alone_cpu_ms", "CPU, ms a task", WITHIN),
    Column("alone_node_ms", "of it nodes"),
    Column("per_second", "many at once: per s"),
    Column("many_cpu_ms", "CPU, ms a task", WITHIN),
    Column("many_node_ms", "of it nodes"),
    Column("idle_share", "idle, all: % of a core"),
    Column("node_mb", "a node: RSS, MB"),
)

SECTIONS = {
    "nodes": Section(
        "From 1 to 16 nodes",
        "One device and so many node processes, whose executor answers at once: what is left is the way. Many at once "
        "are 32 tasks for each node, all of them from the one device.",
        "nodes",
        "real",
        "nodes",
        (1, 2, 4, 8, 16),
        (1, 4),
        _TASKS,
    ),
    "devices": Section(
        "From 1 to 1,000 devices",
        "One such node, and so many connections of the SDK, 250 in a process. One at a time: the devices take turns. "
        "Many at once: each has one task out, but 64 of them at the most.",
        "devices",
        "real",
        "devices",
        (1, 10, 100, 1000),
        (1, 100),
        (*_TASKS, Column("device_mb", "a device: RSS, MB")),
    ),
    "bodies": Section(
        "From 1 to 64 MiB",
        "One device, one `fognode` and a worker: a body there and back. Memory is the peak during the echo beyond what "
        "was held before it, in multiples of the body.",
        "MiB",
        "real",
        "bodies",
        (1, 4, 16, 64),
        (1, 16),
        (
            Column("mb_per_second", "MB/s"),
            Column("cpu_ms_per_mb", "CPU, ms a MB"),
            Column("device_bodies", "memory: device"),
            Column("broker_bodies", "broker"),
            Column("node_bodies", "node"),
            Column("workers_bodies", "workers"),
        ),
    ),
    "shared": Section(
        "A task shared on three nodes",
        "A middleweight task of 1 s with `split` and `merge`, on `fognode`s with one worker each. It waits and does "
        "not compute, since three nodes could not compute at once on two cores.",
        "nodes",
        "real",
        "shared",
        (1, 2, 3),
        (1, 3),
        (Column("seconds", "seconds"), Column("speed_up", "speed-up")),
    ),
    "simulated": Section(
        "From 10 to 10,000 nodes, simulated",
        "The cores of real nodes and devices in virtual time: 100 devices that hand in 2 light tasks a second each. Of "
        "more than 100 nodes the others are followers, without a core: they announce themselves, beat and answer. A "
        "core knows at most 4,096 nodes. A decision is the time on this computer until the core has placed a task that "
        "comes in, in the quickest of five passes; memory is that of the core alone.",
        "nodes",
        "simulated",
        "site",
        (10, 100, 1000, 10_000),
        (10, 100),
        (
            Column("per_second", "tasks per s"),
            Column("p50_ms", "p50, ms"),
            Column("decision_node_us", "decision of a node, µs", WITHIN),
            Column("decision_device_us", "of a device, µs", WITHIN),
            Column("messages_at_rest", "a node at rest: messages per s"),
            Column("node_kb", "a node, KB"),
            Column("device_kb", "a device, KB"),
        ),
        rounds=1,
    ),
}
