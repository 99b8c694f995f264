"""The rows of LIMITS without a short key: less usual limits, and those of cgroup v1 alone."""

from __future__ import annotations

from typing import Final

from nsmagic.wish.limits.row import Row, least
from nsmagic.wish.limits.sides import (
    BYTES_V1,
    EXCLUSIVE,
    IO_WEIGHT,
    OOM_CONTROL,
    plain,
)
from nsmagic.wish.limits.units import (
    CLASS_ID,
    COUNT,
    MICROSECONDS,
    PARTITION,
    SIZE,
    SWITCH,
    TEXT,
    WEIGHT,
)

_BPF = "on cgroup v2 a BPF program of type cgroup_device decides; systemd's DeviceAllow= loads one"
_NFTABLES = (
    "on cgroup v2 nft and iptables match the group's path (socket cgroupv2, -m cgroup --path)"
)
_NO_SLOWING = "cgroup v1 has no limit that slows down: give swap="
_KERNEL = "on cgroup v2 mem= counts this memory too"

RARE: Final[tuple[Row, ...]] = (
    Row(
        key="memory.min", unit=SIZE, meaning="memory that is never taken away",
        v2=plain("memory.min", SIZE, default=0), instead="cgroup v1 protects no memory: memlow=",
    ),
    Row(
        key="memory.swap.high", unit=SIZE, meaning="swap above which processes are slowed",
        v2=plain("memory.swap.high", SIZE), instead=_NO_SLOWING, tightest=least,
    ),
    Row(
        key="memory.zswap.max", unit=SIZE, meaning="compressed swap in memory, zswap",
        v2=plain("memory.zswap.max", SIZE), instead="cgroup v1 does not count it: give mem=",
        tightest=least,
    ),
    Row(
        key="cpu.idle", unit=SWITCH, meaning="1: run only when no other group wants the CPU",
        v2=plain("cpu.idle", SWITCH, default=False), v1=plain("cpu.idle", SWITCH, default=False),
    ),
    Row(
        key="cpu.max.burst", unit=MICROSECONDS, meaning="µs of CPU time that may be saved up",
        v2=plain("cpu.max.burst", MICROSECONDS, default=0),
        v1=plain("cpu.cfs_burst_us", MICROSECONDS, default=0),
    ),
    Row(
        key="cpuset.cpus.partition", unit=PARTITION,
        meaning="root or isolated: CPUs that no other group may use",
        v2=plain("cpuset.cpus.partition", PARTITION, default="member"),
        v1=plain("cpuset.cpu_exclusive", PARTITION, scale=EXCLUSIVE, default="member"),
    ),
    Row(
        key="io.weight", unit=WEIGHT, meaning="share of the disks, against sibling groups",
        v2=plain("io.weight", WEIGHT, scale=IO_WEIGHT, default=100.0),
        v1=plain("blkio.bfq.weight", WEIGHT, scale=IO_WEIGHT, default=100.0),
    ),
    *(
        Row(
            key=f"hugetlb.{size}.max", unit=SIZE, meaning=f"memory in huge pages of {size}",
            v2=plain(f"hugetlb.{size}.max", SIZE),
            v1=plain(f"hugetlb.{size}.limit_in_bytes", SIZE, scale=BYTES_V1), tightest=least,
        )
        for size in ("2MB", "1GB")
    ),
    Row(
        key="memory.swappiness", unit=COUNT, meaning="how readily memory is swapped, 0 to 200",
        v1=plain("memory.swappiness", COUNT, default=60),
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
    *(
        Row(
            key=file, unit=SIZE, meaning=f"memory that Linux uses for {what}", instead=_KERNEL,
            v1=plain(file, SIZE, scale=BYTES_V1), tightest=least,
        )
        for file, what in (
            ("memory.kmem.limit_in_bytes", "the group"),
            ("memory.kmem.tcp.limit_in_bytes", "buffers of TCP"),
        )
    ),
    *(
        Row(
            key=file, unit=MICROSECONDS, meaning=f"{what} of real-time processes, µs",
            v1=plain(file, MICROSECONDS, default=default),
            instead="on cgroup v2 real-time processes must be in the root group",
        )
        for file, what, default in (
            ("cpu.rt_runtime_us", "CPU time", 0),
            ("cpu.rt_period_us", "the period", 1_000_000),
        )
    ),
)  # fmt: skip
