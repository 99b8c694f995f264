"""Waits for what Linux says of a group of cgroup v2 in its cgroup.events."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path


def wait_event(group: Path, line: str, deadline: float) -> bool:
    """Wait until cgroup.events has the line, at most until `deadline` of CLOCK_MONOTONIC."""
    try:
        events = os.open(group / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        while line not in os.pread(events, 4096, 0).decode().splitlines():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poller.poll(left * 1000)
    except OSError:  # ENODEV: the group is gone
        return True
    finally:
        os.close(events)
    return True
