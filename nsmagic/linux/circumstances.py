"""Reads what explains a refusal, after Linux refused; nothing here decides what is tried."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import stat
import time
from pathlib import Path
from typing import Final

from nsmagic.linux import syscalls
from nsmagic.linux.places import look_up, look_up_program, mounts
from nsmagic.linux.situation import granted_ranges
from nsmagic.wish import steps
from nsmagic.wish.circumstances import Circumstances, Place, Refusal
from nsmagic.wish.namespaces import NAMESPACES
from nsmagic.wish.plan import Plan
from nsmagic.wish.steps import Step

_WHOLE: Final = ["0", "0", "4294967295"]
_LINES_FOR_FILES: Final = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
# What gVisor says whatever the machine: pkg/sentry/fsimpl/proc/tasks_files.go
_GVISOR: Final = "#1 SMP Sun Jan 10 15:06:54 PST 2016"


def refusal(plan: Plan | None, step: Step | None, number: int, text: str) -> Refusal:
    """Return a refused step with all that can be read about it now."""
    bare = Refusal(step=step, number=number, text=text, plan=plan, facts=Circumstances())
    facts = read_circumstances(place=_place(step, bare.root), kind=getattr(step, "kind", "uid"))
    return Refusal(step=step, number=number, text=text, plan=plan, facts=facts)


def read_circumstances(*, place: Place | None = None, kind: str = "uid") -> Circumstances:
    """Return the circumstances of this process; what cannot be read keeps its default.

    `kind` (`uid` or `gid`) is the kind of id a map is about.
    """
    status = _fields("/proc/thread-self/status")
    helper = shutil.which(f"new{kind}map") if kind in ("uid", "gid") else None
    points = [mount.point for mount in mounts()]
    return Circumstances(
        uid=os.geteuid(),
        gid=os.getegid(),
        capabilities=int(status.get("CapEff", "1ffffffffff"), 16),
        seccomp=status.get("Seccomp", "0") == "2",
        unshare_filtered=_unshare_filtered(),
        no_new_privs=status.get("NoNewPrivs", "0") == "1",
        container=_container(),
        chrooted=_chrooted(points),
        user_namespaces_off=_text("/proc/sys/kernel/unprivileged_userns_clone") == "0",
        apparmor=_text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1",
        nested=_text("/proc/self/uid_map").split() not in (_WHOLE, []),
        pid_levels=len(status.get("NSpid", "1").split()),
        pid_moved=_link("pid") != _link("pid_for_children"),
        linux=_linux(),
        known=frozenset(row.name for row in NAMESPACES if _link(row.name)),
        limits=_limits(),
        proc=os.path.exists("/proc/self/status"),
        root_is_mount="/" in points or not points,
        covers=tuple(point for point in points if point.startswith("/proc/")),
        clocks=_clocks(),
        granted=granted_ranges(Path(f"/etc/sub{kind}"), os.geteuid()) if helper else (),
        helper=helper or "",
        helper_privileged=helper is not None and _is_privileged(helper),
        processes=_limit(resource.RLIMIT_NPROC),
        files=_limit(resource.RLIMIT_NOFILE),
        place=place,
    )


def _place(step: Step | None, root: str) -> Place | None:
    """Look up what the step names, where it names something."""
    match step:
        case steps.Exec(argv=argv):
            return look_up_program(argv[0], root)
        case steps.Chroot(root=path) | steps.Chdir(wd=path):
            return look_up(path, root)
        case steps.MountProc(target=path) | steps.MountBinfmt(target=path):
            return look_up(path, root)
        case steps.LoadInterpreter(target=path):
            return look_up(path, root)
        case steps.Persist(file=path):
            return look_up(path)
        case steps.EnterCgroup(cgroup=path) | steps.Fork(cgroup=str(path)):
            return look_up(path)
    return None


def _text(path: str) -> str:
    """Return what a file of /proc says; nothing where this Linux has none or hides it."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _fields(path: str) -> dict[str, str]:
    lines = [line.partition(":") for line in _text(path).splitlines()]
    return {name: value.strip() for name, _, value in lines}


def _link(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/ns/{name}")
    except OSError:
        return ""


def _unshare_filtered() -> bool:
    # Without flags unshare(2) does nothing and Linux never refuses it: only a filter does.
    try:
        syscalls.unshare(0)
    except OSError:
        return True
    return False


def _container() -> str:
    version = _text("/proc/version")
    if "Microsoft" in version and "WSL2" not in version:  # WSL 2 says "microsoft-standard-WSL2"
        return "wsl1"
    if _GVISOR in version:
        return "gvisor"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    for file, name in _LINES_FOR_FILES.items():
        if os.path.exists(file):
            return name
    return os.environ.get("container", "")  # set by systemd-nspawn, lxc and podman


def _chrooted(points: list[str]) -> bool:
    """Return whether our root is not the one of the mount namespace, as far as can be seen."""
    if points and "/" not in points:
        return True
    try:
        theirs = os.stat("/proc/1/root/.")
        same_mounts = os.readlink("/proc/1/ns/mnt") == _link("mnt")
    except OSError:
        return False  # an ordinary user may not look
    return same_mounts and not os.path.samestat(theirs, os.stat("/"))


def _linux() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _limits() -> dict[str, int]:
    found = {row.name: _text(f"/proc/sys/user/max_{row.name}_namespaces") for row in NAMESPACES}
    return {name: int(text) for name, text in found.items() if text.isdecimal()}


def _clocks() -> dict[str, int]:
    """Return both clocks in seconds as the initial time namespace has them, time_namespaces(7)."""
    lines = [line.split() for line in _text("/proc/self/timens_offsets").splitlines()]
    offsets = {line[0]: int(line[1]) for line in lines if len(line) == 3}
    now = {
        "monotonic": time.clock_gettime(time.CLOCK_MONOTONIC),
        "boottime": time.clock_gettime(time.CLOCK_BOOTTIME),
    }
    return {name: int(seconds) - offsets.get(name, 0) for name, seconds in now.items()}


def _is_privileged(program: str) -> bool:
    """Return whether the program is setuid root or has file capabilities, capabilities(7)."""
    try:
        status = os.stat(program)
        mode = stat.S_ISUID if status.st_uid == 0 else 0
        return bool(status.st_mode & mode) or "security.capability" in os.listxattr(program)
    except OSError:
        return False


def _limit(which: int) -> str:
    soft, _ = resource.getrlimit(which)
    return "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
