"""Sizes in bytes: `64M`, `64MiB` and `67108864` are the same; what is ambiguous is refused."""

from __future__ import annotations

import re
from typing import Final

_STEPS: Final = "KMGTPE"


def read_size(text: str) -> int | None:
    """Return bytes: `64M`, `64MiB` and `67108864` are the same; 1024-based, either case."""
    if text == "max":
        return None
    # No more digits than 8 EiB have before and a byte of it behind the point, with room to spare.
    found = re.fullmatch(r"([0-9]{1,99}(?:\.[0-9]{1,99})?) ?([A-Za-z]*)", text, re.ASCII)
    if found is None:
        raise ValueError("is not a size: a number of bytes, or with K, M, G or T, or max")
    factor = _factor(found[1], found[2])
    whole, _, part = found[1].partition(".")
    size, rest = divmod(int(whole + part) * factor, int(10 ** len(part)))
    if rest:
        raise ValueError("is not a whole number of bytes")
    if size >= 1 << 63:
        raise ValueError("is more than 8 EiB; max lifts the limit")
    return size


def _factor(number: str, unit: str) -> int:
    letter, rest = unit[:1].upper(), unit[1:]
    if not unit or unit.upper() == "B":
        return 1
    if letter not in _STEPS or rest.lower() not in {"", "ib", "b"}:
        raise ValueError(f"has no unit of this name: K, M, G and T, not {unit}")
    power = _STEPS.index(letter) + 1
    if rest == "b":
        raise ValueError(f"is in bits or in bytes?  Write {number}{letter} for {number} {letter}iB")
    if rest == "B":
        raise ValueError(
            f"is {number} x 1000^{power} or {number} x 1024^{power} bytes?  Write {number}{letter} "
            f"or {number}{letter}iB for the second, a bare number of bytes for the first"
        )
    return int(1024**power)


def show_size(size: int | None) -> str:
    """Return a size as short as it can be exactly: `64M`, `100K`, `1023`, `max`."""
    if size is None:
        return "max"
    power = 0
    while size and size % 1024 == 0 and power < len(_STEPS):
        size, power = size // 1024, power + 1
    return f"{size}{_STEPS[power - 1] if power else ''}"


def human_size(size: float | None) -> str:
    """Return a size for a person, three digits and a unit: `64 MiB`, `63.9 MiB`, `max`."""
    if size is None:
        return "max"
    power = 0
    while abs(size) >= 1024 and power < len(_STEPS):
        size, power = size / 1024, power + 1
    unit = f"{_STEPS[power - 1]}iB" if power else "B"
    return f"{size:.0f} {unit}" if size == round(size) or size >= 100 else f"{size:.3g} {unit}"
