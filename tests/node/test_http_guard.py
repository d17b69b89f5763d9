"""Who gets in over HTTP: tokens, names of hosts, pages of other sites, and settings that would let in everybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from fogsdk.errors import ConfigError, TooLarge
from fogsdk.node.config import NodeSettings
from fogsdk.node.http_door import HttpDoor
from fogsdk.node.http_guard import read_tokens
from fogsdk.node.invite import qr_svg
from fogsdk.wire.messages import Result
from tests.node.executor_contract import on_a_loop
from tests.node.http_bench import at_bench, request

KITCHEN, PHONE = "kitchen-token-0123456789", "phone-token-9876543210"
POST = "/fog/v1/tasks/increment"
BODY = b'{"args":[1]}'
FRIEND = "https://friend.example"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return write(tmp_path, f"# who may\nkitchen {KITCHEN}\n\nphone {PHONE} # mine\n")


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return path


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no token in it"),
        ("kitchen", "line 1: must be a sender and its token"),
        ("\nkitchen a b", "line 2: must be a sender and its token"),
        (f"Kitchen {KITCHEN}", "line 1: sender: must be 1 to 64 of a-z"),
        ("kitchen short", "at least 16 of A-Z"),
        (f"kitchen {KITCHEN}\nphone {KITCHEN}", "line 2: another line has this token"),
        (f"kitchen {KITCHEN}ü", "at least 16 of A-Z"),
    ],
)
def test_a_file_of_tokens_with_a_mistake_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        read_tokens(write(tmp_path, text))
    assert KITCHEN not in str(refused.value)


def test_a_file_of_tokens_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, f"kitchen {KITCHEN}", 0o640)
    with pytest.raises(ConfigError, match="can be read by others; keep it to its owner: chmod 600"):
        HttpDoor(NodeSettings(http_port=1, http_tokens=path))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_tokens(tmp_path / "gone")


@on_a_loop
async def test_without_a_token_that_is_known_nothing_is_told(tokens: Path) -> None:
    async with at_bench(http_tokens=tokens) as bench:
        for headers in (
            {},
            {"Authorization": "Bearer "},
            {"Authorization": f"Basic {KITCHEN}"},
            {"Authorization": f"Bearer {KITCHEN}x"},
            {"Authorization": f"Bearer {KITCHEN[:-1]}"},
            {"Fog-Sender": "kitchen"},
        ):
            for method, path in (
                ("POST", POST),
                ("GET", "/fog/v1/tasks"),
                ("GET", "/fog/v1/nodes"),
                ("GET", "/fog/v1/invite"),
                ("GET", "/fog/v1/openapi.json"),
                ("GET", "/fog/v1/tasks/increment/a"),
                ("DELETE", "/fog/v1/tasks/increment/a"),
                ("GET", "/fog/v1/nothing"),
            ):
                wire = await bench.connect()
                await wire.send(request(method, path, **headers))
                answer = await wire.answer()
                assert (answer.status, answer.said["reason"]) == (401, "unauthorized"), (method, path, headers)
                assert answer.headers["www-authenticate"] == 'bearer realm="fog"'
                wire.close()


@on_a_loop
async def test_a_token_says_as_whom_its_bearer_asks(tokens: Path) -> None:
    async with at_bench(http_tokens=tokens) as bench:
        kitchen, phone = {"Authorization": f"Bearer {KITCHEN}"}, {"Authorization": f"bearer {PHONE}"}
        assert (await bench.ask("POST", f"{POST}?id=a", BODY, **kitchen)).said["value"] == 2
        assert isinstance(bench.runtime.node.outcomes.get(("kitchen", "a")), Result)
        assert (await bench.ask("GET", f"{POST}/a", **kitchen)).said["value"] == 2
        assert (await bench.ask("GET", f"{POST}/a", **phone)).said["reason"] == "unknown-id"
        assert (await bench.ask("GET", f"{POST}/a?sender=kitchen", **phone)).said["reason"] == "forbidden"
        assert (await bench.ask("GET", f"{POST}/a?sender=kitchen", **kitchen)).status == 200
        later = await bench.ask("POST", "/fog/v1/tasks/hang?id=h", **phone, Prefer="respond-async")
        assert later.headers["location"] == "/fog/v1/tasks/hang/h", "the token says whose it is"
        assert (await bench.ask("DELETE", later.headers["location"], **kitchen)).status == 204
        assert (await bench.ask("GET", later.headers["location"], **phone)).status == 202, "it is another's"


@on_a_loop
async def test_the_page_needs_no_token_for_it_holds_no_secret(tokens: Path) -> None:
    async with at_bench(http_tokens=tokens) as bench:
        for path in ("/", "/fog/v1/phone", "/fogsdk-phone.zip"):
            assert (await bench.ask("GET", path)).status != 401


# ---------------------------------------------------------------- hosts and origins


@on_a_loop
async def test_a_host_too_long_for_a_name_is_refused_and_so_is_an_invitation_too_long_for_a_qr_code() -> None:
    async with at_bench() as bench:
        assert (await bench.ask("GET", "/fog/v1/invite", Host="a" * 2500)).status == 400
        assert (await bench.ask("GET", "/fog/v1/invite", Host="a" * 255)).status == 200
    with pytest.raises(TooLarge, match="too long for a QR code"):
        qr_svg("a" * 3000)


@on_a_loop
async def test_an_invitation_to_coap_names_the_site_too() -> None:
    async with at_bench(site="lab", coap_port=5690) as bench:
        said = (await bench.ask("GET", "/fog/v1/invite")).said
    assert said["urls"] == ["coap://127.0.0.1:5690/lab"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("localhost:1234", 200),
        ("pi-1", 200),
        ("pi-1.local:8080", 200),
        ("fog.example.org", 200),
        ("evil.example", 403),
        ("evil.example:8080", 403),
        ("127.0.0.1.evil.example", 403),
        ("local.evil.example", 403),
        ("", 403),
        ("[", 403),
        ("@", 403),
    ],
)
@on_a_loop
async def test_a_name_that_somebody_else_had_lead_here_is_refused(host: str, status: int) -> None:
    """DNS rebinding: a page of evil.example, whose name leads to this node, would be of the same origin."""
    async with at_bench(advertise=("fog.example.org",)) as bench:
        answer = await bench.ask("POST", POST, BODY, Host=host, Origin=f"http://{host}")
        assert answer.status == status


@on_a_loop
async def test_with_tokens_a_node_goes_by_any_name(tokens: Path) -> None:
    async with at_bench(http_tokens=tokens) as bench:
        headers = {"Host": "fog.example.com", "Authorization": f"Bearer {KITCHEN}"}
        assert (await bench.ask("POST", POST, BODY, **headers)).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": FRIEND}, 403),
    ],
)
@on_a_loop
async def test_a_page_of_somebody_else_runs_no_tasks_here(headers: dict[str, str], status: int) -> None:
    async with at_bench() as bench:
        wire = await bench.connect()
        await wire.send(request("POST", POST, BODY, **headers))
        answer = await wire.answer()
        assert answer.status == status
        assert "access-control-allow-origin" not in answer.headers
        assert bool(bench.runtime.node.outcomes) == (status == 200), "nothing ran"


@on_a_loop
async def test_a_page_that_is_named_in_the_settings_may() -> None:
    async with at_bench(http_cors=(FRIEND,)) as bench:
        asked = {"Origin": FRIEND, "Access_Control_Request_Method": "POST"}
        preflight = await bench.ask("OPTIONS", POST, **asked)
        assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, FRIEND)
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        answer = await bench.ask("POST", POST, BODY, Origin=FRIEND, Sec_Fetch_Site="cross-site")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, FRIEND)
        assert answer.headers["vary"] == "origin"
        other = await bench.ask("OPTIONS", POST, Origin="https://evil.example", Access_Control_Request_Method="POST")
        assert other.status == 403
        assert "access-control-allow-origin" not in other.headers


@on_a_loop
async def test_preflights_get_nothing_by_default() -> None:
    async with at_bench() as bench:
        answer = await bench.ask("OPTIONS", POST, Origin=FRIEND, Access_Control_Request_Method="POST")
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


# ---------------------------------------------------------------- settings


def test_a_node_serves_http_to_a_network_only_with_tokens_or_if_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="HTTP would ask nobody for a token; set http_tokens"):
        NodeSettings(host="0.0.0.0", broker="none", http_port=8080)
    NodeSettings(host="0.0.0.0", broker="none", http_port=8080, http_tokens=tmp_path)
    NodeSettings(host="0.0.0.0", broker="none", http_port=8080, insecure_lan=True)
    NodeSettings(host="::1", broker="none", http_port=8080)
    with pytest.raises(ConfigError, match="http_cert and http_key belong together"):
        NodeSettings(http_port=8080, http_cert=tmp_path)


def test_a_certificate_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "no certificate")
    with pytest.raises(ConfigError, match=r"http_cert .* cannot be used"):
        HttpDoor(NodeSettings(http_port=1, http_cert=path, http_key=path))


@on_a_loop
async def test_a_port_that_is_taken_is_an_error_that_says_what_to_do() -> None:
    async with at_bench() as bench:
        second = HttpDoor(NodeSettings(http_port=bench.port))
        with pytest.raises(ConfigError, match=f"served at 127.0.0.1 port {bench.port}.*another http_port"):
            await second.open(bench.runtime)
