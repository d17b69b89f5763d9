"""The C clients of the firmware examples, with libmosquitto and libcoap under the address sanitizer, on a real site."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.site import Site, StartSite
from tests.e2e.test_login import PASSWORDS, SecureSite
from tests.firmware.clibrary import BUILD, C, make
from tests.firmware.conftest import HOUSE, coap_urls
from tests.support.ports import free_port
from tests.support.processes import Processes

OF_THE_HEAP = re.compile(r"\b(malloc|calloc|realloc|free|strdup)\b")


@pytest.fixture(autouse=True, scope="module")
def clients() -> None:
    """Both are built, with -Wall -Wextra -Werror and more."""
    make("all")


def ask(*words: str | int, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a client to its end."""
    command = [str(BUILD / str(words[0])), *map(str, words[1:])]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environ)


def test_it_asks_over_mqtt_and_gets_its_answer(site: Site) -> None:
    done = ask("fog_mqtt", "127.0.0.1", site.broker.port, "home", "board-1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "it will be 25.3\n", "")


def test_it_asks_over_coap_and_gets_its_answer(site: Site) -> None:
    port = coap_urls(site)[0].rpartition(":")[2]
    done = ask("fog_coap", "127.0.0.1", port, "board-2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "it will be 25.3\n", "")


def test_a_refusal_is_told_with_its_reason(start_site: StartSite) -> None:
    site = start_site()
    site.start("n1", flags=("--coap-port", str(free_port())))  # with other tasks
    port = coap_urls(site)[0].rpartition(":")[2]
    for words in (("fog_mqtt", "127.0.0.1", site.broker.port, "home", "a"), ("fog_coap", "127.0.0.1", port, "b")):
        done = ask(*words)
        assert done.returncode == 1
        assert done.stdout.startswith("refused unknown-task: no node of site home offers 'forecast'; there are: ")


def test_a_node_that_comes_later_answers_too(start_site: StartSite, processes: Processes) -> None:
    """The task was sent when nobody was there, and is sent again."""
    site = start_site()
    early = processes.start(BUILD / "fog_mqtt", "127.0.0.1", str(site.broker.port), "home", "early")
    site.start("n1", flags=HOUSE)
    early.wait_for("it will be 25.3\n")


def test_nobody_there_is_told(start_site: StartSite) -> None:
    site = start_site()
    done = ask("fog_mqtt", "127.0.0.1", site.broker.port, "home", "alone")
    assert (done.returncode, done.stderr) == (1, "no answer within 10000 ms\n")
    done = ask("fog_coap", "127.0.0.1", free_port(), "alone")
    assert (done.returncode, done.stderr) == (1, "no node answers there\n")


def test_it_logs_in_over_tls(tmp_path: Path) -> None:
    site = SecureSite(tmp_path)
    try:
        node = site.launch(
            *("--node", "node-1", "--username", "node-1", "--password", PASSWORDS["node-1"], *HOUSE),
            *("--ca", str(site.authority.file), "--brokers", ",".join(site.urls)),
        )
        node.wait_for("connected to mqtts://")
        words = ("fog_mqtt", "127.0.0.1", site.port, "home", "phone")
        done = ask(*words, FOG_PASSWORD=PASSWORDS["phone"], FOG_CA=str(site.authority.file))
        assert done.stdout == "it will be 25.3\n", done.stderr
        refused = ask(*words, FOG_PASSWORD="wrong", FOG_CA=str(site.authority.file))
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "the broker refuses: " in refused.stderr
    finally:
        site.close()


def test_the_clients_themselves_take_no_heap() -> None:
    """What libmosquitto and libcoap take on a computer, a device's libraries take when they start."""
    for source in ("fog_mqtt.c", "fog_coap.c", "question.c", "fog.c", "fog_call.c"):
        assert not OF_THE_HEAP.search((C / source).read_text()), source
