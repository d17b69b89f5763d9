"""Measurements on real processes. Each takes a size and returns what was found there, by name."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.counts.system import Peak
from benchmarks.scaling.site import REAL, Site, open_site

FOR_EACH_NODE = 32
"""Tasks that are out at once for each node: so the work for one node is the same on a site of any size."""
AT_ONCE = 64
"""Tasks that are out at once where there are many devices."""
ALONE, MANY = 400, 4096
IDLE = 2.0
WAIT = 1.0

Found = dict[str, float]


def nodes(count: int) -> Found:
    """One device, and so many nodes."""
    with open_site(nodes=count) as site:
        found = _tasks(site, FOR_EACH_NODE * count)
        return found | {"node_mb": site.memory()["node"] / count / 1e6}


def devices(count: int) -> Found:
    """One node, and so many devices, each with one task out at the most."""
    with open_site(devices=count) as site:
        found, memory = _tasks(site, min(count, AT_ONCE)), site.memory()
        return found | {"node_mb": memory["node"] / 1e6, "device_mb": memory["device"] / count / 1e6}


def _tasks(site: Site, outstanding: int) -> Found:
    """What a task costs, one at a time and so many at once; CPU time without what everybody uses while nothing is done.
    The shares are those of devices, broker and nodes."""
    parts = site.processes
    each, tasks = max(1, outstanding // parts), max(MANY, 4 * outstanding)
    site.all_do("many", max(2 * each, 1000 // parts), each)  # warm up
    idle = _cpu_rates(site)
    before, began = site.cpu(), time.perf_counter()
    alone = median(said["p50"] for said in site.in_turn("alone", ALONE // parts))
    alone_cpu = _beyond(site, before, began, idle)
    before, began = site.cpu(), time.perf_counter()
    seconds = max(said["seconds"] for said in site.all_do("many", tasks // parts, each))
    many_cpu = _beyond(site, before, began, idle)
    return {
        "p50_ms": alone * 1000,
        "alone_cpu_ms": alone_cpu["all"] / ALONE * 1000,
        "alone_node_ms": alone_cpu["node"] / ALONE * 1000,
        "per_second": tasks / seconds,
        "many_cpu_ms": many_cpu["all"] / tasks * 1000,
        "many_node_ms": many_cpu["node"] / tasks * 1000,
        "idle_share": sum(idle.values()) * 100,
    }


def _cpu_rates(site: Site) -> Found:
    before, began = site.cpu(), time.perf_counter()
    time.sleep(IDLE)
    after, taken = site.cpu(), time.perf_counter() - began
    return {kind: (after[kind] - before[kind]) / taken for kind in after}


def _beyond(site: Site, before: Found, began: float, idle: Found) -> Found:
    after, taken = site.cpu(), time.perf_counter() - began
    used = {kind: after[kind] - before[kind] - idle[kind] * taken for kind in after}
    return used | {"all": sum(used.values())}


def bodies(mib: int) -> Found:
    """One device, one node with a worker, and a body of so many MiB there and back. Empty where it is refused."""
    size = mib * 2**20
    with open_site(kind=REAL) as site:
        if "refused" in site.all_do("echo", size)[0]:
            return {}
        peaks = {kind: [Peak(pid) for pid in pids] for kind, pids in site.pids().items()}
        before = site.cpu()
        [said] = site.all_do("echo", size)
        cpu = sum(site.cpu().values()) - sum(before.values())
        found = {"mb_per_second": size / 1e6 / said["seconds"], "cpu_ms_per_mb": cpu * 1e9 / size}
        for kind, of_each in peaks.items():
            found[f"{kind}_bodies"] = sum(peak.bytes() for peak in of_each) / size
        return found


def shared(count: int) -> Found:
    """A task of a second that waits and does not compute, on so many nodes with one worker each."""
    with open_site(nodes=count, kind=REAL, workers=1) as site:
        for _ in range(4):  # nodes learn how long it takes
            site.all_do("wait", WAIT)
        taken = [site.all_do("wait", WAIT)[0]["seconds"] for _ in range(3)]
        return {"seconds": median(taken), "speed_up": WAIT / median(taken)}
