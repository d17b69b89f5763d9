"""CoAP (RFC 7252), straight to a node and without a broker: for devices that are small, and for links of the SDK.

A request becomes a call of one of the methods named after paths below; what they may raise is a response itself.
Everything that a request holds is somebody else's word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiocoap
from aiocoap import error
from aiocoap.numbers.codes import Code

from fogsdk.core.commands import Send
from fogsdk.core.events import Asked
from fogsdk.errors import TaskRefused, TooLarge, WireError
from fogsdk.node.coap_answers import CBOR, LINKS, Problem, answer, content
from fogsdk.node.coap_blocks import BLOCK, Blocks, piece
from fogsdk.node.coap_keys import Keys
from fogsdk.node.coap_listing import links
from fogsdk.node.coap_mailbox import MOST_MAILBOXES, Mailbox, Mailboxes
from fogsdk.node.coap_requests import answer_form, body_form, check_options, options, wait
from fogsdk.node.coap_server import Casual, Server, Sure
from fogsdk.node.config import NodeSettings
from fogsdk.node.door import Service
from fogsdk.node.door_exchange import ASK_EVERY, Exchange, Exchanges
from fogsdk.node.door_requests import OPTIONS, fields, task_of
from fogsdk.node.door_site import nodes, tasks
from fogsdk.node.runtime import Runtime, clock
from fogsdk.wire import codec, limits
from fogsdk.wire.messages import Accepted, Ask, Cancel, Malformed, Message, Progress, Refused, Reply, Task
from fogsdk.wire.topics import check_id

log = logging.getLogger(__name__)

CONFIRM_EVERY = 15.0
"""Seconds after which a device that observes a task is asked whether it still does."""
LAST_WORDS = 0.3
"""Seconds that devices have to acknowledge that the node is leaving."""


@dataclass
class Call:
    """One request: ``device`` is whose key it came with, ``say`` sends a response, and whether that is the last."""

    request: Any
    body: bytes
    device: str
    say: Callable[[Any, bool], None]

    @property
    def observes(self) -> bool:
        """Whether it asks to be told of changes (RFC 7641)."""
        return bool(self.request.opt.observe == 0)


class CoapDoor:
    """The door of a node for CoAP."""

    name = "coap"

    def __init__(self, settings: NodeSettings) -> None:
        self._host, self._port = settings.host, settings.coap_port or 0
        self.service = Service("_coap._udp", self._port)
        self._keys = Keys(settings.coap_keys) if settings.coap_keys else None
        self._plain = self._keys is None or settings.insecure_lan
        self._blocks = Blocks()
        self._server: Server | None = None

    async def open(self, runtime: Runtime) -> None:
        """Listen. Raises ConfigError, with what to do about it, where that is not possible."""
        self._node, self._tell = runtime.node, runtime.tell
        me = self._me = runtime.identity.node
        self._exchanges = Exchanges(self.name, runtime.node, runtime.tell)
        self._mailboxes = Mailboxes(me, runtime.node.presence.birth, runtime.node.directory)
        self._server = await Server.listen(self, self._host, self._port)
        log.info("serving CoAP at %s port %d", self._host, self._port)

    async def close(self) -> None:
        """End every exchange, and listen no more."""
        if self._server is None:
            return
        self._exchanges.close()
        self._mailboxes.leave()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._mailboxes.empty.wait(), LAST_WORDS)
        server, self._server = self._server, None
        await server.shutdown()

    def deliver(self, send: Send) -> None:
        """Pass an answer on to the sender that ``send.topic`` names; one who is not there asks again."""
        self._exchanges.deliver(send)
        if isinstance(send.message, Reply):
            self._mailboxes.deliver(send.topic.rpartition("/")[2], send.message)

    # ------------------------------------------------------------ requests

    async def render_to_pipe(self, pipe: Any) -> None:
        """Answer one request, whatever it is."""
        request, device = pipe.request, ""
        seal: Callable[[Any], Any] = _as_it_is
        if request.opt.oscore is not None:
            if self._keys is None:
                raise Problem(aiocoap.BAD_OPTION, f"{self._me} has no keys: coap_keys is not set there")
            request, seal = self._keys.open(request)
            device = request.remote.security_context.device

        def say(message: Any, last: bool) -> None:
            pipe.add_response(seal(message), is_last=last)

        try:
            await self._serve(request, device, say)
        except error.RenderableError as wrong:
            say(wrong.to_message(), True)
        except Exception:
            log.exception("a bug, on a CoAP request")
            say(aiocoap.Message(code=aiocoap.INTERNAL_SERVER_ERROR), True)

    async def _serve(self, request: Any, device: str, say: Callable[[Any, bool], None]) -> None:
        path = request.opt.uri_path
        if path == ("fog", "v1", "oscore") and request.code is Code.GET:
            say(self._get_oscore(), True)
            return
        if not device and not self._plain:
            text = f"{self._me} takes no plain requests: use OSCORE with a key that it has (its setting coap_keys)"
            raise Problem(aiocoap.UNAUTHORIZED, text)
        check_options(request)
        further = self._blocks.more(request)
        if further is not None:
            say(further, True)
            return
        body = self._blocks.take(request)

        def send(message: Any, last: bool) -> None:
            message = self._blocks.cut(request, message)
            message.opt.block1 = request.opt.block1
            say(message, last)

        try:
            await self._route(Call(request, body, device, send), path)
        except (WireError, TaskRefused) as wrong:
            send(await answer(_refusal(self._me, request, wrong), _form(request, body)), True)

    async def _route(self, call: Call, path: tuple[str, ...]) -> None:
        code = call.request.code
        match path:
            case (".well-known", "core") if code is Code.GET:
                call.say(self._get_links(call), True)
            case ("fog", "v1", "tasks") if code is Code.GET:
                found = {"site": self._node.me.site, "tasks": tasks(self._node)}
                call.say(content(found, answer_form(call.request)), True)
            case ("fog", "v1", "nodes") if code is Code.GET:
                call.say(content(nodes(self._node, clock()), answer_form(call.request)), True)
            case ("fog", "v1", "tasks", name) if code is Code.GET:
                call.say(self._get_task(call, name), True)
            case ("fog", "v1", "tasks", name) if code is Code.POST:
                await self._post_task(call, name)
            case ("fog", "v1", "outcomes", sender, id) if code in (Code.GET, Code.DELETE):
                await self._outcome(call, sender, id)
            case ("fog", "v1", "messages", sender) if code in (Code.GET, Code.POST, Code.DELETE):
                await self._messages(call, sender)
            case ("fog", "v1", "messages", sender, name) if code is Code.GET:
                self._get_parcel(call, sender, name)
            case _:
                raise self._nowhere(path)

    def _nowhere(self, path: tuple[str, ...]) -> Problem:
        known = path in ((".well-known", "core"), ("fog", "v1", "tasks"), ("fog", "v1", "nodes"))
        if known or path[:3] in [("fog", "v1", kind) for kind in ("tasks", "outcomes", "messages")]:
            return Problem(aiocoap.METHOD_NOT_ALLOWED, "not by this method")
        return Problem(aiocoap.NOT_FOUND, "there is nothing; /.well-known/core lists what there is")

    # ------------------------------------------------------------ what there is

    def _get_oscore(self) -> Any:
        if self._keys is None:
            raise Problem(aiocoap.NOT_FOUND, f"{self._me} has no keys: coap_keys is not set there")
        return content({"node": self._me, "site": self._node.me.site, "epoch": self._keys.epoch}, CBOR)

    def _get_links(self, call: Call) -> Any:
        if call.request.opt.accept not in (None, LINKS):
            raise Problem(aiocoap.NOT_ACCEPTABLE, f"it is application/link-format ({LINKS})")
        text = links(tasks(self._node), call.request.opt.uri_query)
        return aiocoap.Message(code=aiocoap.CONTENT, payload=text.encode(), content_format=LINKS)

    def _get_task(self, call: Call, name: str) -> Any:
        found = next((task for task in tasks(self._node) if task["name"] == name), None)
        if found is None:
            raise TaskRefused("unknown-task", self._node.work.offered(name))
        return content(found, answer_form(call.request))

    # ------------------------------------------------------------ tasks

    async def _post_task(self, call: Call, name: str) -> None:
        said = options(call.request.opt.uri_query, (*OPTIONS, "sender", "wait"))
        form, seconds = answer_form(call.request, call.body), wait(said)
        sender = self._sender(call, said.get("sender"))
        in_cbor = body_form(call.request, call.body) == CBOR
        task = await task_of(call.body, in_cbor, name, fields(said))
        with self._exchanges.watch(sender, task, detached=True, client=_client(call)) as exchange:
            outcome = await self._exchanges.outcome(exchange, seconds)
            if outcome is not None:
                call.say(await answer(outcome, form, Code.CHANGED), True)
                return
            created = await answer(exchange.accepted or Accepted(task.id, self._me), form, Code.CREATED)
        created.opt.location_path = ("fog", "v1", "outcomes", sender, task.id)
        call.say(created, True)

    async def _outcome(self, call: Call, sender: str, id: str) -> None:
        form = answer_form(call.request)
        self._sender(call, check_id(sender, "sender"))
        check_id(id, "id")
        if call.request.code is Code.DELETE:
            with self._exchanges.watch(sender, Cancel(id), detached=True, client=_client(call)) as exchange:
                outcome = await self._exchanges.outcome(exchange)
                assert outcome is not None, "it is waited for without an end"
                call.say(await answer(outcome, form, Code.DELETED), True)
            return
        with self._exchanges.watch(sender, Ask(id), detached=True, client=_client(call)) as exchange:
            if call.observes:
                await self._observe(call, exchange, form)
            if exchange.outcome is None:
                await exchange.news(0, ASK_EVERY)
            call.say(await answer(self._state(exchange), form), True)

    async def _observe(self, call: Call, exchange: Exchange, form: int) -> None:
        """Say how far a task is, each time that this changes, until its outcome is there.

        The second time, and then every now and then, it has to be acknowledged (RFC 7641, section 4.5): the observation
        of a device that does not is ended, and it gets nothing meanwhile, for its address may be somebody else's.
        """
        number, said, confirmed, now = 0, None, 0.0, asyncio.get_running_loop().time
        while exchange.outcome is None:
            state = self._state(exchange)
            words = exchange.words
            late = now() - confirmed >= CONFIRM_EVERY
            if state != said or late:
                message = await answer(state, form)
                message.opt.observe = number
                sure = number == 1 or (late and number > 0)
                if number > 0:
                    message.transport_tuning = Sure() if sure else Casual()
                call.say(message, False)
                number, said = number + 1, state
                if sure:
                    await self._acknowledged(call)
                if sure or number == 1:
                    confirmed = now()
                continue
            left = min(ASK_EVERY, confirmed + CONFIRM_EVERY - now())
            if not await exchange.news(words, left) and left == ASK_EVERY:
                self._exchanges.ask(exchange)

    async def _acknowledged(self, call: Call) -> None:
        assert self._server is not None, "it listens"
        remote = call.request.remote
        await self._server.messages.acknowledged(getattr(remote, "underlying_address", remote))

    def _state(self, exchange: Exchange) -> Any:
        if exchange.outcome is not None:
            return exchange.outcome
        if exchange.progress is not None:
            return Progress(exchange.id, exchange.progress)
        return exchange.accepted or Accepted(exchange.id, self._me)

    # ------------------------------------------------------------ links of the SDK

    async def _messages(self, call: Call, sender: str) -> None:
        self._sender(call, check_id(sender, "sender"))
        box = self._mailboxes.get(sender)
        if call.request.code is Code.GET:
            await self._open_mailbox(call, sender)
        elif box is None:
            raise Problem(aiocoap.NOT_FOUND, f"{sender} has no mailbox here: observe this first")
        elif call.request.code is Code.DELETE:
            self._mailboxes.close(sender, box)
            box.end()
            call.say(aiocoap.Message(code=aiocoap.DELETED), True)
        else:
            messages = await self._batch(call.body)
            call.say(aiocoap.Message(code=aiocoap.CHANGED), True)
            for message in messages:
                if isinstance(message, (Task, Ask)) and (box.remind(message.id) or box.has_left_out(message.id)):
                    self._mailboxes.deliver(sender, Accepted(message.id, self._me))
                elif isinstance(message, (Task, Cancel, Ask, Malformed)):
                    self._tell(Asked(self.name, sender, message))

    async def _batch(self, body: bytes) -> list[Message | Malformed]:
        if len(body) > BLOCK:
            return await asyncio.to_thread(codec.decode, body)
        return codec.decode(body)

    async def _open_mailbox(self, call: Call, sender: str) -> None:
        site = options(call.request.opt.uri_query, ("site",)).get("site")
        mine = self._node.me.site
        if site not in (None, mine):
            raise Problem(aiocoap.NOT_FOUND, f"{self._me} is of site {mine}, not of {site}")
        if not call.observes:
            raise Problem(aiocoap.BAD_REQUEST, "a mailbox is observed (RFC 7641): set Observe to 0")
        if len(self._mailboxes) >= MOST_MAILBOXES and self._mailboxes.get(sender) is None:
            raise Problem(aiocoap.SERVICE_UNAVAILABLE, f"{MOST_MAILBOXES} devices are linked to {self._me}", max_age=5)
        path = ("fog", "v1", "messages", sender)
        box = Mailbox(path, lambda: self._acknowledged(call), self._mailboxes.room, _client(call))
        self._mailboxes.open(sender, box)
        try:
            await box.notify(call.say)
        finally:
            self._mailboxes.close(sender, box)
            box.clear()

    def _get_parcel(self, call: Call, sender: str, name: str) -> None:
        self._sender(call, check_id(sender, "sender"))
        box = self._mailboxes.get(sender)
        parcel = None if box is None else box.parcel(name)
        if box is None or parcel is None:
            raise Problem(aiocoap.NOT_FOUND, "it is there no longer")
        whole = aiocoap.Message(code=aiocoap.CONTENT, payload=parcel.item, content_format=CBOR, etag=parcel.tag)
        part = piece(call.request, whole)
        if not part.opt.block2.more:
            box.fetched(name)
        call.say(part, True)

    # ------------------------------------------------------------ who asks

    def _sender(self, call: Call, named: str | None) -> str:
        """In whose name a request is: its device's, or in plain requests whose it says. Raises Problem."""
        if call.device:
            if named not in (None, call.device):
                raise Problem(aiocoap.FORBIDDEN, f"this key is of {call.device}, and not of {named}")
            return call.device
        if self._keys is not None and named in self._keys:
            raise Problem(aiocoap.UNAUTHORIZED, f"{named} has a key: use it")
        return _client(call) if named is None else check_id(named, "sender")


