"""Chromium without a screen, and the page in it as a person uses it: by labels, and by what is written on things."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement

from tests.support.waiting import eventually

PHONE, DESKTOP, NARROW = (390, 844), (1366, 860), (320, 640)

# It is not to look for anything in the Internet by itself.
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)

_LABELLED = """
for (const label of document.querySelectorAll(".label")) {
  if (label.textContent === arguments[0]) {
    const control = document.getElementById(label.getAttribute("for"));
    return control ?? document.querySelector(`[aria-labelledby="${label.id}"]`);
  }
}
"""
_PRESSABLE = """
return [...document.querySelectorAll("button, a, summary, label.button, label.chip")].find((each) =>
  each.checkVisibility() && each.innerText.replace(/\\s+/g, " ").trim().startsWith(arguments[0]));
"""


class Browser:
    """One browser with one page. ``profile`` is an empty folder of its own."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    # ------------------------------------------------------------ how it is

    def cdp(self, command: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, parameters)

    def resize(self, size: tuple[int, int], scale: float = 1) -> None:
        """Take the size of a phone or of a desktop, in CSS pixels; ``scale`` device pixels make one of them."""
        mobile = size[0] < 1000
        self.cdp(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=scale, mobile=mobile
        )

    def prefer(self, **features: str) -> None:
        """Prefer something, such as ``prefers_color_scheme="dark"``."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.cdp("Emulation.setEmulatedMedia", features=named)

    def be_offline(self, offline: bool) -> None:
        """Cut the network, or mend it."""
        self.cdp("Network.enable")
        self.cdp(
            "Network.emulateNetworkConditions", offline=offline, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    @contextlib.contextmanager
    def tab(self) -> Iterator[None]:
        """Do something in a tab of its own, which is closed then."""
        before = self.driver.current_window_handle
        self.driver.switch_to.new_window("tab")
        try:
            yield
        finally:
            self.driver.close()
            self.driver.switch_to.window(before)

    def be_at(self, latitude: float, longitude: float, accuracy: float) -> None:
        """Be somewhere, and let pages know."""
        self.cdp("Emulation.setGeolocationOverride", latitude=latitude, longitude=longitude, accuracy=accuracy)
        self.cdp("Browser.grantPermissions", permissions=["geolocation"])

    def open(self, url: str, part: str = "") -> None:
        """Open a page anew, as on a first visit; ``part`` is what follows the ``#``."""
        self.be_offline(False)
        self.driver.get(url + "icon.svg")
        self.driver.execute_script("sessionStorage.clear()")
        self.driver.get(f"{url}#/{part}")

    # ------------------------------------------------------------ what is there

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page."""
        return self.driver.execute_script(script, *arguments)

    def load(self, module: str, expression: str, *arguments: Any) -> Any:
        """Evaluate an expression over a module of the page, called ``it``, and the arguments, called ``given``."""
        script = f"""
            const done = arguments[arguments.length - 1], given = [...arguments];
            import("/{module}").then((it) => done({{ ok: {expression} }}))
                .catch((error) => done({{ error: String(error) }}));
        """
        answer = self.driver.execute_async_script(script, *arguments)
        assert "error" not in answer, answer["error"]
        return answer["ok"]

    def all(self, selector: str) -> list[WebElement]:
        """The elements that are there now."""
        return list(self.driver.find_elements("css selector", selector))

    def shown(self, selector: str) -> list[WebElement]:
        """Those of them that can be seen."""
        return [each for each in self.all(selector) if each.is_displayed()]

    def find(self, selector: str, timeout: float = 20) -> WebElement:
        """The first element that is shown, once it is there."""

        found: list[WebElement] = eventually(
            lambda: _unless_stale(lambda: self.shown(selector)), timeout, what=selector
        )
        return found[0]

    def text(self, selector: str) -> str:
        """What is written there."""
        return str(self.find(selector).text)

    def shows(self, text: str, selector: str = "body", timeout: float = 25) -> None:
        """Wait until a text is shown."""

        def there() -> bool:
            assert text in (seen := "\n".join(each.text for each in self.all(selector))), seen
            return True

        eventually(lambda: _unless_stale(there), timeout, what=f"{text!r} in {selector}")

    def field(self, label: str) -> WebElement:
        """The control with a label."""
        found = eventually(lambda: self.run(_LABELLED, label), what=f"a field {label!r}")
        assert isinstance(found, WebElement)
        return found

    def error_of(self, label: str) -> str:
        """What is said to be wrong at a field, as a screen reader would find it."""
        ids = str(self.field(label).get_attribute("aria-describedby")).split()
        return str(self.run("return document.getElementById(arguments[0]).innerText", ids[-1]))

    # ------------------------------------------------------------ what a person does

    def press(self, words: str) -> None:
        """Press what begins with these words."""
        found = eventually(lambda: self.run(_PRESSABLE, words), what=f"something to press, {words!r}")
        self.run("arguments[0].scrollIntoView({ block: 'center' })", found)
        found.click()

    def fill(self, label: str, text: str) -> None:
        """Type into a field, in place of what is there."""
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def choose_file(self, label: str, *paths: Path) -> None:
        """Choose files for a field."""
        self.field(label).send_keys("\n".join(map(str, paths)))
        self.find(".files li")

    def ask(self, task: str, **arguments: str) -> None:
        """Open a task's form, fill it in and send it."""
        self.run("location.hash = '#/task/' + encodeURIComponent(arguments[0])", task)
        self.shows(task, "#form-title")
        for label, text in arguments.items():
            self.fill(label, text)
        self.press("Run in the fog")

    # ------------------------------------------------------------ what went on

    def _log(self, kind: str) -> list[dict[str, Any]]:
        return list(self.driver.get_log(kind))  # type: ignore[no-untyped-call]

    def requests(self) -> list[str]:
        """The addresses of all requests since the last call."""
        log = (json.loads(entry["message"])["message"] for entry in self._log("performance"))
        return [each["params"]["request"]["url"] for each in log if each["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """The errors on the browser's console since the last call, failed requests aside."""
        log = self._log("browser")
        return [each["message"] for each in log if each["source"] != "network" and each["level"] == "SEVERE"]


def _unless_stale(look: Any) -> Any:
    try:
        return look()
    except StaleElementReferenceException:
        return None
