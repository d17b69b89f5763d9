"""The way over a broker: login, access list, nodes, a task."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterator

from paho.mqtt.enums import MQTTProtocolVersion

from fogsdk.device.doctor import network
from fogsdk.device.doctor.probe import NOBODY_LISTENS, Probe
from fogsdk.device.doctor.step import Step, note, ok, wrong
from fogsdk.device.fog import connect
from fogsdk.device.url import DEFAULT_SITE, BrokerUrl, Credentials
from fogsdk.errors import FogError, WireError
from fogsdk.wire import topics
from fogsdk.wire.messages import Ask, Birth, Refused

LISTEN = 0.5
"""Seconds in which a broker sends what nodes announced: at once, mostly."""
SEVERAL = "+"

_LOGIN = (
    "check the name and the password against the broker's password file; some brokers let nobody in without a login"
)


def steps(url: BrokerUrl, login: Credentials, site: str | None) -> Iterator[Step]:
    """Examine the way over this broker."""
    site = site or url.site or DEFAULT_SITE
    yield network.multicast(site)
    address = yield from network.all_but_multicast(url.host, url.port, "the broker")
    if not address or (url.tls and not (yield from network.tls(address, url.port, url.host, login))):
        return
    name = url.username if url.username is not None else login.username
    try:
        sender = topics.check_id(name or f"doctor-{secrets.token_hex(4)}", "login")
    except WireError as error:
        yield wrong("login", str(error), "the login's name is the device's id in all topics: have another login made")
        return
    probe = yield from _logged_in(url, login, sender)
    if probe is None:
        return
    try:
        well = yield from _site(probe, url, site, sender)
    finally:
        probe.close()
    if well:
        yield from task_over(url.whole(site), login)


def _logged_in(url: BrokerUrl, login: Credentials, sender: str) -> Generator[Step, None, Probe | None]:
    refused: str | None = ""
    for version in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
        try:
            probe = Probe(url, login, sender, version)
        except OSError as error:
            refused = str(error)
            continue
        if probe.refused is None:
            spoken = "5" if version == MQTTProtocolVersion.MQTTv5 else "3.1.1"
            yield ok("login", f"accepted as {sender!r}, in MQTT {spoken}")
            return probe
        refused = probe.refused
        probe.close()
        if "uthori" in refused or "user name" in refused:
            break  # no matter of the version
    advice = _LOGIN
    if "without an answer" in str(refused):
        advice = "perhaps it wants a certificate of the device (cert and key); perhaps it speaks another protocol"
        if not url.tls:
            advice = f"perhaps that port wants TLS: mqtts://{url.host}:{url.port}"
    yield wrong("login", f"not accepted: {refused}", advice)
    return None


def _site(probe: Probe, url: BrokerUrl, site: str, sender: str) -> Generator[Step, None, bool]:
    """Which nodes are there, and whether one is heard when it is asked something."""
    if not probe.subscribe(topics.birth(site)):
        yield _forbidden("nodes", "read", topics.birth(SEVERAL), "see which nodes there are")
        return False
    probe.wait(lambda: False, LISTEN)
    births = {at.node: message for at, message in probe.heard if isinstance(message, Birth)}
    if not births:
        yield _no_nodes(probe, url, site)
        return False
    yield ok("nodes", f"{', '.join(sorted(births))} of site {site!r}")
    started = max(birth.incarnation for birth in births.values()) / 1000
    yield from network.clock_of(max(0.0, started - time.time()))  # nodes started in the past may run for long
    if not probe.subscribe(topics.reply(site, sender)):
        yield _forbidden("replies", "read", topics.reply(SEVERAL, "%u"), "hear what became of its tasks")
        return False
    answered = yield from _ask(probe, sorted(births), site, sender)
    return answered


def _forbidden(name: str, verb: str, topic: str, what: str) -> Step:
    advice = f"the broker's access list needs: pattern {verb} {topic}"
    return wrong(name, f"this login may not {what}", advice)


def _no_nodes(probe: Probe, url: BrokerUrl, site: str) -> Step:
    probe.subscribe(topics.birth(SEVERAL))
    probe.wait(lambda: False, LISTEN)
    others = sorted({at.site for at, message in probe.heard if isinstance(message, Birth)} - {site})
    if others:
        advice = f"name the right one: {url}/{others[0]}, or site={others[0]!r}"
        return wrong("nodes", f"none of site {site!r} at this broker; there are some of {', '.join(others)}", advice)
    advice = (
        f"start one: fognode --site {site} --brokers {url} --tasks MODULE. If there is one, the broker's access list "
        f"hides it: pattern read {topics.birth(SEVERAL)}"
    )
    return wrong("nodes", f"none of site {site!r} is announced at this broker", advice)


def _ask(probe: Probe, nodes: list[str], site: str, sender: str) -> Generator[Step, None, bool]:
    """Ask each node after a task that it has not: a small message there, and one back."""
    answered = False
    for node in nodes:
        began, id = time.perf_counter(), f"doctor-{secrets.token_hex(6)}"
        reason = probe.publish(topics.task(site, node, sender), Ask(id))
        if reason is not None and reason >= 0x80:
            yield _forbidden("tasks", "write", topics.task(SEVERAL, SEVERAL, "%u"), f"hand tasks to {node}")
            return False
        heard = probe.wait(lambda id=id: any(_answers(message, id) for _, message in probe.heard))  # type: ignore[misc]
        if heard:
            answered = True
            yield ok(f"way to {node}", f"{(time.perf_counter() - began) * 1000:.1f} ms there and back")
        elif reason == NOBODY_LISTENS:
            advice = "it died and its broker with it, or it may not read its tasks (its block in the access list)"
            yield note(f"way to {node}", "it is announced, but does not listen", advice)
        else:
            yield _silent(node, reason is None)
    if not answered:
        yield wrong("tasks", "no node answers", "see above; `fog doctor` on the node's computer tells more")
    return answered


def _answers(message: object, id: str) -> bool:
    return isinstance(message, Refused) and message.id == id


def _silent(node: str, unsure: bool) -> Step:
    advice = (
        f"this login may not read its replies (pattern read {topics.reply(SEVERAL, '%u')}), or {node} may not write "
        "them, or stands still: look at its log"
    )
    if unsure:
        advice = f"this login may not write tasks (pattern write {topics.task(SEVERAL, SEVERAL, '%u')}); or {advice}"
    return note(f"way to {node}", "no answer", advice)


def task_over(url: str, login: Credentials) -> Iterator[Step]:
    """Have a node report on itself, which every node can: the whole way of a task."""
    try:
        with connect(
            url,
            username=login.username,
            password=login.password,
            ca=login.ca,
            cert=login.cert,
            key=login.key,
            timeout=5.0,
        ) as fog:
            report = fog.run("fog.report", deadline=5.0)
    except FogError as error:
        yield wrong("task", f"{type(error).__name__}: {error}", "all before it went well: look at the node's log")
        return
    yield ok("task", f"run by {report['node']}, which has {report['running']} running and {report['queued']} waiting")
