"""What one version of cgroups writes and reads for a limit: the cells of the table LIMITS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from nsmagic.wish.limits.devices import merge, read_io_max, read_throttle
from nsmagic.wish.limits.sizes import read_size
from nsmagic.wish.limits.units import (
    RATES,
    WEIGHTS,
    CpuQuota,
    DeviceRates,
    Unit,
    read_cpu_max,
    read_list,
    read_period,
    read_quota,
    read_shares,
    read_switch,
    read_weight,
    shares_of_weight,
    show_list,
)

_NAMES: Final = ("read_bps", "write_bps", "read_iops", "write_iops")
_THROTTLES: Final = {
    rate: f"blkio.throttle.{name}_device" for rate, name in zip(RATES, _NAMES, strict=True)
}
MEMORY_V1: Final = "memory.limit_in_bytes"
MEMSW: Final = "memory.memsw.limit_in_bytes"
QUOTA: Final = "cpu.cfs_quota_us"
PERIOD_V1: Final = "cpu.cfs_period_us"
_NO_LIMIT: Final = 1 << 62  # v1 reads "none" back as LONG_MAX rounded down to a page

Writes = tuple[tuple[str, str], ...]
Others = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Side:
    """The files of one version, all of one controller.

    `write` gives (file, text) pairs in the order in which they must be written; it is told the
    values of the other limits by key, `mem` above all.  `read` turns the texts of all `files` back
    into a value.  `default` is what a fresh group has.  `names` are the spellings that a person may
    use, each with the reader of its text.  A side that is not `readable` has
    files that Linux lets only be written, or that show more than was written.  `effective` is the
    file in which Linux says what really binds.
    """

    files: tuple[str, ...]
    write: Callable[[Any, Others], Writes]
    read: Callable[[Mapping[str, str]], Any]
    names: Mapping[str, Callable[[str], Any]]
    default: Any = None
    readable: bool = True
    effective: str = ""

    @property
    def controller(self) -> str:
        """The controller: what stands before the first dot."""
        return controller_of(self.files[0])


def controller_of(file: str) -> str:
    """Return the controller that a file of cgroupfs belongs to."""
    return file.partition(".")[0]


def plain(
    file: str,
    unit: Unit,
    *,
    default: Any = None,
    scale: Scale | None = None,
    readable: bool = True,
    effective: str = "",
) -> Side:
    """Return a side of one file whose text is the value, or another scale of it."""
    read = scale.read if scale else unit.read
    show = scale.show if scale else _text

    def write(value: Any, _: Others) -> Writes:
        return ((file, show(value)),)

    return Side(
        files=(file,), write=write, read=lambda texts: read(texts[file].strip()),
        names={file: read}, default=default, readable=readable,
        effective=effective,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How one file counts, where that is not how a person types the value."""

    read: Callable[[str], Any]
    show: Callable[[Any], str]


def _text(value: object) -> str:
    if value is None:
        return "max"
    return str(int(value)) if isinstance(value, int) else str(value)


def _read_bytes_v1(text: str) -> int | None:
    size = None if text == "-1" else read_size(text)
    return None if size is None or size >= _NO_LIMIT else size


def _show_bytes_v1(size: int | None) -> str:
    return "-1" if size is None else str(size)


BYTES_V1: Final = Scale(read=_read_bytes_v1, show=_show_bytes_v1)
SHARES_V1: Final = Scale(read=read_shares, show=lambda weight: str(shares_of_weight(weight)))
# Shares too few for a whole weight get the least that there is.
WEIGHT_V2: Final = Scale(
    read=read_weight, show=lambda weight: str(min(max(round(weight), WEIGHTS[0]), WEIGHTS[1]))
)
# An empty list is "those of the parent", cgroup-v2.rst, "cpuset.cpus".
MEMBERS: Final = Scale(
    read=lambda text: read_list(text) if text else None,
    show=lambda numbers: "" if numbers is None else show_list(numbers),
)
# "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", cgroup-v1/memory.rst
OOM_CONTROL: Final = Scale(
    read=lambda text: read_switch(text.split()[1] if " " in text else text), show=_text
)
EXCLUSIVE: Final = Scale(
    read=lambda text: "root" if read_switch(text) else "member",
    show=lambda value: "0" if value == "member" else "1",
)
# "default 100", then lines of single devices, cgroup-v2.rst "io.weight".
IO_WEIGHT: Final = Scale(
    read=lambda text: read_weight(text.split("\n")[0].removeprefix("default ")),
    show=lambda weight: str(min(max(round(weight), WEIGHTS[0]), WEIGHTS[1])),
)


