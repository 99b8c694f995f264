"""The table of %sxs, which is ours, how its line is read, and how two outputs are compared."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Final, Literal

from nsmagic.wish import values
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Argument, Option, Table, scan, split_line
from nsmagic.wish.lines import rest_after
from nsmagic.wish.lsns import HOST, SELF
from nsmagic.wish.ours import asks, parse
from nsmagic.wish.values import Names

_SIDES: Final = replace(
    values.SUBJECT,
    metavar="<side>,<side>",
    example="host,web",
    choices=(HOST, SELF),
    meanings=("where this notebook is", "the same"),
    many=",",
)
_SECONDS: Final = 60.0

SXS: Final = Table(
    program="sxs",
    summary="Run the same command on two sides at the same moment and show where they differ.\n"
    "A side is host (where this notebook is), the name of a box, or a PID.  The command is a line\n"
    "for sh; with %%sxs it is the cell.",
    operands="<side>,<side> [--] <command>",
    takes=(_SIDES, values.PROGRAM, values.FILE),
    options=(
        Option(name="timeout", group="Options", field="timeout", kind=values.DURATION,
               argument=Argument.REQUIRED,
               help=f"stop both after <seconds>, {_SECONDS:g} unless given"),
        asks("help", "h", "show this help"),
    ),
    example="%unshare --replace --name web --user --map-root-user --uts\n"
    "%sxs host,web -- id -u; readlink /proc/self/ns/uts\n"
    "%box rm web",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SxsWish:
    """A line of %sxs: two sides, and what runs on each with `script` as standard input."""

    sides: tuple[str, str] = ("", "")
    argv: tuple[str, ...] = ()
    script: str | None = None
    timeout: float = _SECONDS
    help: bool = False


def read_sxs(line: str, script: str | None, names: Names) -> SxsWish:
    """Read a line of %sxs, or of %%sxs with the cell as `script`; raises WishError."""
    words = split_line(line)
    parsed = parse(SXS, words, names)
    if parsed.ours.help:
        return SxsWish(help=True)
    sides, *program = parsed.program or ("",)
    timeout = parsed.values.get("timeout", _SECONDS)
    pair = _pair(sides)
    if script is not None:
        argv = tuple(program[1:] if program[:1] == ["--"] else program) or ("sh",)
        return SxsWish(sides=pair, argv=argv, script=script, timeout=timeout)
    command = _command(line, words)
    if not command:
        raise WishError(
            "sxs: which command?", hint=f"For example %sxs {sides} -- hostname; ls /proc | wc -l"
        )
    return SxsWish(sides=pair, argv=("sh", "-c", command), timeout=timeout)


def _command(line: str, words: Sequence[str]) -> str:
    """Return the text behind the sides as it was typed: a line for a shell, not for us."""
    before = len(words) - len(scan(SXS, words).rest) + 1
    text = rest_after(line, before)
    return text.removeprefix("--").strip() if text.split(None, 1)[:1] == ["--"] else text


def _pair(text: str) -> tuple[str, str]:
    sides = text.split(",")
    if len(sides) != 2 or not all(sides):
        what = f"{shlex.quote(text)} is not two sides" if text else "which two sides?"
        raise WishError(
            f"sxs: {what} with a comma between them",
            hint="For example %sxs host,web -- hostname; %box lists the boxes.",
        )
    return sides[0], sides[1]


Mark = Literal["same", "differs", "left", "right"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A line of both sides; None where only the other one has it."""

    left: str | None
    right: str | None

    @property
    def mark(self) -> Mark:
        """How the two are to each other."""
        if self.left is None:
            return "right"
        if self.right is None:
            return "left"
        return "same" if self.left == self.right else "differs"


def compare(left: Sequence[str], right: Sequence[str]) -> list[Pair]:
    """Put lines beside each other, the same ones on the same height."""
    pairs: list[Pair] = []
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for _, left_start, left_end, right_start, right_end in matcher.get_opcodes():
        ours, theirs = left[left_start:left_end], right[right_start:right_end]
        pairs += [Pair(left=one, right=other) for one, other in zip_longest(ours, theirs)]
    return pairs
