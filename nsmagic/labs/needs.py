"""What the steps of a lab need, found out by trying it in a child."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nsmagic.linux import rights
from nsmagic.wish.errors import NsmagicError

_WITHIN: Final = 5.0  # s


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something that a step needs: options of unshare(1) to try, and a program to run there.

    With `limits` it is a cgroup that can have these limits, by key, and the program runs outside of
    it.  What may work `alone` gets a user namespace only where it does not.
    """

    what: str
    flags: tuple[str, ...] = ()
    argv: tuple[str, ...] = ("true",)
    limits: tuple[str, ...] = ()
    alone: bool = False


NEEDS: Final = {
    "strace": Need(what="strace(1), which may trace", argv=("strace", "-o/dev/null", "true")),
    "ss": Need(what="ss(8)", argv=("ss", "-V")),
    "ip": Need(what="ip(8)", argv=("ip", "-V")),
    "nft": Need(what="nft(8)", flags=("--net",), argv=("nft", "list", "ruleset")),
    "uts": Need(what="a UTS namespace", flags=("--uts",)),
    "ipc": Need(what="an IPC namespace", flags=("--ipc",)),
    "net": Need(what="a network namespace", flags=("--net",)),
    "veth": Need(
        what="a virtual cable (veth)", flags=("--net",),
        argv=("ip", "link", "add", "one", "type", "veth", "peer", "name", "two"),
    ),
    "pid": Need(what="a PID namespace", flags=("--pid", "--fork", "--mount-proc")),
    "mount": Need(
        what="a mount namespace and tmpfs", flags=("--mount",),
        argv=("mount", "-t", "tmpfs", "none", "/proc"),
    ),
    "time": Need(what="a time namespace", flags=("--time", "--fork", "--boottime=1")),
    "user": Need(what="a user namespace", flags=("--user", "--map-root-user")),
    "cgroups": Need(what="a cgroup with limits", limits=("mem", "cpu", "weight", "pids")),
    "memhigh": Need(what="memory.high, which slows down", limits=("memhigh",)),
    "pressure": Need(
        what="the pressure of a group (PSI)", limits=("weight",), argv=("cat", "/proc/pressure/cpu")
    ),
    "cgroupns": Need(what="a cgroup namespace", flags=("--cgroup",)),
    "chroot": Need(what="a root directory of one's own", argv=("chroot", "/", "true"), alone=True),
}  # fmt: skip


def _no_group(need: Need) -> str:
    # Imported now: a lab without cgroups does not need them.
    from nsmagic.run.groups import groups
    from nsmagic.wish.errors import CgroupError
    from nsmagic.wish.limits import LIMITS

    try:
        groups().places.find(row for row in LIMITS if row.key in need.limits)
    except CgroupError as error:
        return f"{need.what}: {error}"
    return ""


def why_not(name: str) -> str:
    """Try a need: empty if it is met, else what Linux or the program says."""
    need = NEEDS[name]
    if need.limits and (said := _no_group(need)):
        return said
    if shutil.which(need.argv[0]) is None:
        return f"{need.what}: {need.argv[0]} is not installed"
    said = "" if need.flags else _complaint(need.argv)
    if need.flags or (said and need.alone):
        root = bool(rights.effective_capabilities() >> rights.CAP_SYS_ADMIN & 1)
        mapped = () if root or "--user" in need.flags else ("--user", "--map-root-user")
        said = _complaint(("unshare", *mapped, *need.flags, *need.argv))
    return f"{need.what}: {said}" if said else ""


def explained(tried: Mapping[str, str]) -> dict[str, str]:
    """Return what `why_not` said, with the doctor's reasons for this machine where it has one.

    Takes a second or two if something is missing: the doctor tries more than a lab needs.
    """
    if not any(tried.values()):
        return dict(tried)
    from nsmagic.notebook.doctor import reasons_here

    try:
        reasons = reasons_here()
    except NsmagicError:  # a lab begins without the doctor too
        return dict(tried)
    return {name: said and _said(NEEDS[name].what, reasons.get(name, said))
            for name, said in tried.items()}  # fmt: skip


def _said(what: str, why: str) -> str:
    return why if why.startswith(what) else f"{what}: {why}"


def _complaint(argv: Sequence[str]) -> str:
    """Run a program; empty if it ends well, else the last thing that it says."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=_WITHIN,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"{argv[0]} exited with {done.returncode}"])[-1]
