"""What became of a task: values of each kind, progress, failures, refusals, and where it ran."""

from __future__ import annotations

from pathlib import Path

from tests.page.browser import Browser
from tests.page.odd_tasks import MARKUP
from tests.page.site import PageSite, wait_for_lines
from tests.support.waiting import eventually

SHOWN = [
    ("nothing", ".nothing", "nothing"),
    ("yes", ".figure", "yes"),
    ("number", ".figure", "1234.5678"),
    ("large", ".figure", "1180591620717411303424"),
    ("bytes", ".hex", "00 01 02"),
    ("bytes", "a[download='show.bin']", "Download"),
    ("broken", ".picture .hex", "89 50 4e 47"),
    ("matrix", ".numbers", "8 9 10 11"),
    ("matrix", ".array", "int16, 3 \N{MULTIPLICATION SIGN} 4. From 0 to 11, mean 5.5."),
    ("wave", ".array", "float32, 200"),
    ("colour", ".array", "uint8, 32 \N{MULTIPLICATION SIGN} 48 \N{MULTIPLICATION SIGN} 3"),
    ("half", ".numbers", "65500"),
    ("rows", ".records", "Köln"),
    ("tree", ".record", "1 name"),
]


def test_a_result_is_shown_as_what_it_is(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    for number, (what, selector, text) in enumerate(SHOWN, 1):
        browser.ask("show", what=what)
        eventually(lambda: len(browser.all("fog-ask[data-state=done]")) == number)  # noqa: B023 - asked at once
        browser.shows(text, f"fog-ask:first-child {selector}")


def test_a_result_that_the_page_cannot_read_ends_its_task_all_the_same(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("show", what="quadruple")
    eventually(lambda: browser.all("fog-ask[data-state=failed]"))
    browser.shows("tag 83) that cannot be read", "fog-ask")


def test_an_array_of_three_colours_is_a_picture_in_colour(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("show", what="colour")
    canvas = browser.find("fog-ask canvas")
    pixel = browser.run("return [...arguments[0].getContext('2d').getImageData(5, 5, 1, 1).data]", canvas)
    assert pixel == [200, 30, 30, 255]


def test_a_line_of_numbers_has_a_curve(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("show", what="wave")
    points = str(browser.find("fog-ask .curve polyline").get_attribute("points")).split()
    assert len(points) == 200


def test_a_tree_opens_level_by_level(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("show", what="tree")
    browser.find("fog-ask .tree summary").click()
    browser.find("fog-ask .tree .tree summary").click()
    browser.shows("two", "fog-ask .tree .tree .tree")


def test_progress_is_shown_and_cancel_stops_the_task(browser: Browser, site: PageSite, tmp_path: Path) -> None:
    browser.open(site.url)
    browser.ask("wait_for", gate=str(tmp_path / "gate"), log=str(tmp_path / "log"))
    eventually(lambda: float(browser.find("fog-ask progress").get_attribute("value") or 0) >= 20, what="progress")
    browser.shows("n1 has it", "fog-ask")
    assert browser.text("#open").startswith("1")
    browser.press("Cancel")
    browser.find("fog-ask[data-state=cancelled]")
    assert not browser.shown("#open")


def test_a_running_task_ends_with_its_result(browser: Browser, site: PageSite, tmp_path: Path) -> None:
    browser.open(site.url)
    browser.ask("wait_for", gate=str(tmp_path / "gate"), log=str(tmp_path / "log"))
    browser.find("fog-ask[data-state=running]")
    (tmp_path / "gate").touch()
    browser.shows("the gate is open", "fog-ask .value")


def test_a_failure_says_what_was_raised_and_where(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("fail", message=MARKUP)
    browser.shows(f"LookupError: {MARKUP}", "fog-ask[data-state=failed]")
    browser.press("Where it went wrong")
    browser.shows("raise LookupError(message)", "fog-ask pre")


def test_a_deadline_that_passes_is_said(browser: Browser, site: PageSite, tmp_path: Path) -> None:
    browser.open(site.url, "task/wait_for")
    browser.fill("gate", str(tmp_path / "gate"))
    browser.fill("log", str(tmp_path / "log"))
    browser.press("Deadline and priority")
    browser.fill("Deadline", "0.4")
    browser.press("Run in the fog")
    browser.find("fog-ask[data-state=expired]")
    browser.shows("too late", "fog-ask .state")


def test_priority_goes_along(browser: Browser, site: PageSite) -> None:
    browser.open(site.url, "task/mean")
    browser.fill("values", "1")
    browser.press("Deadline and priority")
    browser.press("before others")
    browser.requests()
    browser.press("Run in the fog")
    browser.find("fog-ask[data-state=done]")
    assert any("priority=50" in url for url in browser.requests())


def test_try_again_is_a_task_of_its_own(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("fail", message="no")
    browser.find("fog-ask[data-state=failed]")
    browser.press("Try again")
    eventually(lambda: len(browser.all("fog-ask[data-state=failed]")) == 2)
    assert len(set(browser.run("return [...document.querySelectorAll('fog-ask')].map((each) => each.ask.id)"))) == 2


def test_where_it_ran_and_why(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("mean", values="1, 2")
    browser.shows("ran on n1", "fog-ask .trace summary")
    browser.find("fog-ask .trace summary").click()
    browser.shows("n1 ran it", "fog-ask .trace li")
    browser.shows("queued", "fog-ask .trace .why")


def test_the_history_of_the_visit_is_there_after_a_reload_and_what_was_open_goes_on(
    browser: Browser, site: PageSite, tmp_path: Path
) -> None:
    """A phone throws pages out of its memory; the tab comes back as a new page."""
    browser.open(site.url)
    browser.ask("mean", values="4, 5")
    browser.shows("4.5", "fog-ask")
    browser.ask("wait_for", gate=str(tmp_path / "gate"), log=str(tmp_path / "log"))
    browser.find("fog-ask[data-state=running]")
    browser.driver.refresh()
    browser.shows("4.5", "fog-ask .figure")
    browser.find("fog-ask[data-state=running]")
    (tmp_path / "gate").touch()
    browser.shows("the gate is open", "fog-ask .value")
    wait_for_lines(tmp_path / "log", 1)
    assert (tmp_path / "log").read_text() == "begun\n"


def test_a_screen_reader_hears_what_became_of_it(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("fail", message="out of sugar")
    eventually(
        lambda: (
            "fail: failed. LookupError: out of sugar"
            in browser.run("return document.querySelector('[aria-live=polite]').textContent")
        )
    )
