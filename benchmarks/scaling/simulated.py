"""Sites of 10 to 10,000 nodes in virtual time, with the cores that real nodes and devices run."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from statistics import median
from time import perf_counter_ns, sleep

from benchmarks.scaling.crowd import gather
from fogsdk.core.client import Client
from fogsdk.core.commands import Start
from fogsdk.core.events import Asked, JobDone, Submit, Withdraw
from fogsdk.core.node import Node
from fogsdk.sim.agenda import SECOND
from fogsdk.sim.report import report
from fogsdk.sim.scenario import Scenario
from fogsdk.sim.world import World
from fogsdk.wire.messages import Task

IN_FULL = 100
"""Nodes at the most that are simulated in full; the others are followers."""
DEVICES = 100
RATE = 120.0
"""Tasks a minute from each device."""
SECONDS = 5.0
SAMPLE, PLACED, PASSES = 20, 100, 5
"""Cores whose decisions are timed, tasks that each of them places, and how often all of that is done."""
PAUSE = 0.5
"""Seconds between two passes: this computer may be slow for a moment."""
REST = 2
MOST_EVENTS = 10_000_000

Found = dict[str, float]


def site(nodes: int) -> Found:
    """What a site of so many nodes costs each of them, and each task."""
    scenario = Scenario(
        nodes=min(nodes, IN_FULL),
        devices=DEVICES,
        brokers=1,
        seconds=SECONDS,
        rate=RATE,
        mix={"light": 1.0},
        deadlines=0.0,
        cancels=0.0,
        start=4.0,
        grace=5.0,
        seed=1,
    )
    world = World(scenario)
    gather(world, nodes - scenario.nodes)
    gc.disable()  # few of the millions of objects die in cycles
    try:
        return _found(world)
    finally:
        gc.enable()


def _found(world: World) -> Found:
    world.run()
    seconds = world.agenda.now / SECOND - world.scenario.start
    said = report(world)
    light = said["tasks"]["light"]
    return {
        "per_second": light["Result"] / seconds,
        "p50_ms": light["p50"],
        "decision_node_us": _decision([node.core for node in world.nodes[:SAMPLE]], Asked),
        "decision_device_us": _decision([device.core for device in world.devices[:SAMPLE]], Submit),
        "messages_at_rest": _traffic(world),
        "node_kb": said["memory"]["node"] / 1e3,
        "device_kb": said["memory"]["device"] / 1e3,
    }


def _decision(cores: Sequence[Node | Client], kind: type[Asked] | type[Submit]) -> float:
    """The median over some cores, in the quickest of several passes."""
    passes = []
    for number in range(PASSES):
        passes.append(median(_decisions(core, kind, f"pass-{number}") for core in cores))
        sleep(PAUSE)
    return min(passes)


def _decisions(core: Node | Client, kind: type[Asked] | type[Submit], prefix: str) -> float:
    """The median time in microseconds that a core takes to place a task, each of them done before the next comes."""
    taken, now = [], core.directory.members[next(iter(core.directory.members))].last_heard + 10_000
    link = core.directory.links[0]
    for number in range(PLACED):
        task = Task(f"{prefix}-{number}", "light", b"")
        event = Asked(link, "somebody", task) if kind is Asked else Submit(task)
        begin = perf_counter_ns()
        commands = core.handle(event, now)
        taken.append((perf_counter_ns() - begin) / 1000)
        for command in commands:
            if isinstance(command, Start):
                core.handle(JobDone(command.job, b"", 2.0), now)
        if kind is Submit:
            core.handle(Withdraw(task.id), now)
    return median(taken)


def _traffic(world: World) -> float:
    """Messages that a node sends and receives in a second in which there are no tasks."""
    before = sum(node.sent + node.received for node in world.nodes)
    world.agenda.run(world.agenda.now + REST * SECOND, MOST_EVENTS)
    return (sum(node.sent + node.received for node in world.nodes) - before) / len(world.nodes) / REST
