"""The units of limits: how a value is read as a person types it, and how it is shown again.

A reader gets the text and raises ValueError with the reason, a phrase that goes on where the text
stops: "'64MB' " + "is 64,000,000 bytes or ...".  None is `max`, no limit, in every unit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from nsmagic.wish.limits.sizes import read_size, show_size

PERIOD: Final = 100_000  # µs, what Linux starts with
_PERIODS: Final = range(1_000, 1_000_001)  # µs; sched-bwc.rst, max_cfs_runtime in Linux
SHARES: Final = (2, 1 << 18)  # MIN_SHARES and MAX_SHARES in kernel/sched/sched.h
WEIGHTS: Final = (1, 10_000)  # cgroup-v2.rst, "cpu.weight"
_PAGE: Final = 4096  # bytes, the smallest page of any machine
_LARGEST_COUNT: Final = 1 << 22  # PID_MAX_LIMIT of 64-bit Linux
RATES: Final = ("rbps", "wbps", "riops", "wiops")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A kind of value.  `read` takes what is typed, `show` what `read` returned; both agree."""

    metavar: str
    example: str
    read: Callable[[str], Any]
    show: Callable[[Any], str]


@dataclass(frozen=True, kw_only=True)
class CpuQuota:
    """`quota` µs of CPU time in every `period` µs; None is no limit.  cpu.max, cgroup-v2.rst."""

    quota: int | None
    period: int = PERIOD

    @property
    def cpus(self) -> float:
        """How many whole CPUs that is; infinite without a limit."""
        return float("inf") if self.quota is None else self.quota / self.period


@dataclass(frozen=True, kw_only=True)
class DeviceRates:
    """The most that one block device may be read and written: bytes and operations a second.

    `device` is MAJOR:MINOR, a name as lsblk(8) prints it, or a path.  `rates` pairs each of RATES
    that was given with its value, None for `max`, in the order of RATES.
    """

    device: str
    rates: tuple[tuple[str, int | None], ...]


def read_count(text: str) -> int | None:
    """Return a number of processes; Linux has at most 4,194,304."""
    if text == "max":
        return None
    number = _whole(text)
    if number > _LARGEST_COUNT:
        raise ValueError(f"is more than the {_LARGEST_COUNT:,} that Linux can have; or max")
    return number


def _whole(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,19}", text) is None:
        raise ValueError("is not a whole number")
    return int(text)


def _show_count(number: int | None) -> str:
    return "max" if number is None else str(number)


def read_cpu(text: str) -> CpuQuota:
    """Return a quota: `50%` and `0.5` are half of one CPU, as with docker run --cpus."""
    if text == "max":
        return CpuQuota(quota=None)
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?|\.[0-9]{1,6})(%?)", text)
    if found is None:
        raise ValueError("is not a share of CPU time: 50%, 0.5 or max")
    cpus = float(found[1]) / (100 if found[2] else 1)
    # Linux takes no quota below 1 ms: a longer period makes a small share possible.
    for period in (PERIOD, _PERIODS[-1]):
        if round(cpus * period) >= _PERIODS[0]:
            return CpuQuota(quota=round(cpus * period), period=period)
    raise ValueError("is less than Linux can do, which is 1 ms of CPU time a second: 0.1%")


def read_cpu_max(text: str) -> CpuQuota:
    """Return what cpu.max takes: `50000 100000`, `50000`, `max`, `max 100000`; µs."""
    words = text.split()
    if not 1 <= len(words) <= 2:
        raise ValueError("is not of the form QUOTA PERIOD in µs, as in 50000 100000")
    period = read_period(words[1]) if len(words) == 2 else PERIOD
    return CpuQuota(quota=None if words[0] == "max" else read_quota(words[0]), period=period)


def read_quota(text: str) -> int | None:
    """Return a quota in µs; -1 is none, cpu.cfs_quota_us."""
    if text == "-1":
        return None
    quota = _whole(text)
    if quota < _PERIODS[0]:
        raise ValueError("is less than the 1000 µs that Linux takes as the least quota")
    return quota


def read_period(text: str) -> int:
    """Return a period in µs, from 1 ms to 1 s."""
    period = _whole(text)
    if period not in _PERIODS:
        raise ValueError("is not a period from 1000 to 1000000 µs")
    return period


def _show_cpu(value: CpuQuota) -> str:
    if value.quota is None:
        return "max" if value.period == PERIOD else f"max {value.period}"
    text = f"{value.cpus * 100:.3f}".rstrip("0").rstrip(".") + "%"
    exact = value.cpus < 10_000 and read_cpu(text) == value
    return text if exact else f"{value.quota} {value.period}"


def read_cpu_shown(text: str) -> CpuQuota:
    """Return what `cpu=` takes: a share, or the two numbers of cpu.max."""
    return read_cpu_max(text) if " " in text else read_cpu(text)


