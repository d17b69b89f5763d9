"""The connection goes and comes, the node dies, the phone freezes the page: what was asked for is settled, and once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.page.browser import Browser
from tests.page.site import PageSite, lines, wait_for_lines
from tests.support.waiting import eventually

StartSite = Callable[..., PageSite]


def ask(browser: Browser, folder: Path) -> None:
    """Ask for a task that runs until the gate is open, and wait until it does run."""
    browser.ask("wait_for", gate=str(folder / "gate"), log=str(folder / "log"))
    wait_for_lines(folder / "log", 1)


def test_a_lost_connection_is_said_and_the_task_asked_for_again_runs_once(
    browser: Browser, site: PageSite, tmp_path: Path
) -> None:
    browser.open(site.url)
    ask(browser, tmp_path)
    site.nodes["n1"].freeze()
    browser.shows("n1 does not answer", "#banner")
    browser.shows("1 task will go on", "#banner")
    browser.shows("connection lost, trying again", "fog-ask .state")
    (tmp_path / "gate").touch()
    browser.press("Try now")  # before it is there again, since it might be found without
    site.nodes["n1"].thaw()
    browser.shows("the gate is open", "fog-ask .value")
    assert not browser.shown("#banner")
    assert lines(tmp_path / "log") == 1


def test_what_is_asked_for_without_a_connection_is_sent_when_it_is_back(browser: Browser, site: PageSite) -> None:
    browser.open(site.url, "task/mean")
    browser.fill("values", "2 4")
    browser.be_offline(True)
    browser.press("Run in the fog")
    browser.shows("trying again", "fog-ask .state")
    browser.be_offline(False)
    browser.shows("3", "fog-ask .figure")


def test_a_task_that_is_cancelled_without_a_connection_is_stopped_when_it_is_back(
    browser: Browser, site: PageSite, tmp_path: Path
) -> None:
    browser.open(site.url)
    ask(browser, tmp_path)
    site.nodes["n1"].freeze()
    browser.shows("trying again", "fog-ask .state")
    browser.press("Cancel")
    site.nodes["n1"].thaw()
    browser.find("fog-ask[data-state=cancelled]")
    browser.press("Nodes")
    browser.shows("0 of 2 workers busy", ".total")


def test_a_node_that_was_killed_and_comes_back_settles_what_it_had(
    browser: Browser, start_site: StartSite, tmp_path: Path
) -> None:
    site = start_site("n1")
    browser.open(site.url)
    ask(browser, tmp_path)
    site.kill("n1")
    browser.shows("n1 does not answer", "#banner")
    (tmp_path / "gate").touch()
    site.start("n1")
    browser.shows("the gate is open", "fog-ask .value")
    browser.find("#connection[data-state=up]")


def test_a_frozen_page_settles_when_it_is_back(browser: Browser, site: PageSite, tmp_path: Path) -> None:
    with browser.tab():  # one that was frozen draws nothing any more without a screen, and is looked into therefore
        browser.open(site.url)
        ask(browser, tmp_path)
        browser.cdp("Page.setWebLifecycleState", state="frozen")
        (tmp_path / "gate").touch()
        browser.cdp("Page.setWebLifecycleState", state="active")
        held = "return document.querySelector('fog-ask').ask.value"
        eventually(lambda: browser.run(held) == "the gate is open", what="the result")
    assert lines(tmp_path / "log") == 1


def test_what_was_away_for_too_long_is_not_run_again_unasked(browser: Browser, site: PageSite) -> None:
    """The node forgets outcomes after five minutes: the page of a phone that slept longer does not post again."""
    browser.open(site.url)
    old = '[{"task": "mean", "options": {}, "id": "long-ago", "at": 1000, "heard": 1000, "label": "values = 1"}]'
    browser.run(f"addEventListener('pagehide', () => sessionStorage.setItem('fog-asks', '{old}'))")
    browser.driver.refresh()
    browser.press("Results")
    browser.shows("not known any more", "fog-ask .state")
    browser.shows("Ask again to run it anew", "fog-ask")


TOKEN = "abcdefghijklmnop1234"


@pytest.fixture
def locked(start_site: StartSite, tmp_path: Path) -> PageSite:
    """A site whose node wants a token."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"phone {TOKEN}\n")
    tokens.chmod(0o600)
    return start_site("n1", flags=("--http-tokens", str(tokens)))


def test_a_token_is_asked_for_kept_for_the_tab_and_a_wrong_one_is_said(browser: Browser, locked: PageSite) -> None:
    browser.open(locked.url)
    browser.shows("This node wants a token", "dialog")
    browser.field("Token").send_keys("not-the-right-one")
    browser.press("Go on")
    browser.shows("does not know that token", "dialog")
    browser.field("Token").send_keys(TOKEN)
    browser.press("Go on")
    browser.ask("mean", values="1 3")
    browser.shows("2", "fog-ask .figure")
    browser.driver.refresh()
    browser.find("#connection[data-state=up]")
    assert not browser.shown("dialog")
    assert browser.run("return localStorage.length") == 0


def test_who_has_no_token_is_told_so_and_may_enter_one_later(browser: Browser, locked: PageSite) -> None:
    browser.open(locked.url)
    browser.press("Not now")
    browser.shows("wants a token", "#banner")
    browser.press("Enter a token")
    browser.field("Token").send_keys(TOKEN)
    browser.press("Go on")
    browser.find("#connection[data-state=up]")


def test_an_invitation_brings_the_token_and_leaves_the_address(browser: Browser, locked: PageSite) -> None:
    browser.open(locked.url)
    browser.driver.get("about:blank")
    browser.driver.get(f"{locked.url}#url=mqtt://n1/home&token={TOKEN}")
    browser.find("#connection[data-state=up]")
    assert TOKEN not in browser.driver.current_url
