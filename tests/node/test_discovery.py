"""Nodes and brokers find each other by mDNS: real multicast, on the loopback interface alone.

Each test has a site of its own, and a host name of its own in place of fog.local, so that tests that run at
the same time do not see each other.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from zeroconf import AddressResolverIPv4, ServiceInfo  # type: ignore[attr-defined]
from zeroconf.asyncio import AsyncZeroconf

from fogsdk.device.discovery import find_brokers
from fogsdk.node import discovery as module
from fogsdk.node import discovery_host
from fogsdk.node.discovery import Discovery, Neighbour
from tests.support.processes import Processes

LOOPBACK = ("127.0.0.1",)
TIMEOUT = 20.0  # seconds: far more than anything here takes


@pytest.fixture
def site() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture(autouse=True)
def host(site: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The host name that stands for fog.local; it is asked for, and passed on, in less time."""
    monkeypatch.setattr(discovery_host, "_ASK", 200)
    monkeypatch.setattr(discovery_host, "_PAUSE", 0.2)
    monkeypatch.setattr(discovery_host, "NAME", f"fog-{site}.local.")
    return discovery_host.NAME


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, TIMEOUT))


class Ear:
    """A node that notes what it is told."""

    def __init__(self, site: str, node: str = "ear", **options: Any) -> None:
        self.brokers: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
        self.nodes: asyncio.Queue[tuple[Neighbour, bool]] = asyncio.Queue()
        options = {"interfaces": LOOPBACK, "on_broker": self._broker, "on_node": self._node, **options}
        self.discovery = Discovery(site, node, **options)

    async def _broker(self, url: str, added: bool) -> None:
        self.brokers.put_nowait((url, added))

    async def _node(self, node: Neighbour, added: bool) -> None:
        self.nodes.put_nowait((node, added))

    async def __aenter__(self) -> Ear:
        await self.discovery.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.discovery.close()


@asynccontextmanager
async def announced(site: str, node: str, *, broker: int | None = None, **options: Any) -> AsyncIterator[Discovery]:
    discovery = Discovery(site, node, **{"interfaces": LOOPBACK, **options})
    await discovery.start()
    try:
        if broker:
            await discovery.announce_broker(broker)
        yield discovery
    finally:
        await discovery.close()


async def addresses_of(zeroconf: AsyncZeroconf, host: str) -> list[str]:
    resolver = AddressResolverIPv4(host)
    await resolver.async_request(zeroconf.zeroconf, 300)
    return sorted(resolver.parsed_addresses())


async def wait_for_host(host: str, *addresses: str) -> None:
    """Wait until a computer that has not asked before is told these addresses."""
    while True:
        asking = AsyncZeroconf(interfaces=list(LOOPBACK))
        try:
            if await addresses_of(asking, host) == sorted(addresses):
                return
        finally:
            await asking.async_close()


def test_a_node_is_found_with_what_it_says_and_missed_when_it_says_goodbye(site: str) -> None:
    async def scenario() -> None:
        async with Ear(site) as ear:
            told: dict[str, Any] = {
                "role": "cloud",
                "version": "1.2",
                "port": 5683,
                "brokers": ["mqtt://pi:1883", "mqtt://b"],
            }
            async with announced(site, "pi", **told):
                expected = Neighbour("pi", "cloud", "1.2", "127.0.0.1", 5683, ("mqtt://pi:1883", "mqtt://b"))
                assert await ear.nodes.get() == (expected, True)
            assert await ear.nodes.get() == (expected, False)

    run(scenario())


def test_a_broker_is_found_by_who_came_before_it_and_by_who_came_after(site: str) -> None:
    async def scenario() -> None:
        async with Ear(site) as early:
            async with announced(site, "pi", broker=11883), Ear(site, "late") as late:
                assert await early.brokers.get() == ("mqtt://127.0.0.1:11883", True)
                assert await late.brokers.get() == ("mqtt://127.0.0.1:11883", True)
            assert await early.brokers.get() == ("mqtt://127.0.0.1:11883", False)

    run(scenario())


def test_a_broker_with_tls_is_told_as_mqtts(site: str) -> None:
    async def scenario() -> None:
        async with Ear(site) as ear, announced(site, "pi") as pi:
            await pi.announce_broker(8883, tls=True)
            assert await ear.brokers.get() == ("mqtts://127.0.0.1:8883", True)

    run(scenario())


