"""What is mounted: the hierarchies of both versions, their controllers and our own group in each.

Readers take the root directory below which /proc and /sys/fs/cgroup are, for tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nsmagic.linux.cgroups.membership import read_membership
from nsmagic.linux.mountinfo import MountLine, read_mountinfo

ROOT: Final = Path("/")
# Of the options of a v1 mount these are no controllers; cgroup1_show_options() in Linux.
_OPTIONS: Final = {"rw", "ro", "none", "noprefix", "clone_children", "cpuset_v2_mode", "xattr"}


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """One mounted tree of groups.

    `controllers` are those of the mount (v1) or of its topmost group that we see (v2).  `own` is
    the directory of our group, None where this mount does not show it, and then `hidden` says why.
    """

    version: int
    controllers: frozenset[str]
    point: Path
    own: Path | None
    hidden: str = ""
    readonly: bool = False
    name: str = ""

    @property
    def is_root(self) -> bool:
        """Whether our own group is the root of the whole hierarchy, which is exempt from rules."""
        # Linux gives the root no cgroup.events (v2) and a release_agent (v1), cgroups(7).
        if self.own is None:
            return False
        if self.version == 1:
            return (self.own / "release_agent").exists()
        return not (self.own / "cgroup.events").exists()


@dataclass(frozen=True, kw_only=True)
class Hierarchies:
    """All that is mounted here.  `unmounted` are controllers that Linux has and nobody mounted."""

    v1: tuple[Hierarchy, ...]
    v2: Hierarchy | None
    unmounted: frozenset[str] = frozenset()

    @property
    def verdict(self) -> str:
        """`v2`, `v1`, `hybrid` (both) or `none`."""
        controllers = any(each.controllers for each in self.v1)
        if self.v2 is None:
            return "v1" if self.v1 else "none"
        return "hybrid" if controllers else "v2"

    def where(self, controller: str) -> Hierarchy | None:
        """Return the hierarchy that has a controller; `blkio` is v1's name of `io`."""
        for hierarchy in self.v1:
            if controller in hierarchy.controllers:
                return hierarchy
        return self.v2 if self.v2 is not None and controller in self.v2.controllers else None


def read_hierarchies(root: Path = ROOT, pid: str = "self") -> Hierarchies:
    """Return what is mounted and where process `pid` is in it; nothing where no cgroupfs is."""
    groups = _groups(root / "proc" / pid / "cgroup")
    mounts: Sequence[MountLine] = ()
    with suppress(OSError):
        mounts = read_mountinfo(pid, root / "proc")
    found = list(_mounted(root, mounts, groups))
    v1: dict[frozenset[str] | str, Hierarchy] = {}
    v2 = None
    for hierarchy in found:
        if hierarchy.version == 2:
            v2 = _better(v2, hierarchy)
        else:
            key = hierarchy.controllers or hierarchy.name
            v1[key] = _better(v1.get(key), hierarchy)
    here = frozenset[str]().union(*(each.controllers for each in (*v1.values(), v2) if each))
    return Hierarchies(
        v1=tuple(v1.values()), v2=v2, unmounted=_built_in(root / "proc" / "cgroups") - here
    )


def _better(before: Hierarchy | None, after: Hierarchy) -> Hierarchy:
    """Of two mounts of one hierarchy take the one that shows our group, and lets us write."""
    if before is None or (before.own is None and after.own is not None):
        return after
    return after if before.readonly and not after.readonly and after.own is not None else before


def _groups(file: Path) -> dict[str, str]:
    with suppress(OSError):
        return read_membership(file)
    return {}


def _mounted(
    root: Path, mounts: Iterable[MountLine], groups: dict[str, str]
) -> Iterator[Hierarchy]:
    for mount in mounts:
        kind, directory = mount.kind, root / mount.target.lstrip("/")
        if kind not in {"cgroup", "cgroup2"} or not _is_seen(directory, mount.device, root):
            continue
        said = set(mount.of_system.split(","))
        name = next((w.removeprefix("name=") for w in said if w.startswith("name=")), "")
        plain = frozenset(w for w in said - _OPTIONS if "=" not in w)
        listed = name and f"name={name}"
        keys = {""} if kind == "cgroup2" else {key for key in groups if _same(key, plain, listed)}
        path = next((groups[key] for key in keys if key in groups), None)
        own, hidden = _own(directory, mount.root, path)
        yield Hierarchy(
            version=2 if kind == "cgroup2" else 1, point=directory, own=own, hidden=hidden,
            name=name,
            controllers=words(directory / "cgroup.controllers") if kind == "cgroup2" else plain,
            readonly="ro" in mount.options.split(",") or "ro" in said,
        )  # fmt: skip


def _same(key: str, controllers: frozenset[str], name: str) -> bool:
    parts = set(key.split(","))
    return key != "" and parts - {name} == controllers and (not name or name in parts)


def _is_seen(directory: Path, device: str, root: Path) -> bool:
    """Whether the mount is what its directory shows: another one may lie on top of it."""
    if root != ROOT:
        return directory.is_dir()
    try:
        number = directory.stat().st_dev
    except OSError:
        return False
    return f"{os.major(number)}:{os.minor(number)}" == device


def _own(directory: Path, top: str, path: str | None) -> tuple[Path | None, str]:
    """Return the directory of the group `path` in a mount whose topmost group is `top`."""
    if path is None:
        return None, "/proc/self/cgroup does not list it"
    # Above the root of our cgroup namespace, cgroup_namespaces(7).
    if ".." in path.split("/"):
        return None, f"our group {path} lies outside our cgroup namespace"
    if ".." in top.split("/"):
        return None, f"{directory} was mounted in another cgroup namespace"
    relative = os.path.relpath(path, top)
    if relative.startswith(".."):
        return None, f"{directory} shows only what is below {top}, and our group is {path}"
    own = directory if relative == "." else directory / relative
    return (own, "") if own.is_dir() else (None, f"{own} is not there")


def words(file: Path) -> frozenset[str]:
    """Return the words of a file of cgroupfs; none where it cannot be read."""
    try:
        return frozenset(file.read_text().split())
    except OSError:
        return frozenset()


def _built_in(file: Path) -> frozenset[str]:
    """Return the controllers of /proc/cgroups that are enabled."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return frozenset()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return frozenset(row[0] for row in rows if row[-1] == "1")
