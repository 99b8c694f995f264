"""LIMITS: the one table of what a cgroup can limit, with the files of cgroup v2 and v1.

Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of Linux.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nsmagic.wish.limits.devices import IO
from nsmagic.wish.limits.sides import (
    BYTES_V1,
    CPU_V1,
    CPU_V2,
    IO_V1,
    IO_V2,
    MEMBERS,
    MEMORY_V1,
    OOM_CONTROL,
    SHARES_V1,
    SWAP_V1,
    WEIGHT_V2,
    Side,
    plain,
)
from nsmagic.wish.limits.units import (
    CLASS_ID,
    COUNT,
    CPU,
    LIST,
    SIZE,
    SWITCH,
    TEXT,
    WEIGHT,
    CpuQuota,
    Unit,
)


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


def _least(values: list[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _least_cpu(values: list[CpuQuota]) -> CpuQuota:
    return min(values, key=lambda value: value.cpus)


_BPF = "on cgroup v2 a BPF program of type cgroup_device decides; systemd's DeviceAllow= loads one"
_NFTABLES = (
    "on cgroup v2 nft and iptables match the group's path (socket cgroupv2, -m cgroup --path)"
)

LIMITS: Final[tuple[Row, ...]] = (
    Row(
        key="mem", unit=SIZE, meaning="memory, page cache included; above it the OOM killer comes",
        v2=plain("memory.max", SIZE), v1=plain(MEMORY_V1, SIZE, scale=BYTES_V1), tightest=_least,
    ),
    Row(
        key="memhigh", unit=SIZE, meaning="memory above which processes are slowed and reclaimed",
        v2=plain("memory.high", SIZE), instead="cgroup v1 has no limit that slows down: give mem=",
        tightest=_least,
    ),
    Row(
        key="memlow", unit=SIZE, meaning="memory that is taken last when the machine runs short",
        # The pair that runc and crun take for docker run --memory-reservation.
        v2=plain("memory.low", SIZE, default=0),
        v1=plain("memory.soft_limit_in_bytes", SIZE, scale=BYTES_V1),
    ),
    Row(
        key="memory.min", unit=SIZE, meaning="memory that is never taken away",
        v2=plain("memory.min", SIZE, default=0), instead="cgroup v1 protects no memory: memlow=",
    ),
    Row(
        key="swap", unit=SIZE, meaning="swap space; v1 counts memory and swap together",
        v2=plain("memory.swap.max", SIZE), v1=SWAP_V1, tightest=_least,
    ),
    Row(
        key="oomgroup", unit=SWITCH, meaning="out of memory: 1 kills the whole group, not one",
        v2=plain("memory.oom.group", SWITCH, default=False),
        instead="cgroup v1 kills one process: nsmagic kills the others when that happened",
        emulated=True,
    ),
    Row(
        key="cpu", unit=CPU, meaning="CPU time, in CPUs: 50% is half of one, 200% is two",
        v2=CPU_V2, v1=CPU_V1, tightest=_least_cpu,
    ),
    Row(
        key="weight", unit=WEIGHT,
        meaning="share of CPU time, against sibling groups, while it is scarce",
        v2=plain("cpu.weight", WEIGHT, scale=WEIGHT_V2, default=100.0),
        v1=plain("cpu.shares", WEIGHT, scale=SHARES_V1, default=100.0),
    ),
    Row(
        key="cpu.idle", unit=SWITCH, meaning="1: run only when no other group wants the CPU",
        v2=plain("cpu.idle", SWITCH, default=False), v1=plain("cpu.idle", SWITCH, default=False),
    ),
    Row(
        key="pids", unit=COUNT, meaning="processes and threads; above it fork(2) says EAGAIN",
        v2=plain("pids.max", COUNT), v1=plain("pids.max", COUNT), tightest=_least,
    ),
    Row(
        key="cpus", unit=LIST, meaning="the CPUs that may be used",
        v2=plain("cpuset.cpus", LIST, scale=MEMBERS, effective="cpuset.cpus.effective"),
        v1=plain("cpuset.cpus", LIST, scale=MEMBERS, effective="cpuset.effective_cpus"),
    ),
    Row(
        key="mems", unit=LIST, meaning="the memory nodes (NUMA) that may be used",
        v2=plain("cpuset.mems", LIST, scale=MEMBERS, effective="cpuset.mems.effective"),
        v1=plain("cpuset.mems", LIST, scale=MEMBERS, effective="cpuset.effective_mems"),
    ),
    Row(
        key="io", unit=IO, meaning="reads and writes of a block device a second (v1: direct ones)",
        v2=IO_V2, v1=IO_V1, repeats=True,
    ),
    Row(
        key="memory.swappiness", unit=COUNT, meaning="how readily memory is swapped, 0 to 200",
        v1=plain("memory.swappiness", COUNT),
        instead="on cgroup v2 there is none: swap= bounds it, vm.swappiness is the machine's",
    ),
    Row(
        key="memory.oom_control", unit=SWITCH, meaning="1: out of memory makes processes wait",
        v1=plain("memory.oom_control", SWITCH, scale=OOM_CONTROL, default=False),
        instead="on cgroup v2 memory.high slows processes instead: memhigh=",
    ),
    Row(
        key="devices.allow", unit=TEXT, meaning="device files that may be used: c 1:3 rwm",
        v1=plain("devices.allow", TEXT, readable=False), instead=_BPF,
    ),
    Row(
        key="devices.deny", unit=TEXT, meaning="device files that may not be used: a, c 1:3 rwm",
        v1=plain("devices.deny", TEXT, readable=False), instead=_BPF,
    ),
    Row(
        key="net_cls.classid", unit=CLASS_ID, meaning="the mark of packets for tc(8): 0x10001",
        v1=plain("net_cls.classid", CLASS_ID, default=0), instead=_NFTABLES,
    ),
    Row(
        key="net_prio.ifpriomap", unit=TEXT, meaning="the priority of packets, per link: eth0 5",
        v1=plain("net_prio.ifpriomap", TEXT, readable=False), instead=_NFTABLES,
    ),
)  # fmt: skip

BY_KEY: Final = {row.key: row for row in LIMITS}
BY_NAME: Final = {name: row for row in LIMITS for name in row.names}
