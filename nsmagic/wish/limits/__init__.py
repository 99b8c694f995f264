"""The two tables of cgroups, LIMITS and METRICS, and the values that go with them.

`parse_limits(["mem=64M", "cpu.shares=512"])` reads what a person types; each `Limit` knows its text
and its files in cgroup v2 and v1.  `nsmagic.linux.cgroups` writes and reads them.
"""

from nsmagic.wish.limits.devices import merge as merge_devices
from nsmagic.wish.limits.limit import (
    Limit,
    overridden,
    parse_limits,
    unite_limits,
    values_of,
    with_implied,
)
from nsmagic.wish.limits.metrics import METRIC, METRICS, PLOTS, Metric, Source
from nsmagic.wish.limits.row import Row
from nsmagic.wish.limits.samples import Sample, columns, rates
from nsmagic.wish.limits.sides import Side, controller_of
from nsmagic.wish.limits.sizes import human_size, show_size
from nsmagic.wish.limits.table import BY_KEY, BY_NAME, LIMITS
from nsmagic.wish.limits.units import CpuQuota, DeviceRates

__all__ = [
    "BY_KEY",
    "BY_NAME",
    "LIMITS",
    "METRIC",
    "METRICS",
    "PLOTS",
    "CpuQuota",
    "DeviceRates",
    "Limit",
    "Metric",
    "Row",
    "Sample",
    "Side",
    "Source",
    "columns",
    "controller_of",
    "human_size",
    "merge_devices",
    "overridden",
    "parse_limits",
    "rates",
    "show_size",
    "unite_limits",
    "values_of",
    "with_implied",
]
