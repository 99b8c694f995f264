"""What a program lacks in a root to be run there, and how a person is told."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


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


def missing_text(missing: Sequence[Missing], root: str, program: str) -> str:
    """Return one line that names what is missing and, below a root, one with what to type.

    Empty where nothing is missing; `root` is empty where it was not changed.
    """
    if not missing:
        return ""
    first = missing[0]
    where = f"in {_shown(root)}" if root else "on this machine"
    if first.damaged:
        return f"{_shown(first.damaged)} {where} is cut off or damaged."
    names = " and ".join(_shown(each.name) for each in missing if each.kind == first.kind)
    by = _shown(first.needed_by)
    line = {
        "program": f"There is no {names} {where}.",
        "interpreter": f"{by} is there, but the interpreter in its first line, {names}, is not "
        f"{where}.",
        "loader": f"{by} is there, but its loader {names}, which Linux starts first, is not "
        f"{where}.",
        "library": f"{by} starts, but its loader finds no {names} {where}.",
    }[first.kind]
    return f"{line}\n{rootfs_line(root, program)}" if root else line


def rootfs_line(root: str, program: str) -> str:
    """Return what to type so that `program` gets into `root` whole."""
    return f"%rootfs {shlex.join((root, program))}   copies what is missing."


def _shown(text: str) -> str:
    return ascii(text)[1:-1] if not text.isprintable() else text
