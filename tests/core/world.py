"""A small world in virtual time: real cores, and between them brokers that lose, double, delay and die.

Every message passes through the codec. What happens is decided by one seeded generator, so that a seed is a story.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fogsdk.core.client import Client
from fogsdk.core.commands import (
    Advanced,
    Leave,
    Note,
    Reconnect,
    Send,
    Settled,
    Start,
    Stop,
    Subscribe,
    Unsubscribe,
    Write,
)
from fogsdk.core.events import (
    Asked,
    JobDone,
    JobFailed,
    JobLost,
    JobSplit,
    LinkDown,
    LinkUp,
    NodeHeard,
    Recovered,
    ReplicaHeard,
    Replied,
    Submit,
    Tick,
    Withdraw,
    WriteFailed,
    Written,
)
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.wire import codec, topics, values
from fogsdk.wire.messages import Malformed, Task, TaskInfo

TASKS = {
    "quick": TaskInfo("quick", weight="light"),
    "long": TaskInfo("long", weight="middle"),
    "shared": TaskInfo("shared", weight="middle", split=True),
    "broken": TaskInfo("broken", weight="light"),
    "huge": TaskInfo("huge", weight="heavy", fallback="fog"),
    "count": TaskInfo("count", weight="light"),
}
RUNS = {"quick": 3, "long": 400, "shared": 300, "broken": 3, "huge": 900, "count": 20}


@dataclass
class Peer:
    """One core and what it is connected to."""

    name: str
    core: Any
    links: set[str] = field(default_factory=set)
    topics: set[str] = field(default_factory=set)
    alive: bool = True
    cut: bool = False
    timer: int | None = None
    jobs: dict[int, Start] = field(default_factory=dict)
    unwritten: list[Write] = field(default_factory=list)
    life: int = 0


def matches(pattern: str, topic: str) -> bool:
    """MQTT's single-level wildcard."""
    wanted, got = pattern.split("/"), topic.split("/")
    return len(wanted) == len(got) and all(w in ("+", g) for w, g in zip(wanted, got, strict=True))


