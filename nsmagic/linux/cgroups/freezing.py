"""Freeze, thaw, kill and remove a group, on both versions and whatever it does meanwhile."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nsmagic.linux.cgroups.events import wait_event
from nsmagic.linux.cgroups.walking import below, processes_below
from nsmagic.wish.errors import CgroupError

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup

_STATE: Final = "freezer.state"
_SECONDS: Final = 5.0
_TICK: Final = 0.005  # s; what v1 says of itself it says to nobody but who asks


def freeze(group: Cgroup, *, seconds: float = _SECONDS) -> None:
    """Stop every process of a group where it stands; CgroupError where that cannot be done in time.

    Linux waits for system calls that cannot be interrupted, cgroup-v2.rst "cgroup.freeze".
    """
    deadline = time.monotonic() + seconds
    if group.v2 is not None:
        (group.v2 / "cgroup.freeze").write_text("1")
        done = wait_event(group.v2, "frozen 1", deadline)
    else:
        done = _freeze_v1(_freezer(group), deadline)
    if not done:
        thaw(group)
        raise CgroupError(
            f"{group.name} could not be frozen within {seconds:g} s: a process of it is in a "
            "system call that does not stop",
            hint=f"ps -o pid,stat,wchan,comm -p {_listed(group)}   shows which.",
        )


def _listed(group: Cgroup) -> str:
    return ",".join(str(pid) for pid in sorted(group.processes())[:20])


def _freezer(group: Cgroup) -> Path:
    path = group.v1.get("freezer")
    if path is None:
        raise CgroupError(
            f"{group.name} cannot be frozen: it has no group of the freezer controller of v1",
            hint=group.missing.get("freezer", ""),
        )
    return path


def _freeze_v1(path: Path, deadline: float) -> bool:
    """Ask until it is FROZEN: a fork under way makes FREEZING stay, freezer-subsystem.rst."""
    while time.monotonic() < deadline:
        (path / _STATE).write_text("FROZEN")
        if (path / _STATE).read_text().strip() == "FROZEN":
            return True
        time.sleep(_TICK)
    return False


def thaw(group: Cgroup) -> None:
    """Let the processes of a group go on."""
    if group.v2 is not None:
        (group.v2 / "cgroup.freeze").write_text("0")
        wait_event(group.v2, "frozen 0", time.monotonic() + _SECONDS)
    else:
        (_freezer(group) / _STATE).write_text("THAWED")


def is_frozen(group: Cgroup) -> bool:
    """Whether it was frozen, by itself or with a group above it."""
    if group.v2 is not None:
        return "frozen 1" in (group.v2 / "cgroup.events").read_text()
    path = group.v1.get("freezer")
    return path is not None and (path / _STATE).read_text().strip() != "THAWED"


def kill(group: Cgroup, *, seconds: float = _SECONDS) -> int:
    """Kill every process of a group, frozen or not, and wait for the end; return how many it held.

    CgroupError if one is still there after `seconds`.
    """
    deadline = time.monotonic() + seconds
    count = len(group.processes())
    if group.v2 is not None and (group.v2 / "cgroup.kill").exists():  # Linux 5.14
        (group.v2 / "cgroup.kill").write_text("1")
        wait_event(group.v2, "populated 0", deadline)
    kill_each(group, deadline)
    return count


def kill_each(group: Cgroup, deadline: float) -> None:
    """Kill one by one while nothing can fork: for old Linux, v1, and who left one hierarchy."""
    while group.processes() - {0}:
        if time.monotonic() > deadline:
            raise CgroupError(
                f"{group.name} still holds processes {_listed(group)}: they do not die",
                hint="A process in state D waits for a device or a network file system.",
            )
        with suppress(CgroupError, OSError):  # without a freezer it takes more rounds
            freeze(group, seconds=0.2)
        for pid in group.processes() - {0, os.getpid()}:
            _kill_one(group, pid)
        with suppress(CgroupError, OSError):
            thaw(group)  # on v1 a frozen process dies only when it thaws
        time.sleep(_TICK)


def _kill_one(group: Cgroup, pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Looked up again now that the number cannot be given to another process.
        if pid in group.processes():
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)


def remove(group: Cgroup, *, seconds: float = _SECONDS) -> int:
    """Kill what is in a group, remove it and the groups in it; return how many processes it held.

    CgroupError if Linux still says it is busy after `seconds`.
    """
    deadline = time.monotonic() + seconds
    count = kill(group, seconds=seconds) if group.exists() else 0
    for path in group.directories:
        remove_directory(path, deadline)
    return count


def remove_directory(path: Path, deadline: float) -> None:
    """Remove one directory of a group, from the bottom up, trying again until `deadline`."""
    while True:
        try:
            for folder in (*reversed(below(path)), path):
                with suppress(FileNotFoundError):
                    folder.rmdir()
        except OSError as error:
            # Busy until what died is gone from Linux's lists, or something was forked meanwhile.
            if time.monotonic() > deadline:
                raise CgroupError(
                    f"rmdir({error.filename}) failed: {error.strerror}",
                    hint=f"It holds processes: {processes_below(path)}",
                ) from error
            time.sleep(_TICK)
        else:
            return
