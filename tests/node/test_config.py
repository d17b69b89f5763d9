"""The configuration: where values come from, which source wins, and what is said about mistakes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.errors import ConfigError
from fogsdk.node.config import NodeSettings, id_from, load
from fogsdk.node.config_kinds import Count, kind_of
from fogsdk.node.config_sources import setting

# For each setting a value other than its default: as text, as TOML, and as the program gets it.
SAMPLES: dict[str, tuple[str, str, Any]] = {
    "tasks": ("one,two", '["one", "two"]', ("one", "two")),
    "workers": ("7", "7", 7),
    "memory_limit": ("512M", '"512M"', 512 * 2**20),
    "room": ("1G", '"1G"', 2**30),
    "inline_limit": ("1M", '"1M"', 2**20),
    "task_timeout": ("1.5", "1.5", 1.5),
    "queue_limit": ("5", "5", 5),
    "busy_poll": ("off", "false", False),
    "policy": ("queue-wait", '"queue-wait"', "queue-wait"),
    "node": ("n-1", '"n-1"', "n-1"),
    "site": ("shop", '"shop"', "shop"),
    "role": ("core", '"core"', "core"),
    "host": ("::1", '"::1"', "::1"),
    "insecure_lan": ("yes", "true", True),
    "advertise": ("10.0.0.1", '["10.0.0.1"]', ("10.0.0.1",)),
    "brokers": ("mqtt://a,mqtts://b:1", '["mqtt://a", "mqtts://b:1"]', ("mqtt://a", "mqtts://b:1")),
    "broker": ("amqtt", '"amqtt"', "amqtt"),
    "broker_config": ("b.conf", '"b.conf"', Path("b.conf")),
    "broker_port": ("18830", "18830", 18830),
    "http_port": ("8080", "8080", 8080),
    "http_tokens": ("tokens", '"tokens"', Path("tokens")),
    "http_cert": ("hc.pem", '"hc.pem"', Path("hc.pem")),
    "http_key": ("hk.pem", '"hk.pem"', Path("hk.pem")),
    "http_cors": ("https://example.org", '["https://example.org"]', ("https://example.org",)),
    "coap_port": ("5683", "5683", 5683),
    "coap_keys": ("coap", '"coap"', Path("coap")),
    "username": ("me", '"me"', "me"),
    "password": ("secret", '"secret"', "secret"),
    "password_file": ("pw", '"pw"', Path("pw")),
    "ca": ("ca.pem", '"ca.pem"', Path("ca.pem")),
    "cert": ("c.pem", '"c.pem"', Path("c.pem")),
    "key": ("k.pem", '"k.pem"', Path("k.pem")),
    "mdns": ("off", "false", False),
    "mdns_interfaces": ("127.0.0.1", '["127.0.0.1"]', ("127.0.0.1",)),
    "log_level": ("debug", '"debug"', "debug"),
    "drain_timeout": ("2m", '"2m"', 120.0),
    "journal": ("n1.journal", '"n1.journal"', Path("n1.journal")),
    "keep_journal": ("no", "false", False),
    "record": ("n1.events", '"n1.events"', Path("n1.events")),
    "allow_chaos": ("yes", "true", True),
}
# What some settings need beside them.
COMPANIONS = {
    "password": ("username",),
    "password_file": ("username",),
    "cert": ("key",),
    "key": ("cert",),
    "http_cert": ("http_key",),
    "http_key": ("http_cert",),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    """Each test works in an empty folder."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def fognode(
    *argv: str, environ: Mapping[str, str] | None = None, file: str | None = None, home: Path = Path("home")
) -> NodeSettings:
    """Load fognode's settings as the daemon does; ``file`` is written to fognode.toml first."""
    if file is not None:
        Path("fognode.toml").write_text(file, encoding="utf-8")
    return load(NodeSettings, argv, {"HOME": str(home), **(environ or {})}, "fognode")


def printed(*argv: str, environ: Mapping[str, str] | None = None, file: str | None = None) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), pytest.raises(SystemExit) as ended:
        fognode(*argv, "--print-config", environ=environ, file=file)
    assert ended.value.code == 0
    return output.getvalue()


