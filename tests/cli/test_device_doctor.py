"""``fog doctor --device`` and ``python -m fogsdk.device.doctor``: every way of being shut out is told from the others,
with what to do about it. Brokers and nodes are real, and set up wrong on purpose."""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fogsdk.device.doctor import WRONG, Step, examine, main
from fogsdk.device.url import Credentials
from fogsdk.wire import codec
from fogsdk.wire.messages import Birth
from tests.broker.mqtt import Client
from tests.cli.site import Site, environment, fog
from tests.support.authority import Authority
from tests.support.broker import Mosquitto
from tests.support.ports import accepts, free_port
from tests.support.processes import Processes
from tests.support.waiting import eventually

Steps = dict[str, Step]

# Takes Ctrl-C also where the tests run in the background and so are told to ignore it.
INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from fogsdk.device.doctor import main; sys.exit(main())"
)

DEVICE = [
    "pattern write fog/v1/+/node/+/task/%u",
    "pattern read fog/v1/+/reply/%u",
    "pattern read fog/v1/+/node/+/birth",
]
NODE = [
    "user n1",
    "topic write fog/v1/+/node/n1/birth",
    "topic read fog/v1/+/node/n1/task/+",
    "topic write fog/v1/+/reply/+",
]


def diagnose(url: str, code: int = 0, *, ca: Path | None = None, token: str = "") -> Steps:
    """What is found on a way to a fog, by step; of two with one name, the later. ``code`` is 0 if nothing is wrong."""
    found = list(examine(url, Credentials(ca=None if ca is None else str(ca)), token=token))
    print(*found, sep="\n")
    assert any(step.state == WRONG for step in found) == bool(code)
    assert all(step.advice for step in found if step.state == WRONG)
    return {step.name: step for step in found}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str, str]]:
    """A site, and the URLs of its node over HTTP and CoAP."""
    site = Site(tmp_path_factory.mktemp("doors"))
    http, coap = free_port(), free_port()
    try:
        site.start("n1", flags=("--http-port", str(http), "--coap-port", str(coap)))
        yield site, f"http://127.0.0.1:{http}/", f"coap://127.0.0.1:{coap}"
    finally:
        site.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Sites with logins and an access list that lacks something: ``guarded(without="reply")``."""
    with ExitStack() as stack:

        def start(without: str = "", node: bool = True) -> Site:
            (tmp_path / "acl").write_text(
                "\n".join([*(line for line in DEVICE if not without or without not in line), *NODE])
            )
            passwords = tmp_path / "passwords"
            passwords.write_text("phone:secret\nn1:node\n")
            subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
            site = Site(tmp_path, f"password_file {passwords}", f"acl_file {tmp_path / 'acl'}", anonymous=False)
            stack.callback(site.close)
            if node:
                site.start("n1", flags=("--username", "n1", "--password", "node"))
            return site

        yield start


def as_phone(site: Site) -> str:
    return site.url.replace("mqtt://", "mqtt://phone:secret@")


# ---------------------------------------------------------------- all is well


def test_every_step_of_a_good_way_is_told_with_its_time(doors: tuple[Site, str, str]) -> None:
    site, http, coap = doors
    for url, steps in (
        (site.url, ["mDNS", "network", "port", "login", "nodes", "way to n1", "task"]),
        (http, ["network", "port", "nodes", "task"]),
        (coap, ["network", "port", "tasks", "task"]),
    ):
        found = diagnose(url)
        assert list(found) == steps
        assert all(step.seconds > 0 for step in found.values())
        assert found["task"].text.startswith("run by n1")


def test_the_command_tells_people_and_programs(doors: tuple[Site, str, str]) -> None:
    """Its exit code is 0 where nothing is wrong, 1 where one way leads in, and 5 where none does."""
    site, http, _ = doors
    closed = f"mqtt://127.0.0.1:{free_port()}"
    done = fog("doctor", "--device", "--url", http)
    assert done.returncode == 0
    assert re.search(r"^ok     task: run by n1 \([\d.]+ m?s\)$", done.stdout, re.MULTILINE)
    done = fog("doctor", "--device", "--json", "--url", closed, "--url", site.url)
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"]) == (1, False)
    assert {"port", "task"} <= {check["name"] for check in told["checks"]}
    assert fog("doctor", "--device", "--url", closed).returncode == 5


def test_of_an_invitation_every_way_is_gone(doors: tuple[Site, str, str]) -> None:
    site, http, coap = doors
    done = fog("doctor", "--device", "--url", f"{http}#url={site.url}/home&url={coap}")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("task: run by n1") == 3


def test_a_login_with_the_shipped_rules_passes(guarded: Callable[..., Site]) -> None:
    assert diagnose(as_phone(guarded()))["login"].text.startswith("accepted as 'phone', in MQTT 5")


def test_it_works_where_there_is_the_sdk_alone(doors: tuple[Site, str, str]) -> None:
    command = [sys.executable, "-m", "fogsdk.device.doctor", doors[0].url]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ok     task: run by n1, .* \(\d+ ms\)$", done.stdout, re.MULTILINE)
    done = subprocess.run([*command[:-1], "ftp://pi"], env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the scheme must be mqtt, mqtts, coap, http or https" in done.stderr


def test_help_is_shown_and_looks_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "usage: python -m fogsdk.device.doctor" in capsys.readouterr().out


def test_ctrl_c_is_exit_code_130_and_no_traceback(processes: Processes) -> None:
    """While it waits for a broker that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"mqtt://127.0.0.1:{mute.getsockname()[1]}"
        program = processes.start_python("-c", INTERRUPTIBLE, url)
        program.wait_for("something listens on port")
        os.kill(program.pid, signal.SIGINT)
        assert program.wait() == 130
    assert "Traceback" not in program.output


