"""`find_brokers` against real mDNS responders on the loopback interface, and against packets from anybody."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

import fogsdk
from fogsdk.device import discovery
from fogsdk.device.discovery import (
    AAAA,
    PTR,
    SERVICE,
    SRV,
    TXT,
    A,
    Record,
    Server,
    find_brokers,
    of_one_site,
    parse,
    query,
)
from fogsdk.errors import ConfigError, ConnectionFailed
from tests.support.broker import Mosquitto

LOOPBACK = "127.0.0.1"
TIMEOUT = 10.0  # seconds: far more than an answer takes


@pytest.fixture
def site() -> str:
    """A site of this test's own: others may run at the same time."""
    return f"test-{secrets.token_hex(4)}"


def broker(site: str, port: int, name: str = "pi", **options: Any) -> ServiceInfo:
    options = {"properties": {"site": site, "tls": "0"}, "parsed_addresses": [LOOPBACK], **options}
    kind = "_mqtt._tcp.local."
    return ServiceInfo(kind, f"{name}.{site}.{kind}", port, server=f"{name}-{site}.local.", **options)


@contextmanager
def announced(*services: ServiceInfo) -> Iterator[None]:
    """Real responders: zeroconf, one for each service, on an event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    peers: list[AsyncZeroconf] = []

    async def start() -> None:
        for service in services:
            peers.append(AsyncZeroconf(interfaces=[LOOPBACK]))
            await peers[-1].async_register_service(service, cooperating_responders=True)

    async def stop() -> None:
        await asyncio.gather(*(peer.async_close() for peer in peers))
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(TIMEOUT)
        yield
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(TIMEOUT)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_broker_is_found_long_before_the_timeout(site: str) -> None:
    with announced(broker(site, 11883)):
        started = time.monotonic()
        assert find_brokers(TIMEOUT, site, LOOPBACK) == [f"mqtt://127.0.0.1:11883/{site}"]
        assert time.monotonic() - started < TIMEOUT / 2


def test_without_an_interface_the_brokers_of_this_computer_are_found_too(site: str) -> None:
    with announced(broker(site, 11883)):
        assert find_brokers(TIMEOUT, site) == [f"mqtt://127.0.0.1:11883/{site}"]


def test_all_brokers_of_a_site_are_found(site: str) -> None:
    with announced(*(broker(site, 11880 + number, f"pi-{number}") for number in range(3))):
        found = find_brokers(TIMEOUT, site, LOOPBACK)
    assert sorted(found) == [f"mqtt://127.0.0.1:{port}/{site}" for port in (11880, 11881, 11882)]


def test_without_a_site_every_site_is_found(site: str) -> None:
    with announced(broker(f"{site}-a", 1), broker(f"{site}-b", 2)):
        found = set(find_brokers(2.0, interface=LOOPBACK))
    assert {f"mqtt://127.0.0.1:1/{site}-a", f"mqtt://127.0.0.1:2/{site}-b"} <= found


def test_home_is_waited_for_where_another_site_answers_first(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To announce itself takes a node longer than a moment."""
    monkeypatch.setattr(discovery, "DEFAULT_SITE", f"{site}-home")
    with announced(broker(f"{site}-core", 1)), ThreadPoolExecutor(1) as pool:
        looking = pool.submit(find_brokers, 4.0, None, LOOPBACK)
        with announced(broker(f"{site}-home", 2)):
            assert f"mqtt://127.0.0.1:2/{site}-home" in looking.result()


def test_who_names_no_site_gets_the_brokers_of_one() -> None:
    """A task is not to run at home or in the cloud's cluster as it happens: where a core site is beside it, for one."""
    home, core = "mqtt://10.0.0.1:1883/home", "mqtt://10.0.0.2:2883/core"
    assert of_one_site([core, home, core]) == [home]
    assert of_one_site([core, core]) == [core, core]
    assert of_one_site([]) == []
    with pytest.raises(ConfigError, match=r"several sites are announced here \(core, office\): name one"):
        of_one_site([core, "mqtt://10.0.0.3:1883/office"])


def test_who_connects_before_there_is_a_broker_finds_it_when_it_comes(site: str, mosquitto: Mosquitto) -> None:
    looked = threading.Event()

    def look(timeout: float = 1.0, site: str | None = None) -> list[str]:
        found = find_brokers(timeout, site, LOOPBACK)
        looked.set()
        return found

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(discovery, "find_brokers", look)
        patch.delenv("FOG_URL", raising=False)
        connecting = pool.submit(fogsdk.connect, site=site, timeout=3 * TIMEOUT)
        assert looked.wait(TIMEOUT)
        with announced(broker(site, mosquitto.port)), connecting.result() as fog:
            assert fog.nodes() == {}