def test_without_any_source_the_defaults_hold() -> None:
    assert fognode() == NodeSettings()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(NodeSettings)])
def test_every_setting_can_be_given_in_file_environment_and_flag(name: str) -> None:
    needed = (name, *COMPANIONS.get(name, ()))
    value = SAMPLES[name][2]
    assert getattr(NodeSettings(), name) != value
    in_file = fognode(file="\n".join(f"{key} = {SAMPLES[key][1]}" for key in needed))
    Path("fognode.toml").unlink()
    in_environment = fognode(environ={f"FOGNODE_{key.upper()}": SAMPLES[key][0] for key in needed})
    as_flags = fognode(*(word for key in needed for word in _flag(key)))
    assert getattr(in_file, name) == value
    assert in_file == in_environment == as_flags


def _flag(name: str) -> tuple[str, ...]:
    flag = name.replace("_", "-")
    match SAMPLES[name][2]:
        case bool(value):
            return (f"--{flag}" if value else f"--no-{flag}",)
    return (f"--{flag}", SAMPLES[name][0])


def test_a_later_source_wins_over_an_earlier_one() -> None:
    file = "workers = 2\nqueue_limit = 2\nbroker_port = 2"
    environ = {"FOGNODE_QUEUE_LIMIT": "3", "FOGNODE_BROKER_PORT": "3"}
    settings = fognode("--broker-port", "4", environ=environ, file=file)
    assert (settings.workers, settings.queue_limit, settings.broker_port) == (2, 3, 4)


def test_a_list_flag_can_be_repeated() -> None:
    assert fognode("--tasks", "a,b", "--tasks", "c").tasks == ("a", "b", "c")


def test_an_empty_variable_unsets_what_the_file_says() -> None:
    settings = fognode(environ={"FOGNODE_USERNAME": "", "FOGNODE_TASKS": ""}, file='username = "me"\ntasks = ["a"]')
    assert (settings.username, settings.tasks) == (None, ())


def test_only_the_first_file_found_is_read(folder: Path) -> None:
    places = {
        "flag": folder / "flag.toml",
        "variable": folder / "variable.toml",
        "here": folder / "fognode.toml",
    }
    places["home"] = folder / "home" / ".config" / "fognode.toml"
    places["home"].parent.mkdir(parents=True)
    for site, path in places.items():
        path.write_text(f'site = "{site}"')
    variable = {"FOGNODE_CONFIG": str(places["variable"])}
    home = folder / "home"

    assert fognode("--config", "flag.toml", environ=variable, home=home).site == "flag"
    assert fognode(environ=variable, home=home).site == "variable"
    assert fognode(home=home).site == "here"
    places["here"].unlink()
    assert fognode(home=home).site == "home"


