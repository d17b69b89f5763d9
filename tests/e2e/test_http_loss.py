"""Tasks that came in by HTTP survive what tasks over MQTT survive, and a node that ends says so to whoever waits."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.http_client import Client, serve, task
from tests.e2e.journal import Journal
from tests.e2e.site import Site, StartSite
from tests.support.waiting import eventually


@pytest.fixture
def site(start_site: StartSite) -> Site:
    """A broker, and no node yet."""
    return start_site()


def _both_are_known(http: Client) -> bool:
    nodes = http.get("/fog/v1/nodes").said["nodes"]
    return sorted(each["node"] for each in nodes if each["state"] == "there") == ["n1", "n2"]


def test_a_task_that_was_handed_on_survives_the_death_of_its_node(site: Site, journal: Journal, tmp_path: Path) -> None:
    """n1 has HTTP and two workers, which are busy; what comes then goes to n2, and comes back when that is killed."""
    http = serve(site, "n1")
    site.start("n2")
    eventually(lambda: _both_are_known(http))
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(8) as pool:
        held = [pool.submit(http.run, "hold", journal.path, f"h{number}", str(gate)) for number in range(4)]
        eventually(lambda: len(journal.begun(node="n2")) >= 1, what="a task on n2")
        away = [entry.name for entry in journal.begun(node="n2")]
        site.nodes.pop("n2").kill()
        gate.touch()
        answers = [future.result() for future in held]
    assert sorted(answer.value for answer in answers) == ["h0", "h1", "h2", "h3"]
    traces = {answer.value: [(hop["node"], hop["action"]) for hop in answer.said["trace"]] for answer in answers}
    for name in away:
        assert ("n2", "lost") in traces[name]
        assert ("n1", "ran") in traces[name]


def test_a_split_task_over_http_redoes_the_parts_of_a_lost_node(site: Site, journal: Journal) -> None:
    http = serve(site, "n1")
    site.start("n2")
    eventually(lambda: _both_are_known(http))
    body = json.dumps({"args": [journal.path, list(range(40)), 1.0]})
    with http.events("POST", task("add_up"), body) as events:
        eventually(lambda: journal.begun(node="n2"), what="a part on n2")
        site.nodes.pop("n2").kill()
        last = list(events)[-1]
    assert (last.name, last.data["value"]) == ("result", sum(range(40)))
    assert "lost" in [hop["action"] for hop in last.data["trace"]]


def test_a_node_that_is_asked_to_end_finishes_what_runs_and_refuses_the_rest(
    site: Site, journal: Journal, tmp_path: Path
) -> None:
    http = serve(site, "n1")
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(http.run, "hold", journal.path, f"r{number}", str(gate)) for number in range(2)]
        eventually(lambda: len(journal.begun()) == 2)
        waiting = pool.submit(http.run, "hold", journal.path, "waits", str(gate))
        eventually(lambda: http.get("/fog/v1/nodes").said["nodes"][0]["queued"] == 1)
        ending = pool.submit(site.nodes.pop("n1").terminate)
        refused = waiting.result()
        assert refused.problem == (503, "leaving")
        assert refused.headers["Retry-After"] == "1"
        assert http.run("increment", 1).problem == (503, "leaving")
        gate.touch()
        assert sorted(future.result().value for future in running) == ["r0", "r1"]
        assert ending.result() == 0


def test_a_node_that_was_killed_serves_again_and_has_what_was_posted(site: Site, journal: Journal) -> None:
    http = serve(site, "n1")
    receipt = http.run("increment", 41, query={"keep": "1h"}).value["receipt"]
    slow = http.run("work", journal.path, "slow", 30, query={"id": "s"}, Prefer="respond-async")
    assert http.run("fog.fetch", receipt).value == 42
    site.nodes["n1"].kill()
    with pytest.raises(ConnectionError):
        http.get(slow.headers["Location"])
    site.start("n1", flags=("--http-port", str(http.port)))
    assert http.run("fog.fetch", receipt).value == 42, "it was on the disk"
    assert http.get(slow.headers["Location"]).problem == (404, "unknown-id"), "it was not: its client sends it again"
    assert http.run("work", journal.path, "again", 0.0, query={"id": "s"}).value == "again"


def test_a_token_holds_across_nodes_and_a_post_is_fetched_from_the_other_one(site: Site, tmp_path: Path) -> None:
    """The node that has it is named, and how to get there by HTTP."""
    tokens = tmp_path / "tokens"
    tokens.write_text("kitchen kitchen-token-0123456789\n")
    tokens.chmod(0o600)
    one = serve(site, "n1", "--http-tokens", str(tokens))
    two = serve(site, "n2", "--http-tokens", str(tokens))
    assert one.run("increment", 1).problem == (401, "unauthorized")
    one, two = one.bearing("kitchen-token-0123456789"), two.bearing("kitchen-token-0123456789")
    eventually(lambda: all(_both_are_known(each) for each in (one, two)))
    posted = one.run("increment", 41, query={"keep": "1h", "copies": "2"})
    receipt = posted.value["receipt"]
    assert receipt.startswith("kitchen/")
    asked = two.run("fog.fetch", receipt)
    assert asked.status == 307
    assert asked.said["instead"] == "n1"
    assert asked.headers["Location"] == f"{one.url}/fog/v1/tasks/fog.fetch"
    assert one.run("fog.fetch", receipt).value == 42
