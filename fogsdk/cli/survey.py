"""A short look around a site: which nodes are there, how busy each is, and how far."""

from __future__ import annotations

import itertools
import secrets
import statistics
from dataclasses import dataclass, field

from fogsdk.cli import reports
from fogsdk.cli.observer import Heard, Observer
from fogsdk.cli.reports import Report
from fogsdk.wire import topics
from fogsdk.wire.messages import Ask, Beat, Birth, Gone, Refused, Result


@dataclass
class Seen:
    """One node, as births, heartbeats and answers tell of it. ``round_trips`` are in milliseconds; ``report`` is what
    it said of itself when it was asked."""

    node: str
    birth: Birth | None = None
    beat: Beat | None = None
    gone: bool = False
    incarnation: int = 0
    report: Report | None = None
    round_trips: list[float] = field(default_factory=list)

    def hear(self, message: Birth | Gone | Beat) -> None:
        """Take in what the node said of itself, or the broker in its place."""
        if message.incarnation < self.incarnation:
            return  # of an earlier life
        self.incarnation = message.incarnation
        self.gone = isinstance(message, Gone)
        if isinstance(message, Birth):
            self.birth = message
        elif isinstance(message, Beat):
            self.beat = message

    @property
    def state(self) -> str:
        """there; draining: it takes nothing new; gone: it left or died; silent: it does not answer."""
        if self.gone:
            return "gone"
        if self.beat is None and not self.round_trips:
            return "silent"
        leaving = self.birth is not None and self.birth.capacity == 0
        return "draining" if leaving or (self.beat is not None and self.beat.draining) else "there"

    @property
    def cut_off(self) -> bool:
        """Whether it is a cloud bridge that says that it does not reach its core site."""
        return not self.gone and self.beat is not None and self.beat.uplink is False

    @property
    def round_trip(self) -> float | None:
        """Milliseconds there and back: the median of what was measured."""
        return statistics.median(self.round_trips) if self.round_trips else None

    @property
    def jitter(self) -> float | None:
        """Milliseconds by which one round trip differs from the next, on average."""
        steps = [abs(after - before) for before, after in itertools.pairwise(self.round_trips)]
        return statistics.fmean(steps) if steps else None


def survey(observer: Observer, seconds: float, pings: int, ask_reports: bool = False) -> dict[str, Seen]:
    """Listen for ``seconds``, and measure the way to each node up to ``pings`` times: by asking about a task
    that it does not have. With ``ask_reports`` each is asked for a report, too. Nodes are sorted by name."""
    site = observer.site
    seen: dict[str, Seen] = {}
    pinger = _Pinger(observer, seen, pings)
    reporter = _Reporter(observer, seen)
    observer.subscribe(topics.reply(site, observer.sender), topics.beat(site, "+"), topics.birth(site))
    for heard in observer.listen(seconds):
        if isinstance(heard.message, (Birth, Gone, Beat)):
            node = seen.setdefault(heard.at.node, Seen(heard.at.node))
            node.hear(heard.message)
            if isinstance(heard.message, Birth):
                pinger.begin(heard.at.node)
                if ask_reports:
                    reporter.begin(heard.at.node)
        elif isinstance(heard.message, Refused):
            pinger.answered(heard)
        elif isinstance(heard.message, Result):
            reporter.answered(heard.message)
    return dict(sorted(seen.items()))


class _Pinger:
    """Asks each node one question after the other, and times the answers."""

    def __init__(self, observer: Observer, seen: dict[str, Seen], pings: int) -> None:
        self._observer = observer
        self._seen = seen
        self._pings = pings
        self._prefix = f"ping-{secrets.token_hex(4)}"
        self._asked: dict[str, tuple[str, float]] = {}
        self._begun: dict[str, None] = {}

    def begin(self, node: str) -> None:
        if self._pings and node not in self._begun:
            self._begun[node] = None
            self._ask(node)

    def _ask(self, node: str) -> None:
        id = f"{self._prefix}-{len(self._asked)}"
        topic = topics.task(self._observer.site, node, self._observer.sender)
        self._asked[id] = node, self._observer.send(topic, Ask(id))

    def answered(self, heard: Heard) -> None:
        assert isinstance(heard.message, Refused)
        node, sent = self._asked.get(heard.message.id, ("", 0.0))
        if not node or node != heard.message.node:
            return
        self._seen[node].round_trips.append((heard.when - sent) * 1000)
        if len(self._seen[node].round_trips) < self._pings:
            self._ask(node)


class _Reporter:
    """Asks each node once for its report."""

    def __init__(self, observer: Observer, seen: dict[str, Seen]) -> None:
        self._observer = observer
        self._seen = seen
        self._prefix = f"report-{secrets.token_hex(4)}"
        self._asked: dict[str, str] = {}

    def begin(self, node: str) -> None:
        if node not in self._asked.values():
            id = f"{self._prefix}-{len(self._asked)}"
            self._asked[id] = node
            self._observer.send(topics.task(self._observer.site, node, self._observer.sender), reports.call(id))

    def answered(self, answer: Result) -> None:
        node = self._asked.get(answer.id)
        if node is not None:
            self._seen[node].report = reports.read(answer)
