"""What is promised of the package as a whole: what it needs, how its files are kept, and what make offers."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fogsdk
from tests.support.processes import Processes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "fogsdk").rglob("*.py"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

# Where a package is imported by another name than it is installed by.
IMPORTED_AS = {"paho-mqtt": "paho", "pillow": "PIL"}

# Refuses every import but the standard library, paho-mqtt, cbor2 and fogsdk; of the former also what a phone
# or a browser does not have. Then takes in hand everything that fogsdk offers.
DEVICE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package in ("multiprocessing", "subprocess"):
            raise AssertionError(f"the device side imports {name}")
        if package not in (*sys.stdlib_module_names, "paho", "cbor2", "_cbor2", "fogsdk"):
            raise ModuleNotFoundError(f"the device side has no {name}", name=name)
sys.meta_path.insert(0, Refuse())
import fogsdk
for name in fogsdk.__all__:
    getattr(fogsdk, name)
import fogsdk.device, fogsdk.wire.values
print("complete")
"""


def test_the_device_side_needs_paho_and_cbor2_alone(processes: Processes) -> None:
    program = processes.start_python("-c", DEVICE)
    assert program.wait() == 0, program.output
    assert program.output == "complete\n"


def test_every_module_says_what_it_is_for_and_has_at_most_400_lines() -> None:
    without = [str(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]
    too_long = [str(path) for path in SOURCES if len(path.read_text().splitlines()) > 400]
    assert (without, too_long) == ([], [])


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return found[0]


def _needed(requirements: list[str]) -> set[str]:
    """The names that the packages of a list of requirements are imported by, fogsdk's own extras aside."""
    names = {_name(requirement) for requirement in requirements} - {"fogsdk"}
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


def _imported() -> set[str]:
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return found - {"fogsdk", "_typeshed", *sys.stdlib_module_names}


def test_what_is_required_is_what_is_imported() -> None:
    extras = (requirement for name in EXTRAS if name != "dev" for requirement in EXTRAS[name])
    declared = _needed([*PROJECT["dependencies"], *extras])
    standard = {"tomllib"}  # not yet in 3.10
    assert declared == _imported() - standard


def test_all_has_every_extra() -> None:
    def reached(extra: str) -> set[str]:
        inner = [name for text in EXTRAS[extra] for name in re.findall(r"fogsdk\[(.*)\]", text)]
        return {extra}.union(*(reached(name) for names in inner for name in names.split(",")))

    assert reached("all") == EXTRAS.keys() - {"dev"}
    assert reached("dev") == EXTRAS.keys()


@pytest.mark.parametrize("program", PROJECT["scripts"])
def test_every_program_is_there(program: str) -> None:
    module, _, function = PROJECT["scripts"][program].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_there_is_one_version() -> None:
    assert fogsdk.__version__ == PROJECT["version"]


@pytest.mark.parametrize("arguments", [[], ["help"]])
def test_make_lists_every_target(arguments: list[str]) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    listed = subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    targets = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  make (\S+) +\S", listed, re.MULTILINE) == [
        name for name in targets if name not in ("mosquitto", "nftables", "libcoap", "chromium", "firmware", "perf")
    ]
