"""The figures, part by part: each part measures some, per task, on a site of its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.counts import cores
from benchmarks.counts.site import Site
from benchmarks.counts.system import Peak, SystemCalls
from benchmarks.counts.traffic import Traffic

MANY = 256
BODY = 4 * 2**20
LARGE_SITE = 1000

Figures = dict[str, float]
"""By name: in words, what it is a number of."""
Order = tuple[str | int, ...]


@dataclass(frozen=True)
class Part:
    """``tolerances`` are by which factor a figure may exceed what was recorded, as its variation on busy and on idle
    machines tells: that of the first name with which it begins or ends. What depends on the version of Python is
    recorded for each."""

    measure: Callable[[], Figures]
    tolerances: dict[str, float]
    by_python: bool = False

    def bound(self, name: str, recorded: float) -> float:
        """How much a figure may be."""
        factors = (factor for key, factor in self.tolerances.items() if name.startswith(key) or name.endswith(key))
        return recorded * next(factors)


_AT_MANY, _SINGLY, _IDLE = f"{MANY} at once", f"{MANY} at once, no bundles", "idle for 1 s"


@contextmanager
def _site(*, calls: bool = False) -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder, Site(Path(folder), calls=calls) as site:
        site.do("one", 50)
        site.do("many", 3 * MANY, MANY)
        yield site


def _loads(one: int, many: int) -> list[tuple[str, int, Order]]:
    """The name of each load, its tasks, and what makes it."""
    return [
        ("1 at once", one, ("one", one)),
        (_AT_MANY, many, ("many", many, MANY)),
        (_SINGLY, many, ("many_singly", many, MANY)),
    ]


def _calls() -> Figures:
    figures: Figures = {}
    with _site(calls=True) as site:
        each_second = _idle(site)
        figures[f"function calls, node, {_IDLE}"] = each_second["node"]
        for load, tasks, order in _loads(400, 10 * MANY):
            called, seconds = _counted(site, lambda order=order: site.do(*order))  # type: ignore[misc]
            for process, calls in called.items():
                own = calls - each_second[process] * seconds  # a busy machine takes longer, and must not count more
                figures[f"function calls, {process}, {load}"] = own / tasks
    return figures


def _idle(site: Site) -> dict[str, float]:
    """The functions that each kind of process calls in a second in which nothing is to be done."""
    windows = []
    for _ in range(3):
        called, seconds = _counted(site, lambda: time.sleep(1.0))
        windows.append({process: calls / seconds for process, calls in called.items()})
    return {process: min(window[process] for window in windows) for process in windows[0]}


def _counted(site: Site, work: Callable[[], object]) -> tuple[dict[str, int], float]:
    """The functions that each kind of process calls meanwhile, and in how many seconds."""
    before, began = site.calls(), time.monotonic()
    work()
    after, ended = site.calls(), time.monotonic()
    return {process: calls - before[process] for process, calls in after.items()}, ended - began


def _traffic() -> Figures:
    figures: Figures = {}
    with _site() as site, Traffic(site.broker) as traffic:
        before = traffic.received()
        for load, tasks, order in _loads(500, 12 * MANY):
            site.do(*order)
            after = traffic.received()
            for what, new, old in zip(("packets", "bytes"), after, before, strict=True):
                figures[f"MQTT {what}, {load}"] = (new - old) / tasks
            before = after
    return figures


def _system_calls() -> Figures:
    figures: Figures = {}
    with _site() as site:
        for load, tasks, order in _loads(300, 24 * MANY):
            counting = {process: SystemCalls(pids) for process, pids in site.pids().items()}
            site.do(*order)
            for process, calls in counting.items():
                figures[f"system calls, {process}, {load}"] = calls.stop() / tasks
    return figures


def _copies() -> Figures:
    figures: Figures = {}
    with _site() as site:
        site.do("echo", BODY)
        for _ in range(3):
            peaks = {process: [Peak(pid) for pid in pids] for process, pids in site.pids().items()}
            site.do("echo", BODY)
            for process, of_each in peaks.items():
                name = f"bodies in memory, {process}, echo of 4 MiB"
                bodies = sum(peak.bytes() for peak in of_each) / BODY
                figures[name] = min(bodies, figures.get(name, bodies))  # what is given back late is in some of them
    return figures


def _lines() -> Figures:
    return {
        f"lines of the core, {what}, {nodes} other nodes": count(nodes, MANY)
        for what, count in (("device", cores.client_lines), ("node", cores.node_lines))
        for nodes in (1, LARGE_SITE)
    }


PARTS = {
    "lines": Part(_lines, {"lines": 1.02}, by_python=True),
    "calls": Part(
        _calls,
        {_IDLE: 1.15, _AT_MANY: 1.25, _SINGLY: 1.25, "function calls, device": 1.25, "function calls": 1.06},
        by_python=True,
    ),
    "traffic": Part(_traffic, {"MQTT packets, 256": 2.0, _AT_MANY: 1.35, _SINGLY: 1.35, "MQTT": 1.05}),
    "system": Part(_system_calls, {"system calls, workers": 1.25, _AT_MANY: 3.0, _SINGLY: 3.0, "system calls": 1.2}),
    "copies": Part(_copies, {"bodies": 1.3}),
}
