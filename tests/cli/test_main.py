"""The command as a whole: help, what is missing, completion, and output that nobody reads."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import fogsdk
from fogsdk.cli.main import EXIT_CODES, build_parser, main
from tests.cli.site import Site, Terminal, environment, fog
from tests.support.ports import free_port

COMMANDS = ("run", "post", "fetch", "nodes", "tasks", "watch", "load", "chaos", "doctor", "completion", "demo")
COMMON = ("--url", "--site", "--username", "--password-file", "--ca", "--cert", "--key", "--timeout", "--json")
CONNECTING = ("run", "post", "fetch", "nodes", "tasks", "watch", "load", "chaos", "doctor")

# Python as it is where some packages are not installed.
WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "{missing}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from fogsdk.cli.main import main
sys.exit(main())
"""


def without(missing: str) -> list[str]:
    """How to start the command where a package is not installed."""
    return [sys.executable, "-c", WITHOUT.format(missing=missing)]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_lists_the_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert EXIT_CODES in capsys.readouterr().out


@pytest.mark.parametrize("command", CONNECTING)
def test_every_command_has_the_common_options(command: str) -> None:
    text = build_parser(demo=False)[1][command].format_help()
    assert [option for option in COMMON if not re.search(rf"^  {option}\b", text, re.MULTILINE)] == []


def test_the_version_is_the_package_s() -> None:
    assert fog("--version").stdout == f"fog {fogsdk.__version__}\n"


@pytest.mark.parametrize("words", [(), ("bogus",), ("nodes", "--bogus"), ("nodes", "--ur", "x")])
def test_wrong_use_is_exit_code_2_and_says_how_it_is_done(words: tuple[str, ...]) -> None:
    done = fog(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: fog" in done.stderr


@pytest.mark.parametrize("words", [("nodes",), ("tasks",), ("watch",), ("invite",)])
def test_a_command_that_listens_at_a_broker_says_at_once_that_it_needs_one(words: tuple[str, ...]) -> None:
    done = fog(*words, "--url", f"coap://127.0.0.1:{free_port()}", "--timeout", "1000")
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs the URL of a broker, mqtt://... or mqtts://...; coap://" in done.stderr


def test_a_demo_whose_pictures_have_no_place_says_so_before_it_begins(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = fog("demo", "--output", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"the pictures cannot go to {file}: File exists; name another folder with --output" in done.stderr


def test_of_an_invitation_that_begins_with_coap_the_broker_is_taken(site: Site) -> None:
    done = fog("nodes", "--url", f"coap://127.0.0.1:{free_port()} {site.url}")
    assert done.returncode == 0, done.stderr


def test_without_rich_it_is_plain_text_and_says_what_to_install(
    site: Site, open_terminal: Callable[..., Terminal]
) -> None:
    terminal = open_terminal("nodes", url=site.url, program=without("rich"))
    assert terminal.wait() == 0
    assert 'pip install "fogsdk[node]"' in terminal.written
    assert "n1" in terminal.written
    command = [*without("rich"), "nodes"]
    piped = subprocess.run(command, env=environment(site.url), capture_output=True, text=True, check=True)
    assert piped.stderr == ""  # nothing is missing there


def test_without_shtab_completion_says_what_to_install() -> None:
    command = [*without("shtab"), "completion", "bash"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'pip install "fogsdk[node]"' in done.stderr


@pytest.mark.parametrize(
    ("missing", "code", "words"),
    [("segno", 2, ["invite"]), ("psutil", 0, ["sim", "--minutes", "0.01"]), ("aiocoap", 0, ["nodes"])],
)
def test_a_command_says_what_to_install_for_it_or_does_without(
    site: Site, missing: str, code: int, words: list[str]
) -> None:
    done = subprocess.run(
        [*without(missing), *words], env=environment(site.url), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert ("pip install" in done.stderr) == (code == 2)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_is_a_script_of_its_shell(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(fog("completion", shell).stdout)
    assert "watch" in script.read_text()
    program = shutil.which(shell)
    if program:
        subprocess.run([program, "-n", script], check=True)


@pytest.mark.parametrize(
    ("line", "expected"), [("fog wa", "watch"), ("fog run --dead", "--deadline"), ("fog load --arrivals p", "poisson")]
)
def test_bash_completes_commands_options_and_choices(line: str, expected: str, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(fog("completion", "bash").stdout)
    complete = (
        'source "$0"; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
        '$(complete -p fog | sed "s/.*-F \\([^ ]*\\).*/\\1/"); echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", complete, script, line], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected]


def test_output_that_nobody_reads_any_more_is_no_error(site: Site) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "fogsdk.cli.main", "tasks"],
        env=environment(site.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    command.stdout.close()
    assert command.wait(20) == 0
    assert command.stderr is not None
    assert command.stderr.read() == ""
    command.stderr.close()