class World:
    """Brokers, nodes and clients; ``faults`` is the chance of each single message being lost, and of being doubled."""

    def __init__(self, seed: int, brokers: tuple[str, ...] = ("a",), faults: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.now = 0
        self.faults = faults
        self.peers: dict[str, Peer] = {}
        self.retained: dict[str, dict[str, bytes]] = {broker: {} for broker in brokers}
        self.up = set(brokers)
        self.settled: dict[tuple[str, str], list[Any]] = {}
        self.notes: list[Note] = []
        self.runs: list[tuple[str, str, str]] = []
        self.progress: list[tuple[str, float]] = []
        self.journals: dict[str, dict[str, bytes]] = {}
        self.broken_disks: set[str] = set()
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    # ------------------------------------------------------------ time

    def later(self, delay: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (self.now + delay, self._count, action))

    def run(self, until: int) -> None:
        """Let everything happen that happens before ``until``."""
        while True:
            timers = [(p.timer, p.name) for p in self.peers.values() if p.alive and p.timer is not None]
            at, name = min(timers, default=(None, ""))
            next_action = self._agenda[0][0] if self._agenda else None
            if next_action is not None and (at is None or next_action <= at):
                if next_action > until:
                    break
                self.now = max(self.now, next_action)
                heapq.heappop(self._agenda)[2]()
            elif at is not None and at <= until:
                self.now = max(self.now, at)
                self.tell(self.peers[name], Tick())
            else:
                break
        self.now = until

    def run_until(self, done: Callable[[], bool], limit: int = 60_000) -> None:
        """Let things happen until ``done``; fails the test at ``limit`` milliseconds."""
        while not done():
            assert self.now < limit, f"not done by {limit} ms: {self.outstanding()}"
            self.run(self.now + 20)

    def outstanding(self) -> list[str]:
        return [id for peer in self.peers.values() for id in peer.core.ledger.entries]

    # ------------------------------------------------------------ peers

    def add_node(self, name: str, **options: Any) -> Peer:
        options.setdefault("tasks", dict(TASKS))
        options.setdefault("workers", 2)
        life = self.peers[name].life + 1 if name in self.peers else 1
        identity = Identity(name, "s", incarnation=life, **options)
        peer = Peer(name, Node(identity), life=life)
        if identity.keeps:
            self.tell(peer, Recovered(tuple(self.journals.setdefault(name, {}).items())))
        return self._add(peer)

    def add_client(self, name: str) -> Peer:
        return self._add(Peer(name, Client("s", name)))

    def _add(self, peer: Peer) -> Peer:
        self.peers[peer.name] = peer
        for command in peer.core.start():
            self._do(peer, command)
        for broker in sorted(self.up):
            self.connect(peer, broker)
        return peer

    def connect(self, peer: Peer, broker: str) -> None:
        peer.links.add(broker)
        for topic, payload in list(self.retained[broker].items()):
            if any(matches(pattern, topic) for pattern in peer.topics):
                self._arrive(peer, broker, topic, payload)
        self.tell(peer, LinkUp(broker))

    def crash(self, name: str, clean: bool = True) -> None:
        """Kill a node; with ``clean`` false its cable is pulled first, and no will says so."""
        peer = self.peers[name]
        peer.alive = False
        if self.random.random() < 0.5:  # it was written, and nobody heard of it
            self._to_disk(peer)
        if clean:
            for broker in sorted(peer.links & self.up):
                will = codec.encode([peer.core.will()])
                self.later(2, partial(self._publish, broker, topics.birth("s", name), will, True))

    def kill_broker(self, broker: str) -> None:
        self.up.discard(broker)
        self.retained[broker].clear()
        for peer in self.peers.values():
            if peer.alive and broker in peer.links:
                peer.links.discard(broker)
                self.tell(peer, LinkDown(broker))

    def revive_broker(self, broker: str) -> None:
        self.up.add(broker)
        for peer in list(self.peers.values()):
            if peer.alive:
                self.later(self.random.randrange(50), partial(self._come_back, peer, broker))

    def _log_in_anew(self, peer: Peer, broker: str) -> None:
        if peer.alive and broker in peer.links:
            peer.links.discard(broker)
            self.tell(peer, LinkDown(broker))
            self.later(5, partial(self._come_back, peer, broker))

    def _come_back(self, peer: Peer, broker: str) -> None:
        if peer.alive and broker in self.up and broker not in peer.links:
            self.connect(peer, broker)

    # ------------------------------------------------------------ what the shells do

    def submit(self, client: str, id: str, name: str = "quick", deadline: int | None = None, **options: Any) -> None:
        argument = options.pop("argument", id)
        to = options.pop("to", "")
        task = Task(id, name, values.encode([[argument], {}]), deadline, **options)
        self.tell(self.peers[client], Submit(task, to))

    def outcome(self, client: str, id: str, limit: int = 30_000) -> Any:
        """Wait for the one outcome of a task."""
        self.run_until(lambda: (client, id) in self.settled, self.now + limit)
        [outcome] = self.settled[client, id]
        return outcome

    def withdraw(self, client: str, id: str) -> None:
        self.tell(self.peers[client], Withdraw(id))

    def tell(self, peer: Peer, event: Any) -> None:
        if not peer.alive:
            return
        for command in peer.core.handle(event, self.now):
            self._do(peer, command)
        peer.core.catch_up()
        peer.timer = peer.core.deadline()
        assert peer.timer is None or not isinstance(event, Tick) or peer.timer > self.now, "a timer that is never done"

    def _do(self, peer: Peer, command: Any) -> None:  # noqa: C901 - one case for each command
        match command:
            case Send():
                self._send(peer, command)
            case Subscribe():
                peer.topics.add(command.topic)
                for broker in sorted(peer.links):
                    for topic, payload in list(self.retained[broker].items()):
                        if matches(command.topic, topic):
                            self._arrive(peer, broker, topic, payload)
            case Unsubscribe():
                peer.topics.discard(command.topic)
            case Start():
                self._start(peer, command)
            case Stop():
                peer.jobs.pop(command.job)
            case Settled():
                self.settled.setdefault((peer.name, command.id), []).append(command.outcome)
            case Advanced():
                self.progress.append((command.id, command.fraction))
            case Note():
                self.notes.append(command)
            case Write():
                peer.unwritten.append(command)
                if len(peer.unwritten) == 1:
                    self.later(self.random.randrange(1, 6), partial(self._commit, peer))
            case Reconnect():
                for broker in sorted(peer.links):
                    self.later(1, partial(self._log_in_anew, peer, broker))
            case Leave():
                peer.alive = False
            case _:
                raise AssertionError(command)

    def _commit(self, peer: Peer) -> None:
        """What came while the disk was busy is written in one go."""
        if not peer.alive:
            return
        number = peer.unwritten[-1].number
        failed = peer.name in self.broken_disks
        if failed:
            peer.unwritten.clear()
        self._to_disk(peer)
        self.tell(peer, WriteFailed(number, "disk full") if failed else Written(number))

    def _to_disk(self, peer: Peer) -> None:
        for write in peer.unwritten:
            if write.data is None:
                self.journals[peer.name].pop(write.key, None)
            else:
                self.journals[peer.name][write.key] = write.data
        peer.unwritten.clear()

    def _send(self, peer: Peer, send: Send) -> None:
        if send.link not in peer.links or send.link not in self.up or peer.cut:
            return
        payload = codec.encode([send.message], send.as_json)
        self._publish(send.link, send.topic, payload, send.retain)

    def _publish(self, broker: str, topic: str, payload: bytes, retain: bool) -> None:
        if broker not in self.up:
            return
        if retain:
            self.retained[broker][topic] = payload
        for peer in list(self.peers.values()):
            if peer.alive and broker in peer.links and any(matches(p, topic) for p in peer.topics):
                self._arrive(peer, broker, topic, payload, safe=retain)

    def _arrive(self, peer: Peer, broker: str, topic: str, payload: bytes, safe: bool = True) -> None:
        copies = 1 if safe else self._copies()
        for _ in range(copies):
            delay = 1 if safe else self.random.randrange(1, 4)
            self.later(delay, lambda: self._deliver(peer, broker, topic, payload))

    def _copies(self) -> int:
        chance = self.random.random()
        return 0 if chance < self.faults else 2 if chance < 2 * self.faults else 1

    def _deliver(self, peer: Peer, broker: str, topic: str, payload: bytes) -> None:
        if not peer.alive or peer.cut or broker not in peer.links:
            return
        at = topics.parse(topic)
        for message in codec.decode(payload):
            assert not isinstance(message, Malformed), message
            if at.kind in ("birth", "beat"):
                self.tell(peer, NodeHeard(broker, at.node, message))  # type: ignore[arg-type]
            elif at.kind == "replica":
                self.tell(peer, ReplicaHeard(broker, at.sender, message))  # type: ignore[arg-type]
            elif at.kind == "reply":
                self.tell(peer, Replied(broker, message))  # type: ignore[arg-type]
            else:
                self.tell(peer, Asked(broker, at.sender, message, codec.is_json(payload), at.kind == "any-task"))  # type: ignore[arg-type]

    # ------------------------------------------------------------ workers

    def _start(self, peer: Peer, start: Start) -> None:
        assert len(peer.jobs) < peer.core.me.workers + peer.core.me.express, "more jobs than workers"
        peer.jobs[start.job] = start
        self.runs.append((peer.name, start.kind, start.name))
        runs = RUNS.get(start.name, 5) if start.kind in ("run", "step") else 2
        if start.kind == "run" and len(values.decode(start.bodies[0])[0]) > 1:
            runs = runs // 4
        self.later(self.random.randrange(max(1, runs // 2), runs * 2), lambda: self._finish(peer, start, runs))

    def _finish(self, peer: Peer, start: Start, runs: int) -> None:
        if not peer.alive or start.job not in peer.jobs:
            return
        del peer.jobs[start.job]
        if self.random.random() < self.faults / 2:
            self.tell(peer, JobLost(start.job, "killed by signal 9"))
        elif start.kind == "split":
            parts = tuple(
                values.encode([[values.decode(start.bodies[0])[0][0], i], {}]) for i in range(len(start.shares))
            )
            self.tell(peer, JobSplit(start.job, parts, 1.0))
        elif start.name == "broken":
            self.tell(peer, JobFailed(start.job, "ValueError", "broken", "", float(runs)))
        elif start.kind == "step":
            count = (values.decode(start.bodies[1]) or 0) + 1
            self.tell(peer, JobDone(start.job, values.encode([values.encode(count)] * 2), float(runs)))
        else:
            value = (
                [values.decode(body) for body in start.bodies]
                if start.kind == "merge"
                else values.decode(start.bodies[0])[0]
            )
            self.tell(peer, JobDone(start.job, values.encode(value), float(runs)))
