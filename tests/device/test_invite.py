"""Invitations: one text holds the way in and the login, and the SDK takes it as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fogsdk
from fogsdk.device.invite import Invite, read
from fogsdk.errors import ConfigError
from tests.support.broker import Mosquitto

PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
URLS = st.lists(PRINTABLE.filter(lambda text: not text.lower().startswith("http")), min_size=1, max_size=4)


@given(urls=URLS, page=st.sampled_from(["", "http://pi:8080/", "https://[fe80::1]/fog/"]), token=PRINTABLE)
def test_what_is_written_is_what_is_read(urls: list[str], page: str, token: str) -> None:
    invite = Invite(tuple(urls), page, token if page else "")
    assert read(invite.text()) == invite
    assert read(f"  {invite.text()}\n") == invite


def test_it_looks_like_a_page_and_keeps_what_is_secret_behind_the_hash() -> None:
    """Which browsers do not send. Nothing in it is encoded without need: each character makes the code finer."""
    invite = Invite(("mqtt://phone:p%40ss@192.168.1.9/home",), "http://192.168.1.9:8080/", "a-token_of.mine")
    assert invite.text() == (
        "http://192.168.1.9:8080/#url=mqtt://phone:p%2540ss@192.168.1.9/home&token=a-token_of.mine"
    )
    assert "p%40ss" not in repr(invite)
    assert "a-token" not in repr(invite)


def test_of_brokers_and_nodes_those_of_the_first_kind_are_used() -> None:
    urls = ("mqtt://a", "coap://b", "mqtts://c")
    assert Invite(urls).usable() == ("mqtt://a", "mqtts://c")
    assert Invite(urls[1:]).usable() == ("coap://b",)
    assert Invite().usable() == ()


@pytest.mark.parametrize(
    "form", ["{page}#url={url}/home", "{page}#url={url}/home&url=coap://127.0.0.1:9", "{url}/home"]
)
def test_the_sdk_connects_with_it(form: str, mosquitto: Mosquitto) -> None:
    with fogsdk.connect(form.format(page="http://127.0.0.1:9/", url=mosquitto.url), timeout=5) as fog:
        assert fog.site == "home"


def test_one_half_is_refused_with_what_is_missing_and_without_its_secrets() -> None:
    with pytest.raises(ConfigError, match=r"http://pi:8080 is a page for people: .* with what follows the #"):
        fogsdk.connect("http://pi:8080/")
    for broken in ("http://[pi/#url=mqtt://phone:secret@pi", "http://me:secret@pi/#token=secret"):
        with pytest.raises(ConfigError) as caught:
            fogsdk.connect(broken)
        assert "secret" not in str(caught.value)
