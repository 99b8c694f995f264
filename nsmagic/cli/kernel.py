"""`nsmagic kernel install|isolate|remove`: kernelspecs for Jupyter."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Final

from nsmagic.cli.main import Parser
from nsmagic.wish.errors import NsmagicError
from nsmagic.wish.profiles import PROFILES

if TYPE_CHECKING:
    from nsmagic.notebook.kernelspecs import Installed, Place

_LINES: Final = ("--unshare", "--cgroup")
_EXAMPLE: Final = """\
A kernel of Python whole in a box, then one of R:

  nsmagic kernel isolate python3 --name py-boxed --unshare "--pid --mount-proc --net" \\
      --cgroup "mem=512M pids=200"
  nsmagic kernel isolate ir --name r-boxed --unshare "--pid --mount-proc --net"
"""


class LineParser(Parser):
    """argparse in which the value of an option of `_LINES` may begin with a dash."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401
        """Attach those values with "=", where argparse does not look for options."""
        words = list(args or ())
        for option in _LINES:
            if option in words[:-1]:
                place = words.index(option)
                words[place : place + 2] = [f"{option}={words[place + 1]}"]
        return super().parse_known_args(words, namespace)


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    actions = parser.add_subparsers(
        metavar="ACTION", dest="action", required=True, parser_class=LineParser
    )
    install = actions.add_parser(
        "install",
        help="install the kernel Container Lab (Python)",
        description="Install the kernel Container Lab (Python), which runs this Python "
        f"({sys.executable}), for the Jupyter of another environment.",
    )
    install.add_argument("--name", help="the kernel's name: nsmagic unless given")
    _isolate(actions.add_parser(
        "isolate", help="make a kernel that runs another one whole in a box", epilog=_EXAMPLE,
        description="Make a kernel that runs the kernel BASE, whole, in namespaces of its own.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ))  # fmt: skip
    for action in actions.choices.values():
        action.add_argument("--display-name", help="what front ends show")
        _where(action.add_mutually_exclusive_group())
    remove = actions.add_parser(
        "remove", help="remove a kernel that install or isolate made",
        description="Remove kernels that install or isolate made.",
    )  # fmt: skip
    _completed(remove.add_argument("names", metavar="NAME", nargs="+"), _ours)


def _isolate(parser: argparse.ArgumentParser) -> None:
    base = parser.add_argument("base", metavar="BASE", help="one of `jupyter kernelspec list`")
    _completed(base, _all)
    parser.add_argument("--name", required=True, help="the new kernel's name")
    parser.add_argument(
        "--unshare", metavar="OPTIONS", default="",
        help="options of %%%%unshare, in one pair of quotes",
    )  # fmt: skip
    parser.add_argument(
        "--cgroup", metavar="LIMITS", default="", help="limits of %%%%cgroup, in one pair of quotes"
    )
    parser.add_argument("--root", metavar="DIR", help="make DIR the kernel's root directory")
    parser.add_argument(
        "--profile", choices=tuple(PROFILES),
        help="; ".join(f"{row.name}: {row.meaning}" for row in PROFILES.values()),
    )  # fmt: skip
    parser.add_argument("--explain", action="store_true", help="print what is done at each start")
    parser.add_argument("--dry-run", action="store_true", help="print that and make no kernel")
    parser.add_argument(
        "--wrapper", action="store_true",
        help="for a Jupyter in whose environment nsmagic is not; uses TCP ports",
    )  # fmt: skip
    parser.add_argument("--replace", action="store_true", help="replace such a kernel")


def _completed(action: argparse.Action, names: Callable[..., list[str]]) -> None:
    action.completer = names  # type: ignore[attr-defined]  # where argcomplete looks


def _all(**_: object) -> list[str]:
    from jupyter_client.kernelspec import KernelSpecManager

    return sorted(KernelSpecManager().find_kernel_specs())


def _ours(**_: object) -> list[str]:
    from nsmagic.notebook.kernelspecs import is_boxed, is_lab, spec_of

    return [name for name in _all() if is_boxed(spec_of(name)) or is_lab(spec_of(name))]


def _where(group: argparse._MutuallyExclusiveGroup) -> None:
    group.add_argument("--user", action="store_true", help="install for this user")
    group.add_argument("--prefix", metavar="DIR", help="install below DIR, an environment's folder")
    group.add_argument(
        "--sys-prefix", action="store_true", help="install into this Python's environment"
    )
    group.add_argument("--system", action="store_true", help="install for the whole machine")


def run(arguments: argparse.Namespace) -> int:
    """Do it and tell where; NsmagicError."""
    try:
        return _ACTIONS[arguments.action](arguments)
    except OSError as error:
        raise NsmagicError(
            f"{error.filename or arguments.action}: {error.strerror}",
            hint="--user installs for you alone." if isinstance(error, PermissionError) else "",
        ) from None


def _run_install(arguments: argparse.Namespace) -> int:
    from nsmagic.notebook import kernelspecs

    return _tell(kernelspecs.install_lab(
        _place(arguments), name=arguments.name or kernelspecs.LAB,
        display_name=arguments.display_name,
    ))  # fmt: skip


def _run_isolate(arguments: argparse.Namespace) -> int:
    from nsmagic.notebook.boxing import Boxing
    from nsmagic.notebook.kernelspecs import isolate, plan_of

    root = None if arguments.root is None else str(Path(arguments.root).absolute())
    boxing = Boxing(
        name=arguments.name, cgroup=arguments.cgroup, unshare=arguments.unshare, root=root,
        profile=arguments.profile,
    )  # fmt: skip
    if arguments.explain or arguments.dry_run:
        from nsmagic.notebook.explain import explain_table

        table = explain_table(plan_of(arguments.base, boxing), asked=boxing.wish()[0], dry_run=True)
        print(table.text(get_terminal_size((100, 24)).columns))
        if arguments.dry_run:
            return 0
    return _tell(isolate(
        arguments.base, boxing, _place(arguments), display_name=arguments.display_name,
        replacing=arguments.replace, provisioned=not arguments.wrapper,
    ))  # fmt: skip


def _run_remove(arguments: argparse.Namespace) -> int:
    from nsmagic.notebook.kernelspecs import remove

    for name in arguments.names:
        print(f"removed {remove(name)}")
    return 0


_ACTIONS: Final = {"install": _run_install, "isolate": _run_isolate, "remove": _run_remove}


def _place(arguments: argparse.Namespace) -> Place:
    from nsmagic.notebook.kernelspecs import Place, usual_place

    if arguments.user or arguments.system:
        return Place(user=arguments.user)
    if arguments.sys_prefix or arguments.prefix is not None:
        return Place(prefix=arguments.prefix or sys.prefix)
    return usual_place()


def _tell(done: Installed) -> int:
    print(f"the kernel {done.name} is in {done.directory}")
    for note in done.notes:
        print(note)
    print(f"Try it: jupyter console --kernel {shlex.quote(done.name)}")
    return 0
