"""The table of what is tried."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from nsmagic.doctor import trials
from nsmagic.doctor.trials import Trial
from nsmagic.doctor.verdict import Way

GROUPS: Final = (
    "Namespaces", "User and group ids", "Mounts and roots", "Network", "Cgroups",
    "Processes and machine", "Programs",
)  # fmt: skip
NAMESPACES, IDS, MOUNTS, NETWORK, CGROUPS, PROCESSES, TOOLS = GROUPS
_BOTH: Final[tuple[Way, ...]] = ("root", "rootless")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One row: the options of unshare(1) that the child takes, and what it then tries.

    With the way `rootless` --user --map-root-user go before them, if they have no --user.
    `program` names the one that is looked for, where that is all; `tries` says it to a person.
    """

    name: str
    group: str
    tries: str
    line: str = ""
    trial: Trial = trials.nothing
    ways: tuple[Way, ...] = _BOTH
    program: str = ""


def _tool(name: str, tries: str) -> Check:
    program = name.partition("(")[0]
    return Check(name=name, group=TOOLS, tries=tries, ways=("plain",), program=program)


CHECKS: Final[tuple[Check, ...]] = (
    Check(name="user", group=NAMESPACES, line="--user --map-root-user", trial=trials.is_root,
          tries="a user namespace in which one is root"),
    Check(name="mount", group=NAMESPACES, line="--mount", trial=trials.is_new("mnt"),
          tries="a mount namespace"),
    Check(name="uts", group=NAMESPACES, line="--uts", trial=trials.hostname,
          tries="a host name of one's own"),
    Check(name="ipc", group=NAMESPACES, line="--ipc", trial=trials.is_new("ipc"),
          tries="an IPC namespace"),
    Check(name="net", group=NAMESPACES, line="--net", trial=trials.lo_up,
          tries="a network namespace, its lo brought up"),
    Check(name="pid", group=NAMESPACES, line="--pid --fork", trial=trials.first_process,
          tries="to be PID 1 of a PID namespace"),
    Check(name="cgroupns", group=NAMESPACES, line="--cgroup", trial=trials.is_new("cgroup"),
          tries="a cgroup namespace"),
    Check(name="time", group=NAMESPACES, line="--time --fork --monotonic=86400",
          trial=trials.own_clock(time.clock_gettime(time.CLOCK_MONOTONIC)),
          tries="a clock that is a day ahead"),
    Check(name="idmap", group=IDS, ways=("root",),
          line="--user --map-users=0:100000:10 --map-groups=0:100000:10",
          tries="a map of ten ids, written from outside"),
    Check(name="subids", group=IDS, ways=("rootless",), line="--user --map-auto",
          tries="the ids of /etc/subuid, by newuidmap(1)"),
    Check(name="proc", group=MOUNTS, line="--pid --fork --mount-proc",
          tries="a fresh /proc in a PID namespace"),
    Check(name="tmpfs", group=MOUNTS, line="--mount", trial=trials.tmpfs, tries="a tmpfs"),
    Check(name="bind", group=MOUNTS, line="--mount", trial=trials.bind, tries="a bind mount"),
    Check(name="overlay", group=MOUNTS, line="--mount", trial=trials.overlay,
          tries="an overlay, and a write through it"),
    Check(name="chroot", group=MOUNTS, trial=trials.chroot, tries="chroot(2)"),
    Check(name="pivot_root", group=MOUNTS, line="--mount", trial=trials.pivot_root,
          tries="pivot_root(2)"),
    Check(name="veth", group=NETWORK, line="--net", trial=trials.veth, tries="a virtual cable"),
    Check(name="bridge", group=NETWORK, line="--net", trial=trials.bridge, tries="a bridge"),
    Check(name="nft", group=NETWORK, line="--net", trial=trials.nft, tries="nftables with NAT"),
    Check(name="seccomp", group=PROCESSES, trial=trials.seccomp, ways=("plain",),
          tries="a seccomp filter of one's own"),
    Check(name="strace", group=PROCESSES, trial=trials.strace, ways=("plain",),
          tries="to trace a program with strace(1)", program="strace"),
    Check(name="psi", group=PROCESSES, trial=trials.pressure, ways=("plain",),
          tries="pressure stall information, /proc/pressure"),
    Check(name="kvm", group=PROCESSES, trial=trials.kvm, ways=("plain",),
          tries="virtual machines, /dev/kvm"),
    _tool("unshare(1)", "the program that %%unshare is the twin of"),
    _tool("nsenter(1)", "enters namespaces"),
    _tool("lsns(8)", "lists namespaces"),
    _tool("newuidmap(1)", "maps more ids than one's own, for ordinary users"),
    _tool("ip(8)", "links, addresses, routes"),
    _tool("ss(8)", "lists sockets"),
    _tool("nft(8)", "rules of nftables"),
    _tool("ps(1)", "lists processes"),
    _tool("bash(1)", "the labs' shell"),
)  # fmt: skip
BY_NAME: Final = {check.name: check for check in CHECKS}
