"""Is everything on this machine as it was?  Reads only, and only what a lab must never change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nsmagic.linux.cgroups.hierarchies import read_hierarchies
from nsmagic.linux.mountinfo import read_mountinfo
from nsmagic.linux.surroundings import read_surroundings
from nsmagic.notebook.tables import Cell, Column, Table, Tabled

_STEP: Final = 2.0  # s; a clock that is kept by a time server moves less while a lab is done
_SYSCTLS: Final = (
    "kernel/core_pattern", "kernel/panic", "kernel/pid_max", "kernel/randomize_va_space",
    "kernel/shmmax", "kernel/sysrq", "kernel/unprivileged_userns_clone", "net/ipv4/ip_forward",
    "user/max_user_namespaces", "vm/drop_caches", "vm/overcommit_memory", "vm/swappiness",
)  # fmt: skip
_LISTEN: Final = "0A"


def _clock() -> frozenset[str]:
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return frozenset({f"{boot:.2f}"})


def _names() -> frozenset[str]:
    names = os.uname()
    domain = _text("kernel/domainname")
    return frozenset({f"host name {names.nodename}", f"domain name {domain}"})


def _text(sysctl: str) -> str:
    try:
        return Path("/proc/sys", sysctl).read_text().strip()
    except OSError:
        return "not readable"


def _sysctls() -> frozenset[str]:
    return frozenset(f"{name.replace('/', '.')} = {_text(name)}" for name in _SYSCTLS)


def _mounts() -> frozenset[str]:
    return frozenset(f"{mount.kind} on {mount.target}" for mount in read_mountinfo())


def _links() -> frozenset[str]:
    return frozenset(read_surroundings(without={"mnt", "ipc"}).links.values())


def _cgroups() -> frozenset[str]:
    """This notebook's own groups: where its kernel is, and the directories named after it."""
    here = read_hierarchies()
    own = [each.own for each in (*here.v1, here.v2) if each is not None and each.own is not None]
    groups = (group for path in own for group in path.glob(f"nsmagic-{os.getpid()}-*"))
    return frozenset(map(str, (*own, *filter(_is_empty, groups))))


def _is_empty(group: Path) -> bool:
    """Whether nobody is in it: a running cell may have one, and takes it along when it ends."""
    try:
        return not (group / "cgroup.procs").read_text()
    except OSError:
        return False


def _ipc() -> frozenset[str]:
    return read_surroundings(without={"mnt", "net"}).ipc


def _ports() -> frozenset[str]:
    """The TCP ports on which this notebook and its processes listen, of all on this machine."""
    ours = _own_sockets()
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = Path("/proc/self/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTEN and fields[9] in ours:
                found.add(str(int(fields[1].rpartition(":")[2], 16)))
    return frozenset(found)


def _own_sockets() -> set[str]:
    # Imported now: the guard is older than what has a word for it.
    from nsmagic.labs.cleanup import own_processes

    found = set()
    for pid in (os.getpid(), *own_processes("")):
        try:
            for fd in os.scandir(f"/proc/{pid}/fd"):
                target = os.readlink(fd.path)
                if target.startswith("socket:["):
                    found.add(target[8:-1])
        except OSError:  # it ended, or a descriptor was closed
            continue
    return found


@dataclass(frozen=True, kw_only=True)
class Sentinel:
    """One thing that a lab must leave alone, and how it is read."""

    name: str
    read: Callable[[], frozenset[str]]
    many: bool = False  # comes and goes on a living machine, whoever does it


SENTINELS: tuple[Sentinel, ...] = (
    Sentinel(name="clock", read=_clock),
    Sentinel(name="host name", read=_names),
    Sentinel(name="sysctls", read=_sysctls),
    Sentinel(name="mounts", read=_mounts, many=True),
    Sentinel(name="network links", read=_links, many=True),
    Sentinel(name="our cgroups", read=_cgroups),
    Sentinel(name="System V IPC", read=_ipc, many=True),
    Sentinel(name="our listening ports", read=_ports),
)

Snapshot = Mapping[str, frozenset[str]]


def snapshot() -> Snapshot:
    """Look at all sentinels."""
    return {sentinel.name: sentinel.read() for sentinel in SENTINELS}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is new and what is gone at one sentinel; both empty where all is as it was."""

    sentinel: Sentinel
    new: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def text(self) -> str:
        """What changed, in words."""
        if not self.new and not self.gone:
            return "unchanged"
        words = [f"new: {', '.join(self.new)}"] if self.new else []
        words += [f"gone: {', '.join(self.gone)}"] if self.gone else []
        return "; ".join(words)


@dataclass(frozen=True, kw_only=True, repr=False)
class Report(Tabled):
    """How each sentinel compares with the start.  True in `if` when nothing changed."""

    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return not any(change.new or change.gone for change in self.changes)

    def table(self) -> Table:
        """Return one row per sentinel."""
        rows = []
        shared = False
        for change in self.changes:
            changed = bool(change.new or change.gone)
            shared |= changed and change.sentinel.many
            tone = Cell(text=change.text, tone="bad" if changed else "good")
            rows.append((change.sentinel.name, tone))
        above = [Cell(text="everything is as it was at the start of the lab", tone="good")]
        if not self:
            above = [Cell(text="this machine is not as it was at the start of the lab", tone="bad")]
        if shared:
            above.append(
                Cell(text="Others may work on this machine too: Linux does not keep who did it.",
                     tone="dim")
            )  # fmt: skip
        columns = (Column(title="sentinel"), Column(title="since the start"))
        return Table(columns=columns, rows=tuple(rows), above=tuple(above))


def compare(before: Snapshot) -> Report:
    """Look again and compare."""
    changes = []
    for sentinel in SENTINELS:
        old, now = before[sentinel.name], sentinel.read()
        if sentinel.read is _clock and abs(float(*now) - float(*old)) < _STEP:
            now = old
        changes.append(
            Change(sentinel=sentinel, new=tuple(sorted(now - old)), gone=tuple(sorted(old - now)))
        )
    return Report(changes=tuple(changes))
