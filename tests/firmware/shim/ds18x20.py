"""Stands in for MicroPython's ds18x20: a thermometer that shows what is in the file celsius."""

import hostfiles


class DS18X20:
    """One sensor on its bus."""

    def __init__(self, bus):
        self.bus = bus

    def scan(self):
        return [b"\x28\x00\x00\x00\x00\x00\x00\x01"]

    def convert_temp(self):
        pass

    def read_temp(self, rom):
        return float(hostfiles.read("celsius"))
