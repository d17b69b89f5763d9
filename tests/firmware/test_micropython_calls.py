"""fog.py of the MicroPython examples: outcomes of every kind, over MQTT and CoAP, and nodes that do not answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest

from tests.e2e.journal import Journal
from tests.e2e.rawdevice import RawDevice
from tests.e2e.site import Site
from tests.firmware.board import Board
from tests.firmware.conftest import coap_urls
from tests.support.ports import free_port
from tests.support.waiting import eventually

CALL = """
import config, fog, time

def call(*args, **options):
    begun = time.ticks_ms()
    try:
        print(site.run(*args, **options))
    except fog.FogError as error:
        print(type(error).__name__, *error.args)
    print("after", time.ticks_diff(time.ticks_ms(), begun), "ms")

site = fog.connect(config.FOG, config.NAME)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker and a node with the tasks of the end-to-end tests, which also serves CoAP."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        site.start("n1", flags=("--coap-port", str(free_port())))
        yield site


@pytest.fixture(params=["mqtt", "coap"])
def online(board: Board, site: Site, request: pytest.FixtureRequest) -> Board:
    """The board, set up for the module's site over MQTT or CoAP; each has a name of its own."""
    urls = [site.broker.url] if request.param == "mqtt" else coap_urls(site)
    board.configure(FOG=urls, NAME=f"board-{free_port()}")
    return board


def do(board: Board, *lines: str) -> list[str]:
    """Have the board run these lines after its connect; returns what it printed."""
    (board.flash / "check.py").write_text("\n".join([CALL, *lines]))
    program = board.power_on("check.py")
    assert program.wait() == 0, program.output
    return program.output.splitlines()


def test_values_of_every_kind_come_back(online: Board) -> None:
    said = do(
        online,
        "value = [None, True, -1, 0.5, 'gr\u00fc\u00df', b'\\0\\xff', [1, [2]]]",
        "print(site.run('give_back', *value, key=1) == [value, {'key': 1}])",
    )
    assert said == ["True"]


def test_failures_and_refusals_say_why(online: Board) -> None:
    said = do(online, "call('fail', 'no such book')", "call('fly')", "call('increment')")
    assert said[0] == "TaskFailed LookupError no such book"
    assert said[2].startswith("TaskRefused unknown-task no node of site home offers 'fly'; there are: ")
    assert said[4].startswith("TaskRefused bad-arguments ")


def test_a_result_of_many_datagrams_is_put_together(online: Board) -> None:
    assert do(online, "print(len(site.run('zeros', 9000)))") == ["9000"]


def test_a_task_that_takes_a_while_runs_once(online: Board, journal: Journal) -> None:
    [said, _] = do(online, f"call('work', {journal.path!r}, 'long', 6.0, deadline=20)")
    assert said == "long"
    assert len(journal.begun("long")) == 1


@pytest.mark.parametrize("result", [b"\xff", b"\x81" * 30])
def test_nonsense_on_its_topic_does_a_board_no_harm(board: Board, site: Site, journal: Journal, result: bytes) -> None:
    """Somebody who may write there can forge a result, but not stop the program."""
    name = f"board-{free_port()}"
    board.configure(FOG=[site.broker.url], NAME=name)
    (board.flash / "check.py").write_text(f"{CALL}call('work', {journal.path!r}, 'x', 20.0, id='mine', deadline=6)")
    program = board.power_on("check.py")
    eventually(lambda: journal.begun("x"))
    with RawDevice(site.broker.port, "nobody") as nobody:
        for word in (1, [2, [], {}], {"id": "mine"}, {"type": 7, "id": "mine"}, {"type": "result", "id": []}):
            nobody.publish(f"fog/v1/home/reply/{name}", cbor2.dumps(word))
        for payload in (b"", b"{", b"\xff\xfe", b"\x9f" * 50, b"\xbf\x80\x80\xff"):
            nobody.publish(f"fog/v1/home/reply/{name}", payload)
        nobody.publish(f"fog/v1/home/reply/{name}", cbor2.dumps({"type": "result", "id": "mine", "body": result}))
    program.wait_for("TaskFailed WireError its result cannot be read here: ")
    assert program.wait() == 0, program.output


def test_a_deadline_is_kept_at_both_ends(online: Board, journal: Journal) -> None:
    said = do(online, f"call('work', {journal.path!r}, 'late', 20.0, deadline=0.5)")
    assert said[0].startswith("DeadlineExceeded ")
    assert 400 <= int(said[1].split()[1]) < 3000
    assert not journal.ended("late")


def test_the_same_id_is_the_same_task(online: Board, journal: Journal) -> None:
    call = f"call('work', {journal.path!r}, 'once', 0.2, id='mine')"
    assert do(online, call, call)[::2] == ["once", "once"]
    assert len(journal.begun("once")) == 1


def test_a_posted_task_is_forgotten_when_the_board_says_so(online: Board) -> None:
    said = do(
        online,
        "receipt = site.post('increment', 41)",
        "print(site.fetch(receipt), site.forget(receipt))",
        "call('fog.fetch', receipt)",
    )
    assert said[0] == "42 True"
    assert said[1].startswith("TaskRefused unknown-receipt ")


def test_a_node_that_is_not_there_or_says_nothing_is_passed_over(board: Board, site: Site) -> None:
    """One port is closed, behind another nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = [f"coap://127.0.0.1:{free_port()}", f"coap://127.0.0.1:{silent.getsockname()[1]}"]
        board.configure(FOG=[*dead, *coap_urls(site)], NAME=f"board-{free_port()}")
        assert do(board, "call('increment', 41)")[0] == "42"
        assert silent.recv(2000).startswith(b"D\x02"), "a confirmable POST with a token of 4 bytes"


def test_no_fog_at_all_is_a_deadline_exceeded_that_says_so(board: Board) -> None:
    board.configure(FOG=[f"mqtt://127.0.0.1:{free_port()}"])
    said = do(board, "call('increment', 41, deadline=1)")
    assert said[0].startswith("DeadlineExceeded ")
    assert "no connection" in said[0]


def test_arguments_that_do_not_fit_into_a_datagram_are_told_before_they_are_sent(board: Board, site: Site) -> None:
    board.configure(FOG=coap_urls(site))
    said = do(board, "try:\n    site.run('give_back', bytes(2000))\nexcept ValueError as error:\n    print(error)")
    assert said[0].endswith("bytes of arguments; over CoAP, this device sends 1024")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Where the tasks of one test write down what they do."""
    return Journal(tmp_path / "journal")
