"""The node: takes tasks from senders, decides where each runs, follows it there, and answers exactly one outcome.

This file takes events apart and gives answers; ``work`` moves tasks between queue, workers, neighbours and parts, and
``presence`` keeps the node known to its site.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fogsdk.core.commands import Advanced, Command, Leave, Note, Send, Settled, Subscribe
from fogsdk.core.entry import Orphaned
from fogsdk.core.events import (
    Asked,
    CloudReached,
    Drain,
    Event,
    JobDone,
    JobFailed,
    JobLost,
    JobProgress,
    JobRefused,
    JobSplit,
    LinkDown,
    LinkUp,
    Measured,
    NodeHeard,
    Offer,
    Replied,
    Tick,
)
from fogsdk.core.held import Held, Key, State
from fogsdk.core.identity import Identity
from fogsdk.core.ledger import Effect, Ledger
from fogsdk.core.membership import Directory
from fogsdk.core.outcomes import Answer, Outcomes
from fogsdk.core.presence import Presence
from fogsdk.core.timers import Timers
from fogsdk.core.work import Work
from fogsdk.wire import topics
from fogsdk.wire.messages import (
    Accepted,
    Ask,
    Beat,
    Birth,
    Cancel,
    Cancelled,
    Expired,
    Failed,
    Gone,
    Hop,
    Malformed,
    Progress,
    Refused,
    Result,
    Task,
)

ACCEPT_AFTER = 50
"""Milliseconds after which a task that is not done is acknowledged: a quick one is answered by its result alone."""
TELL_EVERY = 100
"""Milliseconds between two progress messages about one task."""
MOST_QUEUED_BYTES = 256 * 1024 * 1024


class Node:
    """The core of a fog node, a core site's node, and a cloud bridge."""

    def __init__(self, identity: Identity) -> None:
        self.me = identity
        self.held: dict[Key, Held] = {}
        self.outcomes = Outcomes()
        self.directory = Directory()
        self.ledger = Ledger(identity.site, identity.node, self.directory)
        self.presence = Presence(identity, self.directory)
        self.work = Work(identity, self.directory, self.ledger, self.presence)
        self._timers: Timers[tuple[str, Key]] = Timers()
        self._drained_by: int | None = None
        self._left = False
        self._bytes = 0
        self._holding: Counter[str] = Counter()

    # ------------------------------------------------------------ the shell's side

    def start(self) -> list[Command]:
        """What to do before the first event."""
        me = self.me
        return [
            Subscribe(topics.birth(me.site)),
            Subscribe(topics.task(me.site, me.node)),
            Subscribe(topics.reply(me.site, me.node)),
        ]

    def will(self) -> Gone:
        """What the broker is to say, on the birth topic, when this node dies."""
        return Gone(self.presence.incarnation)

    def deadline(self) -> int | None:
        """When to call ``handle(Tick())`` at the latest."""
        times = [self._timers.next(), self.ledger.deadline(), self.directory.deadline(), self.presence.deadline()]
        if self._drained_by is not None and not self._left:
            times.append(self._drained_by)
        return min((at for at in times if at is not None), default=None)

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take in one event and return what to do about it, in order."""
        out = self._dispatch(event, now)
        out += self.work.fill(now)
        if self._drained_by is not None and not self._left and (not self.held or now >= self._drained_by):
            out += self._leave(now)
        return out

    def _dispatch(self, event: Event, now: int) -> list[Command]:
        match event:
            case Asked():
                return self._asked(event, now)
            case Replied():
                return self._effects(self.ledger.hear(event.message, now), now)
            case JobDone() | JobSplit() | JobFailed() | JobRefused() | JobProgress() | JobLost():
                return self._job(event, now)
            case NodeHeard():
                return self._node_heard(event, now)
            case Measured():
                self.presence.measured = event
                return []
            case Offer():
                return self._offer(event, now)
            case CloudReached():
                self.presence.cloud_reached(event.up, now)
                return []
            case LinkUp():
                return self._link_up(event.link, now)
            case LinkDown():
                return self._link_down(event.link, now)
            case Drain():
                return self._drain(event.patience, now)
            case Tick():
                return self._tick(now)
        raise TypeError(f"not an event of a node: {event!r}")

    # ------------------------------------------------------------ what senders want

    def _asked(self, event: Asked, now: int) -> list[Command]:
        message = event.message
        key = (event.sender, message.id)
        held = self.held.get(key)
        known = self.outcomes.get(key)
        if event.any_node and held is None and known is None and not self.presence.first_to_take():
            return []
        if held is not None:
            held.link, held.as_json = event.link, event.as_json
        if isinstance(message, Cancel):
            return self._cancel(held, known, event, now)
        if held is not None:
            held.announced = True
            return [self._reply(event, self._accepted(held, now))]
        if known is not None and (isinstance(message, Ask) or not _passing(known)):
            return [self._reply(event, known)]
        if isinstance(message, Task):
            return self._admit(event, message, now)
        if isinstance(message, Malformed):
            reply = Refused(message.id, self.me.node, message.reason, message.message)
            return [self._reply(event, reply), Note(message.reason, f"from {event.sender}: {message.message}")]
        unknown = Refused(message.id, self.me.node, "unknown-id", "no task with this id is here")
        return [self._reply(event, unknown)]

    def _admit(self, event: Asked, task: Task, now: int) -> list[Command]:
        refused = self._unwelcome(event.sender, task, now)
        info = self.work.info(task.name)
        if refused is None and info is None:
            refused = Refused(task.id, self.me.node, "unknown-task", self.work.offered(task.name))
        if refused is None and task.deadline == 0:
            return [
                self._reply(event, Expired(task.id, f"the deadline had passed when the task came to {self.me.node}"))
            ]
        if refused is not None or info is None:
            return [self._reply(event, refused)] if refused else []
        held = self.work.hold((event.sender, task.id), task, info, now)
        held.link, held.as_json = event.link, event.as_json
        self.held[held.key] = held
        self._bytes += len(task.body)
        self._holding[event.sender] += 1
        self._timers.set(("accept", held.key), now + ACCEPT_AFTER)
        if held.expires is not None:
            self._timers.set(("expire", held.key), held.expires)
        return self._effects(self.work.place(held, now), now)

    def _unwelcome(self, sender: str, task: Task, now: int) -> Refused | None:
        me = self.me.node
        if self._drained_by is not None:
            return Refused(task.id, me, "leaving", f"{me} is shutting down", 1000)
        queue = self.work.queue
        room = self.me.queue_limit - len(self.held)
        # No sender holds more than is left for the others: a flood leaves half of the queue free, two leave a third.
        if room <= 0 or self._holding[sender] > room or self._bytes + len(task.body) > MOST_QUEUED_BYTES:
            retry = int(min(5000.0, max(50.0, queue.wait(now) / 2)))
            return Refused(task.id, me, "overloaded", f"{me} holds {len(self.held)} tasks", retry)
        return None

    def _cancel(self, held: Held | None, known: Answer | None, event: Asked, now: int) -> list[Command]:
        if held is not None:
            return self._finish(held, Cancelled(held.task.id), now)
        return [self._reply(event, known or Cancelled(event.message.id))]

    # ------------------------------------------------------------ answers

    def _reply(self, to: Asked | Held, message: Answer | Accepted | Progress) -> Send:
        sender = to.sender if isinstance(to, Asked) else to.key[0]
        return Send(to.link, topics.reply(self.me.site, sender), message, to.as_json)

    def _accepted(self, held: Held, now: int) -> Accepted:
        return Accepted(held.task.id, self.me.node, int(self.work.queue.wait(now, held.quick) + held.cost))

    def _finish(self, held: Held, answer: Answer, now: int) -> list[Command]:
        """Give a task its one outcome; whatever still works on it is stopped."""
        if held.state is State.DONE:
            return []
        out: list[Command] = []
        for part in held.parts:
            out += self._finish(part, Cancelled(part.task.id), now)
        out += self.work.release(held)
        held.to(State.DONE)
        if held.parent is not None:
            return out + (self._part_done(held.parent, held, answer, now) if held.part is not None else [])
        self._timers.drop(("accept", held.key))
        self._timers.drop(("expire", held.key))
        del self.held[held.key]
        self._bytes -= len(held.task.body)
        self._holding[held.key[0]] -= 1
        if not self._holding[held.key[0]]:
            del self._holding[held.key[0]]
        self.outcomes.keep(held.key, answer, now)
        return [*out, self._reply(held, answer)]

    def _part_done(self, parent: Held, part: Held, answer: Answer, now: int) -> list[Command]:
        if parent.state is not State.SHARED:
            return []
        if isinstance(answer, Result):
            return self._effects(self.work.collect(parent, part, answer, now), now)
        if isinstance(answer, Cancelled):
            return []
        if isinstance(answer, (Failed, Expired)):
            answer = replace(answer, hops=self.work.trace(parent, now, answer.hops))
        return self._finish(parent, replace(answer, id=parent.task.id), now)

    def _effects(self, effects: Sequence[Effect | Command | tuple[Held, Answer]], now: int) -> list[Command]:
        """Carry out what concerns tasks of this node, and pass on the rest."""
        out: list[Command] = []
        for effect in effects:
            match effect:
                case Orphaned():
                    out += self._effects(self.work.orphaned(effect, now), now)
                case Settled():
                    out += self._settled(effect, now)
                case Advanced():
                    out += self._advanced(self.work.away.get(effect.id), effect.fraction, now)
                case (held, answer):
                    out += self._finish(held, answer, now)
                case _:
                    out.append(effect)
        return out

    def _settled(self, effect: Settled, now: int) -> list[Command]:
        held = self.work.away.get(effect.id)
        if held is None:
            return []
        return self._finish(held, self.work.came_back(held, effect.outcome, now), now)

    def _advanced(self, held: Held | None, fraction: float, now: int) -> list[Command]:
        if held is None:
            return []
        held.fraction = fraction
        if held.parent is not None:
            parent = held.parent
            return self._advanced(parent, sum(part.fraction * part.share for part in parent.parts), now)
        if now - held.told_at < TELL_EVERY and fraction < 1.0:
            return []
        held.told_at = now
        return [self._reply(held, Progress(held.task.id, min(1.0, fraction)))]

    # ------------------------------------------------------------ what jobs and the site say

    def _job(
        self, event: JobDone | JobSplit | JobFailed | JobRefused | JobProgress | JobLost, now: int
    ) -> list[Command]:
        held = self.work.queue.running.get(event.job)
        if held is None:
            return []
        if isinstance(event, JobProgress):
            return self._advanced(held, event.fraction, now) if held.job_kind == "run" else []
        return self._effects(self.work.job(held, event, now), now)

    def _node_heard(self, event: NodeHeard, now: int) -> list[Command]:
        if event.node == self.me.node:
            return self.presence.heard_of_myself(event, now)
        gone = self.directory.hear(event.link, event.node, event.message, now)
        out = self._effects(self.ledger.node_gone(event.node, "gone"), now) if gone else []
        if isinstance(event.message, Birth):
            self.ledger.node_came(event.node, now)
        return out if isinstance(event.message, Beat) else out + self.presence.rewatch(now)

    def _offer(self, event: Offer, now: int) -> list[Command]:
        self.me.tasks.clear()
        self.me.tasks.update({info.name: info for info in event.tasks})
        return self.presence.announce_everywhere(now)

    def _link_up(self, link: str, now: int) -> list[Command]:
        self.directory.link_up(link, now)
        self.ledger.recheck(now)
        return self.presence.announce(link, now)

    def _link_down(self, link: str, now: int) -> list[Command]:
        self.directory.link_down(link)
        self.ledger.recheck(now)
        return self.presence.rewatch(now)

    def _tick(self, now: int) -> list[Command]:
        out: list[Command] = []
        for node in self.directory.lapse(now):
            out.append(Note("lost", f"{node}: no heartbeat within its time"))
            out += self._effects(self.ledger.node_gone(node, "no heartbeat"), now)
        out += self._effects(self.ledger.tick(now), now)
        for what, key in self._timers.pop_due(now):
            held = self.held.get(key)
            out += self._due(what, held, now) if held is not None else []
        return out + self.presence.tick(now, self.work.queue)

    def _due(self, what: str, held: Held, now: int) -> list[Command]:
        if what == "expire":
            where = f"it was {held.state.value} on {self.me.node}"
            hop = Hop(self.me.node, "lost", "deadline", took=float(now - held.arrived))
            return self._finish(held, Expired(held.task.id, f"the deadline passed while {where}", (hop,)), now)
        if held.announced:
            return []
        held.announced = True
        return [self._reply(held, self._accepted(held, now))]

    # ------------------------------------------------------------ leaving

    def _drain(self, patience: int, now: int) -> list[Command]:
        if self._drained_by is not None:
            return []
        if self.me.role == "cloud":  # what it has is on its disk, and waits there for it to come back
            self._drained_by, self._left = now, True
            return [*self.presence.say_goodbye(), Leave()]
        self._drained_by = now + patience
        out = self.presence.drain(now)
        for held in [held for held in self.work.queue.waiting() if held.parent is None and held.job_kind == "run"]:
            out += self._finish(held, self._farewell(held), now)
        return out

    def _farewell(self, held: Held) -> Refused:
        return Refused(held.task.id, self.me.node, "leaving", f"{self.me.node} is shutting down", 1000)

    def _leave(self, now: int) -> list[Command]:
        out: list[Command] = []
        for held in list(self.held.values()):
            out += self._finish(held, self._farewell(held), now)
        self._left = True
        return [*out, *self.presence.say_goodbye(), Leave()]


def _passing(answer: Answer) -> bool:
    """Whether the same task may get another answer when it is sent again."""
    return isinstance(answer, (Refused, Cancelled))