# ---------------------------------------------------------------- on the way to the computer


def test_a_name_that_nobody_knows() -> None:
    for url in ("mqtt://no-such-host.invalid", "http://no-such-host.invalid/", "coap://no-such-host.invalid"):
        step = diagnose(url, 1)["name"]
        assert step.state == "wrong"
        assert "check its spelling" in step.advice
    assert "libnss-mdns" in diagnose("mqtt://no-such-pi.local", 1)["name"].advice


def test_a_device_without_a_network() -> None:
    """In a network namespace that has nothing at all."""
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-m", "fogsdk.device.doctor"]
    for url, said in (
        ("mqtt://192.168.1.9", "network: there is no way from here to 192.168.1.9"),
        ("mqtt://fog.local", "network: this device has none"),
        ("coap://192.168.1.9", "network: there is no way from here"),
    ):
        done = subprocess.run([*command, url], env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert f"wrong  {said}" in done.stdout


def test_a_port_that_nobody_listens_on() -> None:
    number = free_port()
    for url in (f"mqtt://127.0.0.1:{number}", f"mqtts://127.0.0.1:{number}", f"http://127.0.0.1:{number}/"):
        step = diagnose(url, 1)["port"]
        assert f"nothing listens on port {number}" in step.text
        assert "fognode --host 0.0.0.0" in step.advice
    assert "--coap-port" in diagnose(f"coap://127.0.0.1:{number}", 1)["port"].advice


def test_a_computer_that_does_not_answer() -> None:
    """Its port takes no connection: what it has not accepted yet is all that it will hold."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        step = diagnose(f"mqtt://127.0.0.1:{server.getsockname()[1]}", 1)["port"]
        assert "no answer" in step.text
        assert "firewall" in step.advice
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        step = diagnose(f"coap://127.0.0.1:{udp.getsockname()[1]}", 1)["port"]
        assert "A firewall may let TCP pass and not UDP" in step.advice


# ---------------------------------------------------------------- at the broker's door


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Authority, int, int, int]]:
    """A broker: its authority, and its ports with TLS, with TLS for those who have a certificate, and plain."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("broker")
    files = (f"cafile {authority.file}", f"certfile {certificate}", f"keyfile {key}")
    port, strict = free_port(), free_port()
    listeners = (
        f"listener {port} 127.0.0.1",
        *files,
        f"listener {strict} 127.0.0.1",
        *files,
        "require_certificate true",
    )
    broker = Mosquitto(folder, *listeners)
    try:
        yield authority, port, strict, broker.port
    finally:
        broker.kill()


def test_a_certificate_that_is_not_trusted(secure: tuple[Authority, int, int, int]) -> None:
    step = diagnose(f"mqtts://127.0.0.1:{secure[1]}", 1)["TLS"]
    assert "its certificate is not trusted" in step.text
    assert "--ca" in step.advice


def test_a_certificate_for_another_name(secure: tuple[Authority, int, int, int]) -> None:
    step = diagnose(f"mqtts://localhost:{secure[1]}", 1, ca=secure[0].file)["TLS"]
    assert "use the name or address that stands in the certificate" in step.advice


@pytest.mark.parametrize(
    ("days", "said"), [(30, "this device's clock is behind"), (-30, "this device's clock is ahead")]
)
def test_a_certificate_that_is_not_valid_now(
    secure: tuple[Authority, int, int, int], start_mosquitto: Callable[..., Mosquitto], days: int, said: str
) -> None:
    authority, port = secure[0], free_port()
    certificate, key = issue_for(authority, days)
    files = (f"cafile {authority.file}", f"certfile {certificate}", f"keyfile {key}")
    start_mosquitto(f"listener {port} 127.0.0.1", *files)
    step = diagnose(f"mqtts://127.0.0.1:{port}", 1, ca=authority.file)["TLS"]
    assert said in step.advice


def issue_for(authority: Authority, days: int) -> tuple[Path, Path]:
    """A certificate of the broker's for one day, so many days from now."""
    certificate, key = (Path(file) for file in authority.issue(f"broker{days}"))
    good = x509.load_pem_x509_certificate(certificate.read_bytes())
    first = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    builder = x509.CertificateBuilder(good.issuer, good.subject, good.public_key(), good.serial_number)
    for extension in good.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    builder = builder.not_valid_before(first).not_valid_after(first + datetime.timedelta(days=1))
    signed = builder.sign(authority._key, hashes.SHA256())
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def test_tls_on_one_side_alone(secure: tuple[Authority, int, int, int]) -> None:
    _, tls, _, plain = secure
    assert "does that port speak TLS?" in diagnose(f"mqtts://127.0.0.1:{plain}", 1)["TLS"].advice
    step = diagnose(f"mqtt://127.0.0.1:{tls}", 1)["login"]
    assert step.advice == f"perhaps that port wants TLS: mqtts://127.0.0.1:{tls}"


def test_a_broker_that_wants_a_certificate_of_the_device(secure: tuple[Authority, int, int, int]) -> None:
    found = diagnose(f"mqtts://127.0.0.1:{secure[2]}", 1, ca=secure[0].file)
    assert "wants a certificate of the device" in found["login"].advice


def test_a_login_that_is_not_accepted(guarded: Callable[..., Site]) -> None:
    site = guarded(node=False)
    for login in ("", "phone:wrong@", "stranger@"):
        step = diagnose(site.url.replace("mqtt://", f"mqtt://{login}"), 1)["login"]
        assert step.text.startswith("not accepted: Not authorized")
        assert "password file" in step.advice
    step = diagnose(site.url.replace("mqtt://", "mqtt://My%20Phone:secret@"), 1)["login"]
    assert "have another login made" in step.advice


# ---------------------------------------------------------------- what the broker's access list lacks


@pytest.mark.parametrize(
    ("without", "step", "rule"),
    [
        ("/task/", "tasks", "pattern write fog/v1/+/node/+/task/%u"),
        ("/reply/", "way to n1", "pattern read fog/v1/+/reply/%u"),
        ("/birth", "nodes", "pattern read fog/v1/+/node/+/birth"),
    ],
)
def test_a_rule_that_is_missing_is_named(guarded: Callable[..., Site], without: str, step: str, rule: str) -> None:
    assert rule in diagnose(as_phone(guarded(without)), 1)[step].advice


# ---------------------------------------------------------------- behind it


def test_a_site_without_a_node_and_another_name_for_it(doors: tuple[Site, str, str], mosquitto: Mosquitto) -> None:
    assert "start one: fognode --site home" in diagnose(mosquitto.url, 1)["nodes"].advice
    step = diagnose(f"{doors[0].url}/hme", 1)["nodes"]
    assert "there are some of home" in step.text
    assert "site='home'" in step.advice


def test_a_node_that_is_announced_and_not_there(mosquitto: Mosquitto) -> None:
    with Client(mosquitto.port, "ghost") as ghost:
        ghost.publish("fog/v1/home/node/ghost/birth", codec.encode([Birth(1, "fog", 1)]), retain=True)
        found = diagnose(mosquitto.url, 1)
        assert found["way to ghost"].text.startswith("it is announced, but does not listen")
        assert found["tasks"].text.startswith("no node answers")


def test_a_node_that_stands_still(mosquitto: Mosquitto) -> None:
    """Its connection is there, and it says nothing. (A frozen program has one for some seconds only.)"""
    with Client(mosquitto.port, "mute") as mute:
        mute.subscribe("fog/v1/home/node/mute/task/+")
        mute.publish("fog/v1/home/node/mute/birth", codec.encode([Birth(1, "fog", 1)]), retain=True)
        assert "stands still: look at its log" in diagnose(mosquitto.url, 1)["way to mute"].advice


def test_a_clock_that_differs_is_a_note(mosquitto: Mosquitto) -> None:
    """Of a node that says that it was started in the year 2100."""
    with Client(mosquitto.port, "ghost") as ghost:
        ghost.publish("fog/v1/home/node/ghost/birth", codec.encode([Birth(4102444800000, "fog", 1)]), retain=True)
        step = diagnose(mosquitto.url, 1)["clock"]
    assert step.state == "note"
    assert re.match(r"this device's is \d+ s behind of the fog's", step.text)


def test_a_node_that_has_been_up_for_long_says_nothing_of_the_clock(mosquitto: Mosquitto) -> None:
    with Client(mosquitto.port, "old") as old:
        old.publish("fog/v1/home/node/old/birth", codec.encode([Birth(1, "fog", 1)]), retain=True)
        assert "clock" not in diagnose(mosquitto.url, 1)


def test_a_broker_that_speaks_3_1_1_alone(processes: Processes) -> None:
    number = free_port()
    broker = processes.start_python("-m", "fogsdk.node.broker_embedded", "127.0.0.1", str(number))
    eventually(lambda: accepts(number), what="the broker")
    assert "in MQTT 3.1.1" in diagnose(f"mqtt://127.0.0.1:{number}", 1)["login"].text
    assert broker.running


def test_coap_that_wants_a_key(tmp_path: Path, doors: tuple[Site, str, str]) -> None:
    keys, number, key = tmp_path / "keys", free_port(), "00112233445566778899aabbccddeeff"
    keys.write_text(f"phone {key}\n")
    keys.chmod(0o600)
    program = doors[0].launch("n3", "--coap-port", str(number), "--coap-keys", str(keys))
    program.wait_for("connected to")
    step = diagnose(f"coap://127.0.0.1:{number}", 1)["tasks"]
    assert "refuses requests that are not encrypted" in step.text
    assert "coap://<device>:<key>@" in step.advice
    assert diagnose(f"coap://phone:{key}@127.0.0.1:{number}")["task"].state == "ok"
    assert program.terminate() == 0


def test_http_that_wants_a_token_and_http_that_is_no_node(tmp_path: Path, doors: tuple[Site, str, str]) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("phone a-token-of-20-letters\n")
    tokens.chmod(0o600)
    site, number = doors[0], free_port()
    program = site.launch("n2", "--http-port", str(number), "--http-tokens", str(tokens))
    program.wait_for("connected to")
    url = f"http://127.0.0.1:{number}/"
    step = diagnose(url, 1)["nodes"]
    assert "401" in step.text
    assert "--token-file" in step.advice
    (tmp_path / "token").write_text("a-token-of-20-letters\n")
    assert fog("doctor", "--device", "--url", url, "--token-file", str(tmp_path / "token")).returncode == 0
    diagnose(f"{url}#token=a-token-of-20-letters&url={site.url}")
    assert program.terminate() == 0
    assert "speaks something else" in diagnose(site.url.replace("mqtt", "http"), 1)["nodes"].advice


def test_an_invitation_to_a_page_alone_is_gone_too(doors: tuple[Site, str, str]) -> None:
    assert diagnose(f"{doors[1]}#token=a-token-for-nothing")["task"].text.startswith("run by n1")
