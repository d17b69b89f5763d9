"""The fog over MQTT, with umqtt.simple (mpremote mip install umqtt.simple)."""

import select
import time

from fogcbor import dumps, loads
from umqtt.simple import MQTTClient, MQTTException

KEEPALIVE, CONNECT_WITHIN = 10, 5  # seconds
PING_AFTER, SILENT_AFTER = 2000, 5000  # milliseconds without a word from the broker
BROKEN = (OSError, IndexError, AssertionError, MQTTException)  # what umqtt raises when a connection ends


class Link:
    """The first broker that answers, and the next one when that is lost."""

    def __init__(self, urls, name, password=None, ssl=None):
        if ssl is None and any(url.startswith("mqtts:") for url in urls):
            raise ValueError("mqtts:// takes ssl, an ssl.SSLContext that knows the broker's authority")
        self.urls = [_split(url) for url in urls]
        self.name, self.password, self.ssl = name, password, ssl
        self.client = None
        self.heard = []

    def send(self, message, node=""):
        """Hand a task to a node, or to any. OSError where no broker answers."""
        try:
            if self.client is None:
                self._open()
            self.client.publish(self._topic(f"node/{node}/task/" if node else "task/"), dumps(message))
        except BROKEN as error:
            self._lost(error)

    def receive(self, ms):
        """The next reply, a dict; None if none comes within so many milliseconds. OSError when the broker is lost."""
        end = time.ticks_add(time.ticks_ms(), ms)
        try:
            if self.client is None:
                self._open()
            while not self.heard:
                left = time.ticks_diff(end, time.ticks_ms())
                if left <= 0:
                    return None
                self._listen(left)
        except BROKEN as error:
            self._lost(error)
        return self.heard.pop(0)

    def close(self):
        """Disconnect."""
        if self.client:
            self.client.disconnect()
            self.client = None

    def _listen(self, ms):
        if self.poll.poll(min(ms, PING_AFTER)):
            self.client.check_msg()
            self.alive, self.asked = time.ticks_ms(), False
            return
        quiet = time.ticks_diff(time.ticks_ms(), self.alive)
        if quiet > SILENT_AFTER:
            raise OSError("the broker is silent")
        if quiet > PING_AFTER and not self.asked:
            self.client.ping()
            self.asked = True

    def _open(self):
        host, port, self.site, tls = self.urls[0]
        user, ssl = self.name if self.password else None, self.ssl if tls else None
        client = MQTTClient(self.name, host, port, user, self.password, KEEPALIVE, ssl)
        client.set_callback(self._hear)
        self.client = client
        client.connect(timeout=CONNECT_WITHIN)
        try:
            client.sock.setsockopt(6, 1, 1)  # TCP_NODELAY: what umqtt sends in pieces goes out at once
        except (AttributeError, OSError):
            pass  # a socket of TLS
        client.subscribe(self._topic("reply/"))
        self.poll = select.poll()
        self.poll.register(client.sock, select.POLLIN)
        self.alive, self.asked = time.ticks_ms(), False

    def _lost(self, error):
        client, self.client = self.client, None
        if client and client.sock:
            client.sock.close()
        self.urls.append(self.urls.pop(0))
        raise OSError(*error.args)

    def _hear(self, _topic, payload):
        try:
            said = loads(payload)
        except ValueError:
            return  # not for this device to mend
        said = said if isinstance(said, list) else [said]
        self.heard.extend(each for each in said if isinstance(each, dict))

    def _topic(self, what):
        return f"fog/v1/{self.site}/{what}{self.name}"


def _split(url):
    """("host", port, "site", whether with TLS) of mqtt://host:port/site."""
    scheme, _, rest = url.partition("://")
    host, _, site = rest.partition("/")
    host, _, port = host.partition(":")
    tls = scheme == "mqtts"
    return host, int(port or (8883 if tls else 1883)), site or "home", tls
