"""What a node holds for others, and what it tells them: each task that it took on gets exactly one outcome."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from fogsdk.core.commands import Advanced, Command, Send, Settled
from fogsdk.core.entry import Orphaned
from fogsdk.core.events import Asked, Congested, Delivering, JobApart
from fogsdk.core.hedging import Straggling
from fogsdk.core.held import Held, Key, State
from fogsdk.core.ledger import Effect
from fogsdk.core.outcomes import Answer, Outcomes
from fogsdk.core.timers import Timers, earliest
from fogsdk.core.work import Work
from fogsdk.wire import bundles, topics
from fogsdk.wire.limits import BUNDLE, INLINE_SIZE
from fogsdk.wire.messages import Accepted, Cancelled, Expired, Failed, Hop, Progress, Result

ACCEPT_AFTER = 50
"""Milliseconds after which a task that is not done is acknowledged: a quick one is answered by its result alone."""
TELL_EVERY = 100
"""Milliseconds between two progress messages about one task."""


class Answers:
    """The tasks that a node holds, from when it took them until they are answered, and the answers it keeps."""

    def __init__(self, site: str, node: str, work: Work) -> None:
        self.held: dict[Key, Held] = {}
        self.outcomes = Outcomes()
        self.are_under_way = False
        """Whether large results are on their way to who asked for them."""
        self._full: set[str] = set()  # links on which what was sent has not left
        self._site = site
        self._node = node
        self._work = work
        self._timers: Timers[Key] = Timers()
        self._fresh: deque[tuple[int, Key]] = deque()  # when each is to be acknowledged: of all the same time, in order
        self._taken: list[tuple[Held, int]] = []  # and when
        self._finished: list[tuple[Held, Answer | None, int]] = []  # with what is to be kept, and when

    def delivering(self, event: Delivering, _now: int) -> list[Command]:
        """Large results begin to leave, or all are there."""
        self.are_under_way = event.under_way
        return []

    def congested(self, event: Congested, _now: int) -> list[Command]:
        """What is sent over a link waits to leave, or does so no longer."""
        (self._full.add if event.full else self._full.discard)(event.link)
        return []

    def catch_up(self) -> None:
        """Write down what was taken and finished since the last time: what for nobody is to wait, neither a worker nor
        a sender."""
        if self._taken:
            self._write_down_taken()
        if self._finished:
            self._write_down_finished()

    def _write_down_taken(self) -> None:
        taken, self._taken = self._taken, []
        for held, now in taken:
            self._work.admission.took(held)
            self._fresh.append((now + ACCEPT_AFTER, held.key))
            if held.expires is not None:
                self._timers.set(held.key, held.expires)

    def _write_down_finished(self) -> None:
        finished, self._finished = self._finished, []
        for held, answer, now in finished:
            if held.expires is not None:
                self._timers.drop(held.key)
            self._work.admission.let_go(held)
            if answer is not None:
                self.outcomes.keep(held.key, answer, now)

    def deadline(self) -> int | None:
        """When a task is to be acknowledged, or its deadline passes."""
        self.catch_up()
        while self._fresh and self._is_stale(*self._fresh[0]):
            self._fresh.popleft()
        return earliest(self._timers.next(), self._fresh[0][0] if self._fresh else None)

    def _is_stale(self, due: int, key: Key) -> bool:
        """Whether a task was answered before it was to be acknowledged, also where its like came again since."""
        held = self.held.get(key)
        return held is None or due < held.arrived + ACCEPT_AFTER

    def tick(self, now: int) -> list[Command]:
        """Acknowledge tasks that take their time, and end those whose deadline has passed."""
        out: list[Command] = []
        for key in self._timers.pop_due(now):
            held = self.held.get(key)
            out += self._expire(held, now) if held is not None else []
        while self._fresh and self._fresh[0][0] <= now:
            due, key = self._fresh.popleft()
            out += [] if self._is_stale(due, key) else self._acknowledge(self.held[key], now)
        return out

    def _expire(self, held: Held, now: int) -> list[Command]:
        where = f"it was {held.state.value} on {self._node}"
        hop = Hop(self._node, "lost", "deadline", took=float(now - held.arrived))
        return self.finish(held, Expired(held.task.id, f"the deadline passed while {where}", (hop,)), now)

    def _acknowledge(self, held: Held, now: int) -> list[Command]:
        if held.announced or not held.key[0]:  # nobody waits for it
            return []
        held.announced = True
        return [self.reply(held, self.accepted(held, now))]

    # ------------------------------------------------------------ from first to last

    def take(self, held: Held, now: int) -> list[Command]:
        """Take charge of a task, and send it on its way."""
        self.held[held.key] = held
        self._taken.append((held, now))
        return self.effects(self._work.place(held, now), now)

    def finish(self, held: Held, answer: Answer, now: int) -> list[Command]:
        """Give a task its one outcome; whatever still works on it is stopped."""
        if held.state is State.DONE:
            return []
        out: list[Command] = []
        for part in held.parts:
            out += self.finish(part, Cancelled(part.task.id), now)
        out += self._work.release(held)
        held.to(State.DONE)
        if held.parent is not None:
            return out + (self._part_done(held.parent, held, answer, now) if held.part is not None else [])
        del self.held[held.key]
        self._finished.append((held, answer if held.report is None else None, now))
        if held.report is not None:
            return out + held.report(answer, now)
        out.append(self.reply(held, answer))
        return out

    def apart(self, held: Held, event: JobApart, now: int) -> list[Command]:
        """A bundle has ended early: answer for its calls that are done, and take the others as tasks of their own."""
        result, alone = self._work.apart(held, event, now)
        out = self.finish(held, result, now)
        for each in alone:
            if each.key in self.held:  # its sender gave another task the same id
                out += self._work.release(each)
                continue
            self.held[each.key] = each
            self._taken.append((each, now))
        return out

    def cancel(self, held: Held | None, known: Answer | None, event: Asked, now: int) -> list[Command]:
        """A sender wants something no more: a task, or what is left of a bundle that was taken apart."""
        if held is not None:
            return self.finish(held, Cancelled(held.task.id), now)
        out: list[Command] = [self.reply(event, known or Cancelled(event.message.id))]
        for index in range(BUNDLE) if isinstance(known, Result) else ():
            alone = self.held.get((event.sender, bundles.id_of(event.message.id, index)))
            out += [] if alone is None else self.finish(alone, Cancelled(alone.task.id), now)
        return out

    def answer(self, to: Asked, answer: Answer, now: int) -> list[Command]:
        """Answer one who asked, and keep the answer for when it is asked for again."""
        self.catch_up()
        self.outcomes.keep((to.sender, answer.id), answer, now)
        return [self.reply(to, answer)]

    def _part_done(self, parent: Held, part: Held, answer: Answer, now: int) -> list[Command]:
        if parent.state is not State.SHARED:
            return []
        if isinstance(answer, Result):
            return self.effects(self._work.collect(parent, part, answer, now), now)
        if isinstance(answer, Cancelled):
            return []
        if isinstance(answer, (Failed, Expired)):
            answer = replace(answer, hops=parent.trace_of_parts(self._node, now, answer.hops))
        return self.finish(parent, replace(answer, id=parent.task.id), now)

    def effects(self, effects: Sequence[Effect | Command | tuple[Held, Answer]], now: int) -> list[Command]:
        """Carry out what concerns tasks of this node, and pass on the rest."""
        out: list[Command] = []
        for effect in effects:
            match effect:
                case (held, answer):
                    out += self.finish(held, answer, now)
                case Orphaned():
                    out += self.effects(self._work.orphaned(effect, now), now)
                case Straggling():
                    out += self.effects(self._work.straggling(effect, now), now)
                case Settled():
                    out += self._settled(effect, now)
                case Advanced():
                    out += self.advanced(self._work.away.get(effect.id), effect.fraction, now)
                case _:
                    out.append(effect)
        return out

    def _settled(self, effect: Settled, now: int) -> list[Command]:
        held = self._work.away.get(effect.id)
        if held is None:
            return []
        return self.finish(held, self._work.came_back(held, effect.outcome, now), now)

    # ------------------------------------------------------------ what senders hear

    def reply(self, to: Asked | Held, message: Answer | Accepted | Progress) -> Send:
        """Tell a sender about its task, over the link and in the language in which it last spoke of it."""
        sender = to.sender if isinstance(to, Asked) else to.key[0]
        return Send(to.link, topics.reply(self._site, sender), message, to.as_json)

    def repeat(self, event: Asked, known: Answer) -> Send:
        """Answer once more; where the first answer may not have left yet, it is not to wait there twice."""
        if event.link in self._full and isinstance(known, Result) and len(known.body) <= INLINE_SIZE:
            return self.has_it(event)
        return self.reply(event, known)

    def accepted(self, held: Held, now: int) -> Accepted:
        """The word that the node has the task, with a guess at the time until its outcome."""
        return Accepted(held.task.id, self._node, int(self._work.queue.wait(now, held.quick) + held.cost))

    def has_it(self, event: Asked) -> Send:
        """The word that the node has a task that is not, or no longer, among those that it runs."""
        return self.reply(event, Accepted(event.message.id, self._node))

    def advanced(self, held: Held | None, fraction: float, now: int) -> list[Command]:
        """A task came further: its sender is told, not too often."""
        if held is None:
            return []
        held.fraction = fraction
        if held.parent is not None:
            parent = held.parent
            return self.advanced(parent, sum(part.fraction * part.share for part in parent.parts), now)
        if not held.key[0] or (now - held.told_at < TELL_EVERY and fraction < 1.0):
            return []
        held.told_at = now
        return [self.reply(held, Progress(held.task.id, min(1.0, fraction)))]
