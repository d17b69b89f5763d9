"""Configuration from four sources, each winning over those before: defaults, TOML file, environment, flags.

A program's settings are one frozen dataclass, each field declared with ``setting``. Everything else is
derived from it: of the field ``broker_port`` of the program ``fognode``, the TOML key ``broker_port``, the
environment variable ``FOGNODE_BROKER_PORT``, the flag ``--broker-port``, the checks and the help. The class's
docstring is the program's help: its first paragraph the description, the rest the examples.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_type_hints, overload

from fogsdk.errors import ConfigError
from fogsdk.node.config_kinds import Kind, kind_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
S = TypeVar("S", bound="DataclassInstance")

_TYPES = {
    str: "text",
    bool: "a truth value",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


@overload
def setting(default: Callable[[], T], help: str, *, group: str, secret: bool = False) -> T: ...
@overload
def setting(default: T, help: str, *, group: str, secret: bool = False) -> T: ...
def setting(default: Any, help: str, *, group: str, secret: bool = False) -> Any:
    """Declare one setting: a field of a settings dataclass, whose type annotation says what it may be.

    ``default`` may be a function, called where no source gives a value; ``help`` then says what it finds.
    ``group`` is the heading it is listed under. A ``secret`` is never printed.
    """
    metadata = {"help": help, "group": group, "secret": secret}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata, repr=not secret)
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


def load(settings_class: type[S], argv: Sequence[str], environ: Mapping[str, str], prog: str) -> S:
    """Return the settings in effect.

    ``argv`` holds the arguments after the program's name ``prog``, which may have two words: ``fogcloud
    bridge`` reads ``FOGCLOUD_BRIDGE_...`` and ``fogcloud-bridge.toml``. Raises ConfigError saying what is
    wrong, where it was said and what would be right. ``--help`` and ``--print-config`` print and raise
    SystemExit(0).
    """
    table = _table(settings_class, prog)
    arguments = _parse_flags(settings_class, table, argv, prog)
    found: dict[str, _Found] = {}
    for value in (
        *_from_file(table, _config_file(arguments.pop("config"), environ, prog)),
        *_from_environment(table, environ, prog),
        *_from_flags(table, arguments),
    ):
        found[value.name] = value
    settings = settings_class(**{name: value.value for name, value in found.items()})
    if arguments["print_config"]:
        sys.stdout.write("\n".join(_describe(settings, table, found, prog)) + "\n")
        raise SystemExit(0)
    return settings


@dataclass(frozen=True)
class _Setting:
    """A setting and the names it goes by."""

    name: str
    flag: str
    variable: str
    kind: Kind
    help: str
    group: str
    secret: bool
    default: object

    def read(self, reader: Callable[[Any], object], raw: object, where: str) -> _Found:
        try:
            return _Found(self.name, reader(raw), where)
        except ValueError as error:
            got = "something else" if self.secret else f"{raw!r} ({_TYPES.get(type(raw), 'a date')})"
            raise ConfigError(f"{where}: {self.name} must be {self.kind.expected}, not {got}") from error


@dataclass(frozen=True)
class _Found:
    """A value that a source gave, and which one."""

    name: str
    value: object
    where: str


def _table(settings_class: type[S], prog: str) -> dict[str, _Setting]:
    annotations = get_type_hints(settings_class, include_extras=True)
    return {
        field.name: _Setting(
            name=field.name,
            flag="--" + field.name.replace("_", "-"),
            variable=_prefix(prog) + field.name.upper(),
            kind=kind_of(annotations[field.name]),
            default=field.default,
            **field.metadata,
        )
        for field in dataclasses.fields(settings_class)
    }


def _prefix(prog: str) -> str:
    return prog.upper().replace(" ", "_") + "_"


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib

    return f"did you mean {difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]}?"


# The file


def _config_file(flag: str | None, environ: Mapping[str, str], prog: str) -> Path | None:
    """Find the file to read: the one asked for, which then has to be there, or one in the usual places."""
    asked_for = flag or environ.get(_prefix(prog) + "CONFIG")
    if asked_for:
        return Path(asked_for).expanduser()
    name = prog.replace(" ", "-") + ".toml"
    places = (Path(), Path(environ.get("HOME", "/"), ".config"), Path("/etc"))
    return next((place / name for place in places if (place / name).is_file()), None)


def _from_file(table: dict[str, _Setting], path: Path | None) -> Iterator[_Found]:
    if path is None:
        return
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    for key, value in content.items():
        if key not in table:
            raise ConfigError(f"{path}: there is no setting {key!r}; {_nearest(key, table)}")
        yield table[key].read(table[key].kind.from_toml, value, str(path))


# The environment


def _from_environment(table: dict[str, _Setting], environ: Mapping[str, str], prog: str) -> Iterator[_Found]:
    settings = {setting.variable: setting for setting in table.values()}
    for variable, text in environ.items():
        if variable in settings:
            yield settings[variable].read(settings[variable].kind.from_text, text, variable)
        elif variable.startswith(_prefix(prog)) and variable != _prefix(prog) + "CONFIG":
            raise ConfigError(f"environment: there is no setting {variable}; {_nearest(variable, settings)}")


# The flags


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an exception, as the other sources do."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


def _parse_flags(settings_class: type[S], table: dict[str, _Setting], argv: Sequence[str], prog: str) -> dict[str, Any]:
    arguments, unknown = _make_parser(settings_class, table, prog).parse_known_args(argv)
    for word in unknown:
        if not word.startswith("--"):
            raise ConfigError(f"unexpected argument {word!r}; see {prog} --help")
        flags = [setting.flag for setting in table.values()]
        raise ConfigError(f"there is no flag {word.partition('=')[0]}; {_nearest(word, flags)}")
    return vars(arguments)


def _make_parser(settings_class: type[S], table: dict[str, _Setting], prog: str) -> argparse.ArgumentParser:
    """Return the parser of a program's flags; every value stays text, to be read like the environment's."""
    description, _, examples = (inspect.getdoc(settings_class) or "").partition("\n\n")
    parser = _Parser(
        prog,
        description=description,
        epilog=f"{examples}\n\n{_explain_sources(next(iter(table.values())), prog)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="read this file, and none of the usual places")
    parser.add_argument(
        "--print-config", action="store_true", help="show the settings in effect and where each came from"
    )
    groups = {setting.group: parser.add_argument_group(setting.group) for setting in table.values()}
    for setting in table.values():
        groups[setting.group].add_argument(setting.flag, dest=setting.name, **_flag_options(setting))
    return parser


def _flag_options(setting: _Setting) -> dict[str, Any]:
    help = setting.help
    if setting.default not in (dataclasses.MISSING, None, ()):
        help += f" (default: {setting.kind.show(setting.default)})"
    options: dict[str, Any] = {"help": help.replace("%", "%%"), "default": None}
    if setting.kind.switch:
        return options | {"action": argparse.BooleanOptionalAction}
    return options | {"metavar": setting.kind.metavar, "action": "append" if setting.kind.item else "store"}


def _explain_sources(example: _Setting, prog: str) -> str:
    file = prog.replace(" ", "-") + ".toml"
    return f"""\
