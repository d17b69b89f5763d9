"""Stands in for MicroPython's machine. Pins are files of the board's folder, and what is written to one is printed."""

import sys

import hostfiles


class Pin:
    """An input with a pull-up is 0 while there is a file pin-<number>."""

    IN, OUT, PULL_UP = 0, 1, 2

    def __init__(self, number, mode=IN, pull=None):
        self.number = number

    def value(self, level=None):
        if level is None:
            return int(hostfiles.read(f"pin-{self.number}") is None)
        print(f"pin {self.number} is {level:d}")
        return None


class RTC:
    """Its memory outlives a deep sleep, as on an ESP32."""

    def memory(self, data=None):
        if data is None:
            return (hostfiles.read("rtc-memory") or "").encode()
        hostfiles.write("rtc-memory", data.decode())
        return None


def deepsleep(ms):
    """The end of the program: a board starts anew when it wakes."""
    print("deep sleep", ms)
    sys.exit(0)
