"""Looks up the file that a refused step named: what of it exists, and what it needs to be run."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from pathlib import Path

from nsmagic.linux.elf import DamagedError, Elf, foreign_machine, read_head
from nsmagic.linux.mountinfo import MountLine, read_mountinfo
from nsmagic.linux.needs import find_program, what_is_missing
from nsmagic.linux.rooted import walk, working_directory
from nsmagic.wish.circumstances import Place

_STARTERS = frozenset({"interpreter", "loader"})  # without them execve(2) fails: ENOENT


def mounts() -> list[MountLine]:
    """Return the mounts that this process sees, upper ones later; nothing without /proc."""
    try:
        return read_mountinfo()
    except OSError:
        return []


def look_up(path: str, root: str = "") -> Place:
    """Return what is known about `path` as a process whose root is `root` sees it."""
    if not path.startswith("/"):
        path = f"{'' if root else working_directory().rstrip('/')}/{path}"
    way = walk(path, root)
    real, missing = way.real, way.missing
    above = [mount for mount in mounts() if real.is_relative_to(mount.target)]
    place = Place(path=path, missing=missing, closed=_closed(real, root))
    if above:
        mount = max(reversed(above), key=lambda each: len(each.target))  # the uppermost one
        options = frozenset(f"{mount.options},{mount.of_system}".split(","))
        shared = "shared:" in mount.propagation
        place = replace(place, mount=mount.target, options=options, shared=shared)
    if missing:
        return replace(place, near=_near(Path(missing).name, _names(real)))
    return replace(place, directory=real.is_dir() and not place.closed)


def look_up_program(name: str, root: str = "") -> Place:
    """Return what is known about the program that execvp(3) would take for `name`."""
    folders = [""] if "/" in name else os.get_exec_path()
    places = [look_up(f"{folder}/{name}" if folder else name, root) for folder in folders]
    for place in places:
        if not place.missing and not ("/" not in name and _is_shut(place, root)):
            return _needs(place, root)
    elsewhere = bool(root) and find_program(name) is not None
    if "/" in name:
        return replace(places[0], elsewhere=elsewhere)
    near = () if elsewhere else programs_like(name, root)
    shut = next((place.closed for place in places if _is_shut(place, root)), "")
    return Place(path=name, missing=name, near=near, elsewhere=elsewhere, closed=shut)


def _is_shut(place: Place, root: str) -> bool:
    """Whether a folder on the way to it is closed, so that nobody can tell if it is there."""
    return place.closed not in {"", root + place.path}


def programs_like(name: str, root: str = "") -> tuple[str, ...]:
    """Return programs of PATH below `root` whose names are nearly `name`, the nearest first."""
    folders = os.get_exec_path()
    programs = {entry for folder in folders for entry in _names(walk(folder, root).real)}
    return _near(name, sorted(programs))


def _closed(real: Path, root: str) -> str:
    """Return the first part of the way to `real` that this process may not enter or run."""
    for part in (*reversed(real.parents), real):
        if part.is_relative_to(Path(root or "/").resolve()) and not os.access(part, os.X_OK):
            return str(part)
    return ""


def _near(name: str, names: list[str]) -> tuple[str, ...]:
    return tuple(difflib.get_close_matches(name, names, n=3, cutoff=0.6))


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []  # a closed folder has nothing to suggest


def _needs(place: Place, root: str) -> Place:
    """Add what the program at `place` needs to start: an interpreter or a loader."""
    real = walk(place.path, root).real
    try:
        head = read_head(real)
        foreign = foreign_machine(head) if isinstance(head, Elf) else ""
    except DamagedError:
        return replace(place, foreign="damaged")
    except OSError:
        return place
    lacks = [each for each in what_is_missing(root, place.path) if each.kind in _STARTERS]
    return replace(place, lacks=tuple(lacks), foreign=foreign)
