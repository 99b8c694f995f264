"""The table of chroot(1) as of coreutils 9.9 (chroot.c at aa0c0de35), and how a line is read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nsmagic.wish import values
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Argument, Option, Table, split_line
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.ours import OURS, Ours, asks, parse
from nsmagic.wish.values import Names

_GROUP = "Options of chroot"

CHROOT = Table(
    program="chroot",
    operands="<newroot> [<program> [<argument>...]]",
    summary="Run the cell or a program with <newroot> as its root directory.\n"
    "An ordinary user gets a user namespace, which is added and said.",
    takes=(values.DIRECTORY, values.PROGRAM, values.FILE),
    example="%rootfs appdir bash ls\n%chroot appdir ls -l /",
    options=(
        Option(name="groups", group=_GROUP, field="groups", kind=values.GROUPS,
               argument=Argument.REQUIRED, help="the supplementary groups, names or ids"),
        Option(name="userspec", group=_GROUP, field="userspec", kind=values.USERSPEC,
               argument=Argument.REQUIRED,
               help="the user and group to become, looked up in <newroot>; +<id> is no name"),
        Option(name="skip-chdir", group=_GROUP, field="skip_chdir",
               help="do not change to /: only where <newroot> is the old /"),
        asks("help", None, "show this help"),
        asks("version", None, "show the version"),
    ),
    extra=OURS,
)  # fmt: skip


def read_chroot(line: str | Sequence[str], names: Names) -> tuple[Isolation, Ours, tuple[str, ...]]:
    """Read one line: the wish, our options, the program.  Raises WishError."""
    words = split_line(line) if isinstance(line, str) else line
    parsed = parse(CHROOT, words, names)
    if parsed.ours.help or parsed.ours.version:
        return Isolation(), parsed.ours, ()
    if not parsed.program:
        raise WishError(
            "chroot: which directory shall be the root?",
            hint="For example %%chroot appdir /bin/bash; %rootfs appdir bash ls   makes one.",
        )
    root, *program = parsed.program
    if not root:
        raise WishError("chroot: the new root has an empty name")
    _refuse_late_option(program)
    return Isolation(root=root, chroot=True, **parsed.values), parsed.ours, tuple(program)


def _refuse_late_option(program: Sequence[str]) -> None:
    """Say that options end at NEWROOT, where the next word would otherwise be a strange program."""
    found = re.fullmatch(r"--([a-z][a-z-]*)(=.*)?", program[0]) if program else None
    if found and any(row.name.startswith(found[1]) for row in CHROOT.rows):
        raise WishError(
            f"chroot: {program[0]} stands after the new root, where the program is named",
            hint="Options go before it: %%chroot [options] <newroot> [<program>...]",
        )


def to_words(wish: Isolation) -> tuple[str, ...]:
    """Return the options of chroot(1), without NEWROOT, that ask for this wish."""
    words = [
        f"--{option.name}={value}"
        for option in CHROOT.options
        if option.kind is not None and (value := getattr(wish, option.field)) is not None
    ]
    return (*words, *(["--skip-chdir"] if wish.skip_chdir else []))
