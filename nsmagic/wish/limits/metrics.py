"""METRICS: the one table of what a cgroup tells of itself, with the fields of cgroup v2 and v1."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

PLOTS: Final = ("mem", "cpu", "pids", "io", "psi")

Reader = Callable[[bytes], float | None]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a value is read: a file, the field in it as the documentation calls it, and how.

    `read` gets the whole text of the file and returns the value in the metric's unit; None where
    this Linux does not have the field.
    """

    file: str
    field: str
    read: Reader

    @property
    def controller(self) -> str:
        """What stands before the first dot: the v1 controller whose directory has the file."""
        return self.file.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One value.  `unit` is bytes, s or a count; a `cumulative` one only grows, so show its rate.

    `rate_unit` is what its rate is in: CPUs for CPU seconds a second, a part of the time for
    pressure.  `default` marks what the graphs of its plot show.  Where v1 counts in two files,
    `v1_too` is the second, to be added.
    """

    name: str
    plot: str
    unit: str
    meaning: str
    v2: Source | None = None
    v1: Source | None = None
    v1_too: Source | None = None
    cumulative: bool = False
    rate_unit: str = ""
    default: bool = False

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where it is read, cgroup v2 first."""
        return tuple(source for source in (self.v2, self.v1) if source is not None)


def _number(file: str, scale: float = 1) -> Source:
    """Return a source for a file that holds one number."""

    def read(text: bytes) -> float | None:
        return None if text.startswith(b"max") else int(text) * scale

    return Source(file=file, field="", read=read)


def _flat(file: str, field: str, scale: float = 1) -> Source:
    """Return a source for a line "FIELD NUMBER" among others."""
    first, later = f"{field} ".encode(), f"\n{field} ".encode()

    def read(text: bytes) -> float | None:
        if text.startswith(first):
            start = len(first)
        else:
            start = text.find(later)
            if start < 0:
                return None
            start += len(later)
        end = text.find(b"\n", start)
        return int(text[start : end if end >= 0 else None]) * scale

    return Source(file=file, field=field, read=read)


def _devices(file: str, field: str, pattern: bytes) -> Source:
    """Return a source that adds up a field of all devices; device mappers count twice."""
    find = re.compile(pattern, re.MULTILINE).findall
    return Source(file=file, field=field, read=lambda text: sum(map(int, find(text))))


def _io(field: str) -> Source:
    return _devices("io.stat", field, rb"\b%s=(\d+)" % field.encode())


def _blkio(file: str, operation: str) -> Source:
    return _devices(
        f"blkio.throttle.{file}_recursive", operation,
        rb"^\d+:\d+ %s (\d+)$" % operation.encode(),
    )  # fmt: skip


def _pressure(resource: str, kind: str) -> Source:
    find = re.compile(rb"^%s .*total=(\d+)" % kind.encode(), re.MULTILINE).search

    def read(text: bytes) -> float | None:
        found = find(text)
        return None if found is None else int(found[1]) * 1e-6

    return Source(file=f"{resource}.pressure", field=f"{kind} total", read=read)


