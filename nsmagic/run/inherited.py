"""What a program cell takes over from the notebook's process, and what it must not get back."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from typing import Any, Final

from nsmagic.linux.processes import read_status

_RIGHTS: Final = (
    "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
    "Seccomp", "Seccomp_filters",
)  # fmt: skip
_LIMITS: Final = sorted(
    {value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}
)


def own_status() -> dict[str, str]:
    """Return the fields of proc_pid_status(5) of the calling thread, for the two below."""
    return read_status("/proc/thread-self")


def surroundings(status: Mapping[str, str]) -> dict[str, Any]:
    """Return what a program cell takes over from the calling process, whose status this is.

    Environment (of bytes), umask, resource limits, nice value and CPU affinity; the current
    directory travels as a descriptor.  OSError where Linux does not tell the umask.
    """
    if "Umask" not in status:
        raise OSError(2, "no Umask line (Linux 4.7)", "/proc/self/status")
    return {
        "environment": dict(os.environb),
        "umask": int(status["Umask"], 8),
        "limits": {number: resource.getrlimit(number) for number in _LIMITS},
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "affinity": sorted(os.sched_getaffinity(0)),
    }


def rights(status: Mapping[str, str]) -> dict[str, str]:
    """Return who the thread is whose status this is, and what it may."""
    return {name: status[name] for name in _RIGHTS if name in status}
