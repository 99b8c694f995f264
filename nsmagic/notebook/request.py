"""What one isolated cell asks for: its stack of magic lines united, and the body that is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nsmagic.linux.ids import SystemNames
from nsmagic.run import fresh
from nsmagic.wish.cgroup import read_cgroup
from nsmagic.wish.chroot import read_chroot
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import refuse_halves
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.nsenter import read_nsenter
from nsmagic.wish.ours import Ours, spelling
from nsmagic.wish.unshare import read_unshare, settle

Read = Callable[[str], tuple[Isolation, Ours, tuple[str, ...]]]

# The isolation magics, which stack; each reads its own line.
READERS: dict[str, Read] = {
    "cgroup": lambda line: read_cgroup(line, SystemNames()),
    "unshare": lambda line: read_unshare(line, SystemNames()),
    "nsenter": lambda line: read_nsenter(line, SystemNames()),
    "chroot": lambda line: read_chroot(line, SystemNames()),
}
# What may stand after a line magic, as an example in words.
_LINES = {
    "cgroup": "mem=64M sleep 1", "unshare": "--uts hostname", "chroot": "appdir /bin/ls /",
    "nsenter": "-t web ip -br link",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Request:
    """One isolated cell.  `body` is None for a line magic; `head` holds the magic lines."""

    magic: str
    wish: Isolation
    ours: Ours
    program: tuple[str, ...]
    body: str | None
    head: str

    @property
    def is_program(self) -> bool:
        """Whether something is executed; otherwise the body runs in a forked copy of the kernel."""
        return bool(self.program) or self.ours.fresh

    def argv(self, *, other_root: bool) -> tuple[str, ...]:
        """Return what to execute; empty for a body that runs in a forked copy of the kernel."""
        if self.program or not self.ours.fresh:
            return self.program
        if not other_root:
            return (sys.executable, "-P", fresh.__file__)
        return ("python3", "-c", Path(fresh.__file__).read_text())

    @property
    def text(self) -> str:
        """The cell's text for standard input; line numbers of a clean interpreter stay right."""
        body = self.body or ""
        return body if self.program else "\n" * self.head.count("\n") + body


def read_request(magic: str, line: str, body: str | None) -> Request:
    """Read the magic's line and, from the top of the body, the lines stacked below it.

    Stacking ends at the first line that is no isolation magic, or that follows one with a PROGRAM.
    Raises WishError.
    """
    sign = "%" if body is None else "%%"
    head = f"{sign}{magic} {line}".rstrip() + "\n"
    wish, ours, program = READERS[magic](line)
    while body is not None and not program:
        blank, name, rest, below = _split_first(body)
        if name not in READERS:
            break
        wish, ours, program = _unite((wish, ours), READERS[name](rest))
        head += f"{blank}%%{name} {rest}\n"
        body = below
    if ours.plot and wish.enter is None:  # there is no graph without a group
        wish = replace(wish, cgroup=True)
    asks_only = ours.help or ours.version
    if not asks_only:
        _refuse_nonsense(magic, ours, program, body)
    return Request(
        magic=magic, wish=wish if asks_only else settle(wish), ours=ours, program=program,
        body=body, head=head,
    )  # fmt: skip


def _refuse_nonsense(magic: str, ours: Ours, program: Sequence[str], body: str | None) -> None:
    if body is not None and (program or ours.fresh):
        refuse_halves(body, "the cell")
    if body is None and not program and ours.name is None:
        raise WishError(
            f"%{magic} needs a program: there is no cell below it",
            hint=f"For example %{magic} {_LINES[magic]}, or put code below %%{magic}.",
        )
    if ours.returns and (program or ours.fresh):
        what = "a program" if program else "--fresh"
        raise WishError(f"--return brings variables of a forked Python cell; {what} has none")
    if ours.fresh and program:
        raise WishError(
            "--fresh is for Python cells; this line names a program", hint="Leave one out."
        )
    if ours.replace and ours.name is None:
        raise WishError("--replace needs --name")


def _split_first(body: str) -> tuple[str, str | None, str, str]:
    """Return blank lines above, name and arguments of a cell magic on the first line, the rest."""
    text = body.lstrip("\n")
    blank = body[: len(body) - len(text)]
    first, _, below = text.partition("\n")
    if not first.startswith("%%"):
        return blank, None, "", body
    name, _, rest = first[2:].partition(" ")
    return blank, name, rest.strip(), below


def _unite(
    above: tuple[Isolation, Ours], below: tuple[Isolation, Ours, Sequence[str]]
) -> tuple[Isolation, Ours, tuple[str, ...]]:
    changes = {}
    for field in below[1].given:
        mine, theirs = getattr(above[1], field), getattr(below[1], field)
        if field in above[1].given and mine != theirs:
            raise WishError(f"{spelling(field)} is given twice: {mine} and {theirs}")
        changes[field] = theirs
    return above[0].united_with(below[0]), replace(above[1], **changes), tuple(below[2])
