"""The MicroPython examples, file by file as they go onto a board, against a real broker and real nodes."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest

from tests.e2e.site import Site, StartSite
from tests.e2e.test_login import PASSWORDS, SecureSite
from tests.firmware.board import Board
from tests.firmware.conftest import HOUSE, coap_urls
from tests.support.authority import Authority
from tests.support.ports import free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

BUTTON = 14


@pytest.fixture(params=["mqtt", "coap"])
def online(board: Board, site: Site, request: pytest.FixtureRequest) -> Board:
    """The board, set up for the module's site over MQTT or CoAP; each has a name of its own."""
    urls = [site.broker.url] if request.param == "mqtt" else coap_urls(site)
    board.configure(FOG=urls, NAME=f"board-{free_port()}")
    return board


def note(board: Board) -> dict[str, object]:
    """What the sensor noted before it went to sleep."""
    said: dict[str, object] = json.loads((board.flash / "rtc-memory").read_text())
    return said


def test_a_sensor_posts_sleeps_and_fetches_on_its_next_wake(online: Board) -> None:
    online.show(21.5)
    first = online.wake()
    assert first == "reported 21.5\ndeep sleep 600000\n"
    online.show(27.0)
    second = online.wake()
    assert "to 21.5 the fog said" in second
    assert "pin 2 is 0\n" in second
    online.show(20.0)
    third = online.wake()
    assert "pin 2 is 1\n" in third, "it was warm at the last wake"
    assert third.endswith("reported 20.0\ndeep sleep 60000\n"), "the fog said when to wake"


def test_a_report_that_found_no_fog_goes_out_on_the_next_wake_under_the_same_id(board: Board, site: Site) -> None:
    name = f"board-{free_port()}"
    board.configure(FOG=[f"mqtt://127.0.0.1:{free_port()}"], NAME=name)
    board.show(21.5)
    assert "later: " in board.wake()
    kept = note(board)
    assert "receipt" not in kept
    board.configure(FOG=[site.broker.url])
    board.show(30.0)
    assert "reported 21.5\n" in board.wake()
    assert note(board)["receipt"] == f"{name}/{kept['id']}"


def test_a_report_that_was_sent_but_not_noted_is_not_run_twice(online: Board) -> None:
    """It was reset between the fog's receipt and the note of it: the same id gets the same receipt."""
    online.show(21.5)
    online.wake()
    before = note(online)
    forgotten = {key: value for key, value in before.items() if key != "receipt"}
    (online.flash / "rtc-memory").write_text(json.dumps(forgotten))
    assert "reported 21.5\n" in online.wake()
    assert note(online) == before


def answered(program: Program, times: int) -> bool:
    return program.output.count("it will be 27.3\npin 2 is 1\n") >= times


def press_until(board: Board, program: Program, times: int) -> None:
    """Press the button again and again, until so many presses were answered."""

    def press() -> bool:
        board.press(BUTTON) if not board.pressed(BUTTON) else board.release(BUTTON)
        return answered(program, times)

    eventually(press, timeout=20, what=f"{times} answers")


def test_a_button_asks_and_shows_the_answer(online: Board) -> None:
    program = online.power_on("button.py")
    press_until(online, program, 3)


def test_a_button_whose_task_nobody_offers_says_which_there_are(board: Board, start_site: StartSite) -> None:
    site = start_site("n1")  # with other tasks
    board.configure(FOG=site.urls, NAME="board")
    program = board.power_on("button.py")
    board.press(BUTTON)
    program.wait_for("pin 2 is 0\n")
    assert "no answer: unknown-task no node of site home offers 'forecast'; there are: " in program.output


def test_a_button_goes_on_with_the_next_broker_when_its_own_is_lost(board: Board, start_site: StartSite) -> None:
    site = start_site(brokers=2)
    site.start("n1", flags=HOUSE)
    board.configure(FOG=[f"mqtt://127.0.0.1:{free_port()}", *site.urls], NAME="board")
    program = board.power_on("button.py")
    press_until(board, program, 1)
    site.brokers[0].kill()
    press_until(board, program, 2)


def test_a_board_logs_in_over_tls_and_a_wrong_authority_is_no_fog(tmp_path: Path, processes: Processes) -> None:
    """With the access list of broker/: the login is the name of the board."""
    site, board = SecureSite(tmp_path), Board(tmp_path / "flash", processes)
    try:
        node = site.launch(
            *("--node", "node-1", "--username", "node-1", "--password", PASSWORDS["node-1"], *HOUSE),
            *("--ca", str(site.authority.file), "--brokers", ",".join(site.urls)),
        )
        node.wait_for("connected to mqtts://")
        board.configure(FOG=site.urls, NAME="phone", PASSWORD=PASSWORDS["phone"], CA="ca.der")
        board.show(21.5)
        for authority, said in (
            (Authority(tmp_path / "other"), "CERTIFICATE_VERIFY_FAILED"),
            (site.authority, "reported 21.5"),
        ):
            pem = authority.file.read_text()
            (board.flash / "ca.der").write_bytes(ssl.PEM_cert_to_DER_cert(pem))
            assert said in board.wake()
    finally:
        site.close()
