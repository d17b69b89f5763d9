"""``fog run``: arguments in, the result out, and exit codes that say what became of the task."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import numpy
import pytest

from tests.cli.site import Site, Terminal, environment, fog
from tests.support.ports import free_port
from tests.support.waiting import eventually


def value(site: Site, *words: str, stdin: bytes = b"") -> Any:
    """The result of ``fog run``, through JSON."""
    done = site.fog("run", *words, "--json", stdin=stdin)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["value"]


def test_an_argument_is_json_or_else_text(site: Site) -> None:
    words = ("[1, 2]", "3", '"3"', "true", "null", "some text", "{broken", "NaN")
    expected = [[1, 2], 3, "3", True, None, "some text", "{broken", "NaN"]
    assert value(site, "give_back", *words) == [expected, {}]


@pytest.mark.parametrize(
    ("text", "noted"), [("[1, 2", True), ("{'a': 1}", True), ("plain [text", False), ("[" * 20_000, True)]
)
def test_what_looks_like_json_and_is_not_is_text_and_that_is_said(site: Site, text: str, noted: bool) -> None:
    done = site.fog("run", "same", text)
    assert done.stdout == f"{text}\n", done.stderr
    assert ("taken as text, as it is not JSON" in done.stderr) == noted


def test_options_may_stand_anywhere_and_negative_numbers_are_arguments(site: Site) -> None:
    words = ("--weight", "light", "give_back", "1", "--kw", "a=[2]", "-3", "--kw", "b=x=y")
    assert value(site, *words) == [[1, -3], {"a": [2], "b": "x=y"}]


def test_files_are_taken_by_their_extension(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"n": [1]}')
    (tmp_path / "b.cbor").write_bytes(cbor2.dumps({"n": 2}))
    (tmp_path / "c.txt").write_text("3")
    (tmp_path / "d.jpg").write_bytes(b"\xff\xd8")
    numpy.save(tmp_path / "e.npy", numpy.arange(4.0).reshape(2, 2))
    files = [f"@{tmp_path / name}" for name in ("a.json", "b.cbor", "c.txt", "d.jpg", "e.npy")]
    assert value(site, "give_back", *files) == [[{"n": [1]}, {"n": 2}, "3", "_9g", [[0, 1], [2, 3]]], {}]


@pytest.mark.parametrize(("data", "expected"), [(b"[1, 2]", [1, 2]), (b"not json", "not json"), (b"\xff\xfe", "__4")])
def test_standard_input_is_json_or_text_or_bytes(site: Site, data: bytes, expected: object) -> None:
    assert value(site, "same", "@-", stdin=data) == expected


@pytest.mark.parametrize(
    ("argument", "shown"), [("[1, 2.5]", "[1, 2.5]"), ("plain\ntext", "plain\ntext"), ("null", "null")]
)
def test_people_get_text_as_it_is_and_all_else_as_json(site: Site, argument: str, shown: str) -> None:
    done = site.fog("run", "same", argument)
    assert (done.stdout, done.stderr) == (f"{shown}\n", "")


def test_a_result_can_go_into_a_file(site: Site, tmp_path: Path) -> None:
    array = numpy.arange(6).reshape(2, 3)
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    numpy.save(source, array)
    done = site.fog("run", "same", f"@{source}", "--output", str(target))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (numpy.load(target) == array).all()
    source.with_suffix(".jpg").write_bytes(b"\xff\xd8")
    site.fog("run", "same", f"@{source.with_suffix('.jpg')}", "--output", str(tmp_path / "out.jpg"))
    assert (tmp_path / "out.jpg").read_bytes() == b"\xff\xd8"


@pytest.mark.parametrize("argument", ['{"a": 1}', "null", "[[1, 2], [3]]"])
def test_what_is_no_array_is_not_written_as_one_and_that_is_said(site: Site, tmp_path: Path, argument: str) -> None:
    target = tmp_path / "out.npy"
    done = site.fog("run", "same", argument, "--output", str(target))
    said = f"fog: cannot write {target}: the result is no array; write it as .json or .cbor\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert not target.exists()


@pytest.mark.parametrize(("file", "why"), [("", "it is a folder"), ("missing/out.json", "there is no folder")])
def test_an_output_that_cannot_be_written_is_found_before_the_task_runs(tmp_path: Path, file: str, why: str) -> None:
    """Even before a broker is looked for."""
    nowhere = f"mqtt://127.0.0.1:{free_port()}"
    done = fog("run", "mean", "[1]", "--output", str(tmp_path / file), "--url", nowhere)
    assert (done.returncode, why in done.stderr) == (2, True), done.stderr


def test_the_trace_goes_to_stderr_and_into_the_json(site: Site) -> None:
    done = site.fog("run", "mean", "[1, 3]", "--trace")
    assert done.stdout == "2.0\n"
    assert " ran (queued " in done.stderr
    assert "ms in all" in done.stderr
    trace = json.loads(site.fog("run", "mean", "[1, 3]", "--json").stdout)["trace"]
    assert trace["hops"][0]["node"] in ("n1", "n2")
    assert trace["hops"][0]["why"]
    assert trace["total_ms"] > 0


def test_a_task_that_failed_is_exit_code_1_with_its_traceback(site: Site) -> None:
    done = site.fog("run", "fail", "no such thing")
    assert (done.returncode, done.stdout) == (1, "")
    assert "LookupError: no such thing" in done.stderr
    assert "cli_tasks.py" in done.stderr
    told = json.loads(site.fog("run", "fail", "no such thing", "--json").stdout)
    assert (told["outcome"], told["type"], told["message"]) == ("failed", "LookupError", "no such thing")


def test_a_refused_task_is_exit_code_3_with_the_reason(site: Site) -> None:
    unknown = site.fog("run", "nothing")
    assert unknown.returncode == 3
    assert "unknown-task" in unknown.stderr
    assert "mean" in unknown.stderr  # what there is instead
    wrong = site.fog("run", "mean", "--json")
    assert wrong.returncode == 3
    assert json.loads(wrong.stdout)["reason"] == "bad-arguments"


@pytest.mark.parametrize(
    "words",
    [
        ("mean", "@/no/such/file"),
        ("mean", "--deadline", "-1"),
        ("mean", "--deadline", "soon"),
        ("mean", "--deadline", "1e9"),
        ("mean", "--kw", "novalue"),
        ("mean", "--priority", "101"),
        ("mean", "--kw", "deadline=1"),
        ("mean", "--password-file", "/no/such/file"),
        ("mean", "--url", "http://somewhere"),
        ("mean", "--site", "Not An Id"),
        (),
    ],
)
def test_wrong_use_is_exit_code_2(site: Site, words: tuple[str, ...]) -> None:
    done = site.fog("run", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "fog" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mean", "--priority", "x"), "argument --priority: must be a whole number from -100 to 100, not x"),
        ((), "the following arguments are required: NAME\n"),
    ],
)
def test_wrong_use_is_told_in_words_for_people(words: tuple[str, ...], said: str) -> None:
    assert said in fog("run", *words).stderr


def test_closed_standard_input_is_no_argument() -> None:
    command = shlex.join([sys.executable, "-m", "fogsdk.cli.main", "run", "same", "@-"])
    done = subprocess.run(
        ["sh", "-c", f"{command} <&-"], env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "fog: cannot take @- as an argument: standard input is closed\n")


def test_output_that_cannot_be_written_is_said_and_no_output_is_wanted_where_it_was_closed(site: Site) -> None:
    command = [sys.executable, "-m", "fogsdk.cli.main", "run", "mean", "[1]"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, env=environment(site.url), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "fog: cannot write the output: [Errno 28] No space left on device\n"
    closed = ["sh", "-c", f"{shlex.join(command)} >&-"]
    shell = subprocess.run(closed, env=environment(site.url), capture_output=True, check=False)
    assert (shell.returncode, shell.stderr) == (0, b"")


def test_no_broker_is_exit_code_5_and_names_each_that_was_tried() -> None:
    urls = [f"mqtt://127.0.0.1:{free_port()}" for _ in range(2)]
    done = fog("run", "mean", "[1]", "--url", urls[0], "--url", urls[1], "--timeout", "0.5")
    assert done.returncode == 5
    assert f"{urls[0]}: nothing listens there" in done.stderr
    assert f"{urls[1]}: nothing listens there" in done.stderr


def test_a_passed_deadline_is_exit_code_4(start_site: Callable[..., Site], tmp_path: Path) -> None:
    done = start_site("n1").fog("run", "hold", str(tmp_path / "gate"), "--deadline", "0.3", "--json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["outcome"] == "deadline-exceeded"


def test_ctrl_c_is_exit_code_130_and_cancels_the_task(start_site: Callable[..., Site], tmp_path: Path) -> None:
    site = start_site("n1")
    command = site.start_fog("run", "hold", str(tmp_path / "gate"))
    eventually((tmp_path / "gate.begun").exists)
    os.kill(command.pid, signal.SIGINT)
    assert command.wait() == 130
    assert "Traceback" not in command.output
    # The one worker for such tasks is free again, though nobody opened that gate.
    (tmp_path / "open").touch()
    assert site.fog("run", "hold", str(tmp_path / "open"), "--deadline", "20").stdout == "held\n"


def test_a_bar_shows_progress_on_a_terminal_alone(
    site: Site, open_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    terminal = open_terminal("run", "hold", str(gate), url=site.url)
    terminal.wait_for("hold ")
    gate.touch()
    assert terminal.wait() == 0
    assert terminal.written.rstrip().endswith("held")
    assert site.fog("run", "hold", str(gate)).stderr == ""


def test_a_password_comes_from_a_file_or_the_environment(start_site: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("phone:secret\n")
    subprocess.run(["mosquitto_passwd", "-U", tmp_path / "passwords"], check=True)
    site = start_site(settings=(f"password_file {tmp_path / 'passwords'}",), anonymous=False)
    (tmp_path / "password").write_text("secret\n")
    login = ("--username", "phone", "--timeout", "1")
    assert site.fog("nodes", *login, "--password-file", str(tmp_path / "password")).returncode == 0
    assert site.fog("nodes", *login, FOG_PASSWORD="secret").returncode == 0
    refused = site.fog("nodes", *login, FOG_PASSWORD="wrong")
    assert refused.returncode == 5
    assert "login not accepted" in refused.stderr
