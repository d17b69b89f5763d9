"""The nodes of the site, live: who is there, how busy, what is in quarantine, and how other devices get here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.page.browser import Browser
from tests.page.site import PageSite, wait_for_lines
from tests.support.waiting import eventually

StartSite = Callable[..., PageSite]


def test_two_nodes_share_a_task_and_the_loss_of_one_is_seen(browser: Browser, start_site: StartSite) -> None:
    site = start_site("n1", "n2")
    browser.open(site.url, "fog")
    browser.shows("2 nodes, 0 of 4 workers busy", ".total")
    assert [each.text for each in browser.all("fog-nodes h3")] == ["n1", "n2"]
    assert len(browser.shown(".here")) == 1
    browser.ask("relief")
    browser.shows("n1 and n2", "fog-ask .trace summary", 30)
    browser.find("fog-ask canvas")
    site.kill("n2")
    browser.run("location.hash = '#/fog'")
    eventually(lambda: not browser.all('.node[data-state="there"] + .node[data-state="there"]'), what="n2 is lost")


def test_a_busy_worker_is_seen_as_it_works(browser: Browser, site: PageSite, tmp_path: Path) -> None:
    browser.open(site.url)
    browser.ask("wait_for", gate=str(tmp_path / "gate"), log=str(tmp_path / "log"))
    wait_for_lines(tmp_path / "log", 1)
    browser.run("location.hash = '#/fog'")
    browser.shows("1 of 2 workers busy", ".node .workers")
    assert len(browser.all(".node .pips .busy")) == 1
    (tmp_path / "gate").touch()
    browser.shows("0 of 2 workers busy", ".node .workers")
    assert len(browser.all(".node .pips .busy")) == 0


def test_what_killed_workers_is_in_quarantine_and_refused(browser: Browser, start_site: StartSite) -> None:
    site = start_site("n1")
    browser.open(site.url)
    browser.ask("die")
    browser.shows("WorkerDied", "fog-ask[data-state=failed]", 30)
    browser.press("Nodes")
    browser.shows("die", ".quarantine")
    browser.ask("die")
    browser.shows("killed the workers that ran it", "fog-ask[data-state=refused]")


def test_a_task_that_comes_with_another_node_is_there_without_a_reload(browser: Browser, start_site: StartSite) -> None:
    site = start_site("n1")
    browser.open(site.url)
    browser.shows("on n1", "a[data-task=mean]")
    site.start("n2")
    browser.shows("on 2 nodes", "a[data-task=mean]")


def test_tasks_are_found_by_their_name_or_what_they_do(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.find("input[type=search]").send_keys("primes")
    eventually(lambda: [each.get_attribute("data-task") for each in browser.all(".tasks a")] == ["primes_below"])
    browser.find("input[type=search]").send_keys(" nothing like that")
    browser.shows("No task is called that", "fog-tasks")


def test_another_device_is_invited_by_a_code(browser: Browser, site: PageSite) -> None:
    browser.open(site.url, "fog")
    code = browser.find("img.qr")
    assert browser.run("return arguments[0].decode().then(() => arguments[0].naturalWidth > 0)", code)


def test_the_sdk_for_phones_is_offered_with_its_hash(browser: Browser, site: PageSite) -> None:
    browser.open(site.url, "fog")
    shown = browser.text(".bundle .hash code")
    digest = browser.run("""
        return fetch("/fogsdk-phone.zip").then((response) => response.arrayBuffer())
            .then((bytes) => crypto.subtle.digest("SHA-256", bytes))
            .then((hash) => [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
    """)
    assert shown == digest
