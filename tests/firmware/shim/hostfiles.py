"""What stands for the pins and sensors of a board: files of its folder. board.mjs has the same for MicroPython."""

import pathlib


def read(name):
    """Its text, None where there is no such file."""
    file = pathlib.Path(name)
    return file.read_text() if file.exists() else None


def write(name, text):
    """Write a file."""
    pathlib.Path(name).write_text(text)
