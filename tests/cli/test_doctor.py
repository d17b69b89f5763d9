"""``fog doctor``: finds what is wrong, says what to do, and is content only when all is well."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fogsdk.wire import codec
from fogsdk.wire.messages import Birth
from tests.broker.mqtt import Client
from tests.cli.site import Site, fog
from tests.support.ports import free_port


def diagnose(site: Site, *words: str, code: int) -> dict[str, dict[str, Any]]:
    """What ``fog doctor`` finds, by the name of the check; of two with one name, the later."""
    done = site.fog("doctor", "--json", *words)
    assert done.returncode == code, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is (code == 0)
    return {check["name"]: check for check in told["checks"]}


def test_a_healthy_site_is_found_well(site: Site) -> None:
    checks = diagnose(site, code=0)
    assert not [check for check in checks.values() if check["state"] == "wrong"]
    assert checks["nodes"]["text"] == "n1 (there), n2 (there)"
    assert re.fullmatch(r"[\d.]+ ms there and back, jitter [\d.]+ ms", checks["way to n1"]["text"])
    assert "mosquitto version" in checks["broker version"]["text"]
    assert "paho-mqtt" in checks["versions"]["text"]
    assert "durations" in checks["clock"]["text"]


def test_people_get_a_line_for_each_check_and_what_to_do(start_site: Callable[..., Site]) -> None:
    site = start_site()
    done = site.fog("doctor")
    assert done.returncode == 1
    assert "ok     broker mqtt://" in done.stdout
    assert "wrong  nodes: none on site 'home'\n       -> start one: fognode --site home" in done.stdout
    assert "found something wrong" in done.stderr


def test_a_broker_that_holds_small_packets_back_is_found(start_site: Callable[..., Site]) -> None:
    site = start_site("n1", settings=("set_tcp_nodelay false",))
    broker = diagnose(site, code=1)[f"broker {site.url}"]
    assert broker["state"] == "wrong"
    assert "set_tcp_nodelay true" in broker["advice"]


def test_each_broker_that_cannot_be_reached_is_named(site: Site) -> None:
    closed, unknown = f"mqtt://127.0.0.1:{free_port()}", "mqtt://no-such-host.invalid:1883"
    checks = diagnose(site, "--url", closed, "--url", site.url, "--url", unknown, code=1)
    assert "nothing listens there" in checks[f"broker {closed}"]["text"]
    assert "no such host name" in checks[f"broker {unknown}"]["text"]
    assert checks[f"broker {site.url}"]["state"] == "ok"
    assert checks["nodes"]["state"] == "ok"


def test_with_no_broker_at_all_the_exit_code_is_5() -> None:
    done = fog("doctor", url=f"mqtt://127.0.0.1:{free_port()}")
    assert done.returncode == 5
    assert "-> start a broker there" in done.stdout


def test_a_url_of_coap_is_told_to_be_no_brokers() -> None:
    done = fog("doctor", "--json", url=f"coap://127.0.0.1:{free_port()}")
    assert done.returncode == 5
    check = json.loads(done.stdout)["checks"][-1]
    assert (check["state"], check["text"]) == ("wrong", "it is none: coap:// leads to one node alone")
    assert "fog doctor --device" in check["advice"]


def test_a_refused_login_is_told_from_a_broker_that_is_away(start_site: Callable[..., Site], tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("phone:secret\n")
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
    site = start_site(settings=(f"password_file {passwords}",), anonymous=False)
    broker = diagnose(site, "--username", "phone", code=5)[f"broker {site.url}"]
    assert "login not accepted" in broker["text"]
    assert "--password-file" in broker["advice"]


def test_a_node_that_does_not_answer_is_wrong_and_one_that_left_is_a_note(start_site: Callable[..., Site]) -> None:
    site = start_site("n1", "n2")
    site.nodes["n2"].kill()
    with Client(site.broker.port, "mute") as mute:  # a node that announces itself, and no more
        mute.publish("fog/v1/home/node/mute/birth", codec.encode([Birth(1, "fog", 1)]), retain=True)
        checks = diagnose(site, code=1)
    assert checks["way to n1"]["state"] == "ok"
    assert checks["way to mute"]["text"] == "no answer"
    assert (checks["nodes gone"]["state"], checks["nodes gone"]["text"]) == ("note", "n2")
