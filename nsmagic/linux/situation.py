"""Reads what a plan must know of this process and machine."""

from __future__ import annotations

import os
import platform
import pwd
import re
import sys
from pathlib import Path
from typing import Any, Final

from nsmagic.linux import rights
from nsmagic.linux.idmaps import read_id_map
from nsmagic.linux.ids import SystemNames
from nsmagic.linux.rooted import working_directory
from nsmagic.wish.accounts import find_outside
from nsmagic.wish.idmaps import Ids, Range
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.plan import OWN_PATHS, Situation

_OURSELVES: Final = ("/proc/self/", "/proc/thread-self/", "/dev/fd/")


def read_situation(wish: Isolation, cgroup: str | None = None) -> Situation:
    """Return the situation of the calling process; reads files only if `wish` asks for ranges."""
    capabilities = rights.effective_capabilities()
    return Situation(
        uids=_ids("uid", os.geteuid(), bool(wish.map_users)),
        gids=_ids("gid", os.getegid(), bool(wish.map_groups)),
        sys_admin=bool(capabilities >> rights.CAP_SYS_ADMIN & 1),
        sys_chroot=bool(capabilities >> rights.CAP_SYS_CHROOT & 1),
        **_root(wish),
        cgroup=cgroup,
        own_paths=_own_paths(wish),
        **_kept(wish),
    )


def _kept(wish: Isolation) -> dict[str, Any]:
    """Return what a profile asks for: the machine, where we work, and what it must not hide.

    That is our home and our Python, if they are where programs have their passing files; another
    root has neither.
    """
    if wish.profile is None:
        return {}
    if wish.root is not None:
        return {"machine": platform.machine()}
    wd = working_directory()
    named = [sys.prefix, sys.base_prefix, os.environ.get("HOME", "")]
    named += os.environ.get("PYTHONPATH", "").split(":")
    kept = [path for each in named if each for path in (each, os.path.realpath(each))]
    there = [path for path in kept if Path(path).is_dir()]
    return {"kept": (wd, *there), "wd": wd, "machine": platform.machine()}


def _root(wish: Isolation) -> dict[str, Any]:
    """Return what chroot(1) finds out before it changes the root."""
    if wish.root is None or not wish.chroot:
        return {}
    if os.path.realpath(wish.root) == "/":  # not by device and inode: / may be mounted elsewhere
        return {"old_root": True}
    if not wish.userspec and not wish.groups:
        return {}
    return {"outside": find_outside(wish.userspec, wish.groups, SystemNames())}


def _own_paths(wish: Isolation) -> dict[str, str]:
    """Return where paths of the wish lead that name this process; inside a new root none can."""
    names = ("root",) if wish.root is not None else OWN_PATHS
    paths = (getattr(wish, name) for name in names)
    return {path: os.path.realpath(path) for path in paths if path and path.startswith(_OURSELVES)}


def _ids(kind: str, own: int, ranges: bool) -> Ids:
    if not ranges:
        return Ids(kind=kind, own=own)
    granted = granted_ranges(Path(f"/etc/sub{kind}"), os.geteuid())
    lines = read_id_map(f"/proc/self/{kind}_map")
    known = tuple(Range(start=line.inner, count=line.count) for line in lines)
    return Ids(kind=kind, own=own, granted=granted, known=known)


def granted_ranges(file: Path, uid: int) -> tuple[Range, ...]:
    """Return the ranges that subuid(5) or subgid(5) grants to the user, in file order."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return ()
    try:
        names = {pwd.getpwuid(uid).pw_name, str(uid)}
    except KeyError:
        names = {str(uid)}
    found = (re.fullmatch(r"([^:]+):([0-9]+):([0-9]+)", line) for line in lines)
    return tuple(
        Range(start=int(entry[2]), count=int(entry[3]))
        for entry in found
        if entry is not None and entry[1] in names
    )