def _write_memsw(swap: int | None, others: Others) -> Writes:
    mem = others.get("mem")
    return ((MEMSW, "-1" if swap is None or mem is None else str(mem + swap)),)


def _read_memsw(texts: Mapping[str, str]) -> int | None:
    both, mem = (_read_bytes_v1(texts[file].strip()) for file in (MEMSW, MEMORY_V1))
    return None if both is None or mem is None else both - mem


SWAP_V1: Final = Side(
    files=(MEMSW, MEMORY_V1), write=_write_memsw, read=_read_memsw, names={MEMSW: _read_bytes_v1}
)


def _write_cpu_max(value: CpuQuota, _: Others) -> Writes:
    quota = "max" if value.quota is None else value.quota
    return (("cpu.max", f"{quota} {value.period}"),)


CPU_V2: Final = Side(
    files=("cpu.max",), write=_write_cpu_max, read=lambda texts: read_cpu_max(texts["cpu.max"]),
    names={"cpu.max": read_cpu_max}, default=CpuQuota(quota=None),
)  # fmt: skip


def _write_cfs(value: CpuQuota, _: Others) -> Writes:
    # Without a quota first: Linux compares every pair that lies between with the parent's.
    lifted = ((QUOTA, "-1"), (PERIOD_V1, str(value.period)))
    return lifted if value.quota is None else (*lifted, (QUOTA, str(value.quota)))


CPU_V1: Final = Side(
    files=(QUOTA, PERIOD_V1), write=_write_cfs,
    read=lambda texts: CpuQuota(
        quota=read_quota(texts[QUOTA].strip()), period=read_period(texts[PERIOD_V1].strip())
    ),
    names={
        QUOTA: lambda text: CpuQuota(quota=read_quota(text)),
        PERIOD_V1: lambda text: CpuQuota(quota=None, period=read_period(text)),
    },
    default=CpuQuota(quota=None),
)  # fmt: skip


def _write_io_max(values: Sequence[DeviceRates], _: Others) -> Writes:
    return tuple(
        ("io.max", f"{value.device} " + " ".join(f"{n}={_text(r)}" for n, r in value.rates))
        for value in values
    )


def _read_io_max(texts: Mapping[str, str]) -> tuple[DeviceRates, ...]:
    return tuple(read_io_max(line) for line in texts["io.max"].splitlines())


IO_V2: Final = Side(
    files=("io.max",), write=_write_io_max, read=_read_io_max,
    names={"io.max": read_io_max}, default=(),
)  # fmt: skip


def _write_throttles(values: Sequence[DeviceRates], _: Others) -> Writes:
    return tuple(
        (_THROTTLES[name], f"{value.device} {rate or 0}")
        for value in values
        for name, rate in value.rates
    )


def _read_throttles(texts: Mapping[str, str]) -> tuple[DeviceRates, ...]:
    return merge(
        tuple(
            read_throttle(rate, line)
            for rate, file in _THROTTLES.items()
            for line in texts[file].splitlines()
        )
    )


IO_V1: Final = Side(
    files=tuple(_THROTTLES.values()), write=_write_throttles, read=_read_throttles,
    names={file: partial(read_throttle, rate) for rate, file in _THROTTLES.items()}, default=(),
)  # fmt: skip
