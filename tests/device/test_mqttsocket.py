"""Packets are cut out of what comes, however that is cut, and go out whole, however slow the other end is."""

from __future__ import annotations

import random
import select
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fogsdk.device.mqttsocket import MqttSocket
from fogsdk.wire.limits import MESSAGE_SIZE
from tests.support.authority import Authority

PINGRESP, SUBACK = b"\xd0\x00", b"\x90\x03\x00\x01\x00"


def publish(topic: str, payload: bytes, kind: int = 0x30) -> bytes:
    """A publish as MQTT 3.1.1 has it (section 3.3), written out here once more."""
    body = len(topic).to_bytes(2, "big") + topic.encode() + payload
    size, digits = len(body), bytearray()
    while True:
        size, digit = divmod(size, 128)
        digits.append(digit | (0x80 if size else 0))
        if not size:
            return bytes((kind, *digits)) + body


class Ends:
    """Both ends of a connection, and what was heard at ours."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.heard: list[tuple[str, bytes]] = []
        self.wire = MqttSocket(ours, lambda topic, payload: self.heard.append((topic, payload)))

    def for_paho(self) -> bytes:
        """All that paho would read now."""
        got = b""
        try:
            while data := self.wire.recv(3):
                got += data
        except BlockingIOError:
            pass
        return got


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.wire.close()
    ends.theirs.close()


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, 1_000_000])
def test_publishes_are_heard_and_the_rest_is_pahos_however_it_is_cut(ends: Ends, step: int) -> None:
    sent = [
        ("fog/v1/home/reply/d", b""),
        ("t", b"x" * 127),
        ("t", b"y" * 200),
        ("fog/v1", random.Random(1).randbytes(20_000)),
    ]
    stream = b"".join(publish(topic, payload) + SUBACK for topic, payload in sent) + PINGRESP
    for begin in range(0, len(stream), step):
        ends.theirs.sendall(stream[begin : begin + step])
        ends.wire.receive()
    assert ends.heard == sent
    assert ends.for_paho() == SUBACK * len(sent) + PINGRESP


def test_a_large_packet_comes_in_many_readings(ends: Ends) -> None:
    payload = random.Random(2).randbytes(3_000_000)
    writer = threading.Thread(target=ends.theirs.sendall, args=(publish("t", payload) + publish("u", b"1"),))
    ends.wire.setblocking(True)
    writer.start()
    while len(ends.heard) < 2:
        ends.wire.receive()
    writer.join()
    assert ends.heard == [("t", payload), ("u", b"1")]


@pytest.mark.parametrize("kind", [0x32, 0x34], ids=["QoS 1", "QoS 2"])
def test_a_publish_that_wants_an_answer_is_for_paho(ends: Ends, kind: int) -> None:
    packet = publish("t", b"\x00\x01hello", kind)
    ends.theirs.sendall(packet)
    ends.wire.receive()
    assert ends.heard == []
    assert ends.for_paho() == packet


@pytest.mark.parametrize("nonsense", [b"\x30\xff\xff\xff\xff\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9])
def test_what_is_not_mqtt_is_left_to_paho(ends: Ends, nonsense: bytes) -> None:
    ends.theirs.sendall(nonsense)
    ends.wire.receive()
    assert ends.heard == []
    assert ends.for_paho()


@pytest.mark.parametrize("topic", [b"\x00\x02\xff\xff", b"\x00\x09ab", b"\xff\xff"])
def test_a_publish_with_a_topic_that_cannot_be_harms_nobody(ends: Ends, topic: bytes) -> None:
    ends.theirs.sendall(bytes((0x30, len(topic))) + topic + publish("t", b"1"))
    ends.wire.receive()
    assert ends.heard[-1] == ("t", b"1")


def test_a_packet_that_is_longer_than_any_message_is_left_out_and_not_kept(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    stream = publish("t", bytes(MESSAGE_SIZE + 2**17)) + publish("u", b"1")
    writer = threading.Thread(target=ends.theirs.sendall, args=(stream,))
    ends.wire.setblocking(True)
    writer.start()
    while not ends.heard:
        ends.wire.receive()
        assert len(ends.wire._begun) < 2**20
    writer.join()
    assert ends.heard == [("u", b"1")]
    assert "is left out" in caplog.text


def test_the_end_of_the_connection_is_for_paho_to_find(ends: Ends) -> None:
    assert not ends.wire.for_paho
    ends.theirs.close()
    ends.wire.receive()
    assert ends.wire.for_paho
    assert ends.wire.recv(1) == b""


def test_a_connection_that_breaks_while_it_is_written_to_is_for_paho_to_find(ends: Ends) -> None:
    ends.theirs.close()
    ends.wire.publish("t", b"1")
    ends.wire.write()
    assert ends.wire.for_paho
    with pytest.raises(OSError, match="pipe"):
        ends.wire.recv(1)


def test_what_is_published_goes_out_whole_and_in_order_though_the_other_end_is_slow(ends: Ends) -> None:
    made = random.Random(3)
    packets = [
        ("t" * made.randint(1, 200), made.randbytes(made.choice((0, 1, 90, 20_000, 400_000)))) for _ in range(60)
    ]
    for topic, payload in packets:
        ends.wire.publish(topic, payload)
    ends.wire.send(PINGRESP)
    wanted = b"".join(publish(topic, payload) for topic, payload in packets) + PINGRESP
    got = bytearray()
    while len(got) < len(wanted):
        ends.wire.write()
        got += ends.theirs.recv(made.randint(1, 100_000))
    assert got == wanted
    assert not ends.wire.wants_write


def test_a_retained_publish_says_so(ends: Ends) -> None:
    ends.wire.publish("t", b"1", retain=True)
    ends.wire.write()
    assert ends.theirs.recv(100) == publish("t", b"1", 0x31)


def test_several_threads_write_one_packet_after_the_other(ends: Ends) -> None:
    """Each packet is one letter: were they mixed, some would have two."""
    count, size = 40, 50_000

    def write(letter: bytes) -> None:
        for _ in range(count):
            ends.wire.publish("t", letter * size)
            ends.wire.write()

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    other = Ends()
    for thread in threads:
        thread.start()
    while len(other.heard) < count * len(threads):
        ends.wire.write()
        other.theirs.sendall(ends.theirs.recv(200_000))
        other.wire.receive()
    for thread in threads:
        thread.join()
    assert sorted(payload for _, payload in other.heard) == sorted(
        letter * size for letter in (b"a", b"b", b"c") * count
    )
    other.wire.close()
    other.theirs.close()


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns all the time."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_one_thread_reads_from_tls_while_another_writes(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Before Python 3.13 two of them at one connection broke it, after some messages or some thousand."""
    count = 10_000
    authority = Authority(tmp_path / "ca")
    serving, using = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(authority.file))
    serving.load_cert_chain(*authority.issue("server"))
    serving.maximum_version = version
    ours, theirs = socket.socketpair()

    def echo() -> None:
        with serving.wrap_socket(theirs, server_side=True) as there:
            while data := there.recv(2**16):
                there.sendall(data)

    other = threading.Thread(target=echo)
    other.start()
    tls = using.wrap_socket(ours, server_hostname="127.0.0.1")
    tls.setblocking(False)
    heard: list[bytes] = []
    wire = MqttSocket(tls, lambda _topic, payload: heard.append(payload))

    def read() -> None:
        while len(heard) < count and not wire.for_paho:
            select.select([tls], [], [], 0.05)
            wire.receive()
            while wire.pending():
                wire.receive()

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(count):
        wire.publish("t", b"%d" % number)
        wire.write()
    while reader.is_alive() and not wire.for_paho:
        wire.write()
    reader.join()
    wire.close()
    other.join()
    assert heard == [b"%d" % number for number in range(count)]


def test_once_it_is_closed_nothing_is_heard_or_written(ends: Ends) -> None:
    def hear(topic: str, payload: bytes) -> None:
        ends.heard.append((topic, payload))
        ends.wire.close()

    ends.wire._hear = hear
    ends.theirs.sendall(publish("t", b"1") + publish("t", b"2"))
    ends.wire.receive()
    ends.wire.publish("t", b"3")
    ends.wire.write()
    assert ends.heard == [("t", b"1")]
