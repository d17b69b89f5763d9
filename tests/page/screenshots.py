"""Makes the pictures of the page in the documents, on three real nodes: ``python -m tests.page.screenshots``.

It needs Chromium, and for pictures that look as on a phone the fonts Inter and JetBrains Mono (``scripts/apt-install
chromium chromium-driver fonts-inter fonts-jetbrains-mono``); without them others are taken.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from fogsdk.demo import elevation, terrain
from tests.page.browser import Browser
from tests.page.site import PageSite
from tests.support.waiting import eventually

DOCS = Path(__file__).parents[2] / "docs"
PHONE, DESKTOP = (390, 844), (1440, 900)
SCALE = 1.5
BETWEEN = 24  # CSS pixels between two phones

FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><include>/etc/fonts/fonts.conf</include>
<match target="pattern"><test name="family"><string>system-ui</string></test>
<edit name="family" mode="assign" binding="strong"><string>Inter</string><string>sans-serif</string></edit></match>
<match target="pattern"><test name="family"><string>sans-serif</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
<match target="pattern"><test name="family"><string>monospace</string></test>
<edit name="family" mode="prepend" binding="strong"><string>JetBrains Mono</string></edit></match>
<match target="pattern"><test name="family"><string>ui-monospace</string></test>
<edit name="family" mode="assign" binding="strong"><string>JetBrains Mono</string></edit></match></fontconfig>"""


def main() -> int:
    """Make the pictures; they replace those that are there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fonts.conf").write_text(FONTS)
        os.environ["FONTCONFIG_FILE"] = str(folder / "fonts.conf")
        site = PageSite(folder, ("tests.page.page_tasks",))
        browser = Browser(folder / "profile")
        try:
            site.start("pi-1", "pi-2", "pi-3")
            _phone(browser, site, _photo(folder)).save(DOCS / "page-phone.png", optimize=True)
            _desktop(browser, site).save(DOCS / "page-desktop.png", optimize=True)
        finally:
            browser.close()
            site.close()
    print(f"{DOCS / 'page-phone.png'} and {DOCS / 'page-desktop.png'} are made")
    return 0


def _photo(folder: Path) -> Path:
    """Something to photograph: the mountains of the demo, in the colours of a map."""
    model = elevation.load()
    shade = terrain.hillshade(model.metres, model.dx, model.dy) / 255.0
    height = (model.metres - model.metres.min()) / np.ptp(model.metres)
    low, high = np.array([96, 140, 92]), np.array([226, 208, 172])
    colours = (low + (high - low) * height[..., None]) * (0.35 + 0.75 * shade[..., None])
    path = folder / "mountains.jpg"
    Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8)).resize((1209, 1032)).save(path, quality=90)
    return path


def _phone(browser: Browser, site: PageSite, photo: Path) -> Image.Image:
    """Four looks at a phone: the tasks, a form, results, the nodes."""
    browser.resize(PHONE, SCALE)
    browser.open(site.url)
    browser.shows("on 3 nodes", ".tasks")
    shots = [_shot(browser)]
    browser.press("sketch")
    browser.choose_file("photo", photo)
    shots.append(_shot(browser))
    browser.press("Run in the fog")
    browser.find("fog-ask .picture img")
    browser.ask("primes_below", limit="3000000")
    eventually(lambda: float(browser.find("fog-ask progress").get_attribute("value") or 0) >= 8, 30)
    shots.append(_shot(browser))
    browser.press("Nodes")
    browser.shows("1 of 2 workers busy", ".node")
    shots.append(_shot(browser))
    browser.press("Results")
    browser.press("Cancel")
    browser.find("fog-ask[data-state=cancelled]")
    gap = round(BETWEEN * SCALE)
    joined = Image.new("RGB", (sum(each.width for each in shots) + gap * (len(shots) - 1), shots[0].height), "white")
    for number, each in enumerate(shots):
        joined.paste(each, (number * (each.width + gap), 0))
    return joined


def _desktop(browser: Browser, site: PageSite) -> Image.Image:
    """All at once, in the dark: a task that was shared out, and one that runs."""
    browser.resize(DESKTOP, SCALE)
    browser.prefer(prefers_color_scheme="dark")
    browser.open(site.url)
    browser.be_at(36.3302, -84.1911, 8)
    browser.ask("relief", azimuth="250")
    browser.find("fog-ask canvas", 60)
    browser.ask("primes_below", limit="3000000")
    browser.run("location.hash = '#/task/ground'")
    browser.press("Use my position")
    browser.shows("Within", ".position")
    eventually(lambda: float(browser.find("fog-ask progress").get_attribute("value") or 0) >= 20, 60)
    return _shot(browser)


def _shot(browser: Browser) -> Image.Image:
    browser.run("scrollTo(0, 0); document.activeElement.blur()")
    moving = "return document.getAnimations().some((each) => each.effect.getTiming().iterations !== Infinity)"
    eventually(lambda: not browser.run(moving))
    return Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")


if __name__ == "__main__":
    sys.exit(main())
