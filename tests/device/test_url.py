"""Broker URLs and logins: what is read from them, what is refused, and that passwords stay out of sight."""

from __future__ import annotations

import pytest

from fogsdk.device.url import BrokerUrl, Credentials, parse
from fogsdk.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("mqtt://192.168.1.9", BrokerUrl("192.168.1.9", 1883)),
        ("mqtts://pi.local", BrokerUrl("pi.local", 8883, tls=True)),
        ("MQTT://pi:2000", BrokerUrl("pi", 2000)),
        ("pi.local", BrokerUrl("pi.local", 1883)),
        ("pi.local:2000", BrokerUrl("pi.local", 2000)),
        ("mqtt://[fe80::1]:2000", BrokerUrl("fe80::1", 2000)),
        ("mqtt://pi/shop-floor", BrokerUrl("pi", 1883, site="shop-floor")),
        ("mqtt://pi/", BrokerUrl("pi", 1883)),
        ("mqtt://me@pi", BrokerUrl("pi", 1883, username="me")),
        ("mqtt://me:p%40ss%2F%3A@pi", BrokerUrl("pi", 1883, username="me", password="p@ss/:")),
        ("mqtts://m%C3%BC:%20@pi:1/home", BrokerUrl("pi", 1, True, "mü", " ", "home")),
    ],
)
def test_a_url_says_where_the_broker_is_how_to_get_in_and_which_site_it_is(text: str, url: BrokerUrl) -> None:
    assert parse(text) == url


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://pi", "the scheme must be mqtt, mqtts or coap"),
        ("mqtt://", "names no host"),
        ("mqtt://:1883", "names no host"),
        ("mqtt://pi:port", "the port is a number up to 65535"),
        ("mqtt://pi:70000", "the port is a number up to 65535"),
        ("mqtt://[fe80::1", "cannot be read"),
        ("mqtt://me:a#b@pi", "special characters in a login are written as %23"),
        ("mqtt://me:1?b@pi", "special characters in a login are written as %23"),
        ("mqtt://pi/My Home", "site: must be 1 to 64 of a-z, 0-9 and '-'"),
        ("mqtt://pi/a/b", "site: must be"),
        ("", "names no host"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse(text)


def test_a_url_shows_as_one_without_login_and_site() -> None:
    assert str(parse("mqtts://me:secret@pi/home")) == "mqtts://pi:8883"
    assert str(parse("mqtt://[fe80::1]")) == "mqtt://[fe80::1]:1883"
    assert parse(str(parse("mqtt://[fe80::1]:7"))) == BrokerUrl("fe80::1", 7)


@pytest.mark.parametrize(
    "wrong", ["http://me:secret@pi", "mqtt://me:secret@", "mqtt://me:secret@pi/My Home", "mqtt://me:secret/@pi"]
)
def test_a_password_is_never_shown(wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(wrong)
    for shown in (str(caught.value), repr(parse("mqtt://me:secret@pi")), repr(Credentials("me", "secret"))):
        assert "secret" not in shown
