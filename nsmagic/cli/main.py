"""`nsmagic COMMAND ...`: the table of commands, the reading of the line, and the one boundary.

A command's module is imported only when the command is run, so `nsmagic --version` takes no longer
than Python itself.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final, NoReturn

import nsmagic
from nsmagic.wish.errors import NsmagicError, WishError
from nsmagic.wish.spelling import nearest

USAGE: Final = 2
FAILED: Final = 1


@dataclass(frozen=True, kw_only=True)
class Command:
    """One row: `module` has `configure(parser)` and `run(arguments) -> exit status`.

    With `twin` the words after the name are those of a magic of that name: `module` has
    `run_twin(name, words) -> exit status`, and reads them by the magic's own table of options.
    """

    name: str
    help: str
    module: str
    twin: bool = False


COMMANDS: Final = (
    Command(name="lab", module="lab", help="copy the notebooks and open JupyterLab on them"),
    Command(name="doctor", module="doctor", help="try what works here, and say why what does not"),
    Command(name="clean", module="clean", help="remove what kernels that died left"),
    Command(name="kernel", module="kernel", help="install kernels, and whole kernels in a box"),
    Command(name="unshare", module="twins", twin=True, help="run a program in new namespaces"),
    Command(name="nsenter", module="twins", twin=True, help="run a program in others' namespaces"),
    Command(name="chroot", module="twins", twin=True, help="run a program in another root"),
    Command(name="cgroup", module="twins", twin=True, help="run a program with limits"),
    Command(name="completion", module="completion", help="print what makes a shell complete"),
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line that says where help is."""

    def error(self, message: str) -> NoReturn:
        """Print one line and how to go on; exit status 2."""
        self.exit(USAGE, f"{self.prog}: {message}\n{self.prog} --help   lists what it takes.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (sys.argv unless given); return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    _have_standard_files()
    if "_ARGCOMPLETE" in os.environ:
        from nsmagic.cli.completion import complete

        complete()
    row = next((each for each in COMMANDS if words[:1] == [each.name]), None)
    try:
        if row is not None and row.twin:
            return int(_module(row).run_twin(row.name, words[1:]))
        if row is not None:
            parser = Parser(prog=f"nsmagic {row.name}", description=_sentence(row.help))
            _module(row).configure(parser)
            return int(_module(row).run(parser.parse_args(words[1:])))
        _refuse_unknown(words)
        build_parser().parse_args(words)
        build_parser().print_help()
        return 0
    except WishError as error:
        return complain_about(words[0], error, USAGE)
    except NsmagicError as error:
        return complain_about(words[0], error, FAILED)
    except BrokenPipeError:  # `nsmagic ... | head`: python would complain once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt:
        return 128 + 2


def complain_about(command: str, error: NsmagicError, status: int) -> int:
    """Print an error of the library and what to type; return the exit status for it."""
    sys.stdout.flush()
    text = str(error)
    named = text.startswith((f"{command}: ", f"{command} "))
    print(f"nsmagic {text}" if named else f"nsmagic {command}: {text}", file=sys.stderr)
    if error.hint:
        print(error.hint, file=sys.stderr)
    return status


def _have_standard_files() -> None:
    """Put /dev/null where a standard file is closed: a socket of ours would take its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(fd, True)
            setattr(sys, name, open(fd, mode, encoding="utf-8"))  # noqa: SIM115 - to the end


def _refuse_unknown(words: Sequence[str]) -> None:
    if words and not words[0].startswith("-"):
        guess = nearest(words[0], [row.name for row in COMMANDS])
        near = f"; the nearest is {guess}" if guess else ""
        raise WishError(f"no such command{near}", hint="nsmagic --help   lists what there is.")


def build_parser(*, everything: bool = False) -> argparse.ArgumentParser:
    """Return the parser of all commands, for help; with `everything` also for completion."""
    parser = Parser(
        prog="nsmagic",
        description="Linux containers, one notebook cell at a time.",
        epilog="`nsmagic COMMAND --help` says more about one of them.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=18),
    )
    parser.add_argument("--version", action="version", version=f"nsmagic {nsmagic.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    for each in COMMANDS:
        below = commands.add_parser(each.name, help=each.help, description=_sentence(each.help))
        if everything and not each.twin:
            _module(each).configure(below)
    return parser


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _module(row: Command) -> ModuleType:
    return importlib.import_module(f"nsmagic.cli.{row.module}")
