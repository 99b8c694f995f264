"""FIELDS: the one table of what a cgroup graph draws, each line with its panel, unit and role."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nsmagic.wish.limits import METRIC, CpuQuota, Sample

NAN: Final = math.nan


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What is known of a group at one moment, besides its Sample.

    `limits` holds values by key of LIMITS, `processes` what runs by PID; `frozen` is None where
    this machine cannot freeze.
    """

    sample: Sample
    limits: Mapping[str, Any]
    processes: Mapping[int, str]
    frozen: bool | None = None


Growth = Mapping[str, float | None]
Read = Callable[[Reading, Growth], float | None]


@dataclass(frozen=True, kw_only=True)
class Field:
    """One line.  `role`: `stack` areas lie on each other, `area` and `line` stand for themselves,
    `limit` and `peak` are thin lines across, `shade` colours the background by a share from 0 to 1.

    `colour` is a number of the palette; `key` the limit that a control can move.
    """

    name: str
    plot: str
    label: str
    unit: str
    role: str
    colour: int
    read: Read
    key: str = ""
    meaning: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """What the front end is told."""
        return {
            "name": self.name, "plot": self.plot, "label": self.label, "unit": self.unit,
            "role": self.role, "colour": self.colour, "meaning": self.meaning,
        }  # fmt: skip


def _value(name: str) -> Read:
    return lambda reading, _: reading.sample.values.get(name)


def _rate(name: str) -> Read:
    return lambda _, growth: growth.get(name)


def _cache(reading: Reading, _: Growth) -> float | None:
    """Return the page cache without what is part of it and cannot go."""
    file, shmem = reading.sample.values.get("mem.file"), reading.sample.values.get("mem.shmem")
    return file if file is None or shmem is None else max(0.0, file - shmem)


def _throttled(_: Reading, growth: Growth) -> float | None:
    """Return the share of the periods whose quota was used up before their end."""
    periods, throttled = growth.get("cpu.periods"), growth.get("cpu.throttled")
    if throttled is None or periods is None:
        return None
    return min(1.0, throttled / periods) if periods else 0.0


def _limit(key: str) -> Read:
    def read(reading: Reading, _: Growth) -> float | None:
        value = reading.limits.get(key)
        if isinstance(value, CpuQuota):
            return None if value.quota is None else value.cpus
        return None if value is None else float(value)

    return read


def _field(name: str, label: str, role: str, colour: int, read: Read | None = None, *,
           unit: str = "", key: str = "") -> Field:  # fmt: skip
    metric = METRIC.get(name)
    units = {"bytes": "bytes", "count": "count"}
    if metric is not None and metric.cumulative:
        units = {"bytes": "B/s", "s": "CPUs" if metric.plot == "cpu" else "share"}
    return Field(
        name=name, plot=name.partition(".")[0], label=label, role=role, colour=colour, key=key,
        unit=unit or ("count" if metric is None else units[metric.unit]),
        read=read or (_rate(name) if metric is not None and metric.cumulative else _value(name)),
        meaning="" if metric is None else metric.meaning,
    )  # fmt: skip


FIELDS: Final[tuple[Field, ...]] = (
    _field("mem.anon", "anon", "stack", 2),
    _field("mem.shmem", "shmem", "stack", 6),
    _field("mem.file", "file", "stack", 3, _cache),
    _field("mem.kernel", "kernel", "stack", 5),
    _field("mem.peak", "peak", "peak", 0),
    _field("mem.high", "memory.high", "limit", 5, _limit("memhigh"), unit="bytes", key="memhigh"),
    _field("mem.max", "memory.max", "limit", 1, _limit("mem"), unit="bytes", key="mem"),
    _field("cpu.usage", "usage", "area", 2),
    _field("cpu.throttled", "throttled", "shade", 5, _throttled, unit="share"),
    _field("cpu.max", "cpu.max", "limit", 1, _limit("cpu"), unit="CPUs", key="cpu"),
    _field("pids.current", "processes and threads", "area", 4),
    _field("pids.max", "pids.max", "limit", 1, _limit("pids"), key="pids"),
    _field("io.rbytes", "read", "line", 2),
    _field("io.wbytes", "written", "line", 1),
    _field("psi.cpu.some", "cpu some", "line", 2),
    _field("psi.memory.some", "memory some", "line", 1),
    _field("psi.memory.full", "memory full", "line", 4),
    _field("psi.io.some", "io some", "line", 3),
    _field("psi.io.full", "io full", "line", 5),
)
TITLES: Final = {
    "mem": "Memory", "cpu": "CPU", "pids": "Processes", "io": "Disks", "psi": "Pressure",
}  # fmt: skip
