"""Simulated nodes without a core, for sites that a computer has no room to simulate in full: each announces itself,
beats while somebody listens, and answers its tasks. To all others it is a node like any other."""

from __future__ import annotations

import heapq

from fogsdk.core.commands import Command, Send, Subscribe
from fogsdk.core.events import Asked, Event, LinkDown, LinkUp
from fogsdk.core.presence import BEAT_EVERY, BEAT_TTL
from fogsdk.sim import jobs
from fogsdk.sim.machine import Machine
from fogsdk.sim.world import World
from fogsdk.wire import topics
from fogsdk.wire.messages import Accepted, Ask, Beat, Birth, Cancel, Cancelled, Gone, Hop, Message, Result, Task

BIRTH = Birth(1, "fog", 2, tuple(jobs.OFFERED.values()))
LOGIN = (1000, 1_000_000)  # microseconds


class Follower(Machine):
    """One such node."""

    def make_core(self) -> FollowerCore:  # type: ignore[override]
        """What answers in its place."""
        return FollowerCore(self)

    def reach_brokers(self) -> None:
        """Connect to every broker of the site, some time within a second."""
        for broker in self.world.brokers.values():
            self.connect_later(broker, LOGIN)

    def will(self) -> tuple[str, Message]:
        """That it is gone."""
        return topics.birth(self.world.scenario.site, self.name), Gone(1)

    @property
    def listened_to(self) -> bool:
        """Whether somebody hears its heartbeats."""
        beat = topics.beat(self.world.scenario.site, self.name)
        return any(beat in broker._hearers for broker in self.world.brokers.values())  # noqa: SLF001


class FollowerCore:
    """Runs each task at once, on as many workers as there are tasks."""

    def __init__(self, machine: Follower) -> None:
        self._machine = machine
        self._site, self._me = machine.world.scenario.site, machine.name
        self._links: dict[str, None] = {}
        self._beat = self._seq = 0
        self._running: dict[tuple[str, str], str] = {}  # the link to answer over
        self._done: list[tuple[int, str, Task]] = []

    def start(self) -> list[Command]:
        """Listen to its tasks."""
        return [Subscribe(topics.task(self._site, self._me))]

    def deadline(self) -> int | None:
        """When a task is done, or the next heartbeat due."""
        return min([self._beat, *(at for at, _, _ in self._done[:1])]) if self._links else None

    def catch_up(self) -> None:
        """It learns nothing."""

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take in one event and return what to do about it."""
        if isinstance(event, LinkUp):
            self._links[event.link] = None
            return [Send(event.link, topics.birth(self._site, self._me), BIRTH, retain=True)]
        if isinstance(event, LinkDown):
            self._links.pop(event.link, None)
        if isinstance(event, Asked):
            return self._asked(event, now)
        return [*self._finish(now), *self._say(now)]

    def _asked(self, event: Asked, now: int) -> list[Command]:
        message, key = event.message, (event.sender, event.message.id)
        if isinstance(message, Task) and key not in self._running:
            self._running[key] = event.link
            heapq.heappush(self._done, (now + jobs.read(bytes(message.body)).micros // 1000, event.sender, message))
        elif isinstance(message, Cancel):
            self._running.pop(key, None)
            return [self._reply(event.link, event.sender, Cancelled(message.id))]
        elif isinstance(message, Ask) and key in self._running:
            return [self._reply(event.link, event.sender, Accepted(message.id, self._me))]
        return []

    def _finish(self, now: int) -> list[Command]:
        out: list[Command] = []
        while self._done and self._done[0][0] <= now:
            _, sender, task = heapq.heappop(self._done)
            link = self._running.pop((sender, task.id), None)
            if link is not None:
                job = jobs.read(bytes(task.body))
                ran = job.micros / 1000
                result = Result(task.id, jobs.result(job.number, job.part), (Hop(self._me, "ran", ran=ran, took=ran),))
                out.append(self._reply(link, sender, result))
        return out

    def _reply(self, link: str, sender: str, message: Message) -> Send:
        return Send(link, topics.reply(self._site, sender), message)

    def _say(self, now: int) -> list[Command]:
        if now < self._beat:
            return []
        self._beat = now + BEAT_EVERY
        if not self._machine.listened_to:
            return []
        self._seq += 1
        beat = Beat(1, self._seq, BEAT_TTL, running=len(self._running))
        return [Send(link, topics.beat(self._site, self._me), beat) for link in self._links]


def gather(world: World, count: int) -> None:
    """Add so many followers to a world that has not begun yet."""
    for number in range(1, count + 1):
        machine = Follower(world, f"follower-{number}")
        world.machines[machine.name] = machine