def test_where_mdns_finds_nothing_the_error_says_so(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOG_URL", raising=False)
    with pytest.raises(ConnectionFailed, match="No URL was given: these are what mDNS found"):
        fogsdk.connect(site=site, timeout=0.1)


def test_tls_is_told_in_the_scheme(site: str) -> None:
    with announced(broker(site, 8883, properties={"site": site, "tls": "1"})):
        assert find_brokers(TIMEOUT, site, LOOPBACK) == [f"mqtts://127.0.0.1:8883/{site}"]


def test_an_ipv6_address_is_in_brackets(site: str) -> None:
    with announced(broker(site, 1883, parsed_addresses=["fe80::1", "fd00::5"])):
        assert find_brokers(TIMEOUT, site, LOOPBACK) == [f"mqtt://[fd00::5]:1883/{site}"]


def test_of_several_addresses_the_one_that_answered_is_taken(site: str) -> None:
    """A broker's docker0, 172.17.0.1, would lead nowhere, or to this computer itself."""
    with announced(broker(site, 1883, parsed_addresses=["10.1.2.3", "172.17.0.1", LOOPBACK])):
        assert find_brokers(TIMEOUT, site, LOOPBACK) == [f"mqtt://127.0.0.1:1883/{site}"]


def test_brokers_that_are_none_of_the_fog_are_passed_over(site: str) -> None:
    with announced(
        broker(site, 1, "no-site", properties={}),
        broker(site, 2, "odd-site", properties={"site": "../Not an id"}),
        broker(f"{site}-2", 3),
        broker(site, 4),
    ):
        assert find_brokers(TIMEOUT, site, LOOPBACK) == [f"mqtt://127.0.0.1:4/{site}"]


def test_none_found_takes_the_timeout_and_no_more(site: str) -> None:
    started = time.monotonic()
    assert find_brokers(0.2, site, LOOPBACK) == []
    assert 0.2 <= time.monotonic() - started < 2


def test_without_multicast_nothing_is_found_at_once(site: str, caplog: pytest.LogCaptureFixture) -> None:
    """An address that this computer does not have."""
    with caplog.at_level(logging.DEBUG):
        assert find_brokers(60, site, "203.0.113.1") == []
    assert "no multicast on 203.0.113.1" in caplog.text


def test_an_interface_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="IPv4 address"):
        find_brokers(interface="eth0")


# A responder of our own, for what a real one does not do.

PI = (b"pi", *SERVICE)
HOST = (b"pi", b"local")


def encoded(name: tuple[bytes, ...]) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in name) + b"\0"


def record(name: tuple[bytes, ...], kind: int, data: bytes, ttl: int = 10, space: int = 0x8001) -> bytes:
    return encoded(name) + struct.pack("!HHIH", kind, space, ttl, len(data)) + data


def packet(identifier: int, *records: bytes, flags: int = 0x8400) -> bytes:
    return struct.pack("!6H", identifier, flags, 0, 0, 0, len(records)) + b"".join(records)


def records_of(site: str) -> dict[int, bytes]:
    """A broker's records by type."""
    text = f"site={site}".encode()
    return {
        PTR: record(SERVICE, PTR, encoded(PI)),
        SRV: record(PI, SRV, struct.pack("!3H", 0, 0, 1883) + encoded(HOST)),
        TXT: record(PI, TXT, bytes([len(text)]) + text),
        A: record(HOST, A, socket.inet_aton(LOOPBACK)),
    }


@contextmanager
def responder(monkeypatch: pytest.MonkeyPatch, answer: Any) -> Iterator[list[bytes]]:
    """Stands where the multicast group is: ``answer(query)`` is what it sends back. Yields the queries."""
    queries: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        monkeypatch.setattr(discovery, "_GROUP", sock.getsockname())

        def serve() -> None:
            while data := sock.recvfrom(9000):
                if not data[0]:
                    return
                queries.append(data[0])
                for each in answer(data[0]):
                    sock.sendto(each, data[1])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield queries
        finally:
            sock.sendto(b"", sock.getsockname())
            thread.join()


def identifier_of(data: bytes) -> int:
    return int.from_bytes(data[:2], "big")


def kinds_of(data: bytes) -> list[int]:
    """The types that a query asks for."""
    kinds, at = [], 12
    for _ in range(struct.unpack_from("!H", data, 4)[0]):
        while data[at]:
            at += 1 + data[at]
        kinds.append(struct.unpack_from("!H", data, at + 1)[0])
        at += 5
    return kinds