def _as_it_is(message: Any) -> Any:
    return message


def _client(call: Call) -> str:
    """Whose request it is, whatever name it gives: that of a device with a key, or of an address."""
    return call.device or f"coap-{_as_id(call.request.remote.hostinfo)}"


def _as_id(hostinfo: str) -> str:
    """The address in ``192.0.2.7:4321`` or ``[fe80::1%eth0]:4321`` as part of an id."""
    host = hostinfo[1:].partition("]")[0] if hostinfo.startswith("[") else hostinfo.partition(":")[0]
    return re.sub(r"[^a-z0-9]+", "-", host.lower())[: limits.ID_LENGTH - 5]


def _form(request: Any, body: bytes) -> int:
    try:
        return answer_form(request, body)
    except Problem:
        return CBOR


def _refusal(node: str, request: Any, wrong: WireError | TaskRefused) -> Refused:
    id = ""
    with contextlib.suppress(WireError, StopIteration):
        id = check_id(next(each[3:] for each in request.opt.uri_query if each.startswith("id=")), "id")
    if isinstance(wrong, WireError):
        return Refused(id, node, "too-large" if isinstance(wrong, TooLarge) else "malformed", str(wrong))
    retry = None if wrong.retry_after is None else int(wrong.retry_after * 1000)
    return Refused(id, node, wrong.reason, wrong.message, retry)
