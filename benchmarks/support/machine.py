"""What a result must say of the machine that it was measured on."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path
from typing import Any

import nsmagic


def machine() -> dict[str, Any]:
    """Return the facts, among them how busy others kept the CPUs before anything was started."""
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "linux": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count(),
        "model": names[0] if names else "unknown", "python": platform.python_version(),
        "nsmagic": nsmagic.__version__, "root": os.geteuid() == 0,
        "busy": round(busy(0.5), 2),
    }  # fmt: skip


def busy(seconds: float) -> float:
    """Watch the CPUs for that long; return which share of their time they had work to do."""
    before = _ticks()
    time.sleep(seconds)
    idle, total = (now - then for now, then in zip(_ticks(), before, strict=True))
    return 1 - idle / total if total else 0.0


def _ticks() -> tuple[int, int]:
    """Return the ticks of proc_stat(5) in which the CPUs had nothing to do, and all of them."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)
