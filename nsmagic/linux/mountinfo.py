"""The mounts of a process, proc_pid_mountinfo(5), read with nothing but the standard library.

A mount point may hold any byte but NUL: names that are no UTF-8 or hold odd line ends are usual on
removable disks, so lines are parted at newlines alone (which Linux escapes) and nothing is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class MountLine:
    """One mount as that process sees it; `root` is the part of the file system that is mounted.

    `device` is MAJOR:MINOR of the file system, `options` are the mount's own and `of_system` the
    file system's, `propagation` such as `shared:1`.
    """

    id: int
    parent: int
    device: str
    root: str
    target: str
    kind: str
    source: str
    options: str
    of_system: str
    propagation: str


def read_mountinfo(pid: int | str = "self", proc: str | Path = "/proc") -> list[MountLine]:
    """Return the mounts of a process, upper ones later; OSError where they cannot be read."""
    return list(mount_lines(f"{proc}/{pid}/mountinfo"))


def mount_lines(file: str, *, kind: str = "") -> Iterator[MountLine]:
    """Yield the mounts in a file, only those of a file system of `kind` if it is given; OSError."""
    with open(file, "rb") as opened:
        lines = opened.read().split(b"\n")
    mark = f" - {kind} ".encode() if kind else b" - "
    return (_mount(os.fsdecode(line)) for line in lines if mark in line)


def _mount(line: str) -> MountLine:
    left, _, right = line.partition(" - ")
    number, parent, device, root, target, options, *optional = left.split(" ")
    kind, source, of_system = right.split(" ", 2)
    return MountLine(
        id=int(number), parent=int(parent), device=device, root=_plain(root),
        target=_plain(target), kind=kind, source=_plain(source), options=options,
        of_system=of_system, propagation=" ".join(optional),
    )  # fmt: skip


def _plain(field: str) -> str:
    """Undo the octal escapes of spaces, tabs, newlines and backslashes."""
    if "\\" not in field:
        return field
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)
