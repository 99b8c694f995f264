"""Where on cgroup v2 groups could be made: one after the other, each looked at and none changed.

What is "ours to change" is the whole point: in a group that somebody else manages, switching a
controller on changes the groups of others, so nothing there is touched but a directory of our own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nsmagic.linux.cgroups.hierarchies import Hierarchy, words
from nsmagic.linux.processes import descendants, read_processes

SIBLING, SYSTEMD, POPULATED = "sibling", "systemd", "populated"
ROOT_GROUP, PLAIN = "root", "plain"
# DefaultMemoryAccounting= and DefaultTasksAccounting= of systemd-system.conf(5) are on.
_LASTING: Final = frozenset({"memory", "pids"})
_DELEGATE: Final = ("user.delegate", "trusted.delegate")  # set by systemd, 251 and before


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A directory of cgroup v2 in which groups may be made, or `refusal`, why not.

    `enabled` are the controllers that groups in it have, `addable` those that we may switch on.
    `moved` are the processes that have to go to a leaf first.
    """

    kind: str
    directory: Path
    enabled: frozenset[str] = frozenset()
    addable: frozenset[str] = frozenset()
    refusal: str = ""
    moved: tuple[int, ...] = ()

    @property
    def controllers(self) -> frozenset[str]:
        """What groups here can have."""
        return self.enabled | self.addable


def named(directory: Path) -> Candidate:
    """Return the directory that the person named, who thereby makes it ours."""
    if refusal := _unwritable(directory, directory):
        return Candidate(kind="named", directory=directory, refusal=refusal)
    enabled = words(directory / "cgroup.subtree_control")
    empty = not words(directory / "cgroup.procs")
    addable = words(directory / "cgroup.controllers") - enabled if empty else frozenset[str]()
    return Candidate(kind="named", directory=directory, enabled=enabled, addable=addable)


def ancestors(v2: Hierarchy) -> Iterator[Candidate]:
    """Return the groups above our own, nearest first: groups made there are siblings of ours."""
    own = v2.own
    if own is None or v2.is_root:
        return
    for directory in own.parents:
        if not directory.is_relative_to(v2.point):
            return
        yield _ancestor(directory)


def _ancestor(directory: Path) -> Candidate:
    root = not (directory / "cgroup.events").exists()
    refusal = _unwritable(directory, directory)
    if not refusal and not root and words(directory / "cgroup.procs"):
        refusal = f"{directory} holds processes itself"
    if refusal:
        return Candidate(kind=SIBLING, directory=directory, refusal=refusal)
    enabled = words(directory / "cgroup.subtree_control")
    if is_ours(directory):
        addable = words(directory / "cgroup.controllers") - enabled
        return Candidate(kind=SIBLING, directory=directory, enabled=enabled, addable=addable)
    above = (directory, *directory.parents)
    if has_user_manager() and any(path.name.startswith("user@") for path in above):
        # The manager switches off what no unit of its own needs any more, and limits would be gone.
        enabled &= _LASTING
    return Candidate(kind=SIBLING, directory=directory, enabled=enabled)


def own_group(v2: Hierarchy, pid: int) -> Iterator[Candidate]:
    """Return our own group: by moving its processes to a leaf, or without any controller."""
    own = v2.own
    if own is None:
        return
    refusal = _unwritable(own, own)
    enabled = words(own / "cgroup.subtree_control")
    if refusal or v2.is_root or enabled:
        # The root may have processes and controllers; elsewhere Linux would not let us be here.
        kind = ROOT_GROUP if v2.is_root else PLAIN
        yield Candidate(kind=kind, directory=own, enabled=enabled, refusal=refusal)
        return
    others, mine = _split(own, pid)
    yield Candidate(
        kind=POPULATED, directory=own, addable=words(own / "cgroup.controllers"), moved=mine,
        refusal=f"{own} holds processes that are not this notebook's: {_listed(others)}"
        if others else "",
    )  # fmt: skip
    yield Candidate(kind=PLAIN, directory=own)


def _listed(pids: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, pids[:5]))
    return shown + (f" and {len(pids) - 5} more" if len(pids) > 5 else "")


def _split(own: Path, pid: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the processes of a group that are not `pid` or descendants of it, and those that are.

    A process of another PID namespace shows as 0 and is never ours.
    """
    inside = [int(number) for number in (own / "cgroup.procs").read_text().split()]
    ours = descendants(pid, read_processes())
    return (
        tuple(number for number in inside if number not in ours),
        tuple(number for number in inside if number in ours),
    )


def _unwritable(directory: Path, common: Path) -> str:
    """Return why we may not make a group and move processes into it; empty if we may."""
    if not directory.is_dir():
        return f"{directory} is not there"
    if not (directory / "cgroup.procs").exists():
        return f"{directory} is no cgroup"
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        return f"{directory} is mounted read-only"
    # cgroup_procs_write_permission() in Linux asks this of the nearest common ancestor.
    for path in (directory, common / "cgroup.procs"):
        if not os.access(path, os.W_OK, effective_ids=True):
            return f"{path} may not be written by uid {os.geteuid()}"
    if words(directory / "cgroup.type") & {"threaded", "invalid"}:
        return f"{directory} is in threaded mode"
    return ""


def is_ours(directory: Path) -> bool:
    """Whether the controllers of a group are ours to switch: it was delegated to us.

    By systemd's mark on a unit with Delegate=yes, or by belonging to us, an ordinary user, while no
    systemd user manager looks after it.  What belongs to root belongs to everybody.
    """
    for group in (directory, *directory.parents):
        if not (group / "cgroup.procs").exists():
            break
        if group.name == scope_unit(os.getpid()):
            return True  # also where systemd's mark is missing, or one that only root can read
        if _is_marked(group):
            # A user manager is delegated to, too; what is below it is the manager's.
            return not (group.name.startswith("user@") and has_user_manager())
    owner = directory.stat().st_uid
    return owner == os.geteuid() != 0 and not has_user_manager()


def scope_unit(pid: int) -> str:
    """Return the name of the scope that systemd's user manager makes for a kernel."""
    return f"nsmagic-{pid}.scope"


def _is_marked(group: Path) -> bool:
    for name in _DELEGATE:
        try:
            if os.getxattr(group, name) == b"1":
                return True
        except OSError:
            continue
    return False


def runtime_directory() -> Path:
    """Return the directory of the user's sockets."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")


def has_user_manager() -> bool:
    """Whether a systemd user manager is there to be asked."""
    return (runtime_directory() / "systemd" / "private").exists()
