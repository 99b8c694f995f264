"""Rows of `nsmagic.wish.hints` about cgroups: making one, limiting it, going into it."""

from __future__ import annotations

from nsmagic.wish.refusal import Hint, Refusal, When, hint
from nsmagic.wish.steps import EnterCgroup, Fork, Init, MakeCgroup, SetLimit

_FEW = 5  # with a limit below that, it is the limit

_DELEGATE = (
    "systemd-run --user --scope -p Delegate=yes jupyter lab   starts a notebook that may; "
    "%cgroup controllers shows what there is."
)


def _in_group(r: Refusal) -> bool:
    return getattr(r.step, "cgroup", None) is not None


def _about(*files: str) -> When:
    return lambda r: isinstance(r.step, SetLimit) and r.step.label in files


_MAKING = (
    hint(
        (MakeCgroup, SetLimit), "EROFS",
        "The cgroup file system is mounted read-only here, as Docker does.",
        "Start the container with: docker run --privileged --cgroupns=private ...   "
        "(or run without limits).",
    ),
    hint(
        (MakeCgroup, SetLimit), "EACCES EPERM",
        "You may not make or change groups in {s.cgroup} or the group above it: that part of the "
        "tree is not delegated to you.",
        _DELEGATE,
    ),
    hint(
        (MakeCgroup,), "EAGAIN",
        "A cgroup.max.descendants or cgroup.max.depth above {s.cgroup} allows no further group.",
    ),
    hint(
        (MakeCgroup,), "EEXIST",
        "A group of this name is there already, left by somebody else.",
        "rmdir {s.cgroup}   removes it if it is empty; nsmagic clean removes what kernels left.",
    ),
    hint(
        (MakeCgroup,), "ENOENT ENODEV",
        "The group in which it would be made is gone: the notebook was moved to another one.",
        "Run the cell again.",
    ),
    hint(
        (MakeCgroup,), "ENOSPC ENOMEM",
        "Linux has no room for one more group (cgroup v1 holds 65,535 for memory).",
        "cat /proc/cgroups   counts them; groups that were removed stay while their memory does.",
    ),
)  # fmt: skip

_LIMITS = (
    hint(
        (SetLimit,), "ENOENT",
        "This Linux does not count swap by group, so there is no {s.label}.",
        "Give mem= with --strict, or boot with swapaccount=1.",
        when=_about("memory.memsw.limit_in_bytes", "memory.swap.max"),
    ),
    hint(
        (SetLimit,), "ENOENT",
        "There is no {s.label} in a group here: this Linux is older than the limit, or was built "
        "without it.",
        "ls {s.cgroup}   lists what there is; %cgroup controllers tells more.",
    ),
    hint(
        (SetLimit,), "EINVAL",
        "cgroup v1 counts memory and swap together there, and that may not be less than memory "
        "alone.",
        "Change both at once: mem=... swap=...",
        when=_about("memory.memsw.limit_in_bytes", "memory.limit_in_bytes"),
    ),
    hint(
        (SetLimit,), "EINVAL",
        "A group above this one gives its children less CPU time, or {s.text} is below 1 ms.",
        "Give less than the group above has; %cgroup tree shows the groups.",
        when=_about("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"),
    ),
    hint(
        (SetLimit,), "EINVAL ERANGE EACCES ENODEV",
        "Not all of {s.text} are there, or the group above may not use them.",
        "cat /sys/devices/system/cpu/online /sys/devices/system/node/online   shows what there is.",
        when=_about("cpuset.cpus", "cpuset.mems"),
    ),
    hint(
        (SetLimit,), "ENOSPC EBUSY",
        "Processes are in the group, and it would be left without CPUs or memory nodes, or with "
        "one that another group has for itself alone.",
        when=_about("cpuset.cpus", "cpuset.mems"),
    ),
    hint(
        (SetLimit,), "ENODEV ENXIO EINVAL",
        "There is no whole disk of that number; partitions have no limits of their own.",
        "lsblk -o NAME,MAJ:MIN,TYPE   lists the disks.",
        when=lambda r: isinstance(r.step, SetLimit) and r.step.key == "io",
    ),
    hint(
        (SetLimit,), "EBUSY",
        "The group uses more memory than that, and Linux cannot take it back.",
        "End some of it first, or give more; %cgroup show lists what it uses.",
    ),
    hint(
        (SetLimit,), "EINVAL ERANGE",
        "{s.label} does not take {s.text!r} here.",
        "%cgroup? lists the limits with the values that they take.",
    ),
)  # fmt: skip

_ENTERING = (
    hint(
        (EnterCgroup, Fork), "ENOENT ENODEV",
        "The cgroup {s.cgroup} is not there (any more).",
        when=_in_group,
    ),
    hint(
        (EnterCgroup, Fork), "EACCES EPERM",
        "You may not move processes to {s.cgroup}: its cgroup.procs, and that of the nearest "
        "common ancestor, must be writable for you.",
        "systemd-run --user --scope -p Delegate=yes jupyter lab   starts a notebook that may.",
        when=_in_group,
    ),
    hint(
        (EnterCgroup, Fork), "EBUSY",
        "{s.cgroup} passes controllers on to its children, and then cgroup v2 lets it hold no "
        "processes itself.",
        "Use a child of it.  (cat {s.cgroup}/cgroup.subtree_control shows the controllers.)",
        when=_in_group,
    ),
    hint(
        (EnterCgroup, Fork), "ENOSPC",
        "{s.cgroup} has no CPU or no memory node that its processes could use.",
        "Give cpus= and mems= that the group above has too.",
        when=_in_group,
    ),
    hint(
        (Fork, Init), "EAGAIN",
        "pids={r.pids} leaves no room for the processes that the cell itself needs.",
        "Give a few more, for example pids=10.",
        when=lambda r: r.pids.isdecimal() and int(r.pids) < _FEW,
    ),
    hint(
        (EnterCgroup, Fork), "EINVAL",
        "A real-time process cannot go into {s.cgroup}, which has no real-time CPU time "
        "(cpu.rt_runtime_us is 0).",
        "chrt --other --pid 0 $$   makes it an ordinary process.",
        when=_in_group,
    ),
)  # fmt: skip

CGROUP_HINTS: tuple[Hint, ...] = (*_MAKING, *_LIMITS, *_ENTERING)