def test_a_broker_on_the_loopback_is_announced_there_alone(site: str, host: str) -> None:
    """To others its address would be their own. The node itself may be reached at another."""

    async def scenario() -> None:
        async with Ear(site) as ear, announced(site, "pi", addresses=["127.0.0.2"]) as pi:
            await pi.announce_broker(11883, host="127.0.0.1")
            assert await ear.brokers.get() == ("mqtt://127.0.0.1:11883", True)
            assert (await ear.nodes.get())[0].address == "127.0.0.2"
            assert pi._loopback is not None
            assert pi._zeroconf is not None
            assert not pi._zeroconf.zeroconf.registry.async_get_infos_type(module.BROKER_TYPE)
            await wait_for_host(host)

    run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_device_on_the_same_computer_finds_its_broker(site: str, host: str) -> None:
    """On all interfaces, and with nothing configured on either side."""

    async def scenario() -> None:
        async with announced(site, "pi", interfaces=()) as pi:
            await pi.announce_broker(11883, host=host)
            (url,) = await asyncio.to_thread(find_brokers, TIMEOUT, site)
            assert url == f"mqtt://{'127.0.0.1' if host == '127.0.0.1' else pi._here.addresses[0]}:11883/{site}"

    run(scenario())


def test_neither_another_sites_nor_its_own_are_told_of(site: str) -> None:
    async def scenario() -> None:
        async with (
            Ear(site) as ear,
            announced(f"{site}-2", "stranger", broker=1),
            announced(site, "pi", broker=2),
        ):
            await ear.discovery.announce_broker(3)
            assert await ear.brokers.get() == ("mqtt://127.0.0.1:2", True)
            assert (await ear.nodes.get())[0].id == "pi"
            assert ear.brokers.empty()
            assert ear.nodes.empty()

    run(scenario())


def test_a_broker_that_moved_is_told_as_gone_and_come(site: str) -> None:
    async def scenario() -> None:
        async with Ear(site) as ear:
            first, second = (Discovery(site, "pi", interfaces=LOOPBACK) for _ in range(2))
            await first.start()
            await first.announce_broker(1)
            assert await ear.brokers.get() == ("mqtt://127.0.0.1:1", True)
            await second.start()
            await second.announce_broker(2)
            assert await ear.brokers.get() == ("mqtt://127.0.0.1:1", False)
            assert await ear.brokers.get() == ("mqtt://127.0.0.1:2", True)
            await second.close()
            await first.close()

    run(scenario())


def test_the_longest_ids_and_many_brokers_fit(site: str) -> None:
    """A part of a DNS name has 63 bytes, and an id up to 64."""
    brokers = [f"mqtt://192.168.100.{number}:11883" for number in range(100, 200)]
    node = site.ljust(64, "x")

    async def scenario() -> None:
        async with Ear(site) as ear, announced(site, node, brokers=brokers, broker=1):
            found, _ = await ear.nodes.get()
            assert found.id == node
            assert list(found.brokers) == brokers[: len(found.brokers)]
            assert len(found.brokers) >= 7
            assert await ear.brokers.get() == ("mqtt://127.0.0.1:1", True)

    run(scenario())


def test_what_only_looks_like_a_node_is_passed_over(site: str) -> None:
    async def scenario() -> None:
        stranger = AsyncZeroconf(interfaces=list(LOOPBACK))
        info = ServiceInfo(
            module.NODE_TYPE,
            f"odd-{site}.{module.NODE_TYPE}",
            1,
            properties={"site": site, "id": "../../NOT AN ID"},
            server=f"odd-{site}.local.",
            parsed_addresses=["127.0.0.1"],
        )
        async with Ear(site) as ear:
            await (await stranger.async_register_service(info, cooperating_responders=True))
            async with announced(site, "pi"):
                assert (await ear.nodes.get())[0].id == "pi"
        await stranger.async_close()

    run(scenario())


