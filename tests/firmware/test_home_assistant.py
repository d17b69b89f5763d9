"""The Home Assistant package of the firmware examples: its templates rendered, and what they say done for real."""

from __future__ import annotations

import json
import time
import urllib.request
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
import yaml

from tests.docs.readme import ROOT
from tests.e2e.rawdevice import RawDevice
from tests.e2e.site import Site, StartSite
from tests.firmware.conftest import HOUSE
from tests.support.ports import free_port

PACKAGE = ROOT / "firmware_examples" / "home_assistant" / "fog.yaml"
ME = "home-assistant"
SECRETS = {"fog_authorization": "Bearer the-token-of-this-test"}


class Loader(yaml.SafeLoader):
    """YAML as Home Assistant reads it."""


Loader.add_constructor("!secret", lambda _loader, node: SECRETS[str(node.value)])

# As strict as Home Assistant about names, which lets what is undefined come out as nothing.
templates = jinja2.Environment(autoescape=False)  # noqa: S701 -- what comes of it is JSON and text
templates.filters["to_json"] = json.dumps
templates.globals["now"] = lambda: datetime.now(timezone.utc)


@pytest.fixture(scope="module")
def package() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(PACKAGE.read_text(), Loader)  # noqa: S506 -- a SafeLoader
    return loaded


def render(template: str, **names: Any) -> str:
    """A template as Home Assistant renders it: white space around it is dropped."""
    return templates.from_string(template).render(**names).strip()


def states(package: dict[str, Any], said: dict[str, Any], before: str = "before") -> list[str]:
    """What a message makes of the sensors."""
    this = SimpleNamespace(state=before)
    return [render(sensor["value_template"], value_json=said, this=this) for sensor in package["mqtt"]["sensor"]]


def test_it_has_what_home_assistant_wants(package: dict[str, Any]) -> None:
    [button] = package["mqtt"]["button"]
    assert {"name", "unique_id", "command_topic", "command_template"} == button.keys()
    for sensor in package["mqtt"]["sensor"]:
        assert {"name", "unique_id", "state_topic", "value_template"} <= sensor.keys()
    ids = [entity["unique_id"] for kind in package["mqtt"].values() for entity in kind]
    assert len(ids) == len(set(ids))
    for automation in package["automation"]:
        assert {"alias", "id", "trigger", "action"} == automation.keys()


def test_the_button_asks_and_the_sensor_shows_the_answer(site: Site, package: dict[str, Any]) -> None:
    [button] = package["mqtt"]["button"]
    assert {sensor["state_topic"] for sensor in package["mqtt"]["sensor"]} == {f"fog/v1/home/reply/{ME}"}
    with RawDevice(site.broker.port, ME) as assistant:
        assistant.publish(button["command_topic"], render(button["command_template"]).encode())
        said = assistant.reply()
        assert states(package, said) == ["27.3", "none"]
        assistant.send({"type": "task", "id": "forecast-1", "name": "fly"})
        refused = assistant.reply()
        nothing, problem = states(package, refused)
        assert nothing == "", "which a sensor with a unit ignores"
        assert problem.startswith("unknown-task: no node of site home offers 'fly'")
    assert states(package, {"type": "accepted", "id": "forecast-1", "node": "n1"}) == ["", "before"]
    assert states(package, {"type": "result", "id": "another", "value": 1}) == ["", "none"]
    assert states(package, {"type": "deadline-exceeded", "id": "a", "message": "late"})[1] == "deadline-exceeded: late"


def test_two_presses_are_two_tasks(package: dict[str, Any]) -> None:
    [button] = package["mqtt"]["button"]
    first = json.loads(render(button["command_template"]))["id"]
    before = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == before:
        pass  # until the next millisecond
    assert json.loads(render(button["command_template"]))["id"] != first


def test_the_automation_asks_over_http_and_does_as_the_fog_says(start_site: StartSite, package: dict[str, Any]) -> None:
    """With the token of home-assistant, which is in Home Assistant's secrets.yaml."""
    site, port = start_site(), free_port()
    tokens = site.folder / "tokens"
    tokens.write_text(f"{ME} {SECRETS['fog_authorization'].split()[1]}\n")
    tokens.chmod(0o600)
    site.start("n1", flags=(*HOUSE, "--http-port", str(port), "--http-tokens", str(tokens)))
    [command], [automation] = package["rest_command"].values(), package["automation"]
    call, condition = automation["action"]
    assert call["service"] == f"rest_command.{next(iter(package['rest_command']))}"
    for celsius, service in ((30.5, "switch.turn_on"), (20.5, "switch.turn_off")):
        trigger = SimpleNamespace(to_state=SimpleNamespace(state=str(celsius)))
        data = {**call["data"], "celsius": render(call["data"]["celsius"], trigger=trigger)}
        answer = SimpleNamespace(status=200, content=rest(command, port, data))
        assert render(condition["if"], answer=answer) == "True"
        assert render(condition["then"][0]["service"], answer=answer) == service


def rest(command: dict[str, Any], port: int, data: dict[str, Any]) -> Any:
    """Do what a rest_command does."""
    url = command["url"].replace("fog.local:8080", f"127.0.0.1:{port}")
    headers = {"Content-Type": command["content_type"], **command["headers"]}
    body = render(command["payload"], **data).encode()
    request = urllib.request.Request(url, body, headers, method=command["method"])  # noqa: S310 -- its own node
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.load(answer)
