"""The SDK for devices: the standard library, paho-mqtt and cbor2 are all that it needs."""
