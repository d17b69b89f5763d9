"""One MQTT connection: paho-mqtt set up as the protocol wants it, and driven from outside.

The owner of the connection's thread or event loop waits for the socket and calls ``readable``, ``writable``, once a
second ``housekeep``, and ``watch`` as often as that says. Nothing here starts a thread: SDK and daemon share it.
What is published goes its own way, past paho (see ``mqttsocket``).
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from fogsdk.device.mqttsocket import MqttSocket
from fogsdk.device.pulse import MOST_PATIENCE, Pulse
from fogsdk.device.url import BrokerUrl, Credentials, Local
from fogsdk.errors import ConfigError, ConnectionFailed

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 3.0
"""Seconds for the TCP and TLS handshakes."""

SEND_BUFFER = 128 * 1024
"""Bytes that the kernel may hold back: with megabytes there, a slow link would look as if it stood still."""

LAST_WORDS = 1.0
"""Seconds that closing a connection may take."""

UPLOAD = 4096
"""Bytes on their way out beyond which the way may be slow, rather than the broker dead, while they become fewer."""

NOBODYS_TOPIC = "fog/nobody"
"""Never subscribed to. A broker must answer the end of such a subscription all the same (MQTT-3.10.4-5), whatever its
access list says: a ping that may be sent at any time. (MQTT's own ping is sent by paho, when paho sees fit.)"""

Will = tuple[str, bytes]


class MqttConnection:
    """A connection to one broker: MQTT 3.1.1, clean session, QoS 0, TCP_NODELAY.

    ``on_up`` is called when the broker has accepted the login, ``on_down(reason)`` once when that ends or was refused,
    ``on_message(topic, payload)`` for each publish that comes, ``on_close`` just before the socket is closed.
    """

    def __init__(
        self,
        broker: BrokerUrl,
        credentials: Credentials,
        client_id: str,
        *,
        keepalive: int,
        will: Will | None = None,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        on_message: Callable[[str, bytes], None],
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.broker = broker
        self.name = str(broker)
        self._on_message = on_message
        self._on_down = on_down
        self._on_close = on_close
        self._answered = self._down = False
        self._moved = self._heard_at = 0.0
        self._keepalive = keepalive
        self._opened = time.monotonic()
        self._pulse = Pulse(self._opened)
        self._watched = False
        self._unsent: int | None = 0
        self._took_more = False
        self._has_certificate = credentials.cert is not None
        client = self._client = _Client(client_id, self._hear, broker.local)
        username = broker.username if broker.username is not None else credentials.username
        if username is not None:
            client.username_pw_set(username, broker.password if broker.password is not None else credentials.password)
        if broker.tls:
            client.tls_set_context(tls_context(credentials))
        if will is not None:
            client.will_set(will[0], will[1], qos=0, retain=True)
        client.connect_timeout = CONNECT_TIMEOUT
        client.on_connect = lambda _c, _u, _f, reason, _p: self._login_answered(reason, on_up)
        client.on_disconnect = lambda _c, _u, _f, reason, _p: self._end(self._why_closed(reason))
        client.on_message = lambda _c, _u, message: self._hear(message.topic, bytes(message.payload))
        client.on_socket_close = lambda _c, _u, _s: on_close()
        # With this set, publish() only queues: whoever drives the connection does all the writing.
        client.on_socket_register_write = lambda _c, _u, _s: None
        client.on_socket_unregister_write = lambda _c, _u, _s: None

    def open(self) -> None:
        """Connect; blocks up to CONNECT_TIMEOUT and more for a slow name service.

        Raises ConnectionFailed. The login's answer comes later, through ``on_up`` or ``on_down``.
        """
        try:
            self._client.connect(self.broker.host, self.broker.port, keepalive=self._keepalive)
        except (OSError, ValueError) as error:
            raise ConnectionFailed(f"{self.broker}: {describe(error)}") from error
        self._opened = time.monotonic()
        if self.socket.family in (socket.AF_INET, socket.AF_INET6):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    @property
    def socket(self) -> Any:
        """The connected socket; None once it is closed."""
        return None if self._client.socket() is None else self._client.wire.raw

    @property
    def wants_write(self) -> bool:
        """Whether there is something to write."""
        return self._client.want_write() or self._client.wire.wants_write

    @property
    def silent(self) -> bool:
        """Whether the broker was asked for a sign of life and gave none: most likely it, or the way there, is dead."""
        return self._pulse.silent

    def watch(self, watched: bool = True) -> float:
        """Find out whether the broker is still there. Returns the seconds until this is to be called again.

        To be called after what was there to read has been read. While not ``watched`` nobody waits for the broker, and
        it is left in peace.
        """
        now = time.monotonic()
        if not (watched and self._answered):
            self._watched = False
            return MOST_PATIENCE
        if not self._watched or now >= self._pulse.due():
            excused = not self._watched or self._uploading()
            self._watched = True
            if self._pulse.count(now, excused):
                self._client.unsubscribe(NOBODYS_TOPIC)
        return max(0.0, self._pulse.due() - now)

    def _uploading(self) -> bool:
        """Whether much is on its way out, and gets on: that grows which is to be sent says nothing."""
        before, self._unsent = self._unsent, unsent(self.socket)
        took_more, self._took_more = self._took_more, False
        if before is None or self._unsent is None:
            return True  # nobody can tell
        return before > UPLOAD and (self._unsent < before or took_more)

    def readable(self) -> None:
        """The socket has something to read."""
        self._heard_at = time.monotonic()
        self._pulse.heard(self._heard_at)
        wire = self._client.wire
        wire.receive()
        while wire.pending():
            wire.receive()
        self._let_paho_read()

    def _let_paho_read(self) -> None:
        while self._client.wire.for_paho and self._client.socket() is not None:
            self._check(self._client.loop_read())

    def write(self) -> bool:
        """Write what is published, from any thread; returns whether all is out."""
        return self._client.wire.write()

    def flush(self) -> None:
        """Write until all is out or the socket is full."""
        if self._client.want_write():
            self._check(self._client.loop_write())
        self._client.wire.write()
        self._let_paho_read()

    def writable(self) -> None:
        """The socket can take more."""
        self._moved, self._took_more = time.monotonic(), True
        self.flush()

    def housekeep(self) -> None:
        """Keep the connection alive, and notice where it is not; call about once a second."""
        if self.wants_write and time.monotonic() - self._moved < self._keepalive:
            return  # a ping would wait behind what is on its way out, and its answer be missed
        self._client.heard(self._heard_at)
        self._check(self._client.loop_misc())

    def _hear(self, topic: str, payload: bytes) -> None:
        try:
            self._on_message(topic, payload)
        except Exception:  # paho would hand out the same message again and again
            log.exception("a bug, on a message of %d bytes on %s", len(payload), topic)

    def _login_answered(self, reason: ReasonCode, on_up: Callable[[], None]) -> None:
        self._answered = True
        if reason.is_failure:
            self._end(str(reason))
        else:
            self._pulse.answered_within(time.monotonic() - self._opened)
            on_up()

    def _why_closed(self, reason: ReasonCode) -> str:
        if reason != "Unspecified error":
            return str(reason)
        if self._answered:
            return "the broker or the network closed it"
        if not self.broker.tls:
            guess = "perhaps that port wants mqtts://"
        elif self._has_certificate:
            guess = "perhaps it does not take this certificate"
        else:
            guess = "perhaps it wants a certificate (cert and key)"
        return f"it closed the connection without an answer; {guess}"

    def _check(self, code: MQTTErrorCode) -> None:
        if code not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN):
            self._end(paho.error_string(code))

    def _end(self, reason: str) -> None:
        if not self._down:
            self._down = True
            self._on_down(reason)

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Queue a publish at QoS 0."""
        self._client.wire.publish(topic, payload, retain)

    def subscribe(self, topics: list[str]) -> None:
        """Queue a subscription to some topics. What is published after it goes out after it."""
        if topics:
            self._client.subscribe([(topic, 0) for topic in topics])
            self._check(self._client.loop_write())

    def unsubscribe(self, topic: str) -> None:
        """Queue the end of a subscription."""
        self._client.unsubscribe(topic)

    def abandon(self) -> None:
        """Neither read nor write any more: a thread was interrupted in the middle of it."""
        self._client.wire.abandon()

    def close(self) -> None:
        """Write what is queued, say goodbye to the broker, so that no will is sent, and close the socket.

        A broker that is silent is not waited for.
        """
        self._down = True
        if self.socket is None:
            return
        until = time.monotonic() + (0.0 if self.silent else LAST_WORDS)
        self.flush()
        while self.wants_write and self.socket is not None and (left := until - time.monotonic()) > 0:
            _wait_writable(self.socket, left)
            self.flush()
        if self.socket is not None and not self.wants_write:
            self._client.disconnect()
            self._client.loop_write()  # closes the socket once the goodbye is out
        if self.socket is not None:
            self._client.on_socket_close = None
            self._on_close()
            self._client.wire.close()


def _wait_writable(sock: Any, seconds: float) -> None:
    with selectors.DefaultSelector() as selector:  # select(2) takes no descriptor above 1023
        selector.register(sock, selectors.EVENT_WRITE)
        selector.select(seconds)


class _Client(paho.Client):
    """paho, but that its socket is ours. ``wire`` is there once it connects."""

    def __init__(self, client_id: str, hear: Callable[[str, bytes], None], local: Local | None) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True, protocol=paho.MQTTv311)
        self._hear = hear
        self._local = local
        self.wire: MqttSocket

    def _create_socket(self) -> Any:
        raw = self._local() if self._local else None
        self.wire = MqttSocket(raw or super()._create_socket(), self._hear)
        return self.wire

    def heard(self, at: float) -> None:
        """Something came, though paho did not read it: the connection is alive."""
        self._last_bytes_received = max(at, self._last_bytes_received)


def unsent(sock: Any) -> int | None:
    """Bytes that the kernel has for the other end and that did not get there yet; None where it does not tell."""
    if sock is None:
        return None
    with contextlib.suppress(OSError):  # of a socket that iOS took away in the background
        if sys.platform == "linux":
            import fcntl
            import termios

            return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        if sys.platform in ("darwin", "ios"):
            return int(sock.getsockopt(socket.SOL_SOCKET, 0x1024))  # SO_NWRITE
    return None


class _TlsSocket(ssl.SSLSocket):
    """A socket whose handshake ends in time, and closes it when it fails: paho sees to neither."""

    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(CONNECT_TIMEOUT)
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def tls_context(credentials: Credentials) -> ssl.SSLContext:
    """The TLS settings for a login: the system's authorities, or ``ca``. Raises ConfigError for unreadable files."""
    try:
        context = ssl.create_default_context(cafile=credentials.ca)
        context.sslsocket_class = _TlsSocket
        if credentials.cert:
            context.load_cert_chain(credentials.cert, credentials.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(file) for file in (credentials.ca, credentials.cert, credentials.key) if file)
        raise ConfigError(f"cannot load the TLS files {files}: {error}") from error
    return context


def check_files(credentials: Credentials) -> None:
    """Raise ConfigError for TLS files that cannot be loaded: at once, not at every attempt to connect."""
    if credentials.ca or credentials.cert:
        tls_context(credentials)


def describe(error: BaseException) -> str:
    """An error of a connection in words for people."""
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    if isinstance(error, socket.gaierror):
        return "no such host name"
    if isinstance(error, TimeoutError):
        return "no answer (timed out)"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; pass ca= with the site's authority"
    if isinstance(error, (ConnectionResetError, ssl.SSLError)):
        return f"it broke off the handshake; perhaps that port does not speak TLS ({error})"
    return str(error) or type(error).__name__
