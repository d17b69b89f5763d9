"""What a node keeps for others: it puts posted tasks and sessions together with the records below them.

Calls about a record go to :mod:`fogsdk.core.posts` or :mod:`fogsdk.core.sessions`; what becomes of records, as
:mod:`fogsdk.core.replicas` tells it, makes the calls about them go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fogsdk.core.answers import Answers
from fogsdk.core.builtins import Builtin, refused
from fogsdk.core.calls import Call, Calls
from fogsdk.core.commands import Command
from fogsdk.core.events import Asked, Recovered, ReplicaHeard, WriteFailed, Written
from fogsdk.core.identity import Identity
from fogsdk.core.keeper import Keeper, Welcome
from fogsdk.core.membership import Directory
from fogsdk.core.posts import Posts
from fogsdk.core.records import Sought, Stored, Unwritten, Yielded
from fogsdk.core.replicas import Replicas
from fogsdk.core.routing import SESSION
from fogsdk.core.sessions import Sessions, merge
from fogsdk.core.timers import earliest
from fogsdk.core.work import Work
from fogsdk.errors import TaskRefused
from fogsdk.wire.messages import Ask, Cancel, Cancelled, Expired, Kept, Task


class Keeping:
    """Posted tasks and sessions of one node."""

    def __init__(
        self, identity: Identity, directory: Directory, answers: Answers, work: Work, welcome: Welcome
    ) -> None:
        self.replicas = Replicas(identity, directory, merge)
        self.calls = Calls()
        self._me = identity
        self._answers = answers
        keeper = Keeper(identity, directory, self.replicas, self.calls, answers, work, welcome, self.effects)
        self.posts = Posts(keeper)
        self.sessions = Sessions(keeper)

    def builtins(self) -> dict[str, Builtin]:
        """The calls that are answered here."""
        return {
            "fog.fetch": self._calling(self.posts.fetch),
            "fog.forget": self._calling(self.posts.forget),
            "fog.session": self._calling(self.sessions.look),
        }

    def _calling(self, function: Callable[[Asked, Task, int, str], Call]) -> Builtin:
        def call(event: Asked, now: int, name: str) -> list[Command]:
            assert isinstance(event.message, Task)
            self._check_journal()
            return self._begin(function(event, event.message, now, name), now)

        return call

    def _check_journal(self) -> None:
        if not self._me.keeps:
            hint = "start the nodes of this site with `fognode --journal FILE`"
            raise TaskRefused("no-journal", f"{self._me.node} has no journal, and keeps nothing for others: {hint}")

    def _begin(self, call: Call, now: int) -> list[Command]:
        return self.effects(self._try(call, now), now)

    def deadline(self) -> int | None:
        """When ``tick`` has something to do."""
        if not self._me.keeps:
            return None
        return earliest(self.replicas.deadline(), self.calls.deadline(), self.posts.deadline())

    def tick(self, now: int) -> list[Command]:
        """Do what is due."""
        out = self.effects(self.replicas.tick(now), now)
        for call in self.calls.expired(now):
            self.calls.close(call)
            late = Expired(call.task.id, f"the deadline passed while {self._me.node} was waiting for {call.about[:80]}")
            out += self._answers.answer(call.asked, late, now)
        return out + self.effects(self.posts.tick(now), now)

    # ------------------------------------------------------------ calls

    def again(self, event: Asked, now: int) -> list[Command] | None:
        """Answer a message about a call that waits here; None where none does."""
        call = self.calls.again(event)
        if call is None:
            return None
        if isinstance(event.message, Cancel) and call.result is None:
            self.calls.close(call)
            return self._answers.answer(call.asked, Cancelled(call.task.id), now)
        # A cancel that comes too late gets no word that the call is here: its sender would cancel that again, at once.
        return [self._answers.has_it(event)] if isinstance(event.message, (Task, Ask)) else []

    def asked(self, event: Asked, task: Task, now: int) -> list[Command]:
        """Take a task to keep, or a session's step. Raises TaskRefused for what cannot be."""
        self._check_journal()
        return self._begin((self.posts.post if task.session is None else self.sessions.step)(event, task, now), now)

    # ------------------------------------------------------------ what becomes of records

    def heard(self, event: ReplicaHeard, now: int) -> list[Command]:
        """Another node wants something kept, or asks after it."""
        return self.effects(self.replicas.heard(event.node, event.message, now), now) if self._me.keeps else []

    def kept(self, message: Kept, now: int) -> list[Command]:
        """Another node says what it has."""
        return self.effects(self.replicas.kept(message, now), now)

    def journal(self, event: Recovered | Written | WriteFailed, now: int) -> list[Command]:
        """Take in the journal's word."""
        match event:
            case Recovered():
                return self.effects(self.replicas.recover(event.records, now), now)
            case Written():
                return self.effects(self.replicas.written(event.number), now)
            case WriteFailed():
                return self.effects(self.replicas.write_failed(event.number, event.why, now), now)

    def node_gone(self, node: str, now: int) -> list[Command]:
        """A node is lost, or was started anew."""
        return self.effects(self.replicas.node_gone(node, now), now)

    def node_came(self, node: str, now: int) -> list[Command]:
        """A node is there (again)."""
        return self.effects(self.replicas.node_came(node, now), now)

    def drain(self, now: int) -> list[Command]:
        """This node is to leave: others take over what is not at work here."""
        self.replicas.draining = True
        idle = [*self.posts.idle(), *self.sessions.idle()]
        return self.effects([effect for key in idle for effect in self.replicas.hand_over(key, now)], now)

    def effects(self, effects: Sequence[Any], now: int) -> list[Command]:
        """Carry out what concerns posts and sessions, and pass on the rest."""
        out: list[Command] = []
        for effect in effects:
            match effect:
                case Stored(key) | Yielded(key) | Sought(key) | Unwritten(key):
                    owner = self.sessions if key.startswith(SESSION) else self.posts
                    out += self.effects(owner.changed(effect, now), now)
                    out += self._go_on(effect, now)
                case _:
                    out.append(effect)
        return out

    def _go_on(self, effect: Stored | Yielded | Sought | Unwritten, now: int) -> list[Command]:
        out: list[Command] = []
        for call in self.calls.about(effect.key):
            call.sought, call.best = False, None  # what an earlier search found is no longer so
            if isinstance(effect, Sought):
                call.sought, call.best, call.answered = True, effect.best, effect.answered
            out += self._begin(call, now)
        return out

    def _try(self, call: Call, now: int) -> list[Any]:
        try:
            return call.go_on(call, now)
        except TaskRefused as error:
            self.calls.close(call)
            return self._answers.answer(call.asked, refused(call.task, self._me.node, error), now)
