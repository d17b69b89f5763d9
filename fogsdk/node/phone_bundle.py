"""The device side in one zip, for phones and whatever else has Python but no pip: fogsdk, paho-mqtt and cbor2.

Everything in it is written in Python, so that it works as it is on ``sys.path``, unpacked or not. A node has cbor2 6,
which is compiled; the zip has version 5, which was put beside this file when the package was built (``setup.py``).
"""

from __future__ import annotations

import functools
import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import fogsdk
from fogsdk.errors import ConfigError

NAME = "fogsdk-phone.zip"

_ROOT = Path(fogsdk.__file__).parent
_PACKAGES = Path(__file__).with_name("phone_packages.zip")
_OURS = ("*.py", "wire/*.py", "core/*.py", "device/**/*.py")
_MADE_BY_BUILDING = (
    f"{NAME} needs cbor2 5 in pure Python, which is added to fogsdk when that is built, and here is missing; "
    "build fogsdk again: `make phone` in a checkout, or pip install --force-reinstall --no-cache-dir 'fogsdk[doors]'"
)


@functools.cache
def build() -> bytes:
    """The zip. The same code gives the same bytes.

    Raises ConfigError, with what to do about it, where this fogsdk was built without what phones need.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, data in sorted([*_own(), *_paho(), *_cbor2()]):
            entry = zipfile.ZipInfo(name)  # of 1980, whenever it is made
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def sha256() -> str:
    """The hash of the zip, in hexadecimal. Raises ConfigError as :func:`build` does."""
    return hashlib.sha256(build()).hexdigest()


def _own() -> Iterator[tuple[str, bytes]]:
    for pattern in _OURS:
        for file in _ROOT.glob(pattern):
            yield file.relative_to(_ROOT.parent).as_posix(), file.read_bytes()


def _paho() -> Iterator[tuple[str, bytes]]:
    for file in metadata.distribution("paho-mqtt").files or ():
        if file.suffix == ".py" and file.parts[0] == "paho":
            yield file.as_posix(), file.read_binary()
        elif "licenses" in file.parts or file.name.startswith("LICENSE"):
            yield f"licenses/paho-mqtt-{file.name}", file.read_binary()


def _cbor2() -> Iterator[tuple[str, bytes]]:
    if not _PACKAGES.exists():
        raise ConfigError(_MADE_BY_BUILDING)
    with zipfile.ZipFile(_PACKAGES) as packages:
        for name in packages.namelist():
            yield name, packages.read(name)


if __name__ == "__main__":
    try:
        Path(sys.argv[1]).write_bytes(build())
    except ConfigError as wrong:
        sys.exit(str(wrong))
