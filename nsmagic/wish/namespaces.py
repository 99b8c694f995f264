"""The one table of namespace types; everything that lists, parses or draws them reads it here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """One row of namespaces(7).

    `name` is the link in /proc/PID/ns, `option` the long option of unshare(1), `clone_flag` the
    constant of clone(2) and `flag` its value.  `for_children` names the link that shows what the
    next child will get where unshare(2) does not move the caller itself.
    """

    name: str
    option: str
    short: str
    clone_flag: str
    flag: int
    since: str
    isolates: str
    for_children: str | None = None


# The order is the one in which util-linux lists the options; `user` first matters to setns(2) only.
NAMESPACES: tuple[Namespace, ...] = (
    Namespace(
        name="mnt", option="mount", short="m", clone_flag="CLONE_NEWNS", flag=0x0002_0000,
        since="2.4.19", isolates="mount points",
    ),
    Namespace(
        name="uts", option="uts", short="u", clone_flag="CLONE_NEWUTS", flag=0x0400_0000,
        since="2.6.19", isolates="hostname and NIS domain name",
    ),
    Namespace(
        name="ipc", option="ipc", short="i", clone_flag="CLONE_NEWIPC", flag=0x0800_0000,
        since="2.6.19", isolates="System V IPC and POSIX message queues",
    ),
    Namespace(
        name="net", option="net", short="n", clone_flag="CLONE_NEWNET", flag=0x4000_0000,
        since="2.6.29", isolates="network devices, stacks, ports, routes, firewall rules",
    ),
    Namespace(
        name="pid", option="pid", short="p", clone_flag="CLONE_NEWPID", flag=0x2000_0000,
        since="2.6.24", isolates="process IDs", for_children="pid_for_children",
    ),
    Namespace(
        name="user", option="user", short="U", clone_flag="CLONE_NEWUSER", flag=0x1000_0000,
        since="3.8", isolates="user and group IDs, capabilities, keys",
    ),
    Namespace(
        name="cgroup", option="cgroup", short="C", clone_flag="CLONE_NEWCGROUP", flag=0x0200_0000,
        since="4.6", isolates="the cgroup root directory that /proc/PID/cgroup shows",
    ),
    Namespace(
        name="time", option="time", short="T", clone_flag="CLONE_NEWTIME", flag=0x0000_0080,
        since="5.6", isolates="CLOCK_MONOTONIC and CLOCK_BOOTTIME (never the wall clock)",
        for_children="time_for_children",
    ),
)  # fmt: skip

BY_NAME: dict[str, Namespace] = {row.name: row for row in NAMESPACES}


def clone_flags(names: frozenset[str]) -> int:
    """Return the CLONE_NEW* mask for namespace names such as `{"pid", "net"}`."""
    return sum(BY_NAME[name].flag for name in names)
