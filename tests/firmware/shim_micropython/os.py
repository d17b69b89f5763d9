"""MicroPython's os, with the urandom that a board has and the build for WebAssembly has not."""

import random

from uos import *  # noqa: F403 -- whatever it has


def urandom(size):
    return bytes(random.getrandbits(8) for _ in range(size))
