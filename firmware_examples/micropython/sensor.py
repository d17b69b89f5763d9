"""A thermometer that sleeps: it reports, sleeps, and does on the next wake what the fog said to its last report.

Before a report goes out it is noted with an id. If the board is reset, or no fog is in reach, the same report goes out
on the next wake; if it had arrived after all, the fog knows it by its id and runs it only once.
"""

import json
import time

import config
import ds18x20
import machine
import onewire
from fog import DeadlineExceeded, FogError, new_id
from online import connect

SLEEP = 600  # seconds, if the fog says nothing else
WITHIN = 5  # seconds to wait for the fog


def celsius():
    """The temperature."""
    sensor = ds18x20.DS18X20(onewire.OneWire(machine.Pin(config.SENSOR)))
    rom = sensor.scan()[0]
    sensor.convert_temp()
    time.sleep_ms(750)
    return sensor.read_temp(rom)


def wake():
    """Fetch the answer to the last report, and make another. Returns the seconds to sleep."""
    note, sleep = recall(), SLEEP
    site = connect()
    try:
        if "receipt" in note:
            advice = site.fetch(note["receipt"], deadline=WITHIN)
            machine.Pin(config.LED, machine.Pin.OUT).value(advice["fan"])
            sleep = advice["sleep"]
            print("to", note["celsius"], "the fog said", advice)
            note = {}
        if not note:
            note = {"id": new_id(), "celsius": celsius()}
            remember(note)
        note["receipt"] = site.post(
            "report", config.NAME, note["celsius"], id=note["id"], keep=4 * sleep, deadline=WITHIN
        )
        print("reported", note["celsius"])
    except DeadlineExceeded as error:
        print("later:", *error.args)
    except FogError as error:
        print("given up:", *error.args)
        note = {}
    remember(note)
    site.close()
    return sleep


def recall():
    """What was noted before the sleep."""
    try:
        if hasattr(machine.RTC, "memory"):  # ESP32
            return json.loads(machine.RTC().memory() or b"{}")
        with open("note.json") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def remember(note):
    """Note it where it outlives a deep sleep."""
    if hasattr(machine.RTC, "memory"):
        machine.RTC().memory(json.dumps(note).encode())
    else:
        with open("note.json", "w") as file:
            json.dump(note, file)


def main():
    """Be awake as briefly as can be."""
    try:
        sleep = wake()
    except OSError as error:
        print("later:", error)
        sleep = SLEEP
    machine.deepsleep(sleep * 1000)


if __name__ == "__main__":
    main()
