"""The users of a campaign: devices that hand in tasks of all weights, and hold every answer against what it must be."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fogsdk
from fogsdk.cli.loadgen import percentile
from fogsdk.core.commands import Settled

DEVICES = 4
MOST_OPEN = 256
"""Tasks that are open at once; what is due beyond that waits."""
LONGEST, GRACE = 480.0, 60.0
"""Seconds in which everything has to be handed in, and then, with nothing failing any more, settled."""
LOOK = 0.01


@dataclass(frozen=True)
class Wish:
    """One task, and what must come of it."""

    weight: str
    name: str
    args: tuple[Any, ...]
    result: object


def wishes(seed: int, count: int) -> Iterator[Wish]:
    """Mostly light tasks, a tenth middle ones of which half are split, a twentieth heavy."""
    chance = random.Random(f"wishes {seed}")
    for number in range(count):
        kind = chance.random()
        if kind < 0.05:
            yield Wish("heavy", "mirrored", (f"{number} esrever", chance.uniform(1, 10)), f"{number} esrever"[::-1])
        elif kind < 0.15:
            name = chance.choice(("total", "shared_total"))
            args = (number, number + 1000, chance.uniform(5, 30))
            yield Wish("middle", name, args, sum(range(number, number + 1000)))
        else:
            seconds = chance.choice((0.0, 0.0, 0.0, chance.uniform(0.0, 0.02)))
            yield Wish("light", "square", (number, seconds), number * number)


@dataclass
class Asked:
    """A task that was handed in at ``since``, and ``settled`` so often, the first time at ``until``."""

    wish: Wish
    future: fogsdk.FogFuture
    since: float
    until: float = 0.0
    settled: int = 0
    delivered: int = 0

    @property
    def problem(self) -> str:
        """What is wrong with it; nothing, if it is empty."""
        if not self.future.done():
            return "is not settled"
        if error := self.future.exception():
            return f"failed: {error}"
        if (value := self.future.result()) != self.wish.result:
            return f"returned {value!r} instead of {self.wish.result!r}"
        if self.settled > 1 or self.delivered > 1:
            return f"was settled {self.settled} times and delivered {self.delivered} times"
        return ""

    def __str__(self) -> str:
        what = f"{self.wish.name}{self.wish.args} as {self.future.id}, handed in at {self.since:.2f} s"
        return f"{what}: {self.problem or 'is well'}\n{self.future.trace or ''}"


@dataclass
class Users:
    """Hand in ``count`` tasks evenly within ``seconds``, or as fast as the fog takes them."""

    urls: Sequence[str]
    seed: int
    count: int
    seconds: float
    asked: list[Asked] = field(default_factory=list)
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _by_id: dict[str, Asked] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._devices = [fogsdk.connect([*self.urls[n % 2 :], *self.urls[: n % 2]]) for n in range(DEVICES)]
        for device in self._devices:
            self._count_deliveries(device)

    def _count_deliveries(self, device: fogsdk.Fog) -> None:
        """Count what the core hands over, of which a future would hide the second."""
        driver, hand_over = device._driver, device._driver._on_settled

        def on_settled(settled: Settled) -> None:
            if (asked := self._by_id.get(settled.id)) is not None:
                asked.delivered += 1
            hand_over(settled)

        driver._on_settled = on_settled

    def run(self, start: float, look: Callable[[], None]) -> None:
        """Hand in everything, or what can be within LONGEST; ``look`` is called again and again."""
        for number, wish in enumerate(wishes(self.seed, self.count)):
            while time.monotonic() < start + number * self.seconds / self.count or self._open >= MOST_OPEN:
                if time.monotonic() > start + LONGEST:
                    return
                time.sleep(LOOK)
                look()
            self._ask(wish, self._devices[number % DEVICES], start)

    def _ask(self, wish: Wish, device: fogsdk.Fog, start: float) -> None:
        future = device.submit(wish.name, *wish.args)
        asked = Asked(wish, future, time.monotonic() - start)
        self.asked.append(asked)
        self._by_id[future.id] = asked
        with self._lock:
            self._open += 1

        def done(_: object) -> None:
            with self._lock:
                asked.settled += 1
                asked.until = asked.until or time.monotonic() - start
                self._open -= 1

        future.add_done_callback(done)

    def wait(self, look: Callable[[], None]) -> None:
        """Wait until everything is settled, for as long as that may take."""
        until = time.monotonic() + GRACE
        while self._open and time.monotonic() < until:
            time.sleep(LOOK)
            look()

    def close(self) -> None:
        for device in self._devices:
            device.close()

    # ------------------------------------------------------------ what they saw

    @property
    def answered(self) -> int:
        return len(self.asked) - self._open

    def violations(self) -> list[Asked]:
        """The tasks with which something is wrong."""
        return [asked for asked in self.asked if asked.problem]

    def longest_gap(self) -> float:
        """Seconds in which somebody waited and nobody was answered, at the worst."""
        from fogsdk.cli.chaos_watch import Service, longest_gap

        answers = [(each.since, (each.until - each.since) * 1000) for each in self.asked if each.settled]
        return longest_gap(Service("users", "", 0, 1, 1, answers=answers))

    def table(self) -> str:
        """What they saw, by weight."""
        lines = [f"{'weight':8}{'tasks':>8}{'wrong':>8}{'p50':>10}{'p99':>10}{'worst':>10}"]
        for weight in ("light", "middle", "heavy"):
            those = [asked for asked in self.asked if asked.wish.weight == weight]
            times = [(each.until - each.since) * 1000 for each in those if each.settled]
            shares = "".join(f"{percentile(times, share) or 0:>7.0f} ms" for share in (0.5, 0.99, 1.0))
            lines.append(f"{weight:8}{len(those):>8}{sum(bool(each.problem) for each in those):>8}{shares}")
        return "\n".join(lines)

    def write(self, file: Path) -> None:
        """Write down what became of each task, the slowest first."""
        slowest = sorted(self.asked, key=lambda asked: asked.since - asked.until)
        file.write_text("\n".join(f"{asked.until - asked.since:.3f} s: {asked}" for asked in slowest))

    def hops(self) -> Counter[str]:
        """How often their tasks ran, were handed on, and were lost with whoever had them."""
        traces = [asked.future.trace for asked in self.asked if asked.future.done()]
        return Counter(hop.action for trace in traces if trace for hop in trace.hops)
