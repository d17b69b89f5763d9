"""Simulated fog nodes and the cloud bridge: a node core with workers and a disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fogsdk.core.commands import Start, Stop, Write
from fogsdk.core.events import CloudReached, Drain, Measured, Recovered
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.sim.disk import Disk
from fogsdk.sim.executor import Executor
from fogsdk.sim.jobs import OFFERED
from fogsdk.sim.machine import Machine
from fogsdk.wire import topics
from fogsdk.wire.messages import Message

if TYPE_CHECKING:
    from fogsdk.sim.world import World

EXPRESS = 1
BRIDGE_WORKERS = 64


class NodeMachine(Machine):
    """A fog node, or with role ``cloud`` a bridge to a site that runs what it is given."""

    core: Node

    def __init__(self, world: World, name: str, role: str = "fog") -> None:
        super().__init__(world, name)
        self.role = role
        self.disk = Disk(world.agenda, world.chance)
        self.executor = self._workers()

    def _carry_out(self) -> dict[type, Callable[[Any], None]]:
        return {
            **super()._carry_out(),
            Start: lambda start: self.executor.start(start),  # noqa: PLW0108 - a new life has a new executor
            Stop: lambda stop: self.executor.stop(stop),  # noqa: PLW0108
            Write: lambda write: self.disk.write(write, self.tell),
        }

    def _workers(self) -> Executor:
        if self.role == "cloud":
            return Executor(self, BRIDGE_WORKERS, "core-1")
        return Executor(self, self.world.scenario.workers + EXPRESS)

    def make_core(self) -> Node:
        """A core with a later incarnation than before."""
        scenario, cloud = self.world.scenario, self.role == "cloud"
        return Node(
            Identity(
                self.name,
                scenario.site,
                role=self.role,
                incarnation=self.life,
                workers=BRIDGE_WORKERS if cloud else scenario.workers,
                express=0 if cloud else EXPRESS,
                tasks=dict(OFFERED),
                policy=scenario.policy,
                keeps=scenario.keeps and not cloud,
            )
        )

    def reach_brokers(self) -> None:
        """Connect to every broker of the site."""
        away = self.executor.away
        self.executor = self._workers()
        self.executor.away = away
        if self.core.me.keeps:
            self.tell(Recovered(tuple(self.disk.kept.items())))
        if self.role == "cloud":
            self.tell(CloudReached(not away))
        for broker in self.world.brokers.values():
            self.connect_later(broker, (1000, 5000))

    def will(self) -> tuple[str, Message]:
        """That it is gone."""
        return topics.birth(self.world.scenario.site, self.name), self.core.will()

    def kill(self, silently: bool = False) -> None:
        """End this life at once, and with it what its disk had not confirmed."""
        if self.on:
            self.disk.crash()
        super().kill(silently)

    def slow_down(self, lag: int, factor: float) -> None:
        """Take ``lag`` microseconds over each event from now on, and ``factor`` times as long over each job."""
        super().slow_down(lag, factor)
        self.executor.slowness = factor

    def drain(self, patience: int) -> None:
        """Ask the node to end: it has ``patience`` milliseconds to finish what runs."""
        self.tell(Drain(patience))

    def measure(self) -> None:
        """Tell the node how busy its machine is."""
        busy = len(self.executor.running) / (self.world.scenario.workers + EXPRESS)
        self.tell(Measured(min(1.0, busy), 0.3))

    def reach_cloud(self, up: bool) -> None:
        """The bridge's way to its core site is lost, or there again."""
        self.tell(CloudReached(up))
        if up:
            self.executor.come_back()
        else:
            self.executor.away = True
