"""Which broker is tried when: soon while it may just be starting, seldom when it is away for long, and those found."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import pairwise
from math import inf

import pytest

from fogsdk.device import dialer
from fogsdk.device.brokers import MOST
from fogsdk.device.dialer import LONGEST_LOOK, LONGEST_PAUSE, LOOK_EVERY, STAGGER, Dialer
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
        self.found = find
        self._awake = threading.Event()
        self.dialer = Dialer([HERE], self._make, self._awake.set, None if find is None else self._find)

    def _make(self, broker: BrokerUrl) -> MqttConnection:
        self.tried.setdefault(broker, []).append(self.now)
        raise ConnectionFailed(f"{broker}: nothing listens there")

    def _find(self) -> Iterable[BrokerUrl]:
        self.searches.append(self.now)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found or ()

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
    assert len(refused.dialer._tries) == MOST
    real = parse("mqtt://127.0.0.1:9/home")
    refused.found = [real]
    refused.run(60)
    assert real in refused.tried, "what is announced no more keeps a broker out that is"


def test_one_that_was_not_tried_yet_comes_before_those_that_fail_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where each keeps the device waiting for seconds, so that many are due at once."""
    tried: dict[BrokerUrl, float] = {}
    ends: list[tuple[float, BrokerUrl]] = []
    now = 0.0

    def begin(_name: str, _target: object, broker: BrokerUrl) -> bool:
        tried.setdefault(broker, now)
        ends.append((now + 2.0, broker))
        return True

    monkeypatch.setattr(dialer, "_begun", begin)
    brokers = [parse(f"mqtt://127.0.0.1:{port}/home") for port in range(1000, 1030)]
    silent = Dialer(brokers, MqttConnection, lambda: None)  # type: ignore[arg-type]
    while len(tried) < len(brokers):
        while ends and ends[0][0] <= now:
            silent.failed(ends.pop(0)[1], now)
        now = max(now + 0.001, min(silent.dial(now, None), ends[0][0] if ends else inf))
    assert now <= len(brokers) * STAGGER, "each gets its try before any other gets a second one"


def test_a_broker_that_is_announced_again_after_long_is_tried_at_once() -> None:
    refused = Refused([])
    refused.run(600)
    refused.found = [HERE]
    searched = len(refused.searches)
    refused.run(40)
    assert refused.searches[searched] in refused.tried[HERE]


def test_searches_grow_rare_where_nothing_comes() -> None:
    refused = Refused([])
    refused.run(3600)
    gaps = [then - at for at, then in pairwise(refused.searches)]
    assert gaps[0] == pytest.approx(LOOK_EVERY, abs=0.1)
    assert all(gap <= LONGEST_LOOK + 0.1 for gap in gaps)
    assert len(gaps) < 200


def test_where_no_thread_can_begin_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a computer that has no memory left for a moment."""
    refused = Refused([THERE])
    start, failures = threading.Thread.start, iter(range(20))

    def fail_at_first(thread: threading.Thread) -> None:
        if next(failures, None) is not None:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_at_first)
    refused.run(60)
    assert refused.tried.keys() == {HERE, THERE}
