"""Every task has a form, made from its signature; what does not fit is said at the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from tests.page.browser import DESKTOP, Browser
from tests.page.site import PageSite
from tests.support.waiting import eventually


def result(browser: Browser) -> Any:
    """The arguments that every_kind gave back, as the page holds them."""
    browser.find("fog-ask[data-state=done]")
    return browser.run("""
        const plain = (value) => value instanceof Map ? Object.fromEntries([...value].map(([k, v]) => [k, plain(v)]))
            : Array.isArray(value) ? value.map(plain) : value;
        return plain(document.querySelector("fog-ask").ask.value);
    """)


def test_every_kind_of_argument_arrives_as_what_it_is(browser: Browser, site: PageSite) -> None:
    browser.open(site.url, "task/every_kind")
    for label, text in {
        "whole": "-7", "real": "2,5", "text": "Grüße 👋", "numbers": "1, 2 3", "table": '{"a": 1}', "maybe": "5",
        "free": "[true, null]", "*more": "0.5 1.5", "named": "other", "**rest": '{"x": "y"}',
    }.items():  # fmt: skip
        browser.fill(label, text)
    browser.press("red")
    browser.field("switch").click()
    browser.field("size").send_keys("6")
    browser.press("Run in the fog")
    assert result(browser) == [
        -7, 2.5, "Grüße 👋", [1, 2, 3], {"a": 1}, True, "red", 6, 5, [True, None], [0.5, 1.5], "other", {"x": "y"},
    ]  # fmt: skip


def test_what_is_left_alone_is_as_the_task_has_it(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("every_kind", whole="1", real="1", text="t", numbers="[]", table="{}")
    assert result(browser) == [1, 1, "t", [], {}, False, "green", 3, None, "x", [], "by name", {}]


RIGHT = {"whole": "1", "real": "1", "text": "t", "numbers": "1", "table": "{}", "free": "x", "Deadline": "9"}
WRONG = [
    ("whole", "1.5", "whole number"),
    ("whole", "", "needed"),
    ("real", "far", "number"),
    ("numbers", "1, two", "“two”"),
    ("numbers", "[1, 2.5]", "no whole number"),
    ("numbers", "[1,", "JSON list"),
    ("table", "[1]", "JSON object"),
    ("free", '{"a"', "JSON"),
    ("Deadline", "-1", "above 0"),
]


def test_wrong_input_is_said_at_the_field_and_nothing_is_sent(browser: Browser, site: PageSite) -> None:
    browser.open(site.url, "task/every_kind")
    browser.press("Deadline and priority")
    for label, text in RIGHT.items():
        browser.fill(label, text)
    for label, text, words in WRONG:
        browser.fill(label, text)
        browser.press("Run in the fog")
        field = browser.field(label)
        eventually(lambda: browser.driver.switch_to.active_element == field, what=f"the focus on {label}")  # noqa: B023
        assert words in browser.error_of(label)
        assert field.get_attribute("aria-invalid") == "true"
        browser.fill(label, RIGHT[label])
    assert not browser.all("fog-ask")


def test_a_signature_that_cannot_be_read_leaves_all_arguments_free(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("unreadable", **{"*args": '["one", 2]'})
    browser.shows("one", "fog-ask .value")


def test_arguments_that_the_task_does_not_take_are_refused_with_its_words(browser: Browser, site: PageSite) -> None:
    browser.open(site.url)
    browser.ask("unreadable", **{"*args": "[1, 2, 3]"})
    browser.find("fog-ask[data-state=refused]")
    browser.shows("does not take these arguments", "fog-ask")
    browser.shows("too many positional arguments", "fog-ask")


def test_a_photo_goes_in_and_a_picture_comes_out(browser: Browser, site: PageSite, photo: Path) -> None:
    browser.open(site.url, "task/sketch")
    browser.choose_file("photo", photo)
    assert browser.run("return document.querySelector('[capture=environment]').accept") == "image/*"
    browser.press("edges")
    browser.press("Run in the fog")
    picture = browser.find("fog-ask .picture img")
    assert browser.run("return arguments[0].decode().then(() => arguments[0].naturalWidth)", picture) == 320
    browser.shows("PNG", "fog-ask")
    assert browser.find("fog-ask a[download]").get_attribute("download") == "sketch.png"


def test_a_photo_that_is_too_large_is_scaled_down(browser: Browser, site: PageSite, tmp_path: Path) -> None:
    Image.effect_noise((2400, 1800), 90).convert("RGB").save(tmp_path / "large.jpg", quality=97)
    assert (tmp_path / "large.jpg").stat().st_size > 2_000_000
    browser.open(site.url, "task/sketch")
    browser.choose_file("photo", tmp_path / "large.jpg")
    browser.shows("scaled down to 1600 \N{MULTIPLICATION SIGN} 1200 pixels", ".files")
    browser.press("Run in the fog")
    browser.find("fog-ask .picture img")


def test_several_files_for_a_list_of_bytes(browser: Browser, site: PageSite, tmp_path: Path) -> None:
    for size in (3, 4000):
        (tmp_path / f"{size}.bin").write_bytes(bytes(size))
    browser.open(site.url, "task/measure")
    browser.choose_file("files", tmp_path / "3.bin", tmp_path / "4000.bin")
    browser.shows("4000.bin", ".files")
    browser.press("Run in the fog")
    assert result(browser) == [3, 4000]


def test_the_position_fills_latitude_and_longitude(browser: Browser, site: PageSite) -> None:
    browser.be_at(36.33, -84.19, 12)
    browser.open(site.url, "task/ground")
    browser.press("Use my position")
    browser.shows("Within 12 m", ".position")
    assert browser.field("latitude").get_attribute("value") == "36.33"
    browser.press("Run in the fog")
    browser.shows("elevation", "fog-ask .record")


def test_the_position_fills_one_argument_too(browser: Browser, site: PageSite) -> None:
    browser.be_at(1.5, 2.5, 3)
    browser.open(site.url, "task/place")
    browser.press("Use my position")
    browser.shows("Within", ".position")
    held = json.loads(str(browser.field("position").get_attribute("value")))
    assert held == {"latitude": 1.5, "longitude": 2.5, "accuracy": 3}


def test_a_position_that_is_not_allowed_is_said(browser: Browser, site: PageSite) -> None:
    browser.cdp("Browser.resetPermissions")
    browser.open(site.url, "task/ground")
    browser.cdp("Browser.setPermission", permission={"name": "geolocation"}, setting="denied", origin=site.url)
    browser.press("Use my position")
    browser.shows("not allowed to tell the position", ".position")


def test_over_http_the_position_is_typed_and_the_page_says_why(browser: Browser, site: PageSite) -> None:
    """localhost counts as secure; an address in the network does not, and so does a name that leads here by chance."""
    browser.open(site.url, "task/ground")
    browser.run("Object.defineProperty(window, 'isSecureContext', { value: false })")
    browser.run("location.hash = '#/tasks'")
    browser.run("location.hash = '#/task/ground'")
    browser.shows("only to pages that come over https", "fog-form")
    assert not browser.all(".position")


def test_the_form_is_as_it_was_when_one_comes_back_to_it(browser: Browser, site: PageSite) -> None:
    browser.open(site.url, "task/every_kind")
    browser.fill("whole", "41")
    browser.press("All tasks")
    browser.press("every_kind")
    assert browser.field("whole").get_attribute("value") == "41"


def test_on_a_wide_screen_the_form_stays_beside_its_results(browser: Browser, site: PageSite) -> None:
    browser.resize(DESKTOP)
    browser.open(site.url)
    browser.ask("mean", values="1 2 6")
    browser.shows("3", "fog-ask .figure")
    assert browser.find("fog-form").is_displayed()
    assert browser.find("fog-nodes").is_displayed()
