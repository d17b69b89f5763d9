"""An app goes to the background: the process stands still for longer than any keepalive, its sockets die, and it comes
back. Every task settles, soon, with its result.

The phone is a process that is stopped (SIGSTOP), the bundle in a bare Python; broker and nodes are real.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fogsdk.device.connections import KEEPALIVE
from tests.phone.pythons import newest, oldest
from tests.phone.site import ROOT, PhoneSite
from tests.phone.way import Way
from tests.support.waiting import eventually

APP = Path(__file__).with_name("backgrounded.py")


class Phone:
    """A phone whose app hands in its tasks."""

    def __init__(self, site: PhoneSite, way: Way, bundle: Path, folder: Path) -> None:
        self._log = folder / f"{way.url.rpartition(':')[2]}.txt"
        self._app = site.run(oldest(), APP, str(bundle), way.url, str(self._log))

    def leave(self) -> None:
        """Switch to another app as soon as the first of the tasks is done."""
        eventually(self._log.exists, what="the first of the tasks done")
        assert "results" not in self._app.output
        self._app.freeze()

    def come_back(self) -> float:
        """Switch back; returns how many seconds later all results are there."""
        self._app.thaw()
        back = time.monotonic()
        self._app.wait_for("results [0, 1, 2, 3, 4, 5]", timeout=15)
        took = time.monotonic() - back
        self._app.wait_for("the deadline passed")
        self._app.wait_for("and goes on: 99")
        assert self._app.wait() == 0, self._app.output
        assert "a bug" not in self._app.output
        return took

    def ran(self) -> list[int]:
        """Which tasks were run to their end, each as often as it was."""
        return sorted(map(int, self._log.read_text().split()))


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[PhoneSite]:
    site = PhoneSite(tmp_path)
    yield site
    site.close()


def wait_until_given_up() -> None:
    """Wait until the broker has given phones up that it does not hear: one and a half keepalives, and a moment."""
    until = time.monotonic() + 1.5 * KEEPALIVE + 1.0
    eventually(lambda: time.monotonic() > until, timeout=3 * KEEPALIVE, what="the broker's patience to end")


def test_apps_that_come_back_get_every_result_whatever_became_of_their_connections(
    site: PhoneSite, bundle: Path, tmp_path: Path
) -> None:
    """The broker gives all three up meanwhile. One finds the answers in its buffers, and then the end; one finds its
    connection cut; of one nobody on the way knows any more, and it hears nothing at all."""
    with Way(site.broker.port) as left_alone, Way(site.broker.port) as cut, Way(site.broker.port) as forgotten:
        phones = []
        for way in (left_alone, cut, forgotten):
            phones.append(Phone(site, way, bundle, tmp_path))
            phones[-1].leave()
        cut.cut()
        forgotten.forget()
        wait_until_given_up()
        took = [phone.come_back() for phone in phones]
        print("seconds until all results are there:", ", ".join(f"{each:.2f}" for each in took))
        assert max(took) < 2.0, "nobody waits for a keepalive"
        for phone in phones:
            assert phone.ran() == [0, 1, 2, 3, 4, 5], "the node lives, so that none of its tasks has to run again"


def test_an_app_that_comes_back_finds_the_broker_started_anew(
    own_site: PhoneSite, bundle: Path, tmp_path: Path
) -> None:
    with Way(own_site.broker.port) as way:
        phone = Phone(own_site, way, bundle, tmp_path)
        phone.leave()
        own_site.broker.restart()
        wait_until_given_up()
        phone.come_back()
        assert phone.ran() == [0, 1, 2, 3, 4, 5]


def test_an_app_that_comes_back_finds_another_node_in_place_of_the_one_that_had_its_tasks(
    own_site: PhoneSite, bundle: Path, tmp_path: Path
) -> None:
    with Way(own_site.broker.port) as way:
        phone = Phone(own_site, way, bundle, tmp_path)
        phone.leave()
        own_site.start_node("n2")
        own_site.node.kill()
        wait_until_given_up()
        phone.come_back()
        assert set(phone.ran()) == {0, 1, 2, 3, 4, 5}


def test_the_example_goes_on_where_it_was(tmp_path: Path) -> None:
    site = PhoneSite(tmp_path, nap=2.0)
    try:
        with Way(site.broker.port) as way:
            script = shutil.copy(ROOT / "examples" / "pythonista_fog.py", tmp_path)
            phone = site.run(newest(), Path(script), f"{site.page}#url={way.url}/home")
            phone.wait_for("handed in: mean")
            phone.freeze()
            way.cut()
            wait_until_given_up()
            phone.thaw()
            phone.wait_for("result: 2.5", timeout=10)
            assert phone.wait() == 0, phone.output
    finally:
        site.close()
