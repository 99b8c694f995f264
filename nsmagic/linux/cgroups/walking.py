"""Groups inside groups, and the processes in all of them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def processes_below(path: Path) -> list[int]:
    """Return the processes of a group and of all groups in it; those of other namespaces are 0."""
    found: list[int] = []
    for folder in (path, *below(path)):
        with suppress(OSError):  # ENOENT and ENODEV while the group goes
            found += [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    return found


def below(path: Path) -> list[Path]:
    """Return all groups inside a group, each before those in it."""
    found: list[Path] = []
    try:
        with os.scandir(path) as entries:
            names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return found
    for name in names:
        found += [path / name, *below(path / name)]
    return found
