"""A program that says as JSON in which surroundings it runs, as far as Linux tells: `probe.py`.

It is run by unshare(1), as a program cell and as a Python cell, and all three must say the same.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time

STATUS = {
    "Umask", "Uid", "Gid", "Groups", "NSpid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
    "NoNewPrivs", "SigBlk",
}  # fmt: skip


def read(name: str) -> str:
    """A file of our own in /proc, None where this Linux has none."""
    with open(f"/proc/self/{name}", encoding="ascii", errors="surrogateescape") as file:  # noqa: PTH123
        return file.read()


def mounts() -> list[str]:
    """Mount point, root, options, propagation without numbers of peer groups, kind; proc(5)."""
    found = []
    for line in read("mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        _, _, _, root, point, options, *tags = left.split()
        spread = ",".join(sorted(re.sub(":.*", "", tag) for tag in tags))
        found.append(f"{point} {root} {options} {spread} {right.split()[0]}")
    return found


def facts() -> dict[str, object]:
    """What /proc says of the calling process."""
    status = dict(line.split(":", 1) for line in read("status").splitlines())
    return {
        "namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")},
        "maps": {name: read(name).split() for name in ("uid_map", "gid_map", "setgroups")},
        "offsets": read("timens_offsets").split(),
        "clocks": {"monotonic": time.clock_gettime(time.CLOCK_MONOTONIC), "boottime": time.clock_gettime(time.CLOCK_BOOTTIME)},
        "status": {name: status[name].split() for name in sorted(STATUS)},
        "pid": os.getpid(),
        "leads": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
        "mounts": mounts(),
        "root": os.readlink("/proc/self/root"),
        "cwd": os.readlink("/proc/self/cwd"),
        "environment": sorted(name for name in os.environ if name != "LC_CTYPE"),
        "proc": sorted(name for name in os.listdir("/proc") if name.isdigit()) == ["1"],
    }


def main() -> None:
    """Say it."""
    json.dump(facts(), sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
