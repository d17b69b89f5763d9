"""What a benchmark was run on, in words, for the pages that its numbers are published on."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess


def today() -> str:
    """The day, as in 2026-01-31."""
    return str(datetime.datetime.now(tz=datetime.timezone.utc).date())


def machine() -> str:
    """Its cores, its Python and its mosquitto."""
    told = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False).stdout
    broker = told.partition("\n")[0].replace(" version", "")
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release().split('-')[0]}, {python}, {broker}"
