"""The groups of this kernel's cells: where they can be made, and those that there are now."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from nsmagic.linux.cgroups.devices import resolved
from nsmagic.linux.cgroups.group import Cgroup, named_group
from nsmagic.linux.cgroups.kmsg import numbers_as_we
from nsmagic.linux.cgroups.limiting import Reading
from nsmagic.linux.cgroups.oom import OomCounters, read_counters, report
from nsmagic.linux.cgroups.oomwatch import OomWatch
from nsmagic.linux.cgroups.places import Place, Places
from nsmagic.run.ledger import Noted
from nsmagic.run.perprocess import OnePerProcess
from nsmagic.run.result import Result
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.groups import MEMBERS, CellGroup
from nsmagic.wish.limits import BY_KEY, Limit, overridden, values_of, with_implied


class LiveGroup:
    """The group of one cell, from the plan to its end.

    `cell` is what the plan knows of it, `group` what Linux has, `note` what the person should know
    about the place.  `watch` tells of a lack of memory.
    """

    def __init__(self, cell: CellGroup, group: Cgroup, note: str) -> None:
        self.cell, self.group, self.note = cell, group, note
        self.watch: OomWatch | None = None
        # Called when the group is made and empty, and when all is over and it is still there.
        self.on_begin: list[Callable[[Cgroup], None]] = []
        self.on_end: list[Callable[[], None]] = []
        self._before: OomCounters | None = None

    @property
    def kills_all(self) -> bool:
        """Whether we must end the whole tree when one process was killed: v1 has no oomgroup."""
        wished = values_of(self.cell.limits).get("oomgroup")
        return bool(wished) and "memory" in self.group.v1

    def change(self, limits: tuple[Limit, ...]) -> tuple[Reading, ...]:
        """Change limits now; return what Linux made of them.  CgroupError where it refuses."""
        asked = values_of(limits).get("oomgroup")
        if asked and "memory" in self.group.v1 and self.watch is None:
            raise CgroupError(
                "oomgroup=1 comes too late: on cgroup v1 it is nsmagic that kills the others, and "
                "only if it watched the group from the beginning",
                hint="Give it above the cell: %%cgroup mem=64M oomgroup=1",
            )
        readings = self.group.set(limits)
        self.cell = replace(self.cell, limits=overridden(self.cell.limits, limits))
        return readings

    def begin(self) -> None:
        """Look at the counters: the group is made, and nothing is in it yet."""
        self._before = read_counters(self.group)
        if self.kills_all:
            with suppress(OSError):  # no memory controller: then nobody is killed for memory
                self.watch = OomWatch(self.group)
        for tell in self.on_begin:
            tell(self.group)

    def end(self, result: Result, main: int = 0) -> None:
        """Tell `result` what the counters say, while the group is still there.

        `main` is the process whose status the result has, 0 where its number is not known.
        """
        if self.watch is not None:
            self.watch.close()
            self.watch = None
        if self._before is not None and self.group.exists():
            result.limits = self.cell.limits
            result.pid = main if numbers_as_we() else 0
            result.oom = report(self.group, self._before)
            if result.forks_refused:
                result.pids = next(iter(self.group.limits([BY_KEY["pids"]])), None)
            for tell in self.on_end:
                tell()


class Groups:
    """Of one kernel.  `live` has those of cells and boxes that are there now, by name."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.places = Places(noted=partial(Noted, "leaf"))
        self.live: dict[str, LiveGroup] = {}

    def plan(
        self, name: str, limits: tuple[Limit, ...], *, strict: bool, dry: bool = False
    ) -> LiveGroup:
        """Return the group `name` with these limits and, unless `strict`, what they imply.

        No group is made yet; `dry`, nor is anything changed to have a place for it.  CgroupError
        where this machine or version of cgroups cannot have it.
        """
        place = self.places.find((limit.row for limit in limits), prepare=not dry)
        _refuse_swap_alone(limits, place)
        limits = tuple(map(_on_devices, limits if strict else _with_what_is_here(limits, place)))
        group = named_group(place, self.pid, name, [limit.row for limit in limits])
        cell = CellGroup(
            unified=None if group.v2 is None else str(group.v2),
            controllers=frozenset(c for c, version in place.controllers.items() if version == 2),
            v1=tuple((controller, str(path)) for controller, path in group.v1.items()),
            limits=limits,
            members=tuple(_members(place)),
        )
        return LiveGroup(cell, group, place.note)


def _with_what_is_here(limits: tuple[Limit, ...], place: Place) -> tuple[Limit, ...]:
    """Add what is implied, as far as this machine can have it."""
    return tuple(
        limit
        for limit in with_implied(limits)
        if not limit.implied or (place.has(limit.row) and _counts_swap(place))
    )


def _refuse_swap_alone(limits: tuple[Limit, ...], place: Place) -> None:
    """CgroupError where swap is to be limited without memory: cgroup v1 counts their sum."""
    said = [limit for limit in limits if limit.key == "swap" and not limit.implied]
    alone = said and said[0].value is not None and values_of(limits).get("mem") is None
    if alone and "memory" in place.v1:
        raise CgroupError(
            f"{said[0]} needs a limit of memory here: cgroup v1 limits memory and swap together",
            hint=f"%%cgroup mem=64M {said[0]}",
        )


def _counts_swap(place: Place) -> bool:
    memory = place.v1.get("memory")
    if memory is not None:
        return (memory / "memory.memsw.limit_in_bytes").exists()
    return Path("/proc/swaps").exists()  # CONFIG_SWAP: then every group has memory.swap.max


def _on_devices(limit: Limit) -> Limit:
    if limit.key != "io":
        return limit
    return replace(limit, value=tuple(map(resolved, limit.value)))


def _members(place: Place) -> Iterator[tuple[str, str]]:
    cpuset = place.v1.get("cpuset")
    if cpuset is not None:
        for file in MEMBERS:
            yield file, (cpuset / file).read_text().strip()


def _new_groups() -> Groups:
    atexit.register(close_groups)  # in a forked cell too, which inherits none of these
    return Groups()


_groups: Final = OnePerProcess(_new_groups)


def groups() -> Groups:
    """Return those of this process."""
    return _groups()


def close_groups() -> None:
    """Put back what this process changed to have places for groups."""
    if (own := _groups.take()) is not None:
        own.places.close()
