"""The demo's work: a walk, a shaded relief and what observers see, on the fog; then the same in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fogsdk.demo import elevation, terrain
from fogsdk.demo.elevation import Elevation
from fogsdk.demo.site import BRIDGE, NODES, DemoSite
from fogsdk.device.fog import Fog
from fogsdk.device.future import FogFuture
from fogsdk.errors import FogError

POINTS = 1000
BURST = 50
"""Points that the walker sends at once: some are under way when the node is killed."""
PAUSE = 0.15
"""Seconds between two bursts."""
KILL_AT = 0.5
"""How much of the walk is done when the node is killed."""
OBSERVERS = 5
PATIENCE = 40.0
"""Seconds after which what has no result counts as lost."""
READY_WITHIN = 30.0


@dataclass
class Work:
    """One class of tasks: what was submitted, and when each result was here (milliseconds after it was submitted)."""

    title: str
    weight: str
    futures: list[FogFuture] = field(default_factory=list)
    latencies: dict[str, float] = field(default_factory=dict)

    def submit(self, fog: Fog, on_done: Callable[[], None], name: str, *args: Any) -> FogFuture:
        """Submit one task and keep its time."""
        started = time.perf_counter()
        future = fog.submit(name, *args)
        self.futures.append(future)

        def settled(_: Any) -> None:
            self.latencies[future.id] = (time.perf_counter() - started) * 1000
            on_done()

        future.add_done_callback(settled)
        return future

    def results(self) -> list[Any]:
        """The results there are; None for a task that has none."""
        return [f.result() if f.done() and not f.cancelled() and f.exception() is None else None for f in self.futures]

    @property
    def lost(self) -> int:
        """Tasks without a result."""
        return sum(result is None for result in self.results())

    @property
    def handed_out_again(self) -> int:
        """How often a task, or a part of one, was taken from a dead node and given to another."""
        hops = [hop for future in self.futures if future.trace for hop in future.trace.hops]
        return sum(hop.action == "lost" for hop in hops)

    @property
    def nodes(self) -> dict[str, int]:
        """How many tasks, or parts, ran on each node."""
        ran: dict[str, int] = {}
        for future in self.futures:
            for hop in future.trace.hops if future.trace else ():
                if hop.action == "ran":
                    ran[hop.node] = ran.get(hop.node, 0) + 1
        return dict(sorted(ran.items()))


@dataclass
class Story:
    """Everything that the demo did, for the report."""

    ground: Elevation
    track: Any
    observers: list[tuple[int, int]]
    light: Work = field(default_factory=lambda: Work("points of the walk", "light"))
    middle: Work = field(default_factory=lambda: Work("hillshade", "middle"))
    heavy: Work = field(default_factory=lambda: Work("viewsheds", "heavy"))
    victim: str = ""
    seconds: float = 0.0

    @property
    def works(self) -> tuple[Work, Work, Work]:
        return self.light, self.middle, self.heavy


Progress = Callable[[str, float], None]
"""Called with the weight of a class of tasks and how much of it is done, from 0.0 to 1.0."""


def prepare() -> Story:
    """Load the elevation model, plan the walk and choose the observers."""
    ground = elevation.load()
    track = elevation.walked_track(ground.metres, ground.dx, ground.dy, POINTS)
    return Story(ground, track, elevation.observers(ground.metres, OBSERVERS))


async def wait_until_ready(fog: Fog, demo: DemoSite) -> None:
    """Wait for the three nodes and the bridge with the core site's tasks; raises FogError if they stay away."""
    until = time.monotonic() + READY_WITHIN
    while time.monotonic() < until:
        demo.check()
        nodes = fog.nodes()
        offered = {info.name for info in nodes[BRIDGE].tasks} if BRIDGE in nodes else set()
        if all(name in nodes for name in NODES) and "viewshed" in offered:
            return
        await asyncio.sleep(0.05)
    raise FogError(
        f"after {READY_WITHIN:g} s the site has only {', '.join(fog.nodes()) or 'no node'}; see {demo.folder}"
    )


async def tell(story: Story, fog: Fog, demo: DemoSite, progress: Progress) -> None:
    """Submit everything, kill a node in the middle of it, and wait for the results."""
    started = time.perf_counter()
    _submit_viewsheds(story, fog, progress)
    await _walk(story, fog, demo, progress)
    futures = [asyncio.wrap_future(future) for work in story.works for future in work.futures]
    await asyncio.wait(futures, timeout=PATIENCE)
    for future in futures:
        if future.done() and not future.cancelled():
            future.exception()  # looked at in the report
    story.seconds = time.perf_counter() - started


def _submit_viewsheds(story: Story, fog: Fog, progress: Progress) -> None:
    ground, work = story.ground, story.heavy

    def told(_: float = 0.0) -> None:
        progress("heavy", sum(future.progress for future in work.futures) / len(story.observers))

    for observer in story.observers:
        future = work.submit(fog, told, "viewshed", ground.metres, ground.dx, ground.dy, list(observer))
        future.on_progress(told)


async def _walk(story: Story, fog: Fog, demo: DemoSite, progress: Progress) -> None:
    ground, work = story.ground, story.light

    def told() -> None:
        progress("light", len(work.latencies) / POINTS)

    for first in range(0, POINTS, BURST):
        killing = not story.victim and first >= KILL_AT * POINTS
        if killing:
            _submit_hillshade(story, fog, progress)
        for row, column in story.track[first : first + BURST]:
            window = elevation.window(ground.metres, row, column)
            work.submit(fog, told, "point", window, ground.dx, ground.dy)
        if killing:
            story.victim = _busiest(work)
            demo.kill(story.victim)
        await asyncio.sleep(PAUSE)


def _submit_hillshade(story: Story, fog: Fog, progress: Progress) -> None:
    ground = story.ground
    story.middle.submit(fog, lambda: progress("middle", 1.0), "hillshade", ground.metres, ground.dx, ground.dy)


def _busiest(work: Work) -> str:
    nodes = {node: count for node, count in work.nodes.items() if node in NODES}
    return max(nodes, key=lambda node: nodes[node], default=NODES[0])


def check(story: Story) -> list[str]:
    """Compute everything again in this process; returns what does not agree, in words."""
    ground = story.ground
    args = ground.metres, ground.dx, ground.dy
    wrong: list[str] = []
    for number, (got, (row, column)) in enumerate(zip(story.light.results(), story.track, strict=True)):
        if got != terrain.point(elevation.window(ground.metres, row, column), ground.dx, ground.dy):
            wrong.append(f"point {number}")
    if not _same(story.middle.results()[0], terrain.hillshade(*args)):
        wrong.append("hillshade")
    for number, (got, observer) in enumerate(zip(story.heavy.results(), story.observers, strict=True), start=1):
        if not _same(got, terrain.viewshed(*args, observer)):
            wrong.append(f"viewshed {number}")
    return wrong


def _same(one: Any, other: Any) -> bool:
    return one is not None and np.array_equal(one, other)
