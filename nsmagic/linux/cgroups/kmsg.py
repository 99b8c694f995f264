"""Linux's own log, printk, record by record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

KMSG: Final = Path("/dev/kmsg")
_FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC  # PROC_PID_INIT_INO of include/linux/proc_ns.h
_SKEW: Final = 50_000  # µs: the log has Linux's own clock, which is not quite CLOCK_MONOTONIC


def read_log(since: float, kmsg: Path = KMSG) -> list[str]:
    """Return the messages of Linux's log since a moment, dev-kmsg in Linux's ABI documentation.

    `since` is in seconds of CLOCK_MONOTONIC.  Nothing where this user may not read it.
    """
    found: list[str] = []
    try:
        fd = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        while True:
            try:
                record = os.read(fd, 8192)  # one message a read
            except BrokenPipeError:  # overwritten meanwhile; the next read goes on after the gap
                continue
            except OSError:  # EAGAIN: all read
                return found
            if not record:
                return found
            for line in record.decode(errors="replace").splitlines():
                head, semicolon, text = line.partition(";")
                if semicolon and _microseconds(head) >= since * 1e6 - _SKEW:
                    found.append(text)
    finally:
        os.close(fd)


def numbers_as_we() -> bool:
    """Whether the log calls processes by our numbers: it has those of the first PID namespace."""
    return Path("/proc/self/ns/pid").stat().st_ino == _FIRST_PID_NAMESPACE


def _microseconds(head: str) -> int:
    fields = head.split(",")
    return int(fields[2]) if len(fields) > 2 and fields[2].isdecimal() else 0
