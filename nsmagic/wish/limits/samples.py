"""Samples of a group and what is computed from them: rates, columns, the last value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nsmagic.wish.limits.metrics import METRIC
from nsmagic.wish.limits.sizes import human_size


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What a group told at one moment: `at` in seconds of CLOCK_MONOTONIC, values by metric name.

    A value is in the metric's unit; None where this machine has not got it.
    """

    at: float
    values: Mapping[str, float | None]

    def __getitem__(self, name: str) -> float | None:
        """Return a value; None also where it was not sampled.  KeyError for no metric's name."""
        METRIC[name]
        return self.values.get(name)

    def shown(self, name: str) -> str:
        """Return a value with its unit for a person, `12.5 MiB` or `0.25 s`; "-" for None."""
        value, unit = self[name], METRIC[name].unit
        if value is None:
            return "-"
        if unit == "bytes":
            return human_size(value)
        return f"{value:.3g} s" if unit == "s" else f"{value:.0f}"

    def __str__(self) -> str:
        have = [name for name, value in self.values.items() if value is not None]
        return "\n".join(f"{name} {self.shown(name)}" for name in have)


def rates(before: Sample, after: Sample) -> dict[str, float | None]:
    """Return, by name, what the cumulative metrics grew a second, in their `rate_unit`.

    None where a value is missing, no time passed, or the counter began anew.
    """
    seconds = after.at - before.at
    found: dict[str, float | None] = {}
    for name, now in after.values.items():
        if METRIC[name].cumulative:
            then = before.values.get(name)
            grown = None if now is None or then is None or seconds <= 0 else now - then
            found[name] = None if grown is None or grown < 0 else grown / seconds
    return found


def columns(samples: Sequence[Sample]) -> dict[str, list[float | None]]:
    """Return lists of equal length for a plot of one's own: `seconds` since the first, and values.

    Cumulative metrics come also as rates, under `NAME/s`; the first of these is None.
    """
    names = list(dict.fromkeys(name for sample in samples for name in sample.values))
    found: dict[str, list[float | None]] = {
        "seconds": [sample.at - samples[0].at for sample in samples]
    }
    for name in names:
        found[name] = [sample.values.get(name) for sample in samples]
    steps = [rates(a, b) for a, b in pairwise(samples)]
    for name in names:
        if METRIC[name].cumulative:
            found[f"{name}/s"] = [None, *(step.get(name) for step in steps)]
    return found