_MICRO, _NANO = 1e-6, 1e-9
METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        name="mem.current", plot="mem", unit="bytes", default=True,
        meaning="memory that is charged to the group, page cache included",
        v2=_number("memory.current"), v1=_number("memory.usage_in_bytes"),
    ),
    Metric(
        name="mem.peak", plot="mem", unit="bytes", meaning="the most that it ever was",
        v2=_number("memory.peak"),  # Linux 5.19
        v1=_number("memory.max_usage_in_bytes"),
    ),
    Metric(
        name="mem.anon", plot="mem", unit="bytes", default=True,
        meaning="memory of the processes themselves: heaps, stacks",
        v2=_flat("memory.stat", "anon"), v1=_flat("memory.stat", "total_rss"),
    ),
    Metric(
        name="mem.file", plot="mem", unit="bytes", default=True,
        meaning="page cache of files; most of it goes when memory runs short",
        v2=_flat("memory.stat", "file"), v1=_flat("memory.stat", "total_cache"),
    ),
    Metric(
        name="mem.shmem", plot="mem", unit="bytes",
        meaning="part of mem.file that cannot go: tmpfs and shared memory",
        v2=_flat("memory.stat", "shmem"), v1=_flat("memory.stat", "total_shmem"),
    ),
    Metric(
        name="mem.kernel", plot="mem", unit="bytes", meaning="memory that Linux uses for the group",
        v2=_flat("memory.stat", "kernel"),  # Linux 5.18
        v1=_number("memory.kmem.usage_in_bytes"),
    ),
    Metric(
        name="mem.swap", plot="mem", unit="bytes", meaning="what was swapped out",
        v2=_number("memory.swap.current"), v1=_flat("memory.stat", "total_swap"),
    ),
    Metric(
        name="mem.faults", plot="mem", unit="count", cumulative=True, rate_unit="1/s",
        meaning="pages that had to be read from a disk",
        v2=_flat("memory.stat", "pgmajfault"), v1=_flat("memory.stat", "total_pgmajfault"),
    ),
    Metric(
        name="mem.max_hits", plot="mem", unit="count", cumulative=True, rate_unit="1/s",
        default=True, meaning="how often the limit was hit",
        v2=_flat("memory.events", "max"), v1=_number("memory.failcnt"),
        # Where swap is forbidden, the sum is what is hit, mem_cgroup_charge() in Linux.
        v1_too=_number("memory.memsw.failcnt"),
    ),
    Metric(
        name="mem.high_hits", plot="mem", unit="count", cumulative=True, rate_unit="1/s",
        meaning="how often memory.high slowed processes", v2=_flat("memory.events", "high"),
    ),
    Metric(
        name="mem.oom", plot="mem", unit="count", cumulative=True, rate_unit="1/s",
        meaning="how often memory could not be had", v2=_flat("memory.events", "oom"),
    ),
    Metric(
        name="mem.oom_kills", plot="mem", unit="count", cumulative=True, rate_unit="1/s",
        default=True, meaning="processes killed for lack of memory",
        v2=_flat("memory.events", "oom_kill"), v1=_flat("memory.oom_control", "oom_kill"),
    ),
    Metric(
        name="cpu.usage", plot="cpu", unit="s", cumulative=True, rate_unit="CPUs", default=True,
        meaning="CPU time used",
        v2=_flat("cpu.stat", "usage_usec", _MICRO), v1=_number("cpuacct.usage", _NANO),
    ),
    Metric(
        name="cpu.user", plot="cpu", unit="s", cumulative=True, rate_unit="CPUs", default=True,
        meaning="CPU time in programs",
        v2=_flat("cpu.stat", "user_usec", _MICRO), v1=_number("cpuacct.usage_user", _NANO),
    ),
    Metric(
        name="cpu.system", plot="cpu", unit="s", cumulative=True, rate_unit="CPUs",
        meaning="CPU time in Linux",
        v2=_flat("cpu.stat", "system_usec", _MICRO), v1=_number("cpuacct.usage_sys", _NANO),
    ),
    Metric(
        name="cpu.periods", plot="cpu", unit="count", cumulative=True, rate_unit="1/s",
        meaning="periods in which the group had something to do",
        v2=_flat("cpu.stat", "nr_periods"), v1=_flat("cpu.stat", "nr_periods"),
    ),
    Metric(
        name="cpu.throttled", plot="cpu", unit="count", cumulative=True, rate_unit="1/s",
        default=True, meaning="periods whose quota was used up before their end",
        v2=_flat("cpu.stat", "nr_throttled"), v1=_flat("cpu.stat", "nr_throttled"),
    ),
    Metric(
        name="cpu.throttled_time", plot="cpu", unit="s", cumulative=True, rate_unit="CPUs",
        meaning="time spent waiting for the next period, summed over CPUs",
        v2=_flat("cpu.stat", "throttled_usec", _MICRO),
        v1=_flat("cpu.stat", "throttled_time", _NANO),
    ),
    Metric(
        name="pids.current", plot="pids", unit="count", default=True,
        meaning="processes and threads",
        v2=_number("pids.current"), v1=_number("pids.current"),
    ),
    Metric(
        name="pids.peak", plot="pids", unit="count", meaning="the most that there ever were",
        v2=_number("pids.peak"),  # Linux 6.6
        v1=_number("pids.peak"),
    ),
    Metric(
        name="pids.max_hits", plot="pids", unit="count", cumulative=True, rate_unit="1/s",
        default=True, meaning="how often fork(2) was refused",
        v2=_flat("pids.events", "max"), v1=_flat("pids.events", "max"),
    ),
    *(
        Metric(
            name=f"io.{name}", plot="io", unit=unit, cumulative=True, rate_unit=f"{rate}/s",
            default=unit == "bytes", meaning=meaning, v2=_io(name), v1=_blkio(file, operation),
        )
        for name, unit, rate, meaning, file, operation in (
            ("rbytes", "bytes", "B", "bytes read from disks", "io_service_bytes", "Read"),
            ("wbytes", "bytes", "B", "bytes written to disks", "io_service_bytes", "Write"),
            ("rios", "count", "1", "reads of disks", "io_serviced", "Read"),
            ("wios", "count", "1", "writes to disks", "io_serviced", "Write"),
        )
    ),
    *(
        Metric(
            name=f"psi.{resource}.{kind}", plot="psi", unit="s", cumulative=True,
            rate_unit="of the time", default=kind == "some", v2=_pressure(resource, kind),
            meaning=f"time in which {whom} waited for {what}",
        )
        for resource, what in (("cpu", "a CPU"), ("memory", "memory"), ("io", "a disk"))
        for kind, whom in (("some", "a process"), ("full", "every process"))
    ),
)  # fmt: skip
METRIC: Final = {row.name: row for row in METRICS}
