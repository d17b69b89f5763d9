"""The waker wakes a waiting thread, from any other, and also when its sockets were taken away meanwhile."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator

import pytest

import fogsdk
from fogsdk.device.waker import Waker
from tests.support.broker import Mosquitto
from tests.support.waiting import eventually


@pytest.fixture
def selector() -> Iterator[selectors.DefaultSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


def test_who_waits_is_woken_once_for_many_who_wake(selector: selectors.DefaultSelector) -> None:
    waker = Waker(selector)
    threads = [threading.Thread(target=waker.wake) for _ in range(20)]
    for thread in threads:
        thread.start()
    [(key, _)] = selector.select(5)
    assert key.data is None
    for thread in threads:
        thread.join()
    waker.drain()
    assert selector.select(0) == []
    waker.wake()
    assert selector.select(5)
    waker.close()


def test_one_that_was_woken_over_sockets_that_died_is_woken_over_the_new_ones(
    selector: selectors.DefaultSelector,
) -> None:
    waker = Waker(selector)
    waker._reader.shutdown(socket.SHUT_RDWR)  # what iOS does to an app in the background
    waker.wake()
    waker.renew()
    assert selector.select(5)
    waker.drain()
    assert selector.select(0) == []
    waker.wake()
    assert selector.select(5)
    waker.close()


def test_where_somebody_was_interrupted_in_the_middle_of_draining_who_waits_is_woken_all_the_same(
    selector: selectors.DefaultSelector,
) -> None:
    waker = Waker(selector)
    waker.wake()
    waker._reader.recv(1)  # and no further
    waker.wake(anyway=True)
    assert selector.select(5)
    waker.drain()
    waker.wake()
    assert selector.select(5)
    waker.close()


def test_a_device_whose_every_socket_died_in_the_background_goes_on(mosquitto: Mosquitto) -> None:
    """Its thread is made to believe that it slept; its sockets are dead."""
    with fogsdk.connect(mosquitto.url) as fog:
        driver = fog._driver
        assert isinstance(driver, fogsdk.device.driver.Driver)
        connection = driver._connections.current
        assert connection is not None
        for dead in (driver._waker._reader, driver._waker._writer, connection.socket):
            dead.shutdown(socket.SHUT_RDWR)
        driver._turned -= 60_000
        eventually(lambda: driver._connections.current not in (None, connection), what="a new connection")
        eventually(driver.up.is_set, what="it to be usable")
        eventually(lambda: not driver._waker._woken, what="it to wait again")
