"""What a node shows of its site over HTTP: tasks, nodes, files, an invitation; and what strangers' tools make of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from fogsdk.device import invite
from fogsdk.node.http_files import PAGE
from tests.e2e.http_client import CBOR, Client, serve
from tests.e2e.site import Site
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Nodes n1 and n2, of which n1 serves HTTP."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def http(site: Site) -> Client:
    client = serve(site, "n1")
    site.start("n2")
    return client


def test_the_tasks_are_listed_with_what_a_form_needs(http: Client) -> None:
    eventually(lambda: http.get("/fog/v1/tasks").said["tasks"][0]["nodes"] == ["n1", "n2"])
    said = http.get("/fog/v1/tasks").said
    tasks = {each["name"]: each for each in said["tasks"]}
    assert said["site"] == "home"
    assert list(tasks) == sorted(tasks)
    increment = tasks["increment"]
    assert increment["signature"] == "(number: int, seconds: float = 0.0) -> int"
    assert increment["summary"] == "Return the next number, after a while."
    assert (increment["weight"], increment["split"], increment["version"]) == ("light", False, "1")
    assert tasks["add_up"]["split"] is True
    assert http.get("/fog/v1/tasks", Accept=CBOR).said == said


def test_the_nodes_are_listed_with_their_load(http: Client) -> None:
    def both() -> dict[str, dict[str, object]]:
        nodes = {each["node"]: each for each in http.get("/fog/v1/nodes").said["nodes"]}
        assert nodes["n2"]["cpu"] is not None, "its heartbeat is heard"
        return nodes

    nodes = eventually(both)
    assert http.get("/fog/v1/nodes").said["node"] == "n1", "who answers"
    for node in nodes.values():
        assert (node["role"], node["state"], node["workers"], node["running"]) == ("fog", "there", 2, 0)
        assert node["reliability"] == 1.0
        assert "increment" in node["tasks"]  # type: ignore[operator]
    assert list(nodes) == ["n1", "n2"]


def test_the_nodes_are_followed_live(http: Client, site: Site) -> None:
    site.start("n3")
    with http.events("GET", "/fog/v1/nodes") as events:

        def state() -> str:
            event = next(events)
            assert event.name == "nodes"
            return str({each["node"]: each["state"] for each in event.data["nodes"]}.get("n3"))

        eventually(lambda: state() == "there")
        site.nodes.pop("n3").kill()
        eventually(lambda: state() == "gone")


def test_the_page_is_served_as_it_is_in_the_package(http: Client) -> None:
    page = http.get("/")
    assert page.body == (PAGE / "index.html").read_bytes()
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for name in ("default-src 'self'", "frame-ancestors 'none'", "object-src 'none'"):
        assert name in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    for file in PAGE.rglob("*"):
        if file.is_file():
            served = http.get(f"/{file.relative_to(PAGE).as_posix()}")
            assert (served.status, served.body) == (200, file.read_bytes())
            if file.suffix == ".js":
                assert served.headers["Content-Type"].startswith("text/javascript")
    assert http.get("/", If_None_Match=page.headers["ETag"]).status == 304


@pytest.mark.parametrize("path", ["/nothing", "/../door.py", "/%2e%2e/door.py", "/..%2fdoor.py", "/fog/v2", "//", "/."])
def test_nothing_else_is_served(http: Client, path: str) -> None:
    assert http.get(path).problem == (404, "not-found")


def test_the_sdk_for_phones_is_served_with_its_hash(http: Client) -> None:
    said = http.get("/fog/v1/phone").said
    bundle = http.get(said["url"])
    assert bundle.headers["Content-Type"] == "application/zip"
    assert said["sha256"] == hashlib.sha256(bundle.body).hexdigest()
    assert said["size"] == len(bundle.body)
    assert "fogsdk/__init__.py" in zipfile.ZipFile(BytesIO(bundle.body)).namelist()


def test_an_invitation_leads_here(http: Client, site: Site) -> None:
    said = http.get("/fog/v1/invite").said
    assert (said["url"], said["site"]) == (f"{http.url}/", "home")
    assert said["urls"] == [f"{site.broker.url}/home"]
    invited = invite.read(said["text"])
    assert (list(invited.urls), invited.page, invited.token) == (said["urls"], said["url"], "")
    assert said["qr"].startswith("<svg")
    with_host = http.get("/fog/v1/invite", Host="fog.local:80").said
    assert with_host["url"] == "http://fog.local:80/"


def test_a_method_that_is_not_there_is_a_problem_that_names_those_that_are(http: Client) -> None:
    answer = http.request("PUT", "/fog/v1/tasks/increment", "{}")
    assert answer.problem == (405, "method-not-allowed")
    assert answer.headers["Allow"] == "POST"


def test_curl_runs_a_task_and_follows_another(http: Client, tmp_path: Path) -> None:
    """The lines of the documentation."""

    def curl(*words: str) -> str:
        done = subprocess.run(["curl", "-sS", *words], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    run = curl("-H", "Content-Type: application/json", "-d", '{"args": [41]}', f"{http.url}/fog/v1/tasks/increment")
    assert json.loads(run)["value"] == 42
    body = json.dumps({"args": [str(tmp_path / "log"), "curl", 0.3]})
    words = ("-N", "-H", "Content-Type: application/json", "-H", "Accept: text/event-stream", "-d", body)
    events = curl(*words, f"{http.url}/fog/v1/tasks/work")
    assert "event: accepted\n" in events
    assert "event: progress\n" in events
    assert events.endswith("\n\n")
    assert '"value":"curl"' in events.split("event: result\ndata: ")[1]
    large = tmp_path / "large.json"  # curl asks before it sends so much
    large.write_text(json.dumps({"args": ["x" * 2_000_000]}))
    asks_first = ("-H", "Content-Type: application/json", "-H", "Expect: 100-continue", "-d", f"@{large}")
    given = curl(*asks_first, f"{http.url}/fog/v1/tasks/give_back")
    assert len(json.loads(given)["value"][0][0]) == 2_000_000
