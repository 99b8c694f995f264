"""Reads what explains a refusal, after Linux refused; nothing here decides what is tried."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from nsmagic.linux import syscalls
from nsmagic.linux.environment import container
from nsmagic.linux.idmaps import is_mapped, read_id_map
from nsmagic.linux.namespaces import NS_GET_USERNS, related
from nsmagic.linux.nsfs import file_namespace, read_bound
from nsmagic.linux.places import look_up, look_up_program, mounts
from nsmagic.linux.processes import read_status
from nsmagic.linux.situation import granted_ranges
from nsmagic.wish import steps
from nsmagic.wish.circumstances import Circumstances, Place
from nsmagic.wish.isolation import IdMap
from nsmagic.wish.namespaces import NAMESPACES
from nsmagic.wish.plan import Plan
from nsmagic.wish.refusal import Refusal
from nsmagic.wish.steps import Step

_WHOLE: Final = (IdMap(inner=0, outer=0, count=4294967295),)
_MADE_FOR_MOUNTS: Final = ("/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd", "/proc/openprom")


def read_circumstances(plan: Plan | None = None, step: Step | None = None) -> Circumstances:
    """Return what may explain that Linux refused `step`; what cannot be read keeps its default."""
    status = _status()
    points = [mount.target for mount in mounts()]
    return Circumstances(
        plan=plan,
        place=_place(step, Refusal(step=step, number=0, facts=Circumstances(plan=plan)).root),
        uid=os.geteuid(),
        capabilities=int(status.get("CapEff", "1ffffffffff"), 16),
        seccomp=status.get("Seccomp") == "2",
        unshare_filtered=_unshare_filtered(),
        no_new_privs=status.get("NoNewPrivs") == "1",
        chrooted=_chrooted(points),
        root_is_mount="/" in points or not points,
        covers=tuple(point for point in points if _covers_proc(point)),
        pid_levels=len(status.get("NSpid", "1").split()),
        processes=_limit(resource.RLIMIT_NPROC),
        files=_limit(resource.RLIMIT_NOFILE),
        **_machine(),
        **_helper(step),
        **_namespace_files(step),
    )


def _machine() -> dict[str, Any]:
    proc = Path("/proc/self/status").exists()
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    uids, gids = _id_map("uid"), _id_map("gid")
    return {
        "container": container(),
        "linux": (int(found[1]), int(found[2])) if found else (0, 0),
        "user_namespaces_off": _text("/proc/sys/kernel/unprivileged_userns_clone") == "0",
        "apparmor": _text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1",
        "nested": proc and uids != _WHOLE,
        "ids_mapped": not proc or (is_mapped(os.geteuid(), uids) and is_mapped(os.getegid(), gids)),
        "pid_moved": _link("pid") != _link("pid_for_children"),
        "dumpable": not proc or Path("/proc/self/status").stat().st_uid == os.geteuid(),
        "pid_outer": proc and _is_outer("pid"),
        "known": frozenset(row.name for row in NAMESPACES if _link(row.name)),
        "limits": _limits(),
        "proc": proc,
        "clocks": _clocks(),
    }


def _is_outer(name: str) -> bool:
    """Whether our namespace of a type belongs to a user namespace further out, ioctl_ns(2)."""
    with open(f"/proc/self/ns/{name}", "rb") as namespace:
        owner = related(namespace.fileno(), NS_GET_USERNS)
    if owner is not None:
        os.close(owner)
    return owner is None


def _id_map(kind: str) -> tuple[IdMap, ...]:
    try:
        return read_id_map(f"/proc/self/{kind}_map")
    except OSError:
        return ()


def _helper(step: Step | None) -> dict[str, Any]:
    """Describe newuidmap or newgidmap and what it may map, for a step that needs it."""
    if not isinstance(step, steps.MapIdsByHelper):
        return {}
    program = shutil.which(f"new{step.kind}map")
    return {
        "helper": program or "",
        "helper_privileged": program is not None and _is_privileged(program),
        "granted": granted_ranges(Path(f"/etc/sub{step.kind}"), os.geteuid()),
    }


def _namespace_files(step: Step | None) -> dict[str, Any]:
    """Say which of the files that a Join step enters are no namespaces, or of another type."""
    files = step.files if isinstance(step, steps.Join) else ()
    bound = {each.id: each.type for each in read_bound()} if files else {}
    found: dict[str, Any] = {}
    for name, file in files:
        with suppress(OSError):
            namespace = file_namespace(file)
            if namespace is None:
                found["no_namespace"] = file
            elif bound.get(namespace, name) != name:
                found["wrong_type"] = f"{file} ({bound[namespace]})"
    return found


def _covers_proc(point: str) -> bool:
    # proc_create_mount_point() in Linux makes these to be mounted on: they cover nothing.
    return point.startswith("/proc/") and point not in _MADE_FOR_MOUNTS


def _place(step: Step | None, root: str) -> Place | None:
    """Look up what the step names, where it names something."""
    match step:
        case steps.Exec(argv=argv):
            return look_up_program(argv[0], root)
        case steps.Chroot(root=path) | steps.Chdir(wd=path):
            return look_up(path, root)
        case steps.MountProc(target=path) | steps.MountBinfmt(target=path):
            return look_up(path, root)
        case steps.LoadInterpreter(target=path) | steps.MountDevices(target=path):
            return look_up(path, root)
        case steps.Join(files=((_, path), *_)):
            return look_up(path)
        case steps.Hold(path=path):
            return look_up(path)
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


def _status() -> dict[str, str]:
    try:
        return read_status("/proc/thread-self")
    except OSError:
        return {}


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


def _chrooted(points: list[str]) -> bool:
    """Return whether our root is not the one of the mount namespace, as far as can be seen."""
    if points and "/" not in points:
        return True
    try:
        theirs = Path("/proc/1/root/.").stat()
        same_mounts = os.readlink("/proc/1/ns/mnt") == _link("mnt")
    except OSError:
        return False  # an ordinary user may not look
    return same_mounts and not os.path.samestat(theirs, Path("/").stat())


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
    status = Path(program).stat()
    setuid_root = status.st_uid == 0 and bool(status.st_mode & stat.S_ISUID)
    return setuid_root or "security.capability" in os.listxattr(program)


def _limit(which: int) -> str:
    soft, _ = resource.getrlimit(which)
    return "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
