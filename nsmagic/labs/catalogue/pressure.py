"""Lab 6, its part about pressure: who waits for a processor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from nsmagic.labs.exercises import Fact, Here, Mistake, exercise
from nsmagic.labs.watched import Watched

_LAB = "06-limits-live"
_SECONDS: Final = 1.0

_QUEUE = """\
%%cgroup weight=100 --bg --proc queue
import os, time

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.fork()
while True:
    pass
"""


@exercise(
    id="queue", lab=_LAB, title="A queue", on="queue",
    task="Leave `queue` running in a cgroup without a CPU limit, in which all the time somebody"
    " waits for a processor.",
    covers=("1.17", "3.25a"),
    hints=(
        "One processor, and how many who want it without pause?",
        "psi.rst and cgroup-v2.rst of Linux, cpu.pressure; sched_setaffinity(2), fork(2).",
        "%%cgroup weight=100 --bg --proc queue, os.sched_setaffinity(0, {one}), os.fork(), a loop.",
    ),
    solution=_QUEUE,
    mistakes=(
        Mistake(_QUEUE.replace("weight=100", "cpu=20%"), "CPU limit"),
        Mistake(_QUEUE.replace("    pass", "    time.sleep(60)"), "waited only"),
        Mistake("import subprocess\nqueue = subprocess.Popen(['sleep', '600'])", "same cgroup"),
    ),
    needs=("pressure",),
)  # fmt: skip
def queue(it: Watched, here: Here) -> Iterator[Fact]:
    """Somebody waits, and no limit makes him."""
    yield Fact(
        it.cgroups != here.kernel.cgroups,
        "it is in a cgroup of its own",
        "it is in the same cgroup as this notebook",
    )
    quota = it.limit("cpu")
    yield Fact(quota == "max", "it has no CPU limit", f"it has a CPU limit, cpu={quota}")
    before, begin = _waited(it), time.monotonic()
    time.sleep(_SECONDS)
    share = 100 * (_waited(it) - before) / (time.monotonic() - begin)
    yield Fact(
        share >= 50,
        f"somebody waited {share:.0f} % of the last second",
        f"somebody waited only {share:.0f} % of the last second for a processor, and not 50 %",
    )


def _waited(it: Watched) -> float:
    """Return the seconds in which a process of its group waited; OSError where none are counted."""
    sample = it.group.sample()
    seconds = sample["psi.cpu.some"] if sample is not None else None
    if seconds is None:
        it.ppid  # it may just have ended  # noqa: B018
        raise OSError("this Linux does not count the pressure of a group, cpu.pressure")
    return seconds
