"""``fog completion``: completion of this command line for a shell."""

from __future__ import annotations

import argparse

from fogsdk.errors import ConfigError, not_installed

HELP = "write what makes a shell complete `fog` with the Tab key"
MORE = """to switch it on:
  bash   echo 'eval "$(fog completion bash)"' >> ~/.bashrc
  zsh    fog completion zsh > ~/.zsh/_fog      (with fpath+=(~/.zsh) before compinit in ~/.zshrc)
  tcsh   fog completion tcsh > ~/.fog.csh      (and "source ~/.fog.csh" in ~/.tcshrc)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell to write it for")


def run(args: argparse.Namespace) -> int:
    """Write it to stdout. Raises ConfigError if shtab is missing."""
    from fogsdk.cli.main import build_parser

    try:
        import shtab
    except ImportError as error:
        raise not_installed("fog completion", "node", error) from error
    try:
        parser, _ = build_parser(demo=True)
    except ConfigError:  # a completion without the demo's options is still one
        parser, _ = build_parser(demo=False)
    print(shtab.complete(parser, args.shell))
    return 0