def test_a_callback_that_raises_does_not_end_the_looking(site: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        told: asyncio.Queue[str] = asyncio.Queue()

        async def on_broker(url: str, _added: bool) -> None:
            told.put_nowait(url)
            raise RuntimeError("no such broker")

        async with Ear(site, on_broker=on_broker), announced(site, "a", broker=1):
            await told.get()
            async with announced(site, "b", broker=2):
                assert await told.get() == "mqtt://127.0.0.1:2"

    run(scenario())
    assert "no such broker" in caplog.text


def test_the_host_name_stays_with_the_first_and_passes_on_when_it_leaves(
    site: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # zeroconf may answer a question once more after its goodbye; that answer is then believed for this long.
    monkeypatch.setattr(discovery_host, "TTL", 4)

    async def scenario() -> None:
        async with announced(site, "second", addresses=["127.0.0.9"]) as second:
            async with announced(site, "first", broker=1, addresses=["127.0.0.2"]):
                await wait_for_host(host, "127.0.0.2")
                await second.announce_broker(2)
                await asyncio.sleep(0.5)  # in which it asks whether the name is taken
                await wait_for_host(host, "127.0.0.2")
            await wait_for_host(host, "127.0.0.9")
        await wait_for_host(host)

    run(scenario())


def test_of_two_that_took_the_host_name_at_once_one_keeps_it(
    site: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery_host, "_ASK", 1)  # too short for either to hear of the other

    async def scenario() -> None:
        async with (
            announced(site, "a", addresses=["127.0.0.2"]) as a,
            announced(site, "b", addresses=["127.0.0.9"]) as b,
        ):
            await asyncio.gather(a.announce_broker(1), b.announce_broker(2))
            await wait_for_host(host, "127.0.0.9")

    run(scenario())


def test_the_host_name_of_a_killed_node_is_taken_over(
    site: str, host: str, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery_host, "TTL", 2)
    doomed = processes.start_python(
        "-c",
        f"""
import asyncio
from fogsdk.node import discovery, discovery_host
discovery_host.NAME, discovery_host.TTL = {host!r}, 2
async def main():
    node = discovery.Discovery({site!r}, "doomed", interfaces=["127.0.0.1"], addresses=["127.0.0.2"])
    await node.start()
    await node.announce_broker(1)
    print("announced")
    await asyncio.Event().wait()
asyncio.run(main())
""",
    )
    doomed.wait_for("announced")

    async def scenario() -> None:
        await wait_for_host(host, "127.0.0.2")
        async with announced(site, "heir", broker=2, addresses=["127.0.0.9"]):
            await asyncio.sleep(0.5)
            await wait_for_host(host, "127.0.0.2")
            doomed.kill()
            await wait_for_host(host, "127.0.0.9")

    run(scenario())


def test_without_multicast_it_warns_once_and_goes_on(
    site: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that this computer does not have."""
    monkeypatch.setattr(module, "_CHECK", 0.01)

    async def scenario() -> None:
        async with announced(site, "pi", broker=1, interfaces=["203.0.113.1"]):
            await asyncio.sleep(0.1)

    with caplog.at_level(logging.WARNING, "fogsdk"):
        run(scenario())
    assert [record.levelname for record in caplog.records if record.name.startswith("fogsdk")] == ["WARNING"]
    assert "no network interface that is up has the address 203.0.113.1" in caplog.text
    assert "name the brokers" in caplog.text


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs a network namespace of its own",
)
def test_a_network_that_comes_later_is_used(site: str, processes: Processes) -> None:
    """A computer that boots before its network is there: nobody has to start the node again."""
    node = processes.start(
        "unshare",
        "-rn",
        sys.executable,
        "-c",
        f"""
import asyncio, logging, subprocess
from fogsdk.node import discovery
logging.basicConfig(level=logging.WARNING)
discovery._CHECK = 0.1
async def main():
    async def on_node(node, added):
        print("found", node.id, flush=True)
    pi = discovery.Discovery({site!r}, "pi")
    ear = discovery.Discovery({site!r}, "ear", on_node=on_node)
    await pi.start()
    await ear.start()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    await asyncio.Event().wait()
asyncio.run(main())
""",
    )
    node.wait_for("name the brokers")
    node.wait_for("found pi")


@pytest.mark.parametrize(
    ("announced_addresses", "chosen"),
    [
        (["172.17.0.1", "192.168.1.5"], "192.168.1.5"),  # both have a docker0
        (["10.9.9.9", "192.168.1.5"], "192.168.1.5"),  # the network that both are in
        (["10.9.9.9", "fe80::1", "fd00::5"], "10.9.9.9"),  # behind a router
        (["fe80::1", "fd00::5"], "fd00::5"),  # a link-local address would need its interface named
        (["192.168.1.7", "172.17.0.1"], "192.168.1.7"),  # this computer itself
        ([], None),
    ],
)
def test_the_address_that_can_be_reached_is_chosen(
    announced_addresses: list[str], chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [ipaddress.IPv4Interface(each) for each in ("127.0.0.1/8", "192.168.1.7/24", "172.17.0.1/16")]
    monkeypatch.setattr(module, "_own_interfaces", lambda: own)
    assert module._nearest(announced_addresses) == chosen
