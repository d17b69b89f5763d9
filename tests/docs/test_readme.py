"""Every code block of the README is done, in order, as a newcomer would do it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.readme import DAEMONS, ROOT, Desk, blocks
from tests.support.processes import Processes

README = blocks("README.md")


def shell(*starts: str) -> list[str]:
    """The commands of the README that begin with one of these."""
    return [c for block in README if block.language == "sh" for c in block.commands if c.startswith(starts)]


def test_no_code_block_is_of_a_kind_that_no_test_runs() -> None:
    for block in README:
        assert block.language in ("sh", "python"), block
        assert block.language != "python" or block.file, "a python block needs the name of its file"
        for command in block.commands if block.language == "sh" else []:
            assert command.split()[0] in ("make", "pip", "python", "python3", ".", "fog", *DAEMONS), command


def test_what_the_readme_says_about_nodes_devices_and_the_cloud_works(tmp_path: Path, processes: Processes) -> None:
    desk = Desk(tmp_path, processes)
    (tmp_path / "examples").symlink_to(ROOT / "examples")  # a checkout has them
    said: dict[str, str] = {}
    for block in README:
        if block.language == "python":
            desk.write(block)
            continue
        for command in block.commands:
            if command.startswith(("make", "pip", "python3", ".")) or "--host" in command:
                continue  # done by the tests below
            said[command] = desk.do(command).output
    assert said["python device.py"].startswith("2.0\n333283335000\n")
    assert "669" in said["python device.py"]
    assert said["python keeping.py"] == "on the disks of 1 node(s)\n2 items\n669\n"
    assert (
        said["fog run mean '[1, 2, 3]' --trace"].startswith("2.0") or "2.0" in said["fog run mean '[1, 2, 3]' --trace"]
    )
    for name in ("mean", "sum_of_squares", "primes_below"):
        assert name in said["fog tasks"]


def test_the_insecure_node_starts_with_a_warning(tmp_path: Path, processes: Processes) -> None:
    [command] = shell("fognode --tasks mytasks --host")
    desk = Desk(tmp_path, processes)
    desk.write(next(block for block in README if block.file == "mytasks.py"))
    program = desk.do(command)
    assert program.terminate() == 0


@pytest.mark.parametrize("extra", ["all", "node"])
def test_the_readme_s_pip_commands_install_what_they_say(extra: str, tmp_path: Path) -> None:
    """In a new environment that sees the packages of this one, so that only fogsdk itself is installed."""
    make, activate, install = next(
        block.commands[:3] for block in README if f'pip install ".[{extra}]"' in block.commands
    )
    here = next(path for path in sys.path if path.endswith("site-packages"))
    script = f"""
        set -e
        cd {tmp_path} && {make} && {activate}
        echo {here} >"$(python -c 'import site; print(*site.getsitepackages())')/packages.pth"
        cd {ROOT} && {install}
        cd {tmp_path} && fognode --help && fog --help && command -v fog && command -v fognode && command -v fogcloud
    """
    pip = {"PIP_NO_DEPS": "1", "PIP_IGNORE_INSTALLED": "1", "PIP_NO_INPUT": "1", "PIP_QUIET": "1"}
    environ = {**os.environ, **pip}
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--insecure-lan" in done.stdout
    folder = tmp_path / ".venv" / "bin"
    assert done.stdout.split()[-3:] == [str(folder / name) for name in ("fog", "fognode", "fogcloud")]


def test_make_test_is_a_target_and_runs_pytest() -> None:
    """It is what runs this test."""
    said = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "scripts/test" in said.splitlines()
    assert "-m pytest" in (ROOT / "scripts" / "test").read_text()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("installed", [True, False], ids=["with mosquitto", "without mosquitto"])
def test_make_demo_runs_and_everything_agrees(installed: bool, tmp_path: Path) -> None:
    """Real processes, real data, a real kill; without mosquitto the embedded broker serves."""
    command = f"make --no-print-directory demo ARGS='--output {tmp_path}'"
    if not installed:
        if os.geteuid() != 0:
            pytest.skip("hiding mosquitto takes root, for a mount namespace of its own")
        hide = "for f in $(command -v mosquitto) /usr/sbin/mosquitto; do mount --bind /dev/null $f; done"
        command = f"unshare --mount sh -c '{hide}; {command.replace(chr(39), chr(34))}'"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)  # noqa: S602
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("amqtt" in done.stdout) != installed
    assert "found by mDNS: pi-1, pi-2, pi-3" in done.stdout
    assert "0 lost, 0 wrong" in done.stdout
    for name in ("hillshade.png", "viewsheds.png", "latency.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
