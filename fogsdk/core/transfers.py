"""Large bodies in chunks: a layer between a core and its shell, which has the core see whole messages alone.

    shell  -- Carried(Transfer | Chunk | Got), any other event -->  Transfers  -- whole messages, Moving -->  core
    shell  <-- Send(Transfer | Chunk | Got), any other command --   Transfers  <-- Send(Task | Result | Replica) -- core

A message whose body is over the inline limit is announced (``Transfer``), and its body follows in chunks, on the very
topic of the message; the receiver says what it has on the topic that leads back. Each end drops a transfer of which
nothing is heard, and begins it again where it was when the core sends the message once more, or asks after it. So the
ledger's own recovery carries it over to another link, and what arrived is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from fogsdk.core.bodies import Large, body_of, id_of, id_of_record
from fogsdk.core.commands import Command, Note, Send
from fogsdk.core.entry import answering
from fogsdk.core.events import Asked, Carried, Delivering, Event, LinkUp, Moving, ReplicaHeard, Replied, Tick
from fogsdk.core.incoming import Buffer, Incoming, Key, arrived, head_of, key_of, kind_of, no_room
from fogsdk.core.ledger import Ledger
from fogsdk.core.outgoing import GIVE_UP_AFTER, Outgoing, make_room, whole
from fogsdk.core.timers import earliest
from fogsdk.wire import topics
from fogsdk.wire.limits import INLINE_SIZE, RECORD_SIZE
from fogsdk.wire.messages import (
    Ask,
    Cancel,
    Chunk,
    Failed,
    Got,
    Kept,
    Malformed,
    Message,
    Progress,
    Refused,
    Replica,
    Reply,
    Result,
    Task,
    Transfer,
)

if TYPE_CHECKING:
    from fogsdk.core.copies import Copies

WHOLE_AFTER = 1500
"""Milliseconds after which a result goes out in one payload, if it fits: its receiver seems to know no chunks."""
UNSAYABLE_AFTER = 15_000
"""Milliseconds after which one that does not fit becomes a failure: one that knows chunks may be busy until then."""
Allocate = Callable[[int], Buffer]
"""Sets memory aside, so many bytes."""
TurnAway = Callable[[Asked, int, int], list[Command]]
"""What is to be said, in place of taking its body, to one who announces a task; with the bytes that are on their way in
already, and the time."""
Handle = Callable[[Event, int], list[Command]]


class Core(Protocol):
    """What is behind: a client or a node."""

    ledger: Ledger

    def deadline(self) -> int | None:
        """When to call ``handle(Tick())`` at the latest."""


_ALWAYS = (Carried, LinkUp)
"""Events that matter here even while nothing is on its way."""


class Transfers:
    """Stands in front of ``core``, whose events go through ``handle``.

    ``me`` is its id on the site; ``inline`` and ``room`` are in bytes: what travels within its message, and what may be
    on its way in at once. One that takes tasks says with ``turn_away`` which it does not; ``copies`` are its records.
    """

    def __init__(
        self,
        core: Core,
        handle: Handle,
        site: str,
        me: str,
        *,
        allocate: Allocate,
        room: int,
        inline: int = INLINE_SIZE,
        turn_away: TurnAway | None = None,
        copies: Copies | None = None,
        run: str = "",
    ) -> None:
        self._core = core
        self._inner = handle
        self._site = site
        self._me = me
        self._allocate = allocate
        self._room = room
        self._inline = core.ledger.inline = min(inline, RECORD_SIZE)
        self._turn_away = turn_away
        self._copies = copies
        self._run = run
        self._outgoing: dict[tuple[str, str], Outgoing] = {}
        self._incoming: dict[Key, Incoming] = {}
        self._links: dict[str, None] = {}
        self._count = 0
        self._delivers = False

    @property
    def incoming_bytes(self) -> int:
        """Bytes that are set aside for what is on its way in."""
        return sum(each.size for each in self._incoming.values())

    def deadline(self) -> int | None:
        """When to call ``handle(Tick())`` at the latest."""
        due = self._core.deadline()
        if self._outgoing:
            due = earliest(due, min(each.due for each in self._outgoing.values()))
        if self._incoming:
            due = earliest(due, min(each.over_at() for each in self._incoming.values()))
        return due

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take in one event and return what to do about it, in order."""
        if self._outgoing or self._incoming or type(event) in _ALWAYS:
            return self._said(self._attended(event, now), now)
        out = self._inner(event, now)
        for each in out:
            if type(each) is Send:
                message = each.message
                if (type(message) is Task or type(message) is Result) and len(message.body) > self._inline:
                    return self._said(self._filtered(out, now), now)
                if type(message) is Replica and len(message.data) > self._inline:
                    return self._said(self._filtered(out, now), now)
        return out

    def _said(self, out: list[Command], now: int) -> list[Command]:
        """The core hears whether results or copies are on their way: a node is not to leave before they are there."""
        delivers = any(not isinstance(each.message, Task) for each in self._outgoing.values())
        if delivers == self._delivers:
            return out
        self._delivers = delivers
        return [*out, *self._inner(Delivering(delivers), now)]

    def _attended(self, event: Event, now: int) -> list[Command]:
        if isinstance(event, Carried):
            return self._carried(event, now)
        self._note(event)
        if isinstance(event, LinkUp):
            self._links[event.link] = None
            for each in self._outgoing.values():
                each.due = now
                if each.link == event.link:
                    each.go_over(event.link, is_new=True)
        out = self._pass_on(event, now)
        if isinstance(event, (Tick, LinkUp)):
            out += self._look(now)
        return out

    def _pass_on(self, event: Event, now: int) -> list[Command]:
        return self._filtered(self._inner(event, now), now)

    def _filtered(self, commands: list[Command], now: int) -> list[Command]:
        for each in commands:
            if isinstance(each, Send) and self._concerns(each.message):
                return [self._send(each, now) for each in commands]
        return commands

    # ------------------------------------------------------------ what the core sends

    def _concerns(self, message: Message) -> bool:
        if isinstance(message, (Task, Result)):
            return len(message.body) > self._inline
        if isinstance(message, Replica):
            return len(message.data) > self._inline or bool(self._outgoing)
        return bool(self._outgoing) and isinstance(message, (Ask, Cancel, Refused))

    def _send(self, command: Command, now: int) -> Command:
        if not isinstance(command, Send) or not self._concerns(command.message):
            return command
        message = command.message
        if isinstance(message, (Task, Result, Replica)):
            return self._send_large(command, message, now)
        assert isinstance(message, (Ask, Cancel, Refused))
        key = (command.topic, message.id)
        known = self._outgoing.get(key)
        if isinstance(message, Cancel):
            self._outgoing.pop(key, None)
            return command
        if known is None or (isinstance(message, Refused) and message.reason != "unknown-id"):
            return command
        known.go_over(command.link)
        return known.announce(now)

    def _send_large(self, command: Send, message: Large, now: int) -> Command:
        key = (command.topic, id_of(message))
        known = self._outgoing.get(key)
        if isinstance(message, Replica) and len(message.data) <= self._inline:
            self._outgoing.pop(key, None)  # it takes the place of a larger version
            return command
        if command.link not in self._links:
            return command  # no broker: another way into the node, which has means of its own
        if command.as_json and isinstance(message, Result):
            return whole(command, message)
        if known is None or body_of(known.message) is not body_of(message):
            if isinstance(message, Result) and not make_room(self._outgoing, len(message.body), self._room, now):
                said = f"{self._me} sends so many results that it has no room for this one"
                return replace(command, message=Refused(message.id, self._me, "overloaded", said, 1000))
            known = self._outgoing[key] = self._begin(command, message, now)
        elif isinstance(message, Task):
            known.due = now  # whoever is to have it now may know nothing of it
        known.message, known.sent_at = message, now
        known.go_over(command.link)
        return known.announce(now)

    def _begin(self, send: Send, message: Large, now: int) -> Outgoing:
        if isinstance(message, Task):  # its id means these arguments and no others
            return Outgoing(send.link, send.topic, message, "", "", now, now, now, now)
        self._count += 1
        node = self._me if isinstance(message, Result) else ""
        return Outgoing(send.link, send.topic, message, f"{self._run}-{self._count:x}", node, now, now, now, now)

    # ------------------------------------------------------------ what comes in

    def _carried(self, event: Carried, now: int) -> list[Command]:
        if (self._turn_away is None and not event.is_reply) or (event.is_reply and not event.message.node):
            return []  # not for one who takes no tasks; from one whom nobody knows how to answer
        match event.message:
            case Transfer():
                return self._announced(event, event.message, now)
            case Chunk():
                return self._chunk(event, event.message, now)
            case Got():
                return self._got(event, event.message, now)

    def _announced(self, event: Carried, transfer: Transfer, now: int) -> list[Command]:
        head = head_of(event, transfer)
        if isinstance(head, Malformed):
            if kind_of(event) is Task:
                return self._pass_on(Asked(event.link, event.sender, head), now)
            who = event.sender or transfer.node
            return [Note("malformed", f"a transfer from {who} cannot be read: {head.message}")]
        key = key_of(event)
        known = self._incoming.get(key)
        if known is None or len(known.buffer) != transfer.size:
            self._drop(key[:3])
            if event.is_reply and transfer.id not in self._core.ledger.entries:  # settled: whatever it is, not needed
                return [self._say(event, Got(transfer.id, transfer.size, True, transfer.tag))]
            if isinstance(head, Replica) and (data := self._copies and self._copies.data_of(head, transfer.size)):
                here = Got(transfer.id, transfer.size, True, transfer.tag, self._me)
                heard = ReplicaHeard(event.link, event.sender, replace(head, data=data))
                return [self._say(event, here), *self._pass_on(heard, now)]
            full = no_room(event, transfer.size, self._room, self._me, self._incoming)
            if full is not None:
                return self._turned_back(event, head, *full, now)
            node = "" if event.is_reply else self._me
            try:
                buffer = self._allocate(transfer.size)
            except OSError as error:  # no memory, or no descriptors, are left
                said = f"no memory for {transfer.size} bytes: {error}"
                return self._turned_back(event, head, "overloaded", said, now)
            refused = self._would_refuse(event, head, buffer, now)
            if refused:
                return refused
            known = self._incoming[key] = Incoming(
                event.link, head, transfer.tag, node, buffer, len(transfer.head), now, now
            )
        return [self._say(event, known.announced(event.link, head, now)), *self._moving(event, now)]

    def _drop(self, key: tuple[type[Large], str, str]) -> None:
        for each in [each for each in self._incoming if each[:3] == key]:
            del self._incoming[each]

    def _say(self, event: Carried, got: Got) -> Send:
        """Tell who sends a body what is here of it."""
        if event.is_reply:
            return Send(event.link, topics.task(self._site, event.message.node, self._me), got)
        return Send(event.link, topics.reply(self._site, event.sender), got)

    def _moving(self, event: Carried, now: int) -> list[Command]:
        """The core hears that a result is on its way."""
        return self._pass_on(Moving(event.message.id, event.message.node), now) if event.is_reply else []

    def _turned_back(self, event: Carried, head: Large, reason: str, said: str, now: int) -> list[Command]:
        """A task is to go elsewhere, or to come later, and a copy elsewhere. A result, which comes this way or not at
        all, has failed, or it is known of, and is to be announced again."""
        transfer = event.message
        assert isinstance(transfer, Transfer)
        if isinstance(head, Task):
            refused = Refused(head.id, self._me, reason, said, None if reason == "no-room" else 1000)
            return [Send(event.link, topics.reply(self._site, event.sender), refused)]
        if isinstance(head, Replica):
            return [Send(event.link, topics.reply(self._site, event.sender), Kept(head.key, self._me, refuses=True))]
        if reason != "no-room":
            return [self._say(event, Got(head.id, 0, False, transfer.tag)), *self._moving(event, now)]
        failed = Replied(event.link, Failed(head.id, "WireError", f"the result has {said}", "", head.hops))
        return [self._say(event, Got(head.id, transfer.size, True, transfer.tag)), *self._pass_on(failed, now)]

    def _would_refuse(self, event: Carried, head: Large, buffer: Buffer, now: int) -> list[Command]:
        """What the core says to a task that it would not take, or has already; nothing where it is welcome."""
        if self._turn_away is None or not isinstance(head, Task):
            return []
        asked = Asked(event.link, event.sender, replace(head, body=buffer.view()))
        return self._filtered(self._turn_away(asked, self.incoming_bytes, now), now)

    def _chunk(self, event: Carried, chunk: Chunk, now: int) -> list[Command]:
        key = key_of(event)
        known = self._incoming.get(key)
        if known is None:
            return []  # its sender will hear nothing, and announce it again
        if event.is_reply and chunk.id not in self._core.ledger.entries:
            del self._incoming[key]
            return [self._say(event, Got(chunk.id, len(known.buffer), True, chunk.tag))]
        known.link = event.link
        got = known.take(chunk, now)
        out: list[Command] = [] if got is None else [self._say(event, got)]
        if not known.is_whole:
            return [*out, *self._moving(event, now)]
        del self._incoming[key]
        return [*out, *self._pass_on(arrived(event, known.message(now)), now)]

    def _got(self, event: Carried, got: Got, now: int) -> list[Command]:
        where = self._where(event, got)
        if where is None:
            return []
        known = self._outgoing[where]
        known.go_over(event.link)
        sends = known.got(got, now)
        if known.is_over:
            del self._outgoing[where]
        if not event.is_reply:
            return list(sends)
        took = known.latest if 0 < known.acked < known.next else 0  # before, it is what a question took
        moved = Moving(got.id, got.node, True, known.next - known.acked, known.is_over, took)
        return [*sends, *self._pass_on(moved, now)]

    def _where(self, event: Carried, got: Got) -> tuple[str, str] | None:
        """Which of those that are on their way out is spoken of, and is still to get there."""
        topic_of = (topics.task, topics.replica) if event.is_reply else ()
        at = [of(self._site, got.node, self._me) for of in topic_of] or [topics.reply(self._site, event.sender)]
        for topic in at:
            known = self._outgoing.get((topic, got.id))
            if known is not None and known.tag == got.tag and not self._drops((topic, got.id), known):
                return topic, got.id
        return None

    def _drops(self, where: tuple[str, str], outgoing: Outgoing) -> bool:
        """Drop a copy that is no longer to get there. Returns whether it is one."""
        message, node = outgoing.message, topics.parse(outgoing.topic).node
        unwanted = isinstance(message, Replica) and self._copies is not None and not self._copies.wants(node, message)
        if unwanted:
            del self._outgoing[where]
        return unwanted

    # ------------------------------------------------------------ what is over

    def _note(self, event: Event) -> None:
        """What is said of a task may end a transfer of it."""
        if isinstance(event, Asked) and isinstance(event.message, Cancel):
            self._drop((Task, event.sender, event.message.id))
        elif isinstance(event, ReplicaHeard) and isinstance(event.message, Replica):
            self._drop((Replica, event.node, id_of(event.message)))
        elif isinstance(event, Replied):
            self._note_reply(event.message)

    def _note_reply(self, said: Reply | Kept) -> None:
        if isinstance(said, Kept):
            if said.refuses:
                self._outgoing.pop((topics.replica(self._site, said.node, self._me), id_of_record(said.key)), None)
        elif not isinstance(said, Progress):
            node = answering(said)
            unknown = isinstance(said, Refused) and said.reason == "unknown-id"
            if node is not None and not unknown:
                self._outgoing.pop((topics.task(self._site, node, self._me), said.id), None)

    def _look(self, now: int) -> list[Command]:
        for key, each in list(self._incoming.items()):
            if each.over_at() <= now:
                del self._incoming[key]
        out: list[Command] = []
        for where, outgoing in list(self._outgoing.items()):
            if outgoing.due <= now:
                out += self._again(where, outgoing, now)
        return out

    def _again(self, where: tuple[str, str], outgoing: Outgoing, now: int) -> list[Command]:
        if self._drops(where, outgoing):
            return []
        silent, message = now - outgoing.heard_at, outgoing.message
        patience = WHOLE_AFTER if outgoing.size <= RECORD_SIZE else UNSAYABLE_AFTER
        if isinstance(message, Result) and not outgoing.answered and silent >= patience:
            del self._outgoing[where]
            return [whole(Send(outgoing.link, outgoing.topic, message), message)]
        unwanted = isinstance(message, Task) and message.id not in self._core.ledger.entries
        if unwanted or silent >= GIVE_UP_AFTER:
            del self._outgoing[where]
            return []
        return [outgoing.announce(now)]
