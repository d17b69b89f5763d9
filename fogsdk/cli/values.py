"""Arguments of a task from the command line, and its result back to it."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from fogsdk.cli.output import note
from fogsdk.errors import ConfigError, WireError
from fogsdk.wire import values
from fogsdk.wire.jsonvalues import to_json

HELP = """ARG is JSON (3, "text", [1, 2], true), or else text as it is ('"3"' is the text
3), or @FILE for what is in a file: JSON (.json), CBOR (.cbor), an array (.npy),
text (.txt), bytes otherwise; @- is standard input: JSON, or text, or bytes,
whatever fits first."""


def argument(text: str) -> Any:
    """One argument. Raises ConfigError for a file that cannot be read."""
    if text == "@-":
        return _guess(_standard_input())
    if text.startswith("@"):
        return _from_file(Path(text[1:]))
    try:
        return _json(text)
    except ValueError as error:
        if text[:1] in ("[", "{"):  # hardly meant as text
            note(f"taken as text, as it is not JSON ({error}): {text[:80]}")
        return text


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _guess(data: bytes) -> Any:
    try:
        return _json(data)
    except ValueError:
        pass
    try:
        return data.decode()
    except ValueError:
        return data


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise ConfigError("cannot take @- as an argument: standard input is closed")
    return sys.stdin.buffer.read()


def _from_file(path: Path) -> Any:
    try:
        data = path.read_bytes()
        match path.suffix:
            case ".json":
                return _json(data)
            case ".cbor":
                return values.decode(data)
            case ".npy":
                return _array(data)
            case ".txt":
                return data.decode()
        return data
    except (OSError, ValueError, WireError) as error:
        raise ConfigError(f"cannot take {path} as an argument: {error}") from error


def _array(data: bytes) -> Any:
    return _numpy().load(io.BytesIO(data), allow_pickle=False)


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise ConfigError(".npy files need numpy, which is not installed: pip install numpy") from None
    return numpy


def plain(value: Any) -> Any:
    """A result as JSON has it."""
    return to_json(values.encode(value))


def readable(value: Any) -> str:
    """A result for people: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return f"{len(value)} bytes (write them to a file with --output FILE)"
    return json.dumps(plain(value), ensure_ascii=False)


def check_writable(path: Path) -> None:
    """Raises ConfigError where a result could not be written, as far as that is seen without writing: before a task
    runs for it."""
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError("no permission")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error}") from error
    if path.suffix == ".npy":
        _numpy()


def write_file(path: Path, value: Any) -> None:
    """Write a result: as CBOR (.cbor), as an array (.npy), as JSON (.json), or bytes and text as they are."""
    try:
        path.write_bytes(_content(path.suffix, value))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write {path}: {error}") from error


def _content(suffix: str, value: Any) -> bytes:
    if suffix == ".cbor":
        return values.encode(value)
    if suffix == ".npy":
        return _as_npy(value)
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and suffix != ".json":
        return value.encode()
    return json.dumps(plain(value), ensure_ascii=False).encode() + b"\n"


def _as_npy(value: Any) -> bytes:
    numpy, file = _numpy(), io.BytesIO()
    try:
        numpy.save(file, numpy.asarray(value), allow_pickle=False)
    except ValueError:
        raise ValueError("the result is no array; write it as .json or .cbor") from None
    return file.getvalue()
