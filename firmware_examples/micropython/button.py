"""A button that asks the fog, and waits for its answer: will it be warm? The LED says so."""

import config
from fog import FogError
from machine import Pin
from online import connect

READINGS = [20.5, 21.0, 22.5, 23.0, 24.5]


def pressed(site, led):
    """Ask, and show the answer. A button has to say something: no answer within 10 s is one too."""
    try:
        warm = site.run("forecast", READINGS, ahead=3, deadline=10)
        print("it will be", warm)
        led.value(warm > 26)
    except FogError as error:
        print("no answer:", *error.args)
        led.value(0)


def main():
    """Wait for presses. The pull-up makes the button 0 while it is pressed."""
    button, led = Pin(config.BUTTON, Pin.IN, Pin.PULL_UP), Pin(config.LED, Pin.OUT)
    site, before = connect(), 1
    while True:
        now = button.value()
        if before and not now:
            pressed(site, led)
        before = now
        site.idle(20)  # longer than the contact bounces


if __name__ == "__main__":
    main()
