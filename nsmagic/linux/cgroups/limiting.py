"""Limits of a group: written where this machine has them, read back, and what really binds."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nsmagic.linux.cgroups.devices import resolved
from nsmagic.linux.cgroups.remedies import missing_controller
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.limits import LIMITS, Limit, Row, Side, values_of
from nsmagic.wish.limits.sides import MEMORY_V1, MEMSW

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup

_NO_LIMIT_V1: Final = 1 << 62


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A limit as Linux has it.

    `value` is the group's own, `effective` what binds: the least of the group and the groups above
    it, of which `holder` is the one that has it.  `version` and `files` say where it was read.
    `note` says what the person should know, such as that the other version would do more.
    """

    row: Row
    value: Any
    effective: Any
    holder: Path | None
    version: int
    files: tuple[Path, ...]
    note: str = ""

    @property
    def limit(self) -> Limit:
        """The group's own value as a limit, which knows its text in both spellings."""
        return Limit(key=self.row.key, value=self.value)

    @property
    def is_default(self) -> bool:
        """Whether it is what every new group has."""
        side = self.row.side(self.version)
        return side is not None and self.value == side.default


def set_limits(group: Cgroup, limits: Sequence[Limit]) -> tuple[Reading, ...]:
    """Write limits to a group, read each back and return what Linux made of them.

    Raises CgroupError, naming the limit, where a controller is missing or Linux refuses; what was
    written before it stays.  An implied limit (no swap) is left out where Linux does not count it.
    """
    wanted = [_on_devices(limit) for limit in limits]
    others = _others(group, wanted)
    readings = []
    for limit in _with_memsw(group, wanted, others):
        place = _place(group, limit.row)
        if place is None and limit.implied:
            continue
        if place is None and limit.row.emulated:
            readings.append(_emulated(limit))
            continue
        if place is None:
            raise missing_controller(limit.row, group.missing)
        version, directory, side = place
        for file, text in _ordered(limit, directory, version, others):
            _write(limit, directory / file, text, group)
        if side.readable and limit in wanted:
            readings.append(_reading(limit.row, version, directory, side))
    return tuple(readings)


def read_limits(group: Cgroup, rows: Iterable[Row] = LIMITS) -> tuple[Reading, ...]:
    """Return those limits of a group that Linux has here and shows, also at their default."""
    found = []
    for row in rows:
        place = _place(group, row)
        if place is not None and place[2].readable:
            try:
                found.append(_reading(row, *place))
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:  # a file that is there for old programs only
                    raise
    return tuple(found)


def _on_devices(limit: Limit) -> Limit:
    if not limit.row.repeats:
        return limit
    return replace(limit, value=tuple(resolved(value) for value in limit.value))


def _emulated(limit: Limit) -> Reading:
    return Reading(
        row=limit.row, value=limit.value, effective=limit.value, holder=None, version=0, files=(),
        note=limit.row.instead,
    )  # fmt: skip


def _place(group: Cgroup, row: Row) -> tuple[int, Path, Side] | None:
    """Return the version, directory and side by which this group has a limit; None if by none."""
    for version, side in ((2, row.v2), (1, row.v1)):
        directory = None
        if side is not None:
            directory = group.v2 if version == 2 else group.v1.get(side.controller)
        if side is not None and directory is not None and (directory / side.files[0]).exists():
            return version, directory, side
    return None


def _others(group: Cgroup, limits: Iterable[Limit]) -> Mapping[str, Any]:
    """Return values by key, with the memory limit that v1's swap needs where it is not set now."""
    values = values_of(limits)
    memory = group.v1.get("memory")
    if "mem" not in values and memory is not None:
        values["mem"] = _number(memory / MEMORY_V1)
    return values


def _with_memsw(
    group: Cgroup, limits: Sequence[Limit], others: Mapping[str, Any]
) -> Sequence[Limit]:
    """Keep the swap that a group of v1 may use when only its memory changes: v1 counts the sum."""
    memory = group.v1.get("memory")
    if memory is None or "swap" in others or not any(limit.key == "mem" for limit in limits):
        return limits
    if not (memory / MEMSW).exists():
        return limits
    both, mem = _number(memory / MEMSW), _number(memory / MEMORY_V1)
    swap = None if both is None or mem is None else both - mem
    return [*limits, Limit(key="swap", value=swap, implied=True)]


def _number(file: Path) -> int | None:
    value = int(file.read_text())
    return None if value >= _NO_LIMIT_V1 else value


def _ordered(
    limit: Limit, directory: Path, version: int, others: Mapping[str, Any]
) -> Sequence[tuple[str, str]]:
    """Return what to write, and when: on v1 memory may never be above memory and swap together."""
    writes = limit.writes(version, others)
    if version == 1 and limit.key == "mem" and (directory / MEMSW).exists():
        both, mem = _number(directory / MEMSW), limit.value
        if both is not None and (mem is None or mem > both):
            # Raised to the sum first; what follows in LIMITS, swap, puts it where it belongs.
            return ((MEMSW, "-1"), *writes)
    return writes


def _write(limit: Limit, file: Path, text: str, group: Cgroup) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise CgroupError(
            f"{limit}: writing {text!r} to {file} failed: {error.strerror}",
            hint=_explained(limit, file, error.errno, group),
        ) from error


def _explained(limit: Limit, file: Path, number: int | None, group: Cgroup) -> str:
    controller = file.name.partition(".")[0]
    if number == errno.EBUSY and limit.key in {"mem", "swap"}:
        return "The group uses more than that already, and no more of it can be given back."
    if number in {errno.EACCES, errno.EPERM}:
        return f"{file} may not be written by you: the group above {group.name} decides."
    if number == errno.ENODEV:
        return f"The {controller} controller is not there for this device or this group any more."
    if number in {errno.EINVAL, errno.ERANGE, errno.EOPNOTSUPP}:
        return (
            f"Linux takes no such value here; the groups above may allow less: {file.parent.parent}"
        )
    if number == errno.ENOENT:
        return f"The group {group.name} is gone."
    return ""


def _reading(row: Row, version: int, directory: Path, side: Side) -> Reading:
    value = _value(directory, side)
    effective, holder = value, directory
    if row.tightest is not None:
        for above in _above(directory, side.files[0]):
            theirs = _value(above, side)
            if theirs != value and row.tightest([effective, theirs]) == theirs != effective:
                effective, holder = theirs, above
    if side.effective:
        effective = side.read({side.files[0]: (directory / side.effective).read_text()})
        holder = directory if effective == value else directory.parent
    return Reading(
        row=row, value=value, effective=effective, holder=holder, version=version,
        files=tuple(directory / file for file in side.files),
    )  # fmt: skip


def _value(directory: Path, side: Side) -> Any:  # noqa: ANN401
    return side.read({file: (directory / file).read_text() for file in side.files})


def _above(directory: Path, file: str) -> list[Path]:
    """Return the groups above that have the file: the root of a hierarchy of v2 has no limits."""
    found = []
    for above in directory.parents:
        if not (above / "cgroup.procs").exists():
            break
        if (above / file).exists():
            found.append(above)
    return found
