"""What fails in a campaign: drawn by chance once in a while, done, and made good again after some seconds."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import fogsdk
from fogsdk.node.chaos_order import Order
from tests.chaos.estate import BRIDGE, CORE, NODES, Estate
from tests.support.broker import Mosquitto

Undo = Callable[[], object]
FOG_BROKERS = ("b1", "b2")
PATIENCE = 3.0
"""Seconds that a node has to answer an order."""
LOOK = 0.02


@dataclass(frozen=True)
class Kind:
    """What can fail: ``often`` is how often beside the others, ``seconds`` how long it lasts."""

    what: str
    often: float
    seconds: tuple[float, float]
    targets: tuple[str, ...]


KINDS = (
    Kind("kill worker", 6, (0.1, 0.1), NODES),
    Kind("kill workers", 2, (0.1, 0.1), NODES),
    Kind("freeze worker", 2, (0.5, 3), NODES),
    Kind("freeze workers", 1, (0.5, 2), NODES),
    Kind("slow workers", 2, (1, 3), NODES),
    Kind("drop links", 4, (1, 4), NODES),
    Kind("delay links", 3, (1, 4), NODES),
    Kind("freeze node", 3, (0.5, 4), NODES),
    Kind("slow node", 1, (1, 3), NODES),
    Kind("kill daemon", 5, (0.2, 3), NODES),
    Kind("kill broker", 3, (0.2, 3), FOG_BROKERS),
    Kind("freeze broker", 2, (0.5, 4), FOG_BROKERS),
    Kind("kill cluster", 1, (0.5, 0.5), (CORE,)),
    Kind("kill daemon", 1, (0.2, 2), (BRIDGE,)),
    Kind("kill broker", 1, (0.2, 2), ("core-broker",)),
    Kind("kill daemon", 0.3, (0.2, 1), (CORE,)),
)
_AMOUNTS: dict[str, dict[str, float]] = {"drop": {"probability": 0.3}, "delay": {"ms": 50.0, "jitter": 100.0}}


@dataclass(frozen=True)
class Fault:
    """One failure: ``at`` (seconds from the first), something fails for some ``seconds``."""

    at: float
    kind: Kind
    target: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  {self.target}: {self.kind.what} for {self.seconds} s"


def plan(seed: int, rate: float) -> Iterator[Fault]:
    """The failures, ``rate`` a second: the same for the same seed, and never two of one target at a time."""
    chance = random.Random(f"faults {seed}")
    failing: dict[str, float] = {}
    for number in itertools.count():
        at = number / rate
        free = [(kind, target) for kind in KINDS for target in kind.targets if failing.get(target, 0.0) <= at]
        kinds = list(dict.fromkeys(kind for kind, _ in free))
        if kinds:
            [kind] = chance.choices(kinds, [kind.often for kind in kinds])
            target = chance.choice([target for each, target in free if each is kind])
            seconds = round(chance.uniform(*kind.seconds), 1)
            failing[target] = at + seconds
            yield Fault(at, kind, target, seconds)


class Faults:
    """Has something fail ``rate`` times a second, as ``seed`` will have it, until it is stopped."""

    def __init__(self, estate: Estate, seed: int, rate: float, start_at: float) -> None:
        self.unheard = 0
        self.done: list[Fault] = []
        self._estate = estate
        self._plan = plan(seed, rate)
        self._start_at = start_at
        self._commander = fogsdk.connect(estate.urls)
        self._undo: list[tuple[float, int, Undo]] = []
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._name = secrets.token_hex(8)
        self._thread = ThreadPoolExecutor(1)

    @property
    def counts(self) -> Counter[str]:
        """How often what failed."""
        elsewhere = (CORE, BRIDGE, "core-broker")
        return Counter(f"{d.kind.what}{f' ({d.target})' if d.target in elsewhere else ''}" for d in self.done)

    # ------------------------------------------------------------ its life

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._running = self._thread.submit(self._run)

    def _run(self) -> None:
        for fault in self._plan:
            while (left := self._start_at + fault.at - time.monotonic()) > 0:
                self._make_good(fault.at - left)
                if self._over.wait(min(LOOK, left)):
                    return
            self._make_good(fault.at)
            self._fail(fault)

    def stop(self) -> None:
        """Let nothing fail any more, and make good what has. Raises what went wrong with that."""
        self._over.set()
        self._running.result()
        self._make_good(float("inf"))
        for node in NODES:
            self._commander.run("fog.chaos", {"what": "undo"}, node=node, deadline=60)

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.shutdown()
        self._commander.close()

    def _make_good(self, now: float) -> None:
        while self._undo and self._undo[0][0] <= now:
            heapq.heappop(self._undo)[2]()

    # ------------------------------------------------------------ one failure

    def _fail(self, fault: Fault) -> None:
        self.done.append(fault)
        undo = self._do(fault.kind.what, fault.target, fault.seconds)
        heapq.heappush(self._undo, (fault.at + fault.seconds, next(self._numbers), undo))

    def _do(self, what: str, target: str, seconds: float) -> Undo:
        match what:
            case "kill daemon":
                self._estate.daemons[target].kill()
                return lambda: self._estate.launch(target)
            case "kill broker":
                broker = self._estate.brokers[target]
                broker.kill()
                return broker.start
            case "freeze broker":
                return _freeze(self._estate.brokers[target])
            case "kill cluster":
                with contextlib.suppress(ProcessLookupError):
                    for worker in self._estate.cluster()[:1]:
                        os.kill(worker.pid, signal.SIGKILL)
            case _:
                self._order(what, target, seconds)
        return lambda: None  # it is made good by others

    def _order(self, words: str, node: str, seconds: float) -> None:
        what, target = words.split()
        amounts = _AMOUNTS.get(what, {})
        id = f"{self._name}-{next(self._numbers)}"
        order = Order.read({"what": what, "target": target, "for": seconds, "id": id, **amounts})
        future = self._commander.submit("fog.chaos", order.write(), node=node, deadline=PATIENCE)
        future.add_done_callback(self._obeyed)

    def _obeyed(self, future: Future[Any]) -> None:
        try:
            future.result()
        except (fogsdk.FogError, CancelledError):
            self.unheard += 1


def _freeze(broker: Mosquitto) -> Undo:
    pid = broker.pid
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)
