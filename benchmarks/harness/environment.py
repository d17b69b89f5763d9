"""The environment of the benchmarks: ``.venv-bench`` with fogsdk and all peers, made once.

Runs on any Python 3.10 with nothing installed. Each peer is installed by itself, so that one that cannot be installed
keeps none of the others away.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peers import Peer

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv-bench"
PYTHON = FOLDER / "bin" / "python"
_INSTALLED = FOLDER / "installed.json"
_PROGRAMS = {"mosquitto": "mosquitto", "own": "mosquitto", "redis": "redis-server"}
SBIN = os.pathsep + "/usr/sbin" + os.pathsep + "/usr/local/sbin"


def prepare(peers: list[Peer]) -> dict[str, str]:
    """Install what is missing. Returns why, for each peer (by module) that cannot be measured."""
    installed = _installed()
    missing = {}
    if not _pip_works():
        print("Making .venv-bench (the first time takes some minutes) ...", flush=True)
        venv.create(FOLDER, clear=True, with_pip=True)
        (FOLDER / ".gitignore").write_text("*\n")
        installed = []
    if "fogsdk" not in installed or _is_newer(ROOT / "pyproject.toml"):
        failed = _pip("--editable", f"{ROOT}[demo]")
        if failed:
            sys.exit(f"bench: fogsdk itself cannot be installed: {failed}")
        installed = sorted({*installed, "fogsdk"})
    for peer in peers:
        wanted = " ".join(peer.packages)
        reason = _program(peer.broker) if peer.broker else ""
        if not reason and wanted and wanted not in installed:
            print(f"Installing {peer.title} ...", flush=True)
            reason = _pip(*peer.packages)
            if not reason:
                installed.append(wanted)
        if reason:
            missing[peer.module] = f"not installed: {reason}"
    _INSTALLED.write_text(json.dumps(installed))
    return missing


def _installed() -> list[str]:
    try:
        return list(json.loads(_INSTALLED.read_text()))
    except (OSError, ValueError):
        return []


def _is_newer(file: Path) -> bool:
    return file.stat().st_mtime > _INSTALLED.stat().st_mtime


def _pip_works() -> bool:
    return (
        PYTHON.exists() and not subprocess.run([PYTHON, "-m", "pip", "-V"], capture_output=True, check=False).returncode
    )


def _pip(*packages: str) -> str:
    """Install packages; returns what went wrong."""
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check")
    command = [str(PYTHON), "-m", "pip", "install", *quiet, *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return _last_error(done.stderr) if done.returncode else ""


def _last_error(text: str) -> str:
    errors = re.findall(r"^ERROR: (.*)", text, re.MULTILINE) or ["pip failed"]
    return str(errors[-1])[:200]


def _program(broker: str) -> str:
    """Install a broker with the system's packages, if it is missing; returns what went wrong."""
    name = _PROGRAMS[broker]
    if shutil.which(name, path=os.environ.get("PATH", os.defpath) + SBIN):
        return ""
    done = subprocess.run([ROOT / "scripts" / "apt-install", name], capture_output=True, text=True, check=False)
    return (done.stderr.strip().splitlines() or ["apt failed"])[-1][:200] if done.returncode else ""
