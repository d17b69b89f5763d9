"""The node: takes tasks from senders, decides where each runs, follows it there, and answers exactly one outcome.

This file takes events apart; ``answers`` follows each task that the node took on until it is answered, ``work`` moves
tasks between queue, workers, neighbours and parts, and ``presence`` keeps the node known to its site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

from fogsdk.core import builtins
from fogsdk.core.answers import Answers
from fogsdk.core.builtins import Builtin
from fogsdk.core.commands import Command, Leave, Note, Subscribe
from fogsdk.core.disturbances import Disturbances
from fogsdk.core.events import (
    Asked,
    CloudReached,
    Congested,
    Delivering,
    Disturbed,
    Drain,
    Event,
    JobApart,
    JobDone,
    JobEvent,
    JobFailed,
    JobLost,
    JobProgress,
    JobRefused,
    JobSplit,
    LinkDown,
    LinkUp,
    Measured,
    Moving,
    NodeHeard,
    Offer,
    Recovered,
    ReplicaHeard,
    Replied,
    Tick,
    WriteFailed,
    Written,
)
from fogsdk.core.held import Held
from fogsdk.core.identity import Identity
from fogsdk.core.keeping import Keeping
from fogsdk.core.ledger import Ledger
from fogsdk.core.membership import Directory
from fogsdk.core.outcomes import Answer
from fogsdk.core.presence import Presence
from fogsdk.core.report import Report
from fogsdk.core.timers import earliest
from fogsdk.core.work import Work
from fogsdk.errors import TaskRefused, TooLarge, WireError
from fogsdk.wire import bundles, topics
from fogsdk.wire.limits import RECORD_SIZE
from fogsdk.wire.messages import (
    Ask,
    Beat,
    Birth,
    Body,
    Cancel,
    Cancelled,
    Expired,
    Gone,
    Kept,
    Malformed,
    Refused,
    Task,
    TaskInfo,
)


class Node:
    """The core of a fog node, a core site's node, and a cloud bridge."""

    def __init__(self, identity: Identity) -> None:
        self.me = identity
        self.directory = Directory()
        self.ledger = Ledger(identity.site, identity.node, self.directory)
        self.presence = Presence(identity, self.directory)
        self.work = Work(identity, self.directory, self.ledger, self.presence)
        self.answers = Answers(identity.site, identity.node, self.work)
        self.held = self.answers.held
        self.outcomes = self.answers.outcomes
        self._drained_by: int | None = None
        self._left = False
        report = Report(identity.node, self.work, self.ledger, self.directory, self.answer)
        self.builtins: dict[str, Builtin] = {"fog.report": report.ask, "fog.unquarantine": report.unquarantine}
        self.keeping = Keeping(identity, self.directory, self.answers, self.work, self._unwelcome)
        self.builtins.update(self.keeping.builtins())
        self._disturbances = Disturbances(identity.node)
        if identity.chaos:
            self.builtins["fog.chaos"] = self._disturbances.ask
        self._often: dict[type[Event], Callable[[Any, int], list[Command]]] = {
            Asked: self._asked,
            NodeHeard: self._node_heard,
            Replied: self._replied,
            Congested: self.answers.congested,
            Delivering: self.answers.delivering,
            **dict.fromkeys(get_args(JobEvent), self._job),
        }
        """What happens all the time, and who takes it in: to look through all kinds of events takes longer."""

    # ------------------------------------------------------------ the shell's side

    def start(self) -> list[Command]:
        """What to do before the first event."""
        me = self.me
        wanted = [topics.birth(me.site), topics.task(me.site, me.node), topics.reply(me.site, me.node)]
        if me.keeps:
            wanted.append(topics.replica(me.site, me.node))
        return [Subscribe(topic) for topic in wanted]

    def will(self) -> Gone:
        """What the broker is to say, on the birth topic, when this node dies."""
        return Gone(self.presence.incarnation)

    def deadline(self) -> int | None:
        """When to call ``handle(Tick())`` at the latest."""
        return earliest(
            self.answers.deadline(),
            self.ledger.deadline(),
            self.directory.deadline(),
            self.presence.deadline(),
            self.keeping.deadline(),
            None if self._left else self._drained_by,
        )

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take in one event and return what to do about it, in order. Where there is time afterwards, ``catch_up``
        learns from it."""
        return [*self.take_in(event, now), *self.start_jobs(now)]

    def take_in(self, event: Event, now: int) -> list[Command]:
        """Take in one of several events of the same time, as ``handle`` does; after the last, ``start_jobs``."""
        if type(event) is not JobDone:  # to which it is all the same what was finished before
            self.answers.catch_up()
        often = self._often.get(type(event))
        out = self._dispatch(event, now) if often is None else often(event, now)
        if self.work.queue.has_idle():
            out += self.work.fill(now)
        if self._drained_by is not None and not self._left:
            out += self._leave(now, self._drained_by)
        return out

    def start_jobs(self, now: int) -> Iterator[Command]:
        """Start what waits for others on a worker in any case: all of it together, the most urgent first."""
        return self.work.fill(now)

    def catch_up(self) -> None:
        """Do what nobody is to wait for: write down what was taken and finished, learn from what others answered."""
        self.answers.catch_up()
        if self.ledger.lessons.catch_up():
            self.work.candidates.outdated()

    def _dispatch(self, event: Event, now: int) -> list[Command]:
        self.work.candidates.outdated()
        match event:
            case Moving():
                self.keeping.replicas.moving(event.node, now)
                return self.answers.effects(self.ledger.moving(event, now), now)
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
            case Disturbed():
                return self._disturbed(event, now)
            case ReplicaHeard():
                return self.keeping.heard(event, now)
            case Recovered() | Written() | WriteFailed():
                return self.keeping.journal(event, now)
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
        elif (again := self.keeping.again(event, now)) is not None:
            return again
        if isinstance(message, Cancel):
            return self.answers.cancel(held, known, event, now)
        if held is not None:
            held.announced = True
            return [self.answers.reply(event, self.answers.accepted(held, now))]
        if known is not None and (isinstance(message, Ask) or not _passing(known)):
            return [self.answers.repeat(event, known)]
        if isinstance(message, Task):
            return self._task(event, message, now)
        if isinstance(message, Malformed):
            reply = Refused(message.id, self.me.node, message.reason, message.message)
            return [self.answers.reply(event, reply), Note(message.reason, f"from {event.sender}: {message.message}")]
        unknown = Refused(message.id, self.me.node, "unknown-id", "no task with this id is here")
        return [self.answers.reply(event, unknown)]

    def _task(self, event: Asked, task: Task, now: int) -> list[Command]:
        try:
            if task.name.startswith(builtins.PREFIX):
                return builtins.call(self.builtins, event, task, now)
            if task.count > 1:
                return self._bundle(event, task, now)
            if task.keep is not None or task.session is not None:
                return self.keeping.asked(event, task, now)
        except TaskRefused as error:
            return self.answer(event, builtins.refused(task, self.me.node, error), now)
        return self._admit(event, task, now)

    def turn_away(self, event: Asked, incoming: int, now: int) -> list[Command]:
        """What to say, in place of having its arguments sent, to one who announces a large task; ``incoming`` bytes of
        others are on their way here. Empty where the task is welcome."""
        self.answers.catch_up()
        key, task = (event.sender, event.message.id), event.message
        known = self.outcomes.get(key)
        if key in self.held or (known is not None and not _passing(known)):
            return self._asked(event, now)
        assert isinstance(task, Task)
        if task.keep is None and task.session is None and not (task.count > 1 or task.name.startswith(builtins.PREFIX)):
            objection = self._objection(event.sender, task, self.work.info(task.name), now, incoming)
            return [] if objection is None else [self.answers.reply(event, objection)]
        if len(task.body) <= RECORD_SIZE:
            return []
        message = f"{len(task.body)} bytes of arguments; what is kept, or asked of a node, may have {RECORD_SIZE}"
        return [self.answers.reply(event, Refused(task.id, self.me.node, "too-large", message))]

    # ------------------------------------------------------------ what a node answers itself

    def answer(self, event: Asked, answer: Answer, now: int) -> list[Command]:
        """Answer a call of a builtin, and keep the answer for one who asks again."""
        return self.answers.answer(event, answer, now)

    def _disturbed(self, event: Disturbed, now: int) -> list[Command]:
        asked, answer = self._disturbances.done(event)
        return self.answer(asked, answer, now)

    # ------------------------------------------------------------ tasks

    def _bundle(self, event: Asked, task: Task, now: int) -> list[Command]:
        if self.me.role != "fog" or self.work.quarantine.suspects(task.name, now):
            raise TaskRefused("apart", "each of these calls is to be looked at alone")
        try:
            return self._admit(event, task, now, bundles.calls_of(task))
        except WireError as error:
            reason = "too-large" if isinstance(error, TooLarge) else "malformed"
            raise TaskRefused(reason, str(error)) from error

    def _admit(self, event: Asked, task: Task, now: int, calls: tuple[Body, ...] = ()) -> list[Command]:
        info = self.work.info(task.name)
        objection = self._objection(event.sender, task, info, now)
        if objection is not None or info is None:
            return [] if objection is None else [self.answers.reply(event, objection)]
        held = self.work.hold((event.sender, task.id), task, info, now, calls)
        held.link, held.as_json = event.link, event.as_json
        return self.answers.take(held, now)

    def _objection(
        self, sender: str, task: Task, info: TaskInfo | None, now: int, incoming: int = 0
    ) -> Refused | Expired | None:
        """What to say to one whose task is not taken. None where it is, which needs ``info`` too."""
        refused = self._unwelcome(sender, task, now, incoming)
        if refused is not None:
            return refused
        if info is None:
            return Refused(task.id, self.me.node, "unknown-task", self.work.offered(task.name))
        if task.deadline == 0:
            return Expired(task.id, f"the deadline had passed when the task came to {self.me.node}")
        return None

    def _unwelcome(self, sender: str, task: Task, now: int, incoming: int = 0) -> Refused | None:
        self.answers.catch_up()
        if self._drained_by is not None:
            return Refused(task.id, self.me.node, "leaving", f"{self.me.node} is shutting down", 1000)
        return self.work.quarantine.refusal(task, now) or self.work.admission.refusal(sender, task, now, incoming)

    # ------------------------------------------------------------ what jobs and the site say

    def _job(
        self, event: JobDone | JobSplit | JobFailed | JobRefused | JobApart | JobProgress | JobLost, now: int
    ) -> list[Command]:
        held = self.work.queue.running.get(event.job)
        if held is None:
            return []
        if isinstance(event, JobDone):  # by far the most
            return self.answers.finish(held, self.work.done(held, event, now), now)
        if isinstance(event, JobApart):
            return self.answers.apart(held, event, now)
        if isinstance(event, JobProgress):
            return self.answers.advanced(held, event.fraction, now) if held.job_kind == "run" else []
        return self.answers.effects(self.work.job(held, event, now), now)

    def _replied(self, event: Replied, now: int) -> list[Command]:
        self.work.candidates.outdated()
        if isinstance(event.message, Kept):
            return self.keeping.kept(event.message, now)
        return self.answers.effects(self.ledger.hear(event.message, now), now)

    def _drop_orphans(self, node: str, before: int | None, now: int) -> list[Command]:
        """What a node handed over in an earlier life is run for nobody: who gave it that has it run elsewhere. It would
        keep others waiting, the more of it the more nodes die."""
        member = self.directory.members.get(node)
        if before is None or member is None or member.birth.incarnation == before:
            return []
        orphans = [held for (sender, _), held in self.held.items() if sender == node]
        return [command for held in orphans for command in self.answers.finish(held, Cancelled(held.task.id), now)]

    def _node_heard(self, event: NodeHeard, now: int) -> list[Command]:
        self.work.candidates.outdated()
        if event.node == self.me.node:
            return self.presence.heard_of_myself(event, now)
        known = self.directory.members.get(event.node)
        before = None if known is None else known.birth.incarnation
        gone = self.directory.hear(event.link, event.node, event.message, now)
        out = self.answers.effects(self.ledger.node_gone(event.node, "gone"), now) if gone else []
        if gone or (isinstance(event.message, Birth) and not event.message.capacity):
            out += self.keeping.node_gone(event.node, now)
        if isinstance(event.message, Birth):
            out += self._drop_orphans(event.node, before, now)
            self.ledger.node_came(event.node, now)
            if event.message.keeps:
                out += self.keeping.node_came(event.node, now)
        elif isinstance(event.message, Beat):
            self.work.quarantine.heard(event.node, event.message.quarantined, now)
        return out + self.presence.noticed(event.node, now)

    def _offer(self, event: Offer, now: int) -> list[Command]:
        self.me.tasks.clear()
        self.me.tasks.update({info.name: info for info in event.tasks})
        return self.presence.announce_everywhere(now)

    def _link_up(self, link: str, now: int) -> list[Command]:
        self.directory.link_up(link, now)
        self.ledger.recheck(now)
        self.keeping.replicas.link_up(now)
        return self.presence.announce(link, now)

    def _link_down(self, link: str, now: int) -> list[Command]:
        self.directory.link_down(link)
        self.ledger.recheck(now)
        return self.presence.rewatch(now)

    def _tick(self, now: int) -> list[Command]:
        out: list[Command] = []
        for node in self.directory.lapse(now):
            out.append(Note("lost", f"{node}: no heartbeat within its time"))
            out += self.answers.effects(self.ledger.node_gone(node, "no heartbeat"), now)
            out += self.keeping.node_gone(node, now)
        out += self.answers.effects(self.ledger.tick(now), now)
        out += self.answers.tick(now)
        out += self.keeping.tick(now)
        return out + self.presence.tick(now, self.work.queue, self.work.quarantine.names(now))

    # ------------------------------------------------------------ leaving

    def _drain(self, patience: int, now: int) -> list[Command]:
        if self._drained_by is not None:
            return []
        if self.me.role == "cloud":  # what it has is on its disk, and waits there for it to come back
            self._drained_by, self._left = now, True
            return [*self.presence.say_goodbye(), Leave()]
        self._drained_by = now + patience
        out = [*self.presence.drain(now), *self.keeping.drain(now)]
        for held in [held for held in self.work.queue.waiting() if held.parent is None and held.job_kind == "run"]:
            out += self.answers.finish(held, self._farewell(held), now)
        return out

    def _farewell(self, held: Held) -> Refused:
        return Refused(held.task.id, self.me.node, "leaving", f"{self.me.node} is shutting down", 1000)

    def _leave(self, now: int, by: int) -> list[Command]:
        if now < by and (self.held or self.answers.are_under_way):
            return []
        out = [each for held in [*self.held.values()] for each in self.answers.finish(held, self._farewell(held), now)]
        self._left = True
        return [*out, *self.presence.say_goodbye(), Leave()]


def _passing(answer: Answer) -> bool:
    """Whether the same task may get another answer when it is sent again."""
    return isinstance(answer, (Refused, Cancelled))
