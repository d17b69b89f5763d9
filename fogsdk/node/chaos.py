"""What ``fog chaos`` has done to this node: disturbances of bounded length, each of them undone at its end.

Each is a coroutine that puts right in its ``finally`` what it did, so that cancelling it is undoing it. Freezing or
killing the daemon itself is for another process to do (`fogsdk.node.chaos_helper`). Workers are tied to their fork
server and that to the daemon, as is the broker that it serves: none of them outlives it, frozen or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fogsdk.core.commands import Disturb
from fogsdk.core.events import Disturbed
from fogsdk.errors import ConfigError
from fogsdk.node.broker import Broker
from fogsdk.node.chaos_helper import PERIOD
from fogsdk.node.chaos_links import BadLinks
from fogsdk.node.chaos_order import Order
from fogsdk.node.executor import Executor
from fogsdk.node.pool import Pool
from fogsdk.node.runtime import Runtime
from fogsdk.wire import values

BEGIN_AFTER = 0.1
"""Seconds between the answer to an order and what it does, which might keep the answer from going out."""
OBEYED = "FOGSDK_CHAOS_ORDER"
"""Environment variable with the id of the order that ended this node's last life: it may be sent once more."""

log = logging.getLogger(__name__)


class Agent:
    """Disturbs one node as it is told. ``broker`` returns the broker that the node serves, if it does."""

    def __init__(self, executor: Executor, broker: Callable[[], Broker | None]) -> None:
        self._pool = executor if isinstance(executor, Pool) else None
        self._broker = broker
        self._doing: dict[str, tuple[Order, asyncio.Task[None]]] = {}
        self._obeyed = deque([os.environ.get(OBEYED, "")], maxlen=1000)

    def obey(self, runtime: Runtime, command: Disturb) -> None:
        """Carry out an order: a disturbance, ``{"what": "undo"}`` or ``{"what": "status"}``."""
        order = values.decode(command.order)
        loop = asyncio.get_running_loop()
        if order == {"what": "undo"}:
            undoing = loop.create_task(self.undo())
            undoing.add_done_callback(lambda _: runtime.tell(_done(command, None)))
            return
        try:
            done = self._status() if order == {"what": "status"} else self._begin(order, runtime)
        except (ConfigError, ValueError) as error:  # a number too long to be shown, for one
            loop.call_soon(runtime.tell, Disturbed(command.number, b"", str(error)))
        else:
            loop.call_soon(runtime.tell, _done(command, done))

    async def undo(self) -> None:
        """End every disturbance, and return when nothing is left of any."""
        tasks = [task for _, task in self._doing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _status(self) -> dict[str, object]:
        targets = ["node", "links"]
        targets += ["worker", "workers"] if self._pool is not None else []
        targets += ["broker"] if self._broker() is not None else []
        return {"targets": targets, "now": [str(order) for order, _ in self._doing.values()]}

    # ------------------------------------------------------------ one disturbance

    def _begin(self, message: object, runtime: Runtime) -> str:
        if not isinstance(message, dict):
            raise ConfigError(f"an order is a map, not {message!r}")
        order = Order.read(message)
        if order.id and order.id in self._obeyed:
            return str(order)
        doing = self._way(order, runtime)
        self._obeyed.append(order.id)
        if order.target in self._doing:
            self._doing[order.target][1].cancel()
        task = asyncio.get_running_loop().create_task(self._do(order, doing))
        self._doing[order.target] = order, task
        task.add_done_callback(lambda _: self._over(order, task))
        return str(order)

    async def _do(self, order: Order, doing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await asyncio.sleep(BEGIN_AFTER)
        log.warning("chaos: %s", order)
        try:
            await doing()
        finally:
            log.warning("chaos: over: %s", order)

    def _over(self, order: Order, task: asyncio.Task[None]) -> None:
        if self._doing.get(order.target) == (order, task):
            del self._doing[order.target]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("chaos: %s: %s", order, error)

    def _way(self, order: Order, runtime: Runtime) -> Callable[[], Coroutine[Any, Any, None]]:
        """How to do it. Raises ConfigError where this node has nothing of the kind."""
        match order.target:
            case "node":
                return lambda: _to_the_daemon(order)
            case "links":
                return lambda: _to_the_links(order, runtime)
            case "broker":
                broker = self._broker()
                if broker is None:
                    raise ConfigError("this node serves no broker")
                return lambda: _to_the_broker(order, broker)
        pool = self._pool
        if pool is None:
            raise ConfigError("this node has no worker processes of its own")
        return lambda: _to_workers(order, pool)


def _done(command: Disturb, value: object) -> Disturbed:
    return Disturbed(command.number, values.encode(value))


async def _to_the_links(order: Order, runtime: Runtime) -> None:
    links, before = BadLinks(order, runtime.flush_links), runtime.carry
    runtime.carry = links.carry
    try:
        await asyncio.sleep(order.seconds)
    finally:
        runtime.carry = before
        links.end()


async def _to_workers(order: Order, pool: Pool) -> None:
    one = pool.workers()[:1] if order.target == "worker" else None

    def send(what: signal.Signals) -> None:
        pool.disturb(pool.workers() if one is None else one, what)

    if order.what == "kill":
        send(signal.SIGKILL)
    else:
        await _hold_up(order, send)


async def _to_the_broker(order: Order, broker: Broker) -> None:
    def send(what: signal.Signals) -> None:
        if broker.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(broker.pid, what)

    if order.what != "kill":
        await _hold_up(order, send)
        return
    broker.keep_down()
    try:
        send(signal.SIGKILL)
        await asyncio.sleep(order.seconds)
    finally:
        broker.let_up()


async def _hold_up(order: Order, send: Callable[[signal.Signals], None]) -> None:
    """Let something stand still all the time, or all but a share of each moment."""
    share = 1 / order.factor if order.what == "slow" else 0.0
    until = time.monotonic() + order.seconds
    try:
        while (left := until - time.monotonic()) > 0:
            send(signal.SIGSTOP)
            await asyncio.sleep(min(left, PERIOD * (1 - share)))
            if share:
                send(signal.SIGCONT)
                await asyncio.sleep(PERIOD * share)
    finally:
        send(signal.SIGCONT)


async def _to_the_daemon(order: Order) -> None:
    again = [] if _has_a_manager() else [sys.executable, *sys.orig_argv[1:]]
    helper = str(Path(__file__).with_name("chaos_helper.py"))
    what = (order.what, str(order.seconds), str(order.factor))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", helper, *what, *again),
        stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, OBEYED: order.id},
        start_new_session=True,
    )
    try:
        await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _has_a_manager() -> bool:
    """Whether systemd started this very process, and so will start it again; its shells inherit the first variable."""
    manager = "INVOCATION_ID" in os.environ
    return manager and os.environ.get("SYSTEMD_EXEC_PID", str(os.getpid())) == str(os.getpid())
