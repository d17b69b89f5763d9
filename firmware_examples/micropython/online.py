"""Join the wireless network, and connect to the fog that config.py names."""

import time

import config
import fog
import network

WITHIN = 15_000  # milliseconds


def connect():
    """The fog. OSError where the wireless network does not let this device in."""
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    if not wlan.isconnected():
        wlan.connect(*config.WIFI)
    begun = time.ticks_ms()
    while not wlan.isconnected():
        if time.ticks_diff(time.ticks_ms(), begun) > WITHIN:
            raise OSError("no wireless network " + config.WIFI[0])
        time.sleep_ms(50)
    return fog.connect(config.FOG, config.NAME, config.PASSWORD, _ssl())


def _ssl():
    if config.CA is None:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with open(config.CA, "rb") as file:
        context.load_verify_locations(cadata=file.read())
    return context
