"""Stands in for MicroPython's network: a wireless network that lets everybody in."""

STA_IF = 0


class WLAN:
    """It takes a moment, as a real one does."""

    def __init__(self, interface):
        self._asked = -1

    def active(self, on):
        return on

    def connect(self, name, password):
        self._asked = 0

    def isconnected(self):
        self._asked += self._asked >= 0
        return self._asked > 2
