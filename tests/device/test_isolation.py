"""A device needs the standard library, paho-mqtt and cbor2: no other package, no process, nothing compiled."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cbor2
import paho.mqtt.client as paho
import pytest

import fogsdk
from tests.e2e.site import Site

SCRIPT = Path(__file__).with_name("isolated_device.py")
ROOT = Path(fogsdk.__file__).parents[1]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        site.start("n1")
        yield site


def oldest_python() -> str:
    """Python 3.10, the oldest that is supported, or where it is not installed the one that runs the tests."""
    found = [shutil.which("python3.10"), *Path.home().glob(".pyenv/versions/3.10.*/bin/python3.10")]
    for program in map(str, filter(None, found)):
        # pyenv puts a program of this name on the PATH that ends at once when its version is not selected.
        if subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode == 0:
            return program
    return sys.executable


@pytest.fixture(scope="module")
def pure_packages(pytestconfig: pytest.Config) -> Path:
    """paho-mqtt and cbor2 as iOS gets them, without compiled code; fetched once, and kept in pytest's cache."""
    folder = pytestconfig.cache.mkdir("pure-packages")
    if not list(folder.glob("cbor2-5*")):
        command = (
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)),
            *("--only-binary", ":all:", "--platform", "any", "--implementation", "py", "--abi", "none"),
            *("--python-version", "3.10", "cbor2>=5.9,<6", "paho-mqtt>=2.1"),
        )
        fetched = subprocess.run(command, capture_output=True, text=True, check=False)
        if fetched.returncode:
            pytest.skip(f"the packages cannot be fetched: {fetched.stderr[-300:]}")
    assert not list(folder.rglob("*.so"))
    return folder


def test_the_python_of_these_tests_is_a_device_with_two_packages(site: Site) -> None:
    packages = {str(Path(paho.__file__).parents[2]), str(Path(cbor2.__file__).parents[1])}
    check(sys.executable, site, *packages)


def test_the_oldest_python_is_a_device_with_two_packages_in_pure_python(site: Site, pure_packages: Path) -> None:
    check(oldest_python(), site, str(pure_packages))


def check(python: str, site: Site, *packages: str) -> None:
    """Run the script with this Python, and compare what it found."""
    command = [python, "-I", "-S", "-B", str(SCRIPT), site.broker.url, str(ROOT), *packages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert answer.pop("python") >= [3, 10]
    assert answer == {
        "value": ["grüß", 2**70, [1.5, None]],
        "mapped": list(range(1, 21)),
        "error": ["LookupError", "on purpose"],
        "recovered": [2],
        "foreign": [],
    }
