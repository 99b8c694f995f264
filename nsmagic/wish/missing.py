"""What a program lacks in a root to be run there, and how a person is told."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nsmagic.wish.printing import printable


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A file that `needed_by` names and that is not there; or is there, but `damaged` (its path).

    Without its loader or interpreter a program is not started at all (ENOENT); without a library
    the loader starts and gives up (exit status 127).
    """

    kind: Literal["program", "interpreter", "loader", "library"]
    name: str
    needed_by: str
    damaged: str = ""


_SENTENCES = {
    "program": "There is no {names} {where}.",
    "interpreter": "{by} is there, but the interpreter in its first line, {names}, is not {where}.",
    "loader": "{by} is there, but its loader {names}, which Linux starts first, is not {where}.",
    "library": "{by} is there, but its loader finds no {names} {where}.",
    "damaged": "The library {names} is cut off or damaged {where}.",
}


def missing_text(missing: Sequence[Missing], root: str, program: str) -> str:
    """Return one line that names what is missing, and one with what to type if there is a way.

    Empty where nothing is missing; `root` is empty where it was not changed.
    """
    if not missing:
        return ""
    first = missing[0]
    names = [each.name for each in missing if each.kind == first.kind and not each.damaged]
    line = _SENTENCES["damaged" if first.damaged else first.kind].format(
        names=printable(first.damaged or " and ".join(names)),
        by=printable(first.needed_by),
        where=where_in(root),
    )
    return "\n".join(filter(None, (line, _what_to_type(first, root, program))))


def where_in(root: str) -> str:
    """Return `in the new root /srv/box`, or `here` where the root was not changed."""
    return f"in the new root {printable(root)}" if root else "here"


def _what_to_type(first: Missing, root: str, program: str) -> str:
    if first.name.endswith("\r"):
        return "Windows ends lines with \\r, and here that belongs to the name: save the file anew."
    if root:
        force = ("--force",) if first.damaged else ()
        return f"{shlex.join(('%rootfs', *force, root, program))}   copies what is missing."
    if first.kind == "interpreter":
        return f"head -1 {shlex.quote(first.needed_by)}   shows the line."
    return ""
