"""A program that says as JSON in which surroundings it runs, as far as Linux tells: `probe.py`.

It is run by unshare(1), as a program cell and as a Python cell, and all three must say the same.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import Any

STATUS = (
    "Umask", "Uid", "Gid", "Groups", "NSpid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
    "NoNewPrivs", "SigBlk",
)  # fmt: skip

ADDED = {"LC_CTYPE", "KMP_INIT_AT_FORK"}  # by Python itself in the C locale, and by threadpoolctl


def read(name: str) -> str:
    """The text of a file in /proc/self."""
    with open(f"/proc/self/{name}", encoding="ascii", errors="surrogateescape") as file:
        return file.read()


def mounts() -> list[str]:
    """Point, root, options, propagation and kind of every mount, without what is ever new."""
    found = []
    for line in read("mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        _, _, _, root, point, options, *tags = left.split()
        if point.startswith("/tmp/"):  # of other tests, which come and go
            continue
        spread = ",".join(sorted(re.sub(":.*", "", tag) for tag in tags))
        found.append(f"{point} {root} {options} {spread} {right.split()[0]}")
    return found


def link(name: str) -> str:
    """Which namespace it is; nothing for a PID namespace that waits for its first process."""
    try:
        return os.readlink(f"/proc/self/ns/{name}")
    except FileNotFoundError:
        return ""


def facts() -> dict[str, Any]:
    """What /proc says of the calling process."""
    status = dict(line.split(":", 1) for line in read("status").splitlines())
    return {
        "namespaces": {name: link(name) for name in sorted(os.listdir("/proc/self/ns"))},
        "maps": {name: read(name).split() for name in ("uid_map", "gid_map", "setgroups")},
        "offsets": read("timens_offsets").split(),
        "clocks": [time.clock_gettime(c) for c in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)],
        "status": {name: status[name].split() for name in STATUS},
        "mounts": mounts(),
        "root": os.readlink("/proc/self/root"),
        "cwd": os.readlink("/proc/self/cwd"),
        "environment": sorted(os.environ.keys() - ADDED),
        "alone": not [name for name in os.listdir("/proc") if name.isdigit() and name != "1"],
    }  # fmt: skip


if __name__ == "__main__":
    json.dump(facts(), sys.stdout)
