"""What differs from device to device."""

WIFI = ("name of the network", "its password")
FOG = ["mqtt://fog.local/home"]  # or ["coap://pi-1.local", "coap://pi-2.local"]: the first that answers
NAME = "porch"  # the id of this device, and its login
PASSWORD = None  # of that login
CA = None  # the file of the broker's certificate authority, in DER, for TLS

SENSOR, BUTTON, LED = 4, 14, 2  # GPIO