def between(least: int, most: int, what: str) -> Callable[[str], int]:
    """Return a reader of whole numbers in a range."""

    def read(text: str) -> int:
        number = _whole(text)
        if not least <= number <= most:
            raise ValueError(f"is not a {what} from {least} to {most}")
        return number

    return read


def weight_of_shares(shares: float) -> float:
    """Return the v2 weight of v1 shares: both start at their 100 %, which is 100 and 1024."""
    return shares * 100 / 1024


def shares_of_weight(weight: float) -> int:
    """Return v1 shares, rounded and kept within what Linux takes."""
    return min(max(round(weight * 1024 / 100), SHARES[0]), SHARES[1])


def read_shares(text: str) -> float:
    """Return cpu.shares on the scale of cpu.weight."""
    return weight_of_shares(between(*SHARES, "number of shares")(text))


def show_weight(weight: float) -> str:
    """Return a weight; with its fraction where it came from shares."""
    return f"{weight:.7g}"


def read_weight(text: str) -> float:
    """Return a weight of cgroup v2: 100 is what every group starts with."""
    if re.fullmatch(r"[0-9]{1,5}\.[0-9]{1,9}", text):  # shown of shares that are no whole weight
        weight = float(text)
        if weight_of_shares(SHARES[0]) - 1e-6 <= weight <= weight_of_shares(SHARES[1]):
            return weight_of_shares(shares_of_weight(weight))
    return float(between(*WEIGHTS, "weight")(text))


def read_list(text: str) -> frozenset[int]:
    """Return the numbers of a list as cpuset(7) writes it: `0-3,8`; never empty."""
    numbers: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,5})(?:-([0-9]{1,5}))?\s*", part)
        if found is None:
            raise ValueError("is not a list of numbers and ranges such as 0-3,8")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise ValueError(f"has a range that ends before it begins: {part.strip()}")
        numbers.update(range(first, last + 1))
    return frozenset(numbers)


def _read_members(text: str) -> frozenset[int] | None:
    return None if text == "max" else read_list(text)


def show_list(numbers: Iterable[int] | None) -> str:
    """Return numbers as the shortest list with ranges; `max` where none were chosen."""
    if numbers is None:
        return "max"
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)


def read_switch(text: str) -> bool:
    """Return a 0 or 1."""
    if text not in {"0", "1"}:
        raise ValueError("is neither 0 nor 1")
    return text == "1"


def read_pages(text: str) -> int | None:
    """Return bytes.  A bare number below a page is refused: Linux rounds down, here to nothing."""
    size = read_size(text)
    if size is not None and 0 < size < _PAGE and text.isdecimal():
        raise ValueError(f"is {size} bytes, less than a page: a unit is missing, as in 64M")
    return size


def _show_pages(size: int | None) -> str:
    """Return a size as `read_pages` takes it."""
    text = show_size(size)
    return f"{text}B" if size is not None and 0 < size < _PAGE and text.isdecimal() else text


SIZE = Unit(metavar="<size>", example="64M", read=read_pages, show=_show_pages)
COUNT = Unit(metavar="<number>", example="20", read=read_count, show=_show_count)
CPU = Unit(metavar="<percent>|<cpus>", example="50%", read=read_cpu_shown, show=_show_cpu)
WEIGHT = Unit(metavar="<weight>", example="100", read=read_weight, show=show_weight)
LIST = Unit(metavar="<list>", example="0-3,8", read=_read_members, show=show_list)
SWITCH = Unit(metavar="0|1", example="1", read=read_switch, show=lambda value: str(int(value)))


def _read_text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    if not text.isascii():
        raise ValueError("has characters that no file of a cgroup takes")
    return text.strip()


TEXT = Unit(metavar="<text>", example="c 1:3 rwm", read=_read_text, show=str)


def _read_class(text: str) -> int:
    found = re.fullmatch(r"0[xX]([0-9a-fA-F]{1,16})|([0-9]{1,16})", text)
    number = -1 if found is None else int(found[1], 16) if found[1] else int(found[2])
    if not 0 <= number < 1 << 32:
        raise ValueError("is not a number of 32 bits, as 0x10001 is for the class 1:1")
    return number


CLASS_ID = Unit(metavar="<number>", example="0x10001", read=_read_class, show=lambda n: f"{n:#x}")
MICROSECONDS = Unit(metavar="<µs>", example="10000", read=_whole, show=str)


def _read_partition(text: str) -> str:
    if text.split(" ", maxsplit=1)[0] not in PARTITIONS:  # Linux adds why it is "invalid"
        raise ValueError(f"is not one of {', '.join(PARTITIONS)}")
    return text


PARTITIONS: Final = ("member", "root", "isolated")
PARTITION = Unit(metavar="|".join(PARTITIONS), example="root", read=_read_partition, show=str)
