"""What `nsmagic kernel isolate` is told about a kernel's box, and how kernel.json keeps it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import NoReturn

from nsmagic.linux.situation import read_situation
from nsmagic.notebook.request import READERS
from nsmagic.wish import steps
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import refuse_halves
from nsmagic.wish.groups import CellGroup
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.ours import Ours, spelling
from nsmagic.wish.plan import Plan, make_plan
from nsmagic.wish.unshare import settle

MODULE = "nsmagic.notebook.boxed"


@dataclass(frozen=True, kw_only=True)
class Boxing:
    """The lines of the magics that make the box, and a root; `name` is what messages call it."""

    name: str
    cgroup: str = ""
    unshare: str = ""
    root: str | None = None
    profile: str | None = None

    def wish(self) -> tuple[Isolation, bool]:
        """Return the lines as one settled wish, and whether one was strict; WishError if bad."""
        wish, strict = Isolation(), False
        for magic, line in self.lines():
            read, ours, program = READERS[magic](line)
            _refuse_what_cells_have(magic, ours, program)
            wish, strict = wish.united_with(read), strict or ours.strict
        refuse_halves(self.root or "", "--root")
        wish = wish.united_with(Isolation(root=self.root, profile=self.profile))
        if wish.root is not None:  # the front end starts kernels in any directory
            wish = replace(wish, root=str(Path(wish.root).absolute()))
        return settle(wish), strict

    def plan(
        self, argv: Sequence[str], cgroup: Path | None = None, group: CellGroup | None = None,
        *, meeting: str = "",
    ) -> Plan:  # fmt: skip
        """Return the plan by which a kernel started by `argv` gets into its box; WishError.

        `cgroup` is the directory of cgroup v2 that it is born in, `group` the one with its limits,
        `meeting` the directory of its connection file, as it sees it.
        """
        wish, strict = self.wish()
        situation = read_situation(wish, None if cgroup is None else str(cgroup))
        situation = replace(situation, group=group, kept=(*situation.kept, meeting))
        body = steps.Exec(argv=tuple(argv))
        return make_plan(wish, situation, body, strict=strict, init="pid" in wish.namespaces)

    def lines(self) -> list[tuple[str, str]]:
        """Return the magics that were used, each with its line."""
        return [(magic, line) for magic in READERS if (line := getattr(self, magic, ""))]

    def argv(self, python: str, command: Sequence[str]) -> list[str]:
        """Return the `argv` of kernel.json: our program, the box, then the kernel's own command.

        -P keeps modules in the notebook's folder from shadowing those that the program needs.
        """
        given = [(field.name, getattr(self, field.name)) for field in fields(self)]
        options = [f"--{name}={value}" for name, value in given if value]
        return [python, "-P", "-m", MODULE, "-f", "{connection_file}", *options, "--", *command]


def read_boxing(argv: Sequence[str]) -> tuple[Boxing, str, list[str]]:
    """Read what `Boxing.argv` wrote, without python: the box, the connection file, the command."""
    parser = _Parser(prog=MODULE, usage="%(prog)s -f FILE --name=NAME [--unshare=LINE] -- KERNEL")
    parser.add_argument("-f", dest="file", required=True)
    for field in fields(Boxing):
        needed = field.default is MISSING
        parser.add_argument(f"--{field.name}", default=field.default, required=needed)
    end = argv.index("--") if "--" in argv else len(argv)
    options = vars(parser.parse_args(argv[:end]))
    command = list(argv[end + 1 :])
    if not command:
        parser.error("the kernel's own command is missing")
    file = options.pop("file")
    return Boxing(**options), file, command


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WishError(f"{self.prog}: {message}")


def _refuse_what_cells_have(magic: str, ours: Ours, program: Sequence[str]) -> None:
    if program:
        raise WishError(f"--{magic} names a program ({program[0]}); the kernel is the program")
    for field in ours.given:
        if field != "strict":
            raise WishError(f"--{magic}: {spelling(field)} is for cells, not for whole kernels")
