"""The zip for phones: what is in it, that it is the same each time, and that it works as it is and unpacked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fogsdk.errors import ConfigError
from fogsdk.node import phone_bundle
from tests.phone.site import GATE, ROOT, PhoneSite

SCRIPT = """
import json, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), sys.argv[2]))
import fogsdk, cbor2
with fogsdk.connect(sys.argv[1], timeout=5) as fog:
    answer = [fog.run("mean", [1.5, 2.5], deadline=10), list(fog.map("mean", [[number] for number in range(20)]))]
    try:
        fog.run("mean", [])
    except fogsdk.TaskFailed as error:
        answer.append(error.type)
    try:
        fog.run("nothing of this name")
    except fogsdk.TaskRefused as error:
        answer.append(error.reason)
    future = fog.submit("nap", 30, 1)
    answer.append(future.cancel())
    receipt = fog.post("nap", 0, 7)
    answer.append(fog.fetch(receipt))
with fogsdk.connect("mqtt://127.0.0.1:9", ledger="left.db") as fog:
    fog.submit("mean", [1, 2])
with fogsdk.connect(sys.argv[1], ledger="left.db") as fog:
    answer += [future.result(10) for future in fog.recovered]
answer.append(cbor2.loads.__module__)
from fogsdk.device import doctor
answer.append([(step.name, step.state) for step in doctor.examine(sys.argv[1])][-1])
print(json.dumps(answer))
"""


@pytest.mark.parametrize("form", ["as it is", "unpacked"])
def test_a_bare_python_with_the_bundle_beside_its_script_is_a_device(
    form: str, python: str, site: PhoneSite, bundle: Path, tmp_path: Path
) -> None:
    """It has the standard library less processes and signals, and loads nothing that is compiled."""
    place = bundle.name
    if form == "unpacked":
        place = "packages"
        zipfile.ZipFile(bundle).extractall(tmp_path / place)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [python, "-I", "-S", "-B", GATE, str(script), site.broker.url, place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    means = [float(number) for number in range(20)]
    expected = [2.0, means, "ZeroDivisionError", "unknown-task", True, 7, 1.5, "cbor2", ["task", "ok"]]
    assert json.loads(done.stdout) == expected


def test_the_bundle_has_python_and_licences_alone(bundle: Path) -> None:
    names = zipfile.ZipFile(bundle).namelist()
    assert {name.partition("/")[0] for name in names} == {"fogsdk", "paho", "cbor2", "licenses"}
    assert {Path(name).suffix for name in names if not name.startswith("licenses/")} == {".py"}
    assert {name.split("-")[0] for name in names if name.startswith("licenses/")} >= {"licenses/cbor2", "licenses/paho"}
    assert not [name for name in names if name.startswith(("fogsdk/node", "fogsdk/cloud", "fogsdk/cli", "fogsdk/sim"))]


def test_the_same_code_gives_the_same_bundle() -> None:
    """Whoever builds it and whenever: its hash can be compared."""
    program = "import sys, time; from fogsdk.node import phone_bundle; sys.stdout.write(phone_bundle.sha256())"
    environ = {"PYTHONPATH": str(ROOT), "TZ": "Pacific/Kiritimati"}
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    assert there.stdout == phone_bundle.sha256()


def test_a_node_that_was_built_without_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(phone_bundle, "_PACKAGES", tmp_path / "missing.zip")
    phone_bundle.build.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"needs cbor2 5 .*: `make phone` in a checkout, or pip install"):
            phone_bundle.build()
    finally:
        phone_bundle.build.cache_clear()


@pytest.mark.timeout(180)
def test_what_pip_builds_has_all_that_phones_need(tmp_path: Path) -> None:
    """So a node that was installed with pip serves the bundle, and asks no network for it."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "phone_packages.zip")
    shutil.copytree(ROOT / "fogsdk", source / "fogsdk", ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-input", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*command, str(source)], check=True, timeout=170, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extract("fogsdk/node/phone_packages.zip", tmp_path)
    names = zipfile.ZipFile(tmp_path / "fogsdk" / "node" / "phone_packages.zip").namelist()
    assert {"cbor2/__init__.py", "cbor2/_decoder.py", "licenses/cbor2-LICENSE.txt"} <= set(names)


def test_make_phone_builds_it_where_it_says() -> None:
    """`make` as such sets up an environment first, which takes a network."""
    said = subprocess.run(["make", "-n", "phone"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-m fogsdk.node.phone_bundle build/fogsdk-phone.zip" in said
