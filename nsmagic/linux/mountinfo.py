"""The mounts of a process, proc_pid_mountinfo(5), read with nothing but the standard library."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class MountLine:
    """One mount as that process sees it; `root` is the part of the file system that is mounted.

    `device` is MAJOR:MINOR of the file system, `options` are the mount's own, `propagation` such as
    `shared:1`.
    """

    id: int
    parent: int
    device: str
    root: str
    target: str
    kind: str
    source: str
    options: str
    propagation: str


def read_mountinfo(pid: int | str = "self", proc: str = "/proc") -> list[MountLine]:
    """Return the mounts of a process, upper ones later; OSError where they cannot be read."""
    with open(f"{proc}/{pid}/mountinfo", "rb") as file:
        lines = os.fsdecode(file.read()).splitlines()
    found = []
    for line in lines:
        left, _, right = line.partition(" - ")
        number, parent, device, root, target, options, *optional = left.split(" ")
        kind, source, *_ = right.split(" ")
        found.append(
            MountLine(
                id=int(number), parent=int(parent), device=device, root=plain(root),
                target=plain(target), kind=kind, source=plain(source), options=options,
                propagation=" ".join(optional),
            )
        )  # fmt: skip
    return found


def plain(field: str) -> str:
    """Undo the octal escapes of spaces, tabs, newlines and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)
