"""The cost of live graphs: 100 groups sampled ten times a second, in CPU time of the notebook.

Every group holds a process that works a little and has its memory and files charged, so that no
file stays as it is.  The bar: below 5 % of one core with every metric that the graphs show.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.report import Figure, publish
from nsmagic.linux.cgroups.group import Cgroup, make_group
from nsmagic.linux.cgroups.places import Places
from nsmagic.wish.limits import METRICS, Metric, parse_limits

GROUPS, TICK, TICKS, ROUNDS = 100, 0.1, 20, 5
BAR = 0.05
WORK = """
import os, time
while True:
    blob = bytearray(1 << 20)
    os.getpid()
    time.sleep(0.05)
"""


def fill(group: Cgroup) -> subprocess.Popen[bytes]:
    """Start a process that works a little in a group."""
    child = subprocess.Popen([sys.executable, "-S", "-c", WORK])
    group.add(child.pid)
    return child


def share(groups: Sequence[Cgroup], metrics: Sequence[Metric]) -> list[float]:
    """Return, for each round, the part of one core that sampling takes."""
    with ExitStack() as stack:
        samplers = [stack.enter_context(group.sampler(metrics)) for group in groups]
        found = []
        for _ in range(ROUNDS):
            spent = 0.0
            for _ in range(TICKS):
                began = time.thread_time()
                for sampler in samplers:
                    sampler.sample()
                spent += time.thread_time() - began
                time.sleep(TICK)
            found.append(spent / (TICKS * TICK))
    return found


def main() -> None:
    """Measure the metrics that graphs show, and all."""
    limits = parse_limits(["mem=64M", "pids=20", "cpu=50%"])
    rows = [limit.row for limit in limits]
    place = Places().find(rows)
    with ExitStack() as stack:
        groups = []
        for number in range(GROUPS):
            group = make_group(place, os.getpid(), f"bench-{number}", rows)
            stack.callback(group.remove)
            group.set(limits)
            stack.callback(fill(group).wait)
            stack.callback(group.kill)
            groups.append(group)
        shown = [metric for metric in METRICS if metric.default]
        figures = []
        for metrics, bar in ((shown, BAR), (METRICS, None)):
            name = f"{len(metrics)} metrics, " + ("those that graphs show" if bar else "all")
            taken = share(groups, metrics)
            figures.append(
                Figure(
                    name=f"{GROUPS} groups at {1 / TICK:.0f} Hz, {name}", unit="%",
                    median=100 * statistics.median(taken), least=100 * min(taken),
                    ratio=statistics.median(taken), bar=bar,
                )
            )  # fmt: skip
        publish("cgroups", "sampling, as part of one core", figures)


if __name__ == "__main__":
    main()
