"""Which broker is tried when: soon while it may just be starting, seldom when it is away for long, and those found."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import pairwise
from math import inf

from fogsdk.device.dialer import LONGEST_PAUSE, LOOK_EVERY, MOST, Dialer
from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.url import BrokerUrl, parse
from fogsdk.errors import ConnectionFailed

HERE, THERE = parse("mqtt://127.0.0.1:1"), parse("mqtt://127.0.0.1:2/home")
PATIENCE = 10.0  # seconds for a thread that begins at once


class Refused:
    """A dialer whose brokers all refuse, and its clock."""

    def __init__(self, find: Iterable[BrokerUrl] | Exception | None = None) -> None:
        self.now = 0.0
        self.tried: dict[BrokerUrl, list[float]] = {}
        self.searches: list[float] = []
        self._found = find
        self._awake = threading.Event()
        self.dialer = Dialer([HERE], self._make, self._awake.set, None if find is None else self._find)

    def _make(self, broker: BrokerUrl) -> MqttConnection:
        self.tried.setdefault(broker, []).append(self.now)
        raise ConnectionFailed(f"{broker}: nothing listens there")

    def _find(self) -> Iterable[BrokerUrl]:
        self.searches.append(self.now)
        if isinstance(self._found, Exception):
            raise self._found
        return self._found or ()

    def run(self, seconds: float) -> None:
        """Dial for so long."""
        until = self.now + seconds
        while self.now < until:
            due = self.dialer.dial(self.now, None)
            while self._is_busy():
                assert self._awake.wait(PATIENCE), "a try or a search does not end"
                self._awake.clear()
                for broker, _ in self.dialer.opened():
                    self.dialer.failed(broker, self.now)
                due = self.dialer.dial(self.now, None)
            self.now = max(self.now + 0.01, min(due, until))

    def _is_busy(self) -> bool:
        return self.dialer._look_at == inf or any(each.busy for each in self.dialer._tries.values())


def test_a_broker_that_may_just_be_starting_is_tried_each_second_and_one_that_is_long_away_seldom() -> None:
    refused = Refused()
    refused.run(600)
    tried = refused.tried[HERE]
    pauses = [(at, then - at) for at, then in pairwise(tried)]
    assert all(pause <= 1.05 for at, pause in pauses if at < 8), "who starts a node waits ten seconds for it, no more"
    assert all(pause <= LONGEST_PAUSE for _, pause in pauses)
    assert all(pause >= LONGEST_PAUSE / 2 - 0.05 for at, pause in pauses if at > 120)
    assert len(tried) < 130


def test_further_brokers_are_looked_for_now_and_then_and_tried_when_they_are_found() -> None:
    refused = Refused([THERE])
    refused.run(20)
    assert refused.searches[0] >= LOOK_EVERY, "who connects has just looked"
    assert all(then - at >= LOOK_EVERY for at, then in pairwise(refused.searches))
    assert len(refused.searches) >= 5
    assert refused.tried[THERE][0] < refused.searches[0] + 1


def test_a_search_that_fails_is_repeated() -> None:
    refused = Refused(RuntimeError("no multicast"))
    refused.run(10)
    assert len(refused.searches) == 3


def test_who_announces_ever_more_brokers_fills_no_memory() -> None:
    refused = Refused([parse(f"mqtt://127.0.0.1:{port}/home") for port in range(1000, 1200)])
    refused.run(30)
    assert len(refused.tried) == MOST
