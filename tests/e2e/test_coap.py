"""The SDK over CoAP: every call means what it means over MQTT."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest

import fogsdk
from fogsdk import ConfigError, ConnectionFailed, DeadlineExceeded, Fog, SessionConflict, TaskFailed, TaskRefused
from fogsdk.wire.limits import RECORD_SIZE
from tests.e2e import coap
from tests.e2e.journal import Journal
from tests.e2e.site import Site, wait_for_nodes
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def urls(site: Site) -> dict[str, str]:
    """Two nodes of the module's site that serve CoAP; its own, n1, does not."""
    return coap.serve(site, "c1", "c2")


@pytest.fixture
def fog(site: Site, urls: dict[str, str]) -> Iterator[Fog]:
    """A device that was told the URL of one of them."""
    with site.connect(urls["c1"]) as fog:
        wait_for_nodes(fog, "c1", "c2")
        yield fog


def test_run_returns_what_the_task_returns(fog: Fog) -> None:
    assert fog.run("increment", 41) == 42


def test_the_nodes_that_serve_coap_are_seen_with_what_they_offer_and_no_others(fog: Fog) -> None:
    nodes = fog.nodes()
    assert nodes.keys() == {"c1", "c2"}
    assert "increment" in {task.name for task in nodes["c2"].tasks}


def test_a_task_for_a_node_goes_to_that_one(fog: Fog) -> None:
    for node in ("c1", "c2"):
        future = fog.submit("increment", 1, node=node)
        assert future.result(10) == 2
        assert future.trace is not None
        assert future.trace.hops[0].node == node


def test_arguments_of_every_kind_come_back_as_they_went(fog: Fog) -> None:
    args = [None, True, -(2**70), 0.1, "grüß 🌍", b"\x00\xff", [1, [2]], {"a": {"b": 1}}]
    assert fog.run("give_back", *args, schlüssel="wörter") == [args, {"schlüssel": "wörter"}]


def test_arrays_go_there_and_come_back(fog: Fog) -> None:
    array = np.arange(24, dtype="float32").reshape(2, 3, 4)
    [[returned], _] = fog.run("give_back", array)
    np.testing.assert_array_equal(returned, array)


def test_a_megabyte_goes_there_and_comes_back_while_small_tasks_do_too(fog: Fog) -> None:
    data = bytes(range(256)) * 4096
    large = fog.submit("give_back", data)
    assert fog.run("increment", 1) == 2
    assert large.result(50) == [[data], {}]


def test_what_is_larger_than_coap_carries_is_refused_with_the_limit(fog: Fog) -> None:
    with pytest.raises(TaskRefused, match=str(RECORD_SIZE)) as caught:
        fog.run("give_back", bytes(RECORD_SIZE))
    assert caught.value.reason == "too-large"
    with pytest.raises(TaskFailed, match="cannot be sent"):
        fog.run("zeros", RECORD_SIZE + 65536)
    assert fog.run("increment", 1) == 2


def test_400_light_tasks_pipelined_give_400_results(fog: Fog) -> None:
    assert list(fog.map("increment", range(400))) == list(range(1, 401))


# ---------------------------------------------------------------- what goes wrong


def test_a_task_that_raises_gives_type_message_and_traceback(fog: Fog) -> None:
    with pytest.raises(TaskFailed) as caught:
        fog.run("fail", "no such book")
    assert (caught.value.type, caught.value.message) == ("LookupError", "no such book")
    assert "raise LookupError(message)" in caught.value.traceback


def test_refusals_say_what_was_wrong(fog: Fog) -> None:
    with pytest.raises(TaskRefused, match="increment") as unknown:
        fog.run("decrement", 1)
    with pytest.raises(TaskRefused, match=r"increment\(number: int") as wrong:
        fog.run("increment", 1, 2, 3)
    assert (unknown.value.reason, wrong.value.reason) == ("unknown-task", "bad-arguments")


def test_a_deadline_ends_a_task(fog: Fog, journal: Journal) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        fog.run("work", journal.path, "late", 30.0, deadline=0.4)
    assert time.monotonic() - began < 5
    assert not journal.ended("late")


def test_a_task_that_is_cancelled_ends_on_its_node(fog: Fog, journal: Journal, tmp_path: Path) -> None:
    future = fog.submit("hold", journal.path, "held", str(tmp_path / "gate"))
    eventually(lambda: journal.begun("held"))
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(1)
    assert list(fog.map("increment", range(8))) == list(range(1, 9))  # its worker is free again
    assert not journal.ended("held")


def test_progress_comes_while_a_task_runs(fog: Fog, journal: Journal) -> None:
    future = fog.submit("work", journal.path, "slow", 1.0)
    eventually(lambda: 0.1 < (future.progress or 0.0) < 1.0, 5, what="progress")
    assert future.result(10) == "slow"
    assert future.progress == 1.0


# ---------------------------------------------------------------- what the fog keeps


def test_a_session_is_found_on_whichever_node_has_it(site: Site, fog: Fog, urls: dict[str, str]) -> None:
    for name in ("one", "two", "three", "four"):  # homes of several nodes are among these
        session = fog.session(f"coap-{name}")
        assert [session.run("count"), session.run("count", 10)] == [1, 11]
    with site.connect(urls["c2"]) as other:
        assert other.session("coap-four").run("count") == 12
    with pytest.raises(SessionConflict):
        session.run("count")  # after a state that is no longer the last


def test_a_posted_task_is_fetched_by_another_device(site: Site, fog: Fog, urls: dict[str, str]) -> None:
    receipt = fog.post("increment", 1, keep="5m")
    with site.connect(urls["c2"]) as other:
        wait_for_nodes(other, "c1", "c2")
        assert other.fetch(receipt, timeout=20) == 2


# ---------------------------------------------------------------- connecting


def test_a_url_names_the_site_and_a_wrong_one_is_told(site: Site, urls: dict[str, str]) -> None:
    with site.connect(f"{urls['c1']}/home") as fog:
        assert fog.run("increment", 1) == 2
    with pytest.raises(ConnectionFailed, match="c1 is of site home, not of shop"):
        fogsdk.connect(f"{urls['c1']}/shop", timeout=1)


def test_where_nobody_serves_coap_that_is_told() -> None:
    with pytest.raises(ConnectionFailed, match="nothing listens there"):
        fogsdk.connect("coap://127.0.0.1:9", timeout=1)


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        ("coaps://pi-2", "DTLS"),
        (["coap://pi-2", "mqtt://pi-3"], "one kind"),
        ("coap://kitchen:secret@pi-2", "hexadecimal"),
    ],
)
def test_urls_that_cannot_be_right_are_told(urls: str | list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fogsdk.connect(urls)


def test_without_aiocoap_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("fogsdk.device.coap")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiocoap", None)
    with pytest.raises(ConfigError, match=r"fogsdk\[coap\]"):
        fogsdk.connect("coap://pi-2")
