"""The one table of profiles: what `--profile NAME` takes from a box beside its namespaces.

The column names are what docker(1) calls the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nsmagic.wish import seccomp
from nsmagic.wish.seccomp import Call

# Docker's own, https://github.com/moby/moby/blob/master/daemon/pkg/oci/defaults.go
MASKED_FILES: Final = tuple(
    f"/proc/{name}"
    for name in (
        "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "timer_list", "timer_stats",
    )
)  # fmt: skip
MASKED_DIRECTORIES: Final = (
    "/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY: Final = (
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One row.  `namespaces` are added to those wished for, and a fresh /proc.

    `links` are brought up, which Linux makes down.  `tmpfs` are directories that it has for itself,
    among them /dev with `devices`; `masked_files` and `masked_directories` are empty in it,
    `read_only` cannot be written, with all below it.  It has no capability and gains none by
    execve(2); `refused` are the system calls of its filter.
    """

    name: str
    meaning: str
    namespaces: frozenset[str]
    links: tuple[str, ...]
    tmpfs: tuple[str, ...]
    devices: tuple[str, ...]
    masked_files: tuple[str, ...]
    masked_directories: tuple[str, ...]
    read_only: tuple[str, ...]
    refused: tuple[Call, ...]


# Docker gives a container another root; here the files are the user's own, so the two directories
# with other programs' sockets go too.  The nodes in /dev matter to uid 0, which owns the disks'.
HARDENED: Final = Profile(
    name="hardened",
    meaning="as docker run --cap-drop ALL --security-opt no-new-privileges, and no network",
    namespaces=frozenset({"mnt", "uts", "ipc", "net", "pid", "cgroup"}),
    links=("lo",),
    tmpfs=("/tmp", "/run"),
    devices=("null", "zero", "full", "random", "urandom", "tty"),
    masked_files=MASKED_FILES,
    masked_directories=(*MASKED_DIRECTORIES, "/sys/kernel/debug", "/sys/kernel/tracing"),
    read_only=READ_ONLY,
    refused=seccomp.HARDENED,
)
PROFILES: Final = {row.name: row for row in (HARDENED,)}


def kept_below(directory: str, kept: Sequence[str]) -> tuple[str, ...]:
    """Return those of `kept` that a mount on `directory` would hide, the outermost of them."""
    hidden = sorted({path for path in kept if path.startswith(f"{directory}/")})
    return tuple(
        path for path in hidden if not any(path.startswith(f"{other}/") for other in hidden)
    )
