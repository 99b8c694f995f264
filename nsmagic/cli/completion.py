"""Completion of the command line in bash and zsh, by argcomplete."""

from __future__ import annotations

import argparse
from typing import Final, NoReturn

SHELLS: Final = ("bash", "zsh")
_WHERE: Final = """\
For every new shell, put the line for yours into ~/.bashrc or ~/.zshrc:

  eval "$(nsmagic completion bash)"
  eval "$(nsmagic completion zsh)"      # below `autoload -U compinit; compinit`
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _WHERE
    parser.add_argument("shell", choices=SHELLS)


def run(arguments: argparse.Namespace) -> int:
    """Print the shell's code."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["nsmagic"], shell=arguments.shell))
    return 0


def complete() -> NoReturn:
    """Answer the shell that asks what may stand at the cursor."""
    from nsmagic.cli.finder import Finder
    from nsmagic.cli.main import build_parser

    Finder()(build_parser(everything=True))
    raise AssertionError("argcomplete ends the process")