def test_what_an_answer_leaves_out_is_asked_for(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Additional records are a courtesy that a responder may not show."""
    records = records_of(site)

    def answer(data: bytes) -> list[bytes]:
        return [packet(identifier_of(data), *(records[kind] for kind in kinds_of(data) if kind in records))]

    with responder(monkeypatch, answer) as queries:
        assert find_brokers(TIMEOUT, site, LOOPBACK) == [f"mqtt://127.0.0.1:1883/{site}"]
    assert [kinds_of(each) for each in queries] == [[PTR], [SRV, TXT], [A, AAAA]]


def test_a_lost_query_is_sent_again(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def answer(data: bytes) -> list[bytes]:
        seen.append(data)
        return [] if len(seen) == 1 else [packet(identifier_of(data), *records_of(site).values())]

    with responder(monkeypatch, answer):
        assert find_brokers(0.6, site, LOOPBACK) == [f"mqtt://127.0.0.1:1883/{site}"]


def test_the_query_asks_for_an_answer_to_itself_alone(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with responder(monkeypatch, lambda _: []) as queries:
        find_brokers(0.1, site, LOOPBACK)
    expected = struct.pack("!6H", identifier_of(queries[0]), 0, 1, 0, 0, 0)
    assert queries[0] == expected + b"\x05_mqtt\x04_tcp\x05local\0" + struct.pack("!HH", PTR, 0x8001)


def test_an_answer_to_another_query_is_not_believed(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to be guessed by who cannot read what is sent here."""

    def answer(data: bytes) -> list[bytes]:
        return [packet(identifier_of(data) ^ 1, *records_of(site).values())]

    with responder(monkeypatch, answer):
        assert find_brokers(0.2, site, LOOPBACK) == []


def test_a_flood_of_answers_neither_fills_the_memory_nor_lasts_longer(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(data: bytes) -> list[bytes]:
        names = ([f"{start + number}".encode() for number in range(200)] for start in range(0, 10_000, 200))
        return [
            packet(identifier_of(data), *(record(SERVICE, PTR, encoded((name, *SERVICE))) for name in batch))
            for batch in names
        ]

    with responder(monkeypatch, answer) as queries:
        started = time.monotonic()
        assert find_brokers(0.5, site, LOOPBACK) == []
        assert time.monotonic() - started < 5
    assert all(len(each) < 9000 for each in queries)


def test_a_packet_is_parsed_to_its_records(site: str) -> None:
    records = parse(packet(7, *records_of(site).values()), 7)
    assert records == [
        Record(SERVICE, PI),
        Record(PI, Server(1883, HOST)),
        Record(PI, {"site": site}),
        Record(HOST, LOOPBACK),
    ]


def test_a_record_that_is_taken_back_or_of_another_class_is_none(site: str) -> None:
    data = socket.inet_aton(LOOPBACK)
    assert parse(packet(7, record(HOST, A, data, ttl=0), record(HOST, A, data, space=3)), 7) == []


def test_a_query_is_no_answer() -> None:
    assert parse(query(7, [(SERVICE, PTR)]), 7) == []
    assert parse(packet(7, *records_of("home").values(), flags=0), 7) == []


def test_the_first_of_two_entries_with_one_key_counts() -> None:
    data = b"\x06Site=a\x06site=b\x04flag\x00"
    assert parse(packet(7, record(PI, TXT, data)), 7) == [Record(PI, {"site": "a", "flag": "", "": ""})]


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",  # to itself
        b"\x01a\xc0\x0c",  # round and round
        b"\xc0\x0e\xc0\x0c",  # to each other
        b"\xc0\xff\x00",  # beyond the end
        b"\x3fcut off",
        b"\x40" + b"x" * 64 + b"\x00",  # a length that there is none of
        b"\x3f" + b"x" * 63 + (b"\x3f" + b"x" * 63) * 4 + b"\x00",  # more than 255 bytes
        b"",
    ],
)
def test_a_name_that_is_none_makes_the_packet_worth_nothing(name: bytes) -> None:
    assert parse(struct.pack("!6H", 7, 0x8400, 0, 1, 0, 0) + name, 7) == []


def test_a_chain_of_pointers_does_not_take_long() -> None:
    """Each name of this packet leads through all the pointers before it."""
    chain = b"\0" + b"".join(struct.pack("!H", 0xC000 | max(12, 11 + 2 * number)) for number in range(2000))
    start = 12 + len(chain) - 2
    names = struct.pack("!HHIH", A, 1, 10, 0).join([struct.pack("!H", 0xC000 | start)] * 400)
    data = struct.pack("!6H", 7, 0x8400, 0, 0xFFFF, 0, 0) + chain + names
    started = time.monotonic()
    assert parse(data, 7) == []
    assert time.monotonic() - started < 1


@given(st.binary(max_size=600))
def test_no_bytes_raise(data: bytes) -> None:
    assert parse(data, 7) is not None


@given(st.binary(max_size=300), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_nothing_behind_a_good_header_raises(body: bytes, counts: list[int]) -> None:
    assert parse(struct.pack("!6H", 7, 0x8400, *counts) + body, 7) is not None


@given(st.data())
def test_an_answer_with_bytes_changed_or_cut_off_does_not_raise(data: st.DataObject) -> None:
    whole = bytearray(packet(7, *records_of("home").values()))
    for at, value in data.draw(st.lists(st.tuples(st.integers(4, len(whole) - 1), st.integers(0, 255)))):
        whole[at] = value
    assert parse(bytes(whole[: data.draw(st.integers(0, len(whole)))]), 7) is not None