@pytest.mark.parametrize(("argv", "environ"), [(["--config", "gone.toml"], {}), ([], {"FOGNODE_CONFIG": "gone.toml"})])
def test_a_file_that_was_asked_for_has_to_be_there(argv: list[str], environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read: No such file"):
        fognode(*argv, environ=environ)


@pytest.mark.parametrize(
    ("argv", "environ", "file", "message"),
    [
        ([], {}, "worker = 3", r"fognode\.toml: there is no setting 'worker'; did you mean workers\?"),
        (
            [],
            {},
            "[broker_prot]",
            r"fognode\.toml: there is no setting 'broker_prot'; did you mean broker_port\?",
        ),
        ([], {"FOGNODE_SIGHT": "x"}, "", r"there is no setting FOGNODE_SIGHT; did you mean FOGNODE_SITE\?"),
        (["--broker-url", "x"], {}, "", r"there is no flag --broker-url; did you mean --broker"),
        (["--work", "3"], {}, "", r"there is no flag --work; did you mean --workers\?"),
        (["mytasks"], {}, "", "unexpected argument 'mytasks'; see fognode --help"),
        (["--tasks"], {}, "", "--tasks: expected one argument; see fognode --help"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(
    argv: list[str], environ: dict[str, str], file: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fognode(*argv, environ=environ, file=file)


def test_other_programs_variables_are_none_of_its_business() -> None:
    assert fognode(environ={"FOGNODES": "1", "FOG_SITE": "x", "FOGCLOUD_BRIDGE_SITE": "x"}) == NodeSettings()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ('workers = "4"', r"fognode\.toml: workers must be a whole number of at least 1, not '4' \(text\)"),
        ("workers = true", r"workers must be a whole number of at least 1, not True \(a truth value\)"),
        ("workers = 0", "workers must be a whole number of at least 1, not 0"),
        ("broker_port = 65536", "broker_port must be a whole number from 1 to 65535, not 65536"),
        ("mdns = 1", r"mdns must be true or false, not 1 \(a whole number\)"),
        ('mdns = "true"', r"mdns must be true or false, not 'true' \(text\)"),
        ('tasks = "mytasks"', r"tasks must be a list, each item text, not 'mytasks' \(text\)"),
        ("tasks = [1]", r"tasks must be a list, each item text, not \[1\] \(a list\)"),
        ('policy = "best"', r'policy must be one of "predictive", "threshold", "queue-wait", not \'best\''),
        ('node = "Pi 1"', "node must be 1 to 64 of a-z, 0-9 and '-', not 'Pi 1'"),
        ("site = 2024-01-01", r"site must be .* \(a date\)"),
        ('memory_limit = "lots"', r"memory_limit must be a size above 0: .* not 'lots' \(text\)"),
        ("memory_limit = 1.5", r"memory_limit must be a size above 0: .* not 1\.5 \(a number\)"),
        ("task_timeout = inf", "task_timeout must be a duration above 0: .* not inf"),
        ('task_timeout = "5 weeks"', "task_timeout must be a duration above 0: .* not '5 weeks'"),
        ("task_timeout = -1", "task_timeout must be a duration above 0: .* not -1"),
        ('ca = ""', "ca must be the path of a file, not ''"),
        ('brokers = ["pi-1"]', "brokers must be a list, each item mqtt://host:port"),
        ('brokers = ["mqtt://me:pw@pi-1"]', r"a login goes into username and password_file"),
        ('brokers = ["mqtt://pi-1:port"]', "brokers must be a list"),
        ("brokers = {}", r"brokers must be a list.* \(a table\)"),
        ("site = home", r"fognode\.toml: is not TOML: .*line 1"),
    ],
)
def test_a_wrong_value_is_an_error_that_says_where_and_what_is_right(file: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fognode(file=file)


def test_a_wrong_value_in_environment_or_flag_is_an_error_too() -> None:
    with pytest.raises(ConfigError, match="FOGNODE_MDNS: mdns must be true or false, not 'maybe'"):
        fognode(environ={"FOGNODE_MDNS": "maybe"})
    with pytest.raises(ConfigError, match="--workers: workers must be a whole number of at least 1, not 'x'"):
        fognode("--workers", "x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("500ms", 0.5), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("2 d", 172800), ("1e3", 1000)],
)
def test_durations(text: str, seconds: float) -> None:
    assert fognode("--task-timeout", text).task_timeout == seconds


@pytest.mark.parametrize(("text", "size"), [("4096", 4096), ("64k", 2**16), ("512M", 2**29), ("1.5G", 1610612736)])
def test_sizes(text: str, size: int) -> None:
    assert fognode("--memory-limit", text).memory_limit == size


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--username me --password x --password-file f", "password and password_file are both set"),
        ("--password x", "a password is set without a username"),
        ("--cert c.pem", "cert and key belong together"),
        ("--broker none --no-mdns", "no broker can be reached"),
        ("--host 0.0.0.0", "ask nobody for a password; set broker_config .*, or insecure_lan = true"),
        ("--host pi-1.local", "can be reached from the network"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(argv: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fognode(*argv.split())


@pytest.mark.parametrize(
    "argv",
    [
        "--host 0.0.0.0 --insecure-lan",
        "--host pi-1 --broker-config b.conf",
        "--host pi-1 --broker none",
        "--host ::1",
        "--host localhost",
    ],
)
def test_a_node_serves_a_network_only_with_logins_or_if_told_so(argv: str) -> None:
    fognode(*argv.split())


def test_a_node_with_a_door_needs_no_broker() -> None:
    assert fognode("--broker", "none", "--no-mdns", "--coap-port", "5683").has_doors
    assert fognode("--broker", "none", "--no-mdns", "--http-port", "8080").has_doors


def test_the_password_comes_from_its_file_without_the_line_end() -> None:
    Path("pw").write_text("correct horse\n")
    assert fognode("--username", "me", "--password-file", "pw").read_password() == "correct horse"
    assert fognode("--username", "me", "--password", "battery").read_password() == "battery"
    assert fognode().read_password() is None
    with pytest.raises(ConfigError, match="password_file gone cannot be read"):
        fognode("--username", "me", "--password-file", "gone").read_password()


def test_print_config_says_where_each_value_came_from() -> None:
    lines = printed(
        "--site", "lab", environ={"FOGNODE_QUEUE_LIMIT": "9"}, file='policy = "threshold"\ntask_timeout = 90'
    ).splitlines()
    for line in (
        'site = "lab"  # --site',
        "queue_limit = 9  # FOGNODE_QUEUE_LIMIT",
        'policy = "threshold"  # fognode.toml',
        'task_timeout = "90s"  # fognode.toml',
        "broker_port = 1883  # default",
        "# memory_limit is not set  # default",
    ):
        assert line in lines


def test_a_secret_is_never_shown() -> None:
    login = ("--username", "me", "--password", "battery")
    assert "# password is set, and not shown  # --password" in printed(*login)
    assert "battery" not in printed(*login) + repr(fognode(*login))
    with pytest.raises(ConfigError) as error:
        fognode(file="password = 987654")
    assert "987654" not in str(error.value)


_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@hypothesis.settings(max_examples=40)  # each one builds the whole parser, twice
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "tasks": st.lists(_text).map(tuple),
            "memory_limit": st.none() | st.integers(1, 2**53),
            "task_timeout": st.floats(1e-9, 1e30) | st.integers(1, 10**6).map(float),
            "username": st.none() | _text,
            "ca": st.none() | _text.filter(lambda text: not text.startswith("~")).map(Path),
            "mdns": st.booleans(),
            "broker_port": st.integers(1, 65535),
        },
    )
)
def test_what_print_config_shows_is_a_file_that_gives_the_same_settings(values: dict[str, Any]) -> None:
    kinds = {name: kind_of(hint) for name, hint in get_type_hints(NodeSettings, include_extras=True).items()}
    given = {name: value for name, value in values.items() if value is not None}
    first = fognode(file="\n".join(f"{name} = {kinds[name].show(value)}" for name, value in given.items()))
    again = fognode(file=printed())
    assert first == again == NodeSettings(**values)


@dataclasses.dataclass(frozen=True)
class BridgeSettings:
    """Carry tasks to the cloud."""

    spool_size: Count = setting(5, "tasks kept", group="spool")


def test_any_program_gets_its_names_from_its_own() -> None:
    Path("fogcloud-bridge.toml").write_text("spool_size = 6")

    def bridge(*argv: str, **environ: str) -> BridgeSettings:
        return load(BridgeSettings, argv, environ, "fogcloud bridge")

    assert bridge() == BridgeSettings(6)
    assert bridge(FOGCLOUD_BRIDGE_SPOOL_SIZE="7") == BridgeSettings(7)
    assert bridge("--spool-size", "8", FOGCLOUD_BRIDGE_SPOOL_SIZE="7") == BridgeSettings(8)
    with pytest.raises(ConfigError, match="did you mean FOGCLOUD_BRIDGE_SPOOL_SIZE"):
        bridge(FOGCLOUD_BRIDGE_SPOOL="7")


def test_help_teaches_every_setting_and_every_way_to_give_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fognode("--help")
    assert ended.value.code == 0
    help = capsys.readouterr().out
    for field in dataclasses.fields(NodeSettings):
        assert f"--{field.name.replace('_', '-')} " in help
    for text in ("examples:", "FOGNODE_NODE=", "/etc/fognode.toml", "fognode --tasks mytasks"):
        assert text in help


def test_the_default_id_follows_from_the_hosts_name() -> None:
    assert id_from("Pi_4.local") == "pi-4"
    assert id_from("--x--") == "x"
    assert id_from("...") == id_from("") == "node"
    assert len(id_from("a" * 70)) == 64
    assert NodeSettings().node == id_from(socket.gethostname())
