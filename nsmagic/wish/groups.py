"""Where the group of a cell is made, and the steps that make and limit it: pure.

A group is one directory on cgroup v2.  On v1 it is one in each hierarchy, and on a hybrid machine
one more in the v2 hierarchy, by which it is killed and frozen; all of them have the same name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from nsmagic.wish.errors import NsmagicError, WishError
from nsmagic.wish.limits import Limit, values_of, with_implied
from nsmagic.wish.steps import MakeCgroup, SetLimit, Step

# What every group has where it can: what limits are mostly about, and what the readings come from.
USUAL: Final = frozenset({"memory", "cpu", "cpuacct", "pids", "io", "blkio"})
# cgroup v1 lets a process into a new group of these only after they were given their members.
_MEMBERS: Final = ("cpuset.cpus", "cpuset.mems")


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The directory in one mounted hierarchy where groups of ours can be made.

    `path` is that directory, `controllers` are what a group made there gets, `files` the names of
    all files in such a group (v2: with these controllers on).  `members` pairs those files that
    cgroup v1 leaves empty, and must not be, with the parent's text.
    """

    version: int
    path: str
    controllers: frozenset[str]
    files: frozenset[str]
    members: tuple[tuple[str, str], ...] = ()

    def directory(self, name: str) -> str:
        """Return the directory of the group `name`."""
        return f"{self.path.rstrip('/')}/{name}"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where this notebook can make groups: in one or more hierarchies, v2 first.

    `lacking` says of controllers that are not there why, and what to type, by their names in v2 and
    v1; the row `""` is for every other one.
    """

    parents: tuple[Parent, ...]
    lacking: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def of_limit(self, limit: Limit) -> Parent | None:
        """Return where the limit is set, None where nsmagic itself does what Linux has not got.

        Raises WishError where this version of cgroups has no such limit, NsmagicError where the
        controller is not to be had.
        """
        for parent in self.parents:
            side = limit.row.side(parent.version)
            if side is not None and side.controller in parent.controllers:
                return parent
        wanted = [side.controller for side in (limit.row.v2, limit.row.v1) if side is not None]
        near = self._having(limit)
        if near is not None:
            if limit.key == "oomgroup":
                return None
            raise WishError(f"{limit.typed}: cgroup v{near.version} has no such limit",
                            hint=limit.row.instead)  # fmt: skip
        why, fix = next(
            (self.lacking[name] for name in (*wanted, "") if name in self.lacking), ("", "")
        )
        raise NsmagicError(f"{limit} needs the cgroup controller {wanted[0]}: {why}", hint=fix)

    def _having(self, limit: Limit) -> Parent | None:
        """Return where the controller is, but in a version that lacks this limit."""
        names = {side.controller for side in (limit.row.v2, limit.row.v1) if side is not None}
        fits = (each for each in self.parents if each.controllers & names)
        return next(fits, None)


@dataclass(frozen=True, kw_only=True)
class Group:
    """The group of one cell or box: its name, where it is, and its limits with what they imply.

    `exists` tells that it is a box's, made before.
    """

    name: str
    site: Site
    limits: tuple[Limit, ...] = ()
    exists: bool = False

    @property
    def parents(self) -> tuple[Parent, ...]:
        """Those below which it has a directory."""
        used = [self.site.of_limit(limit) for limit in self.limits]
        return tuple(
            each
            for each in self.site.parents
            if each.version == 2 or each in used or each.controllers & USUAL
        )

    @property
    def unified(self) -> str | None:
        """The directory in the v2 parent."""
        return next((h.directory(self.name) for h in self.parents if h.version == 2), None)

    @property
    def others(self) -> tuple[str, ...]:
        """The directories in v1 hierarchies, which a process can enter only by cgroup.procs."""
        return tuple(h.directory(self.name) for h in self.parents if h.version == 1)

    @property
    def directories(self) -> tuple[str, ...]:
        """All of them, v2 first."""
        return tuple(h.directory(self.name) for h in self.parents)

    def steps(self) -> Iterator[Step]:
        """Yield what makes the group and sets its limits, before any process is in it."""
        if self.exists:
            return
        for parent in self.parents:
            directory = parent.directory(self.name)
            yield MakeCgroup(cgroup=directory)
            for file, text in parent.members:
                if not self._sets(file):
                    yield SetLimit(file=f"{directory}/{file}", text=text)
        values = values_of(self.limits)
        for limit in self.limits:
            place = self.site.of_limit(limit)
            if place is not None:
                directory = place.directory(self.name)
                for file, text in limit.writes(place.version, values):
                    yield SetLimit(file=f"{directory}/{file}", text=text, key=limit.key)

    def _sets(self, file: str) -> bool:
        return any(file in side.files for limit in self.limits if (side := limit.row.v1))


def limits_here(limits: tuple[Limit, ...], site: Site, *, strict: bool) -> tuple[Limit, ...]:
    """Return the limits and, unless `strict`, what they imply where this machine has it."""
    if strict:
        return limits
    files = frozenset().union(*(each.files for each in site.parents))
    return tuple(
        limit for limit in with_implied(limits) if not limit.implied or _files_of(limit) & files
    )


def _files_of(limit: Limit) -> frozenset[str]:
    sides = (limit.row.v2, limit.row.v1)
    return frozenset(side.files[0] for side in sides if side is not None)
