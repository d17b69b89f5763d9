"""Stands in for MicroPython's onewire."""


class OneWire:
    """A bus."""

    def __init__(self, pin):
        self.pin = pin
