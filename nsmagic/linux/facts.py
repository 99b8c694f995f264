"""Facts about one process, a box's init or any other: typed values, read from Linux when asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nsmagic.linux.cgroups.membership import read_membership
from nsmagic.linux.idmaps import read_id_map
from nsmagic.linux.mountinfo import MountLine, read_mountinfo
from nsmagic.linux.namespaces import Links, read_links
from nsmagic.linux.processes import Process, descendants, read_processes, read_status
from nsmagic.wish.capabilities import names_of
from nsmagic.wish.isolation import IdMap


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The sets of a process, capabilities(7), each as names such as `sys_admin`."""

    effective: frozenset[str]
    permitted: frozenset[str]
    inheritable: frozenset[str]
    bounding: frozenset[str]
    ambient: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Link:
    """A network link and the bytes that went through it, proc_pid_net(5)."""

    name: str
    received: int
    sent: int


class Facts:
    """What Linux tells of the process `pid`; OSError once it is gone or where one may not look."""

    def __init__(self, pid: int, proc: str = "/proc") -> None:
        self.pid = pid
        self._proc = proc

    def ns(self) -> Links:
        """Return its namespaces by link name."""
        return read_links(f"{self._proc}/{self.pid}")

    def status(self) -> Mapping[str, str]:
        """Return the fields of proc_pid_status(5)."""
        return read_status(f"{self._proc}/{self.pid}")

    def mountinfo(self) -> list[MountLine]:
        """Return the mounts that it sees."""
        return read_mountinfo(self.pid, self._proc)

    def uid_map(self) -> tuple[IdMap, ...]:
        """Return its user namespace's map of users, user_namespaces(7)."""
        return read_id_map(f"{self._proc}/{self.pid}/uid_map")

    def gid_map(self) -> tuple[IdMap, ...]:
        """Return its user namespace's map of groups."""
        return read_id_map(f"{self._proc}/{self.pid}/gid_map")

    def cgroup(self) -> Mapping[str, str]:
        """Return its cgroup by controllers as cgroups(7) names them; `""` is that of cgroup v2."""
        return read_membership(Path(self._proc, str(self.pid), "cgroup"))

    def capabilities(self) -> Capabilities:
        """Return its capability sets."""
        status = self.status()
        sets = {
            "effective": "CapEff", "permitted": "CapPrm", "inheritable": "CapInh",
            "bounding": "CapBnd", "ambient": "CapAmb",
        }  # fmt: skip
        return Capabilities(
            **{name: names_of(int(status[line], 16)) for name, line in sets.items()}
        )

    def processes(self) -> list[Process]:
        """Return the processes in its PID namespace, or where that is ours, those it started."""
        every = read_processes(self._proc)
        links = self.ns()
        own = read_links(f"{self._proc}/self")
        if links["pid"] != own["pid"]:
            return [
                each for each in every.values() if (each.links or {}).get("pid") == links["pid"]
            ]
        below = descendants(self.pid, every)
        return [each for each in every.values() if each.pid in below]

    def links(self) -> list[Link]:
        """Return the links of its network namespace, with what went through them."""
        found = []
        with open(f"{self._proc}/{self.pid}/net/dev", "rb") as file:
            lines = os.fsdecode(file.read()).rstrip("\n").split("\n")
        for line in lines[2:]:  # below two of titles
            name, _, counters = line.rpartition(":")
            fields = counters.split()
            found.append(Link(name=name.lstrip(" "), received=int(fields[0]), sent=int(fields[8])))
        return found
