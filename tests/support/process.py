"""Figures of one process, as Linux has them, and how late it may be."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from pathlib import Path

from tests.support.leaks import SPAWNER


def on_this_machine(seconds: float) -> float:
    """What is `seconds` on a machine at rest: so much more as there is more to do than CPUs."""
    tasks = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    return seconds * max(1.0, max(tasks, os.getloadavg()[0]) / (os.cpu_count() or 1))


def status(pid: int, name: str) -> int:
    """A number of proc_pid_status(5), in its own unit."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(name)


def descriptors(pid: int) -> Counter[str]:
    """How many of each kind a process has open, but for the history that IPython opens anew."""
    found: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            target = re.sub(r"\d+", "", os.readlink(entry))
            if "history.sqlite" not in target:
                found[target] += 1
    return found


def children(pid: int) -> list[int]:
    """Direct children, zombies too."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def spawners(kernel: int) -> list[int]:
    """The spawner of a kernel, if it has one now."""
    found = []
    for tasks in Path(f"/proc/{kernel}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in tasks.read_text().split():
                with contextlib.suppress(OSError):
                    if SPAWNER in Path(f"/proc/{pid}/cmdline").read_text():
                        found.append(int(pid))
    return found
