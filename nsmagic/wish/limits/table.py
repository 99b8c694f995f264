"""LIMITS: the one table of what a cgroup can limit, with the files of cgroup v2 and v1.

Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of Linux.
"""

from __future__ import annotations

from typing import Final

from nsmagic.wish.limits.devices import IO
from nsmagic.wish.limits.rare import RARE
from nsmagic.wish.limits.row import Row, least, least_cpu
from nsmagic.wish.limits.sides import (
    BYTES_V1,
    CPU_V1,
    CPU_V2,
    IO_V1,
    IO_V2,
    MEMBERS,
    MEMORY_V1,
    SHARES_V1,
    SWAP_V1,
    WEIGHT_V2,
    plain,
)
from nsmagic.wish.limits.units import (
    COUNT,
    CPU,
    LIST,
    SIZE,
    SWITCH,
    WEIGHT,
)

LIMITS: Final[tuple[Row, ...]] = (
    Row(
        key="mem", unit=SIZE, meaning="memory, page cache included; above it the OOM killer comes",
        v2=plain("memory.max", SIZE), v1=plain(MEMORY_V1, SIZE, scale=BYTES_V1), tightest=least,
    ),
    Row(
        key="memhigh", unit=SIZE, meaning="memory above which processes are slowed and reclaimed",
        v2=plain("memory.high", SIZE), instead="cgroup v1 has only the limit that kills, mem=",
        tightest=least,
    ),
    Row(
        key="memlow", unit=SIZE, meaning="memory that is taken last when the machine runs short",
        # The pair that runc and crun take for docker run --memory-reservation.
        v2=plain("memory.low", SIZE, default=0),
        v1=plain("memory.soft_limit_in_bytes", SIZE, scale=BYTES_V1),
    ),
    Row(
        key="swap", unit=SIZE, meaning="swap space; v1 counts memory and swap together",
        v2=plain("memory.swap.max", SIZE), v1=SWAP_V1, tightest=least,
    ),
    Row(
        key="oomgroup", unit=SWITCH, meaning="out of memory: 1 kills the whole group, not one",
        v2=plain("memory.oom.group", SWITCH, default=False),
        instead="cgroup v1 kills one process: nsmagic kills the others when that happened",
        emulated=True,
    ),
    Row(
        key="cpu", unit=CPU, meaning="CPU time, in CPUs: 50% is half of one, 200% is two",
        v2=CPU_V2, v1=CPU_V1, tightest=least_cpu,
    ),
    Row(
        key="weight", unit=WEIGHT,
        meaning="share of CPU time, against sibling groups, while it is scarce",
        v2=plain("cpu.weight", WEIGHT, scale=WEIGHT_V2, default=100.0),
        v1=plain("cpu.shares", WEIGHT, scale=SHARES_V1, default=100.0),
    ),
    Row(
        key="pids", unit=COUNT, meaning="processes and threads; above it fork(2) says EAGAIN",
        v2=plain("pids.max", COUNT), v1=plain("pids.max", COUNT), tightest=least,
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
        key="io", unit=IO,
        meaning="of a block device: rbps, wbps bytes and riops, wiops a second (v1: direct ones)",
        v2=IO_V2, v1=IO_V1, repeats=True,
    ),
    *RARE,
)  # fmt: skip

BY_KEY: Final = {row.key: row for row in LIMITS}
BY_NAME: Final = {name: row for row in LIMITS for name in row.names}
