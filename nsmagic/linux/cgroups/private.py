"""Private cgroups (v2) that hold one cell, so that all of it can be ended at once, cgroups(7)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from nsmagic.linux.cgroups.events import wait_event
from nsmagic.linux.cgroups.membership import read_membership
from nsmagic.linux.mountinfo import mount_lines
from nsmagic.linux.noting import Noting, unnoted


def private_place(*, probe: bool = True, noted: Noting = unnoted) -> Path | None:
    """Return a cgroup v2 directory of ours in which groups can be made, None where there is none.

    It is this process's own group, so nothing outside its subtree is touched and no process moves.
    Children of a populated group are allowed as long as they get no controllers.  Without `probe`
    nothing is made to find out; with it a group is, of which `noted` hears.
    """
    own = _own_group_now(Path("/proc/self/cgroup").read_bytes())
    if own is None or not os.access(own / "cgroup.procs", os.W_OK):
        return None
    return own if not probe or _works(own, noted) else None


@cache
def _own_group_now(_groups: bytes) -> Path | None:
    return own_group(Path("/proc/self"))


@cache
def _works(own: Path, noted: Noting) -> bool:
    probe = own / f"nsmagic-{os.getpid()}-probe"
    with noted(probe):
        try:
            probe.mkdir()
        except OSError:
            return False  # read-only cgroupfs or no delegation
        try:
            # cgroup.kill came with Linux 5.14; without it a group does not end a tree at one blow.
            return (probe / "cgroup.kill").exists()
        finally:
            probe.rmdir()


def own_group(proc: Path) -> Path | None:
    """Return the directory of this process's cgroup v2, None where no such hierarchy is mounted."""
    mount = next(mount_lines(f"{proc}/mountinfo", kind="cgroup2"), None)
    if mount is None:
        return None
    path = read_membership(proc / "cgroup").get("", "..")
    # A path with ".." lies outside our cgroup namespace, cgroup_namespaces(7).
    return None if ".." in path else Path(mount.target, path.lstrip("/"))


def kill(group: Path) -> int:
    """Kill every process of the group at once; return how many there were."""
    procs = (group / "cgroup.procs").read_text().split()
    (group / "cgroup.kill").write_text("1")
    return len(procs)


def remove(group: Path, *, seconds: float = 2.0) -> None:
    """Remove the group once it is empty, waiting `seconds` at most for that; OSError otherwise."""
    wait_event(group, "populated 0", time.monotonic() + seconds)
    group.rmdir()


def _processes(group: Path) -> set[str]:
    """Return the processes of a group that our PID namespace has; the others are listed as 0.

    To kill(2) that number is our own process group, and to cgroup.procs it is whoever writes.
    """
    return set((group / "cgroup.procs").read_text().split()) - {"0"}


def move(group: Path, home: Path) -> None:
    """Move every process of a group into another one."""
    while procs := _processes(group):
        for pid in procs:
            with suppress(ProcessLookupError):
                (home / "cgroup.procs").write_text(pid)


def end(group: Path, *, seconds: float = 2.0) -> None:
    """Kill what is in the group and in those below it, and remove them all; of any version."""
    deadline = time.monotonic() + seconds
    below = [Path(name) for name, _, _ in os.walk(group, topdown=False)]
    while kill_each(below) and time.monotonic() < deadline:
        time.sleep(0.005)
    for each in below:
        each.rmdir()


def kill_each(groups: Iterable[Path]) -> int:
    """Kill the processes of groups one by one, as cgroup v1 must; return how many there were."""
    count = 0
    for group in groups:
        thaw(group)
        for pid in _processes(group):
            count += 1
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    return count


def thaw(group: Path) -> None:
    """Let processes go on that the freezer of cgroup v1 holds: before that they cannot die."""
    file = group / "freezer.state"
    with suppress(FileNotFoundError), file.open("rb+", buffering=0) as state:  # another hierarchy
        state.write(b"THAWED")
