"""Which groups a process is in, as /proc tells: proc_pid_cgroup(5)."""

from __future__ import annotations

import os
from pathlib import Path


def read_membership(file: Path) -> dict[str, str]:
    """Return the paths of its groups by controllers as they are listed; "" is cgroup v2.

    Of all characters that end a line for Python, Linux keeps one from the name of a group: mkdir(2)
    refuses a line feed.
    """
    lines = filter(None, os.fsdecode(file.read_bytes()).split("\n"))
    return {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
