"""A broker: who is connected, who hears which topic, what it retains, and the wills that it executes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

from fogsdk.core.events import Asked, Event, NodeHeard, ReplicaHeard, Replied
from fogsdk.sim import weather
from fogsdk.sim.trace import label
from fogsdk.wire import codec, topics
from fogsdk.wire.messages import Message

if TYPE_CHECKING:
    from fogsdk.sim.machine import Machine
    from fogsdk.sim.world import World

Publication = tuple[Event, str, int]
"""What all receivers of a message share: the event that it is for them, its name in the trace, its weight in bytes."""

_DEATH_FELT_AFTER = 1000  # microseconds until all who were connected know
_GROUPS = 16


@dataclass(eq=False, slots=True)
class Connection:
    """One login of one machine. ``held_in`` and ``held_out`` are what waits at a cut, None where there is no cut."""

    machine: Machine
    broker: Broker
    will: tuple[str, Message] | None
    up: bool = True
    last: int = 0
    held_in: list[Publication] | None = None
    held_out: list[tuple[str, Message, bool]] | None = None
    topics: dict[str, None] = field(default_factory=dict)

    def deliver(self, publication: Publication) -> None:
        """A message reaches the machine."""
        if not self.up:
            return
        event, name, weight = publication
        machine = self.machine
        machine.world.trace.delivered(machine.world.agenda.now, machine.name, name)
        machine.received += 1
        machine.received_bytes += weight
        machine.tell(event)

    def deliver_all(self, publications: list[Publication]) -> None:
        """Messages reach the machine together."""
        for publication in publications:
            self.deliver(publication)


class Broker:
    """One broker of the site."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.up = True
        self.connections: dict[str, Connection] = {}
        self.retained: dict[str, Publication] = {}
        self._hearers: dict[str, dict[Connection, None]] = {}
        self._world = world

    # ------------------------------------------------------------ connections

    def connect(self, machine: Machine) -> Connection:
        """Log a machine in; an earlier login of the same name is closed, which executes its will."""
        old = self.connections.get(machine.name)
        if old is not None:
            self.drop(old, with_will=True)
        connection = self.connections[machine.name] = Connection(machine, self, machine.will())
        return connection

    def drop(self, connection: Connection, with_will: bool) -> None:
        """End a connection, from whichever side."""
        if not connection.up:
            return
        connection.up = False
        del self.connections[connection.machine.name]
        for topic in connection.topics:
            self._unhear(connection, topic)
        if with_will and connection.will is not None:
            topic, message = connection.will
            self.publish(topic, message, True, connection.machine.name)

    def crash(self) -> None:
        """Die, and forget everything."""
        self.up = False
        self.retained.clear()
        self._hearers.clear()
        connections, self.connections = self.connections, {}
        for connection in connections.values():
            connection.up = False
        for connection in connections.values():
            self._world.agenda.after(_DEATH_FELT_AFTER, connection.machine.lost, connection)

    def revive(self) -> None:
        """Be there again, and know nothing."""
        self.up = True

    # ------------------------------------------------------------ topics

    def subscribe(self, connection: Connection, topic: str) -> None:
        """Let a machine hear a topic, and send it what is retained there."""
        if topic in connection.topics:
            return
        connection.topics[topic] = None
        self._hearers.setdefault(topic, {})[connection] = None
        if "+" in topic:
            found = [kept for name, kept in self.retained.items() if topic in route(name).patterns]
        else:
            found = [self.retained[topic]] if topic in self.retained else []
        if connection.held_in is not None:
            connection.held_in += found
        elif found:
            at = max(connection.last, self._world.agenda.now + weather.FASTEST)
            connection.last = at
            self._world.agenda.at(at, connection.deliver_all, found)

    def unsubscribe(self, connection: Connection, topic: str) -> None:
        """Let a machine no longer hear a topic."""
        if connection.topics.pop(topic, "") is None:
            self._unhear(connection, topic)

    def _unhear(self, connection: Connection, topic: str) -> None:
        hearers = self._hearers[topic]
        del hearers[connection]
        if not hearers:
            del self._hearers[topic]

    # ------------------------------------------------------------ messages

    def publish(self, topic: str, message: Message, retain: bool, sender: str) -> int:
        """Send a message to all who hear its topic; returns its weight in bytes."""
        if not self.up:
            return 0
        world = self._world
        if world.scenario.codec:
            [message] = codec.decode(codec.encode([message]))  # type: ignore[assignment]
        way = route(topic)
        weight = world.scales.weigh(topic, message)
        publication = (event(way.at, self.name, message), label(sender, message), weight)
        if retain:
            self.retained[topic] = publication
        for pattern in way.patterns:
            hearers = self._hearers.get(pattern)
            if hearers:
                self._forward(list(hearers), publication, retain)
        return weight

    def _forward(self, hearers: list[Connection], publication: Publication, safe: bool) -> None:
        """Send a message on. A large audience hears it in some groups, each at one moment: an entry of the agenda for
        each of thousands would take most of a large run's time."""
        agenda, draw = self._world.agenda, self._world.chance.random
        group = 1 + len(hearers) // _GROUPS
        for first in range(0, len(hearers), group):
            at = agenda.now + weather.FASTEST + int(draw() * weather.JITTER)
            together = []
            for connection in hearers[first : first + group]:
                if connection.held_in is not None:
                    connection.held_in.append(publication)
                elif connection.machine.weathers and not safe:
                    self._forward_through(connection, publication, at)
                elif connection.last > at:
                    agenda.at(connection.last, connection.deliver, publication)
                else:
                    connection.last = at
                    together.append(connection)
            if together:
                agenda.at(at, _deliver_to, together, publication)

    def _forward_through(self, connection: Connection, publication: Publication, at: int) -> None:
        for late, ordered in weather.copies(connection.machine.weathers, self._world.chance):
            arrives = max(connection.last, at + late) if ordered else at + late
            if ordered:
                connection.last = arrives
            self._world.agenda.at(arrives, connection.deliver, publication)


def _deliver_to(connections: list[Connection], publication: Publication) -> None:
    for connection in connections:
        connection.deliver(publication)


@dataclass(frozen=True, slots=True)
class Route:
    """A topic taken apart, and the patterns of subscriptions that it matches."""

    at: topics.Topic
    patterns: tuple[str, ...]


@lru_cache(maxsize=262_144)
def route(topic: str) -> Route:
    """Take a topic apart."""
    at = topics.parse(topic)
    levels = [
        (level, "+") if level in (at.node, at.sender) and i > 2 else (level,)
        for i, level in enumerate(topic.split("/"))
    ]
    return Route(at, tuple("/".join(each) for each in product(*levels)))


def event(at: topics.Topic, link: str, message: Any) -> Event:
    """The event that a message on a topic is to the one who hears it."""
    if at.kind in ("birth", "beat"):
        return NodeHeard(link, at.node, message)
    if at.kind == "reply":
        return Replied(link, message)
    if at.kind == "replica":
        return ReplicaHeard(link, at.sender, message)
    return Asked(link, at.sender, message, False, at.kind == "any-task")
