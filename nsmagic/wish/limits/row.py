"""One row of LIMITS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nsmagic.wish.limits.sides import Side
from nsmagic.wish.limits.units import CpuQuota, Unit


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that can be limited.

    `key` is the short spelling, or the file name where there is no short one.  `v2` and `v1` are
    None where that version cannot do it, and then `instead` says what took its place.  `repeats`:
    several may be given (one a device), the value of the row is a tuple.  `tightest` picks, of
    the values of a group and its ancestors, the one that binds; None where values do not add up.
    `emulated`: what the version that lacks it does not do, nsmagic does.
    """

    key: str
    unit: Unit
    meaning: str
    v2: Side | None = None
    v1: Side | None = None
    instead: str = ""
    repeats: bool = False
    tightest: Callable[[list[Any]], Any] | None = None
    emulated: bool = False

    @property
    def names(self) -> Mapping[str, Callable[[str], Any]]:
        """Every spelling of the key, the short one first, with the reader of its text."""
        found: dict[str, Callable[[str], Any]] = {self.key: self.unit.read}
        for side in (self.v2, self.v1):
            for name, read in {} if side is None else side.names.items():
                # The same name in both versions is read as v2 reads it.
                found.setdefault(name, read)
        return found

    def side(self, version: int) -> Side | None:
        """Return the files of cgroup version 1 or 2; None where it has none."""
        return {1: self.v1, 2: self.v2}[version]


def least(values: list[int | None]) -> int | None:
    """Return the smallest limit; None, no limit, if none of them is one."""
    return min((value for value in values if value is not None), default=None)


def least_cpu(values: list[CpuQuota]) -> CpuQuota:
    """Return the quota with the least CPU time for its period."""
    return min(values, key=lambda value: value.cpus)
