"""The page is for everybody: with a screen reader, one thumb, in the dark, off line, and where some mean ill."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_core_python  # type: ignore[import-untyped]
import pytest

from tests.page.browser import DESKTOP, NARROW, PHONE, Browser
from tests.page.odd_tasks import MARKUP
from tests.page.site import PageSite
from tests.support.waiting import eventually

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
LEAST = 44
"""CSS pixels that a finger needs, in both directions (WCAG 2.5.5)."""

_TOUCHED = """
const touched = "a, button, input, select, textarea, summary, label.chip, label.button";
return [...document.querySelectorAll(touched)].filter((each) =>
  each.checkVisibility({ opacityProperty: true }) && !each.matches(".visually-hidden")).map((each) => {
    const box = each.getBoundingClientRect();
    return [each.tagName + " " + each.innerText, Math.round(box.width), Math.round(box.height)];
  }).filter(([, width, height]) => width < arguments[0] || height < arguments[0]);
"""


def everything(browser: Browser, site: PageSite) -> None:
    """A visit with something of each kind on the page."""
    browser.open(site.url)
    for what in ("bytes", "wave", "rows", "tree", "colour", "text"):
        browser.ask("show", what=what)
    browser.ask("fail", message="a-long-word-" * 20)
    browser.find("fog-ask[data-state=failed]")
    eventually(lambda: len(browser.all("fog-ask[data-state=done]")) == 6)
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true")


PARTS = ("tasks", "task/every_kind", "task/sketch", "task/ground", "results", "fog")
_MOVING = """
return document.getAnimations().some((each) =>
  each.playState === "running" && each.effect.getTiming().iterations !== Infinity);
"""


def go(browser: Browser, part: str) -> None:
    """Show a part of the page, and wait until nothing moves."""
    browser.run("location.hash = arguments[0]", f"#/{part}")
    eventually(lambda: not browser.run(_MOVING))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(browser: Browser, site: PageSite, scheme: str) -> None:
    """WCAG 2.1 AA as far as axe-core can tell, contrast included."""
    browser.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    everything(browser, site)
    found = []
    for size, shown in ((PHONE, PARTS), (DESKTOP, ("tasks", "task/every_kind"))):
        browser.resize(size)
        for part in shown:
            go(browser, part)
            found += [(size, part, *each) for each in violations(browser)]
    assert not found, "\n".join(map(str, found))


def violations(browser: Browser) -> list[Any]:
    browser.run(AXE)
    script = """
        const done = arguments[arguments.length - 1];
        axe.run(document, { runOnly: arguments[0], resultTypes: ["violations"] }).then(({ violations }) =>
          done(violations.flatMap(({ id, nodes }) => nodes.map(({ html, any, all }) =>
            [id, html.slice(0, 160), [...any, ...all].map(({ message }) => message).join("; ")]))));
    """
    return list(browser.driver.execute_async_script(script, RULES))


@pytest.mark.parametrize("size", [NARROW, PHONE, DESKTOP], ids=["320", "phone", "desktop"])
def test_nothing_is_wider_than_the_screen_and_a_thumb_can_hit_everything(
    browser: Browser, site: PageSite, size: tuple[int, int]
) -> None:
    everything(browser, site)
    browser.resize(size)
    for part in PARTS:
        go(browser, part)
        width = browser.run("return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
        assert width <= size[0], part
        assert browser.run(_TOUCHED, LEAST) == [], part


def test_what_is_done_next_is_at_the_bottom_of_a_phone(browser: Browser, site: PageSite) -> None:
    """Where a thumb is: the tabs, and above them what sends a form, however long that is."""
    browser.open(site.url, "task/every_kind")
    for selector in ("form .primary", ".tabs"):
        top = browser.find(selector).rect["y"] - browser.run("return scrollY")
        assert PHONE[1] * 0.8 < top < PHONE[1], selector


def test_the_focus_goes_where_reading_goes_on(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    for words, title in (("mean", "mean"), ("Results", "Results"), ("Nodes", "Nodes"), ("Tasks", "Tasks")):
        browser.press(words)
        eventually(lambda: browser.driver.switch_to.active_element.text == title, what=f"the focus on {title}")  # noqa: B023


def test_who_wants_less_motion_gets_none(browser: Browser, site: PageSite) -> None:
    browser.prefer(prefers_reduced_motion="reduce")
    browser.open(site.url)
    browser.find("#connection[data-state=up]")
    assert browser.run("return document.getAnimations().length") == 0
    browser.prefer()


def test_what_a_stranger_calls_a_task_or_returns_is_text(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.find("input[type=search]").send_keys("harmed")
    browser.shows(MARKUP, ".tasks")
    browser.press(MARKUP)
    browser.shows(MARKUP, "#form-title")
    browser.press("Run in the fog")
    browser.shows(MARKUP, "fog-ask[data-state=done] .value")
    browser.ask("fail", message=MARKUP)
    browser.shows(MARKUP, "fog-ask[data-state=failed]")
    browser.press("Nodes")
    assert browser.run("return window.harmed") is None
    assert not browser.all('img[src="x"]')


def test_the_page_runs_no_script_and_no_style_that_is_not_its_own(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.run("""
        const script = document.createElement("script");
        script.textContent = "window.harmed = true";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<p id=styled style='position: fixed'>x</p>");
    """)
    assert browser.run("return window.harmed") is None
    assert browser.run("return getComputedStyle(document.getElementById('styled')).position") == "static"
    assert any("Content Security Policy" in each for each in browser.complaints())


def test_no_request_leaves_the_node(browser: Browser, site: PageSite, photo: Path) -> None:
    """The page works where there is no Internet: nothing of it comes from elsewhere, and nothing goes elsewhere."""
    browser.requests()
    everything(browser, site)
    browser.run("location.hash = '#/task/sketch'")
    browser.choose_file("photo", photo)
    browser.press("Run in the fog")
    browser.find("fog-ask .picture img")
    go(browser, "fog")
    asked = [url for url in browser.requests() if urlsplit(url).scheme not in ("data", "blob")]
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith(site.url)] == []
