"""Limits of block devices: one device with up to four rates, in the spellings of both versions."""

from __future__ import annotations

import re
from typing import Final

from nsmagic.wish.limits.sizes import read_size, show_size
from nsmagic.wish.limits.units import RATES, DeviceRates, Unit

_FORM: Final = "is not of the form DEVICE:rbps=SIZE,wbps=SIZE,riops=NUMBER,wiops=NUMBER"
_DEVICE: Final = re.compile(r"[0-9]{1,4}:[0-9]{1,7}|/dev/[^\s:,=]+|[A-Za-z][\w.!-]*")


def read_io(text: str) -> DeviceRates:
    """Return what `io=` takes: `sda:wbps=1M`, `8:0:rbps=max,riops=100`."""
    head, equals, _ = text.partition("=")
    device, colon, first = head.rpartition(":")
    if not equals or not colon:
        raise ValueError(_FORM)
    pairs = (first + text[len(head) :]).split(",")
    return _rates(device, pairs)


def read_io_max(text: str) -> DeviceRates:
    """Return what io.max takes: `8:0 rbps=1048576 wiops=max`."""
    device, *pairs = text.split()
    if not pairs:
        raise ValueError("is not of the form MAJOR:MINOR rbps=BYTES wbps=BYTES riops=N wiops=N")
    return _rates(device, pairs)


def read_throttle(rate: str, text: str) -> DeviceRates:
    """Return what a file blkio.throttle.*_device takes: `8:0 1048576`; 0 lifts the limit."""
    words = text.split()
    if len(words) != 2:
        raise ValueError("is not of the form MAJOR:MINOR NUMBER")
    return _rates(words[0], [f"{rate}={'max' if words[1] == '0' else words[1]}"])


def _rates(device: str, pairs: list[str]) -> DeviceRates:
    if _DEVICE.fullmatch(device) is None:
        raise ValueError(f"names no block device: {device or 'nothing'} is none")
    found: dict[str, int | None] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if name not in RATES or not equals:
            raise ValueError(f"{_FORM}: {pair or 'nothing'} is none of these")
        if name in found:
            raise ValueError(f"has {name} twice")
        rate = read_size(value) if name.endswith("bps") else _operations(value)
        if rate == 0:
            raise ValueError(f"has {name}=0, which Linux does not take; the least is 1")
        found[name] = rate
    return DeviceRates(
        device=device, rates=tuple((name, found[name]) for name in RATES if name in found)
    )


def _operations(text: str) -> int | None:
    if text != "max" and re.fullmatch(r"[0-9]{1,18}", text) is None:
        raise ValueError("is not a whole number of operations a second, or max")
    return None if text == "max" else int(text)


def show_rate(name: str, rate: int | None) -> str:
    """Return a rate as `io=` takes it: bytes with a unit, operations plain."""
    return show_size(rate) if name.endswith("bps") or rate is None else str(rate)


def _show(value: DeviceRates) -> str:
    return f"{value.device}:" + ",".join(
        f"{name}={show_rate(name, rate)}" for name, rate in value.rates
    )


IO = Unit(
    metavar="<device>:<rate>=<number>[,...]",
    example="sda:wbps=1M", read=read_io, show=_show,
)  # fmt: skip


def merge(values: tuple[DeviceRates, ...]) -> tuple[DeviceRates, ...]:
    """Return one entry a device, its rates united; ValueError where a rate has two values."""
    by_device: dict[str, dict[str, int | None]] = {}
    for value in values:
        rates = by_device.setdefault(value.device, {})
        for name, rate in value.rates:
            if rates.setdefault(name, rate) != rate:
                raise ValueError(f"{name} of {value.device}")
    return tuple(
        DeviceRates(device=device, rates=tuple((n, rates[n]) for n in RATES if n in rates))
        for device, rates in by_device.items()
    )
