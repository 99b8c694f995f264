"""The group of one cell, as the plan sees it, and the steps that make and limit it: pure.

A group is one directory on cgroup v2.  On v1 it is one in each hierarchy, and on a hybrid machine
one more in the v2 hierarchy, by which it is killed and frozen; all of them have the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nsmagic.wish.limits import Limit, Side, values_of
from nsmagic.wish.steps import MakeCgroup, SetLimit, Step

# What cgroup v1 wants to have in a new group before it lets a process in.
MEMBERS: Final = ("cpuset.cpus", "cpuset.mems")


@dataclass(frozen=True, kw_only=True)
class CellGroup:
    """Where the group is, and its limits with what they imply.

    `unified` is its directory on cgroup v2 (None without), which has the `controllers`; `v1` pairs
    the controllers of v1 with theirs, of which several may be the same.  `members` are the texts of
    the parent's MEMBERS.  `exists` tells that it is a box's, made before.
    """

    unified: str | None = None
    controllers: frozenset[str] = frozenset()
    v1: tuple[tuple[str, str], ...] = ()
    limits: tuple[Limit, ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    exists: bool = False

    @property
    def others(self) -> tuple[str, ...]:
        """The directories of v1, which a process can enter only by cgroup.procs."""
        return tuple(dict.fromkeys(directory for _, directory in self.v1))

    def alone(self, controller: str) -> tuple[str, ...]:
        """Return the directory of a controller of v1, if no other one shares it."""
        found = dict(self.v1).get(controller)
        sharing = [name for name, directory in self.v1 if directory == found]
        return () if found is None or len(sharing) > 1 else (found,)

    @property
    def implied(self) -> tuple[Limit, ...]:
        """The limits that nobody typed."""
        return tuple(limit for limit in self.limits if limit.implied)

    def steps(self) -> Iterator[Step]:
        """Yield what makes the group and sets its limits, before any process is in it."""
        if self.exists:
            return
        made = self.others if self.unified is None else (self.unified, *self.others)
        for directory in made:
            yield MakeCgroup(cgroup=directory)
        cpuset = dict(self.v1).get("cpuset")
        for file, text in self.members if cpuset is not None else ():
            if not any(side is not None and file in side.files for side in self._v1_sides()):
                yield SetLimit(file=f"{cpuset}/{file}", text=text)
        values = values_of(self.limits)
        for limit in self.limits:
            version, directory = self._place(limit)
            for file, text in limit.writes(version, values) if directory else ():
                yield SetLimit(file=f"{directory}/{file}", text=text, key=limit.key)

    def _v1_sides(self) -> Iterator[Side | None]:
        return (limit.row.v1 for limit in self.limits)

    def _place(self, limit: Limit) -> tuple[int, str]:
        """Return the version and directory of a limit's files; no directory: nsmagic does it."""
        row, v1 = limit.row, dict(self.v1)
        if row.v1 is not None and row.v1.controller in v1:
            return 1, v1[row.v1.controller]
        if row.v2 is not None and row.v2.controller in self.controllers:
            return 2, self.unified or ""
        return 0, ""
