"""examples/pythonista_fog.py, as it is: pasted and run on a phone, with nothing beside it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fogsdk.node import phone_bundle
from tests.phone.pythons import newest, oldest
from tests.phone.site import GATE, ROOT, PhoneSite
from tests.support.ports import free_port

EXAMPLE = ROOT / "examples" / "pythonista_fog.py"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The script, in an empty folder."""
    folder = tmp_path / "script"
    folder.mkdir()
    return Path(shutil.copy(EXAMPLE, folder))


@pytest.fixture
def slow_site(tmp_path: Path) -> Iterator[PhoneSite]:
    """A site whose tasks take three seconds."""
    site = PhoneSite(tmp_path, nap=3.0)
    yield site
    site.close()


def run(python: str, script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-I", "-S", "-B", GATE, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)


def test_it_fetches_the_sdk_checks_it_and_runs_a_task(python: str, site: PhoneSite, script: Path) -> None:
    done = run(python, script, site.invitation)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "handed in: mean. You may switch to another app now.\nresult: 2.5\nn1 ran" in done.stdout
    assert hashlib.sha256((script.parent / "fogsdk-phone.zip").read_bytes()).hexdigest() == phone_bundle.sha256()


def test_it_works_as_text_that_is_pasted_into_a_console(site: PhoneSite, tmp_path: Path) -> None:
    """With no file of its own it uses the folder it runs in. The address in it is changed, as its reader is told to."""
    text = EXAMPLE.read_text().replace("http://fog.local:8080/", site.invitation)
    command = [newest(), "-I", "-S", "-B", GATE, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=40, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "result: 2.5" in done.stdout
    assert (tmp_path / "fogsdk-phone.zip").exists()


def test_a_second_run_fetches_nothing_and_a_run_with_no_node_in_reach_uses_what_is_there(
    site: PhoneSite, script: Path
) -> None:
    assert run(newest(), script, site.invitation).returncode == 0
    bundle = script.parent / "fogsdk-phone.zip"
    fetched = bundle.stat().st_mtime_ns
    elsewhere = f"http://127.0.0.1:{free_port()}/#url={site.broker.url}/home"
    for invitation in (site.invitation, elsewhere):
        done = run(newest(), script, invitation)
        assert "result: 2.5" in done.stdout, done.stderr
    assert bundle.stat().st_mtime_ns == fetched


def test_one_that_is_out_of_date_or_damaged_is_replaced(site: PhoneSite, script: Path) -> None:
    bundle = script.parent / "fogsdk-phone.zip"
    bundle.write_bytes(b"not a zip")
    assert run(newest(), script, site.invitation).returncode == 0
    assert bundle.read_bytes() == phone_bundle.build()


def test_with_a_hash_of_ones_own_no_other_sdk_is_loaded(site: PhoneSite, script: Path) -> None:
    script.write_text(EXAMPLE.read_text().replace('SHA256 = ""', f'SHA256 = "{"0" * 64}"'))
    done = run(newest(), script, site.invitation)
    assert done.returncode == 1
    assert "is not the one that was asked for; it was not loaded" in done.stderr
    assert not (script.parent / "fogsdk-phone.zip").exists()


def test_with_no_node_and_no_sdk_it_says_what_to_look_at(script: Path) -> None:
    done = run(newest(), script, f"http://127.0.0.1:{free_port()}/")
    assert done.returncode == 1
    assert "Is the phone in the fog's Wi-Fi?" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_was_handed_in_before_the_app_was_closed_is_there_on_the_next_run(
    slow_site: PhoneSite, script: Path
) -> None:
    """iOS kills an app in the background when it wants its memory: the file beside the script has the task."""
    phone = slow_site.run(oldest(), script, slow_site.invitation)
    phone.wait_for("handed in: mean")
    phone.kill()
    again = slow_site.run(oldest(), script, slow_site.invitation)
    assert again.wait() == 0, again.output
    assert again.output.index("handed in last time: 2.5") < again.output.index("result: 2.5")