each setting can be given in three places, the later winning over the earlier:
  {example.name} = ...
      in a TOML file: --config, else {_prefix(prog)}CONFIG in the environment,
      else the first of ./{file}, ~/.config/{file}, /etc/{file}
  {example.variable}=...
      in the environment (items of a list are separated by commas)
  {example.flag} ...
      as a flag (a list's can be given several times)"""


def _from_flags(table: dict[str, _Setting], arguments: Mapping[str, Any]) -> Iterator[_Found]:
    for setting in table.values():
        given = arguments[setting.name]
        if given is not None:
            text = ",".join(given) if isinstance(given, list) else str(given)
            yield setting.read(setting.kind.from_text, text, setting.flag)


# Showing the result


def _describe(settings: Any, table: dict[str, _Setting], found: dict[str, _Found], prog: str) -> Iterator[str]:
    """The settings as a TOML file that gives the same settings again, but for the secrets."""
    yield f"# {prog}: the settings in effect, and where each came from"
    for group, members in groupby(table.values(), key=lambda setting: setting.group):
        yield f"\n# {group}"
        for setting in members:
            value = getattr(settings, setting.name)
            where = found[setting.name].where if setting.name in found else "default"
            if value is None:
                yield f"# {setting.name} is not set  # {where}"
            elif setting.secret:
                yield f"# {setting.name} is set, and not shown  # {where}"
            else:
                yield f"{setting.name} = {setting.kind.show(value)}  # {where}"
