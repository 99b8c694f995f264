"""The groups that this process is in, as one Cgroup: to be looked at, and left as they are."""

from __future__ import annotations

from nsmagic.linux.cgroups.group import Cgroup
from nsmagic.linux.cgroups.hierarchies import read_hierarchies
from nsmagic.wish.errors import CgroupError


def own_cgroup(name: str = "self") -> Cgroup:
    """Return what this process is in, in all hierarchies; CgroupError where no cgroupfs is."""
    found = read_hierarchies()
    v1 = {
        controller: hierarchy.own
        for hierarchy in found.v1
        for controller in hierarchy.controllers
        if hierarchy.own is not None
    }
    v2 = None if found.v2 is None else found.v2.own
    if v2 is None and not v1:
        raise CgroupError(
            "no cgroup of this notebook is in sight",
            hint="%cgroup controllers shows what is mounted here.",
        )
    return Cgroup(name=name, v2=v2, v1=v1)
